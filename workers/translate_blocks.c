/*
 * translate_blocks: contents of OpenAI's messages as Anthropic's blocks: texts,
 * images, files, tool results and tool uses. See translate_parts.h.
 */
#include "workers/translate_parts.h"

#include <stdio.h>

static const struct str part_names[] = {
    PICK("type"), PICK("text"),	     PICK("refusal"),
    PICK("file"), PICK("image_url"), PICK("prompt_cache_breakpoint"),
};
#define PART_MEMBERS 6u

enum err
translate_refuse_content(struct translation *t)
{
	return translate_refuse_here(t, ".content",
				     "content must be a string or an array");
}

enum err
translate_refuse_part(struct translation *t)
{
	return translate_refuse_here(
	    t, ".type",
	    "a content part of this type cannot be sent to this model");
}

static void
write_comma(struct translation *t, bool *is_first)
{
	if (!*is_first)
		buf_add_char(t->out, ',');
	*is_first = false;
}

/* --- texts ---------------------------------------------------------------- */

static enum err
text_of(struct translation *t, const struct json_value *members,
	struct json_value *text)
{
	*text = (struct json_value){JSON_NULL, STR_NONE};
	if (translate_string_is(members[0], STR("text")))
		*text = members[1];
	else if (translate_string_is(members[0], STR("refusal")))
		*text = members[2];
	else
		return ERR_OK;
	if (!translate_is_string(*text))
		return translate_refuse_here(t, ".text",
					     "text must be a string");
	return ERR_OK;
}

enum err
translate_part_text(struct translation *t, struct json_value part,
		    struct json_value *text)
{
	struct json_value members[PART_MEMBERS];

	translate_pick(part, part_names, PART_MEMBERS, members);
	return text_of(t, members, text);
}

void
translate_write_text(struct translation *t, struct json_value text,
		     struct json_value part, bool *is_first)
{
	write_comma(t, is_first);
	buf_add_z(t->out, "{\"type\":\"text\",\"text\":");
	buf_add_str(t->out, text.raw);
	translate_write_others(part, part_names, PART_MEMBERS, t->out);
	buf_add_char(t->out, '}');
}

/* --- images and files ----------------------------------------------------- */

/* data:image/png;base64,... as it is written, so that escapes (a slash may be
 * \/) stay. */
static bool
write_base64(struct translation *t, struct str url)
{
	const char *semicolon, *comma;

	if (!str_starts(url, STR("data:")))
		return false;
	url = str_bytes(url.p + 5, url.n - 5);
	comma = memchr(url.p, ',', url.n);
	semicolon = memchr(url.p, ';', url.n);
	if (comma == NULL || semicolon == NULL || semicolon == url.p ||
	    !str_ends(str_bytes(url.p, (size_t)(comma - url.p)),
		      STR(";base64")))
		return false;
	buf_add_z(t->out, "{\"type\":\"base64\",\"media_type\":\"");
	buf_add(t->out, url.p, (size_t)(semicolon - url.p));
	buf_add_z(t->out, "\",\"data\":\"");
	buf_add(t->out, comma + 1, url.n - (size_t)(comma + 1 - url.p));
	buf_add_z(t->out, "\"}");
	return true;
}

static enum err
write_image(struct translation *t, struct json_value image)
{
	static const struct str names[] = {PICK("url")};
	struct json_value url;
	struct str text;

	translate_pick(image, names, 1, &url);
	if (!translate_is_string(url))
		return translate_refuse_here(t, ".image_url",
					     "image_url.url must be a string");
	text = translate_inner(url);
	buf_add_z(t->out, "{\"type\":\"image\",\"source\":");
	if (write_base64(t, text))
		return ERR_OK;
	if (!str_starts(text, STR("http:")) && !str_starts(text, STR("https:")))
		return translate_refuse_here(
		    t, ".image_url",
		    "image_url.url must be a base64 data: URL or an http URL");
	buf_add_z(t->out, "{\"type\":\"url\",\"url\":");
	buf_add_str(t->out, url.raw);
	buf_add_char(t->out, '}');
	return ERR_OK;
}

static enum err
write_file(struct translation *t, struct json_value file)
{
	static const struct str names[] = {PICK("file_data"), PICK("filename")};
	struct json_value members[2];

	translate_pick(file, names, 2, members);
	buf_add_z(t->out, "{\"type\":\"document\",\"source\":");
	if (!translate_is_string(members[0]) ||
	    !write_base64(t, translate_inner(members[0])))
		return translate_refuse_here(
		    t, ".file", "file.file_data must be a base64 data: URL");
	if (translate_has_text(members[1])) {
		buf_add_z(t->out, ",\"title\":");
		buf_add_str(t->out, members[1].raw);
	}
	return ERR_OK;
}

/* --- contents ------------------------------------------------------------- */

static enum err
write_part(struct translation *t, struct json_value part, bool *is_first)
{
	struct json_value members[PART_MEMBERS], text;
	enum err err;

	translate_pick(part, part_names, PART_MEMBERS, members);
	err = text_of(t, members, &text);
	if (err != ERR_OK)
		return err;
	if (translate_is_there(text)) {
		if (!translate_is_blank(text))
			translate_write_text(t, text, part, is_first);
		return ERR_OK;
	}
	if (translate_string_is(members[0], STR("image_url"))) {
		write_comma(t, is_first);
		err = write_image(t, members[4]);
	} else if (translate_string_is(members[0], STR("file"))) {
		write_comma(t, is_first);
		err = write_file(t, members[3]);
	} else {
		return translate_refuse_part(t);
	}
	translate_write_others(part, part_names, PART_MEMBERS, t->out);
	buf_add_char(t->out, '}');
	return err;
}

enum err
translate_write_blocks(struct translation *t, struct json_value content,
		       bool *is_first)
{
	static const struct json_value no_part = {JSON_OBJECT, PICK("{}")};
	struct json_walk walk = json_walk(content);
	struct json_value part;
	enum err err = ERR_OK;

	if (translate_is_string(content)) {
		if (!translate_is_blank(content))
			translate_write_text(t, content, no_part, is_first);
		return ERR_OK;
	}
	if (!translate_is_there(content) || content.type != JSON_ARRAY)
		return translate_refuse_content(t);
	for (t->part = 0; json_next_item(&walk, &part); t->part++) {
		err = write_part(t, part, is_first);
		if (err != ERR_OK)
			return err;
	}
	t->part = -1;
	return ERR_OK;
}

/* --- tools ---------------------------------------------------------------- */

enum err
translate_write_result(struct translation *t,
		       const struct translate_message *message, bool *is_first)
{
	struct json_value content = message->content;
	bool is_first_block = true;
	enum err err = ERR_OK;

	if (!translate_is_string(message->tool_call_id))
		return translate_refuse_here(t, ".tool_call_id",
					     "tool_call_id must be a string");
	write_comma(t, is_first);
	buf_add_z(t->out, "{\"type\":\"tool_result\",\"tool_use_id\":");
	buf_add_str(t->out, message->tool_call_id.raw);
	buf_add_z(t->out, ",\"content\":");
	if (!translate_is_there(content)) {
		buf_add_z(t->out, "\"\"");
	} else if (translate_is_string(content)) {
		buf_add_str(t->out, content.raw);
	} else {
		buf_add_char(t->out, '[');
		err = translate_write_blocks(t, content, &is_first_block);
		buf_add_char(t->out, ']');
	}
	buf_add_char(t->out, '}');
	return err;
}

static enum err
refuse_call(struct translation *t, unsigned index, const char *member,
	    const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), ".tool_calls[%u]%s", index, member);
	return translate_refuse_here(t, path, text);
}

static enum err
write_tool_use(struct translation *t, unsigned index, struct json_value call,
	       bool *is_first)
{
	static const struct str names[] = {PICK("id"), PICK("function"),
					   PICK("type")};
	static const struct str function_names[] = {PICK("name"),
						    PICK("arguments")};
	struct json_value members[3], function[2];
	struct str input;

	translate_pick(call, names, 3, members);
	translate_pick(members[1], function_names, 2, function);
	if (!translate_is_string(members[0]) ||
	    !translate_is_string(function[0]) ||
	    (translate_is_there(members[2]) &&
	     !translate_string_is(members[2], STR("function"))))
		return refuse_call(t, index, "",
				   "a tool call must be of type function and "
				   "have an id and a name");
	if (!translate_arguments(function[1], t->call->arena, &input))
		return ERR_NO_MEMORY;
	if (input.p == NULL)
		return refuse_call(t, index, ".function.arguments",
				   "arguments must be a JSON object in a "
				   "string");
	write_comma(t, is_first);
	buf_add_z(t->out, "{\"type\":\"tool_use\",\"id\":");
	buf_add_str(t->out, members[0].raw);
	buf_add_z(t->out, ",\"name\":");
	buf_add_str(t->out, function[0].raw);
	buf_add_z(t->out, ",\"input\":");
	buf_add_str(t->out, input);
	buf_add_char(t->out, '}');
	return ERR_OK;
}

enum err
translate_write_tool_uses(struct translation *t, struct json_value calls,
			  bool *is_first)
{
	struct json_walk walk = json_walk(calls);
	struct json_value call;
	enum err err = ERR_OK;

	if (!translate_is_there(calls))
		return ERR_OK;
	if (calls.type != JSON_ARRAY)
		return translate_refuse_here(t, ".tool_calls",
					     "tool_calls must be an array");
	for (unsigned i = 0; err == ERR_OK && json_next_item(&walk, &call); i++)
		err = write_tool_use(t, i, call, is_first);
	return err;
}
