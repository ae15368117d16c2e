/*
 * translate_messages: the system prompt and the turns of a messages request as
 * messages of OpenAI's shape. See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* --- blocks --------------------------------------------------------------- */

void
translate_read_block(struct json_value item, struct translate_block *out)
{
	static const struct str names[] = {
	    PICK("type"),     PICK("text"),	   PICK("source"),
	    PICK("title"),    PICK("id"),	   PICK("name"),
	    PICK("input"),    PICK("tool_use_id"), PICK("content"),
	    PICK("is_error"), PICK("thinking"),
	};
	struct json_value members[11];

	translate_pick(item, names, 11, members);
	*out = (struct translate_block){
	    .type = members[0],
	    .text = members[1],
	    .source = members[2],
	    .title = members[3],
	    .id = members[4],
	    .name = members[5],
	    .input = members[6],
	    .tool_use_id = members[7],
	    .content = members[8],
	    .is_error = members[9].type == JSON_TRUE,
	    .thinking = members[10],
	};
}

bool
translate_block_is(const struct translate_block *block, struct str type)
{
	return translate_string_is(block->type, type);
}

struct json_value
translate_block_text(const struct translate_block *block)
{
	struct json_value none = {JSON_NULL, STR_NONE};

	if (translate_block_is(block, STR("text")) &&
	    translate_is_string(block->text))
		return block->text;
	return none;
}

struct json_walk
translate_blocks_of(struct translation *t, struct json_value content)
{
	t->part = -1;
	if (translate_is_there(content) && content.type == JSON_ARRAY)
		return json_walk(content);
	return (struct json_walk){NULL, NULL};
}

bool
translate_next_block(struct translation *t, struct json_walk *walk,
		     struct translate_block *out)
{
	struct json_value item;

	if (!json_next_item(walk, &item))
		return false;
	t->part++;
	translate_read_block(item, out);
	return true;
}

enum err
translate_refuse_block(struct translation *t)
{
	return translate_refuse_here(
	    t, ".type",
	    "a content block of this type cannot be sent to this model");
}

void
translate_write_joined(struct translation *t, struct json_value content,
		       const char *head, const char *separator)
{
	struct json_walk walk = translate_blocks_of(t, content);
	const char *between = "";
	struct translate_block block;

	buf_add_char(t->out, '"');
	buf_add_z(t->out, head);
	if (translate_is_string(content))
		buf_add_str(t->out, translate_inner(content));
	while (translate_next_block(t, &walk, &block)) {
		struct json_value text = translate_block_text(&block);

		if (!translate_has_text(text))
			continue;
		buf_add_z(t->out, between);
		buf_add_str(t->out, translate_inner(text));
		between = separator;
	}
	buf_add_char(t->out, '"');
	t->part = -1;
}

void
translate_begin_message(struct translation *t, unsigned *count,
			const char *role)
{
	buf_add_z(t->out, *count ? ",{\"role\":\"" : "{\"role\":\"");
	buf_add_z(t->out, role);
	buf_add_char(t->out, '"');
	(*count)++;
}

/* --- assistant turns ------------------------------------------------------ */

struct assistant_turn {
	unsigned texts;
	unsigned calls;
	unsigned thoughts;
};

static enum err
look_at_block(struct translation *t, const struct translate_block *block,
	      struct assistant_turn *out)
{
	if (translate_is_there(translate_block_text(block))) {
		out->texts += translate_has_text(block->text);
	} else if (translate_block_is(block, STR("tool_use"))) {
		if (!translate_is_string(block->id) ||
		    !translate_is_string(block->name) ||
		    !translate_is_there(block->input) ||
		    block->input.type != JSON_OBJECT)
			return translate_refuse_here(
			    t, "",
			    "tool_use must have an id, a name and an "
			    "input that is an object");
		out->calls++;
	} else if (translate_block_is(block, STR("thinking"))) {
		out->thoughts += translate_has_text(block->thinking);
	} else if (!translate_block_is(block, STR("redacted_thinking"))) {
		return translate_refuse_block(t);
	}
	return ERR_OK;
}

static enum err
look_at_turn(struct translation *t, struct json_value content,
	     struct assistant_turn *out)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct translate_block block;
	enum err err = ERR_OK;

	memset(out, 0, sizeof(*out));
	out->texts = translate_has_text(content);
	while (err == ERR_OK && translate_next_block(t, &walk, &block))
		err = look_at_block(t, &block, out);
	return err;
}

void
translate_write_thoughts(struct translation *t, struct json_value content)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct translate_block block;

	buf_add_z(t->out, ",\"reasoning_content\":\"");
	while (translate_next_block(t, &walk, &block)) {
		if (translate_block_is(&block, STR("thinking")) &&
		    translate_has_text(block.thinking))
			buf_add_str(t->out, translate_inner(block.thinking));
	}
	buf_add_char(t->out, '"');
}

void
translate_write_calls(struct translation *t, struct json_value content)
{
	struct json_walk walk = translate_blocks_of(t, content);
	const char *before = ",\"tool_calls\":[";
	struct translate_block block;

	while (translate_next_block(t, &walk, &block)) {
		if (!translate_block_is(&block, STR("tool_use")))
			continue;
		buf_add_z(t->out, before);
		before = ",";
		buf_add_z(t->out, "{\"id\":");
		buf_add_str(t->out, translate_raw_string(block.id));
		buf_add_z(t->out, ",\"type\":\"function\",\"function\":{"
				  "\"name\":");
		buf_add_str(t->out, translate_raw_string(block.name));
		buf_add_z(t->out, ",\"arguments\":");
		json_write_string(t->out, translate_is_there(block.input)
					      ? block.input.raw
					      : STR("{}"));
		buf_add_z(t->out, "}}");
	}
	buf_add_char(t->out, ']');
}

static enum err
write_assistant(struct translation *t, struct json_value content,
		unsigned *count)
{
	bool is_thinking =
	    t->call->is_thinking_wanted && t->call->target.takes_thinking;
	struct assistant_turn turn;
	enum err err = look_at_turn(t, content, &turn);

	if (err != ERR_OK || turn.texts + turn.calls == 0)
		return err;
	translate_begin_message(t, count, "assistant");
	buf_add_z(t->out, ",\"content\":");
	if (turn.texts)
		translate_write_joined(t, content, "", "");
	else
		buf_add_z(t->out, "null");
	/* Beside calls it is wanted back even if there was none. */
	if (is_thinking && turn.thoughts + turn.calls)
		translate_write_thoughts(t, content);
	if (turn.calls)
		translate_write_calls(t, content);
	buf_add_char(t->out, '}');
	return ERR_OK;
}

/* --- all ------------------------------------------------------------------ */

/* Content that holds texts alone: the system prompt. */
static enum err
write_system(struct translation *t, struct json_value content, unsigned *count)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct translate_block block;

	while (translate_next_block(t, &walk, &block)) {
		if (!translate_is_there(translate_block_text(&block)))
			return translate_refuse_block(t);
	}
	if (content.type == JSON_STRING && !translate_has_text(content))
		return ERR_OK;
	translate_begin_message(t, count, "system");
	buf_add_z(t->out, ",\"content\":");
	translate_write_joined(t, content, "", "\\n");
	buf_add_char(t->out, '}');
	return ERR_OK;
}

static enum err
write_message(struct translation *t, struct json_value message, unsigned *count)
{
	static const struct str names[] = {PICK("role"), PICK("content")};
	struct json_value members[2];

	t->part = -1;
	translate_pick(message, names, 2, members);
	if (!translate_is_there(members[1]) ||
	    (members[1].type != JSON_STRING && members[1].type != JSON_ARRAY))
		return translate_refuse_content(t);
	if (translate_string_is(members[0], STR("user")))
		return translate_write_user(t, members[1], count);
	if (translate_string_is(members[0], STR("assistant")))
		return write_assistant(t, members[1], count);
	if (translate_string_is(members[0], STR("system")))
		return write_system(t, members[1], count);
	return translate_refuse_here(t, ".role",
				     "role must be user, assistant or system");
}

enum err
translate_write_messages(struct translation *t)
{
	struct json_value system = t->fields[ANTHROPIC_system];
	struct json_value messages = t->fields[ANTHROPIC_messages], message;
	struct json_walk walk = json_walk(messages);
	unsigned count = 0, systems;
	enum err err = ERR_OK;

	if (!translate_is_there(messages) || messages.type != JSON_ARRAY)
		return translate_refuse(t, "messages",
					"messages must be an array");
	if (translate_is_there(system) && system.type != JSON_STRING &&
	    system.type != JSON_ARRAY)
		return translate_refuse(t, "system",
					"system must be a string or an array");
	buf_add_z(t->out, ",\"messages\":[");
	if (translate_is_there(system))
		err = write_system(t, system, &count);
	if (err != ERR_OK)
		return translate_refuse(t, "system",
					"system must hold texts only");
	systems = count;
	for (t->message = 0; err == ERR_OK && json_next_item(&walk, &message);
	     t->message++)
		err = write_message(t, message, &count);
	buf_add_char(t->out, ']');
	if (err == ERR_OK && count == systems)
		return translate_refuse(t, "messages",
					"messages says nothing: send at least "
					"one user message with a text");
	return err;
}
