/*
 * images: see images.h.
 */
#include "workers/images.h"

#include <string.h>

static bool
has(struct str s, const char *text)
{
	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

/* Escapes undone: what is an image for the provider is one here. */
static bool
is_text(struct json_value value, const char *text)
{
	return value.type == JSON_STRING &&
	       json_key_is(str_bytes(value.raw.p + 1, value.raw.n - 2),
			   str_of(text));
}

static bool
member_is(struct json_value object, const char *name, const char *text)
{
	struct json_value value;

	return json_get(object, str_of(name), &value) && is_text(value, text);
}

static bool
get_object(struct json_value object, const char *name, struct json_value *out)
{
	return json_get(object, str_of(name), out) && out->type == JSON_OBJECT;
}

static void
add_openai(struct json_value part, struct images *out)
{
	struct json_value image, url;

	if (!member_is(part, "type", "image_url"))
		return;
	out->count++;
	if (get_object(part, "image_url", &image) &&
	    json_get(image, STR("url"), &url) && url.type == JSON_STRING &&
	    str_starts(url.raw, STR("\"data:")))
		out->inline_bytes += url.raw.n;
}

static void
add_block(struct json_value block, struct images *out)
{
	struct json_value source, data;

	if (!member_is(block, "type", "image"))
		return;
	out->count++;
	if (get_object(block, "source", &source) &&
	    member_is(source, "type", "base64") &&
	    json_get(source, STR("data"), &data) && data.type == JSON_STRING)
		out->inline_bytes += data.raw.n;
}

/* Each object in object.content, if that is an array. */
static void
each_in_content(struct json_value object, struct images *out,
		void (*add)(struct json_value, struct images *))
{
	struct json_value content, item;
	struct json_walk walk;

	if (object.type != JSON_OBJECT ||
	    !json_get(object, STR("content"), &content) ||
	    content.type != JSON_ARRAY)
		return;
	walk = json_walk(content);
	while (json_next_item(&walk, &item))
		if (item.type == JSON_OBJECT)
			add(item, out);
}

static void
add_anthropic(struct json_value block, struct images *out)
{
	if (member_is(block, "type", "tool_result"))
		each_in_content(block, out, add_block);
	else
		add_block(block, out);
}

struct images
images_in(enum ai_shape shape, struct json_value messages)
{
	struct images out = {0, 0};
	struct json_value message;
	struct json_walk walk;

	/* Most requests have none, not even in another spelling. */
	if (!has(messages.raw, "image") && !has(messages.raw, "\\u"))
		return out;
	walk = json_walk(messages);
	while (json_next_item(&walk, &message))
		each_in_content(message, &out,
				shape == AI_OPENAI ? add_openai
						   : add_anthropic);
	return out;
}
