/*
 * translate_user: a user turn of a messages request: its tool results, a
 * message each, and then what else it says, one message. OpenAI's results hold
 * texts only: images and documents inside them go into that last message, in
 * front. See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* --- images and documents ------------------------------------------------- */

/* source: type, media_type, data, url */
#define SOURCE_MEMBERS 4u
static const struct str source_names[SOURCE_MEMBERS] = {
    PICK("type"), PICK("media_type"), PICK("data"), PICK("url")};

static void
write_data_url(struct translation *t, const struct json_value *source)
{
	buf_add_z(t->out, "\"data:");
	buf_add_str(t->out, translate_inner(source[1]));
	buf_add_z(t->out, ";base64,");
	buf_add_str(t->out, translate_inner(source[2]));
	buf_add_char(t->out, '"');
}

static bool
is_base64(const struct json_value *source)
{
	return translate_string_is(source[0], STR("base64")) &&
	       translate_is_string(source[1]) && translate_is_string(source[2]);
}

static enum err
write_image(struct translation *t, const struct translate_block *block)
{
	struct json_value source[SOURCE_MEMBERS];

	translate_pick(block->source, source_names, SOURCE_MEMBERS, source);
	buf_add_z(t->out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
	if (is_base64(source))
		write_data_url(t, source);
	else if (translate_string_is(source[0], STR("url")) &&
		 translate_is_string(source[3]))
		buf_add_str(t->out, source[3].raw);
	else
		return translate_refuse_here(
		    t, ".source", "an image must come as base64 or by its url");
	buf_add_z(t->out, "}}");
	return ERR_OK;
}

static enum err
write_document(struct translation *t, const struct translate_block *block)
{
	struct json_value source[SOURCE_MEMBERS];

	translate_pick(block->source, source_names, SOURCE_MEMBERS, source);
	if (translate_string_is(source[0], STR("text")) &&
	    translate_is_string(source[2])) {
		buf_add_z(t->out, "{\"type\":\"text\",\"text\":");
		buf_add_str(t->out, source[2].raw);
		buf_add_char(t->out, '}');
		return ERR_OK;
	}
	if (!is_base64(source))
		return translate_refuse_here(
		    t, ".source", "a document must come as base64 or text");
	buf_add_z(t->out, "{\"type\":\"file\",\"file\":{\"filename\":");
	if (translate_has_text(block->title))
		buf_add_str(t->out, block->title.raw);
	else
		buf_add_z(t->out, "\"document.pdf\"");
	buf_add_z(t->out, ",\"file_data\":");
	write_data_url(t, source);
	buf_add_z(t->out, "}}");
	return ERR_OK;
}

/* A block that is a part of a user's message. */
static enum err
write_part(struct translation *t, const struct translate_block *block,
	   bool *is_first)
{
	struct json_value text = translate_block_text(block);

	if (translate_is_there(text) && !translate_has_text(text))
		return ERR_OK;
	if (!*is_first)
		buf_add_char(t->out, ',');
	*is_first = false;
	if (translate_is_there(text)) {
		buf_add_z(t->out, "{\"type\":\"text\",\"text\":");
		buf_add_str(t->out, text.raw);
		buf_add_char(t->out, '}');
		return ERR_OK;
	}
	if (translate_block_is(block, STR("image")))
		return write_image(t, block);
	if (translate_block_is(block, STR("document")))
		return write_document(t, block);
	return translate_refuse_block(t);
}

/* --- user turns ----------------------------------------------------------- */

struct user_turn {
	unsigned texts;
	unsigned others; /* parts that are no text, also inside results */
};

static enum err
look_at_result(struct translation *t, const struct translate_block *result,
	       struct user_turn *out)
{
	struct json_value content = result->content, item;
	struct json_walk walk = json_walk(content);
	struct translate_block block;

	if (!translate_is_string(result->tool_use_id))
		return translate_refuse_here(t, ".tool_use_id",
					     "tool_use_id must be a string");
	if (!translate_is_there(content) || translate_is_string(content))
		return ERR_OK;
	if (content.type != JSON_ARRAY)
		return translate_refuse_here(
		    t, ".content", "content must be a string or an array");
	while (json_next_item(&walk, &item)) {
		translate_read_block(item, &block);
		if (translate_block_is(&block, STR("image")) ||
		    translate_block_is(&block, STR("document")))
			out->others++;
		else if (!translate_is_there(translate_block_text(&block)))
			return translate_refuse_block(t);
	}
	return ERR_OK;
}

static enum err
look_at_turn(struct translation *t, struct json_value content,
	     struct user_turn *out)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct translate_block block;
	enum err err = ERR_OK;

	memset(out, 0, sizeof(*out));
	while (err == ERR_OK && translate_next_block(t, &walk, &block)) {
		if (translate_block_is(&block, STR("tool_result")))
			err = look_at_result(t, &block, out);
		else if (translate_is_there(translate_block_text(&block)))
			out->texts +=
			    translate_has_text(translate_block_text(&block));
		else
			out->others++;
	}
	return err;
}

static void
write_results(struct translation *t, struct json_value content, unsigned *count)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct translate_block block;

	while (translate_next_block(t, &walk, &block)) {
		int part = t->part;

		if (!translate_block_is(&block, STR("tool_result")))
			continue;
		translate_begin_message(t, count, "tool");
		buf_add_z(t->out, ",\"tool_call_id\":");
		buf_add_str(t->out, block.tool_use_id.raw);
		buf_add_z(t->out, ",\"content\":");
		translate_write_joined(t, block.content,
				       block.is_error ? "Error: " : "", "\\n");
		buf_add_char(t->out, '}');
		t->part = part;
	}
}

/* What is no text in a result. */
static enum err
write_result_parts(struct translation *t, struct json_value content,
		   bool *is_first)
{
	struct json_walk walk = json_walk(content);
	struct json_value item;
	struct translate_block block;
	enum err err = ERR_OK;

	while (err == ERR_OK && json_next_item(&walk, &item)) {
		translate_read_block(item, &block);
		if (!translate_is_there(translate_block_text(&block)))
			err = write_part(t, &block, is_first);
	}
	return err;
}

/* Two walks: the parts of results come before those of the turn. */
static enum err
write_parts(struct translation *t, struct json_value content)
{
	struct json_walk walk = translate_blocks_of(t, content);
	bool is_first = true;
	struct translate_block block;
	enum err err = ERR_OK;

	buf_add_char(t->out, '[');
	while (err == ERR_OK && translate_next_block(t, &walk, &block)) {
		if (translate_block_is(&block, STR("tool_result")))
			err = write_result_parts(t, block.content, &is_first);
	}
	walk = translate_blocks_of(t, content);
	while (err == ERR_OK && translate_next_block(t, &walk, &block)) {
		if (!translate_block_is(&block, STR("tool_result")))
			err = write_part(t, &block, &is_first);
	}
	buf_add_char(t->out, ']');
	return err;
}

enum err
translate_write_user(struct translation *t, struct json_value content,
		     unsigned *count)
{
	struct user_turn turn;
	enum err err = look_at_turn(t, content, &turn);

	if (err != ERR_OK)
		return err;
	write_results(t, content, count);
	if (!translate_has_text(content) && turn.texts + turn.others == 0)
		return ERR_OK;
	translate_begin_message(t, count, "user");
	buf_add_z(t->out, ",\"content\":");
	if (turn.others)
		err = write_parts(t, content);
	else
		translate_write_joined(t, content, "", "\\n");
	buf_add_char(t->out, '}');
	return err;
}
