/*
 * translate_system: the system and developer messages of a chat completions
 * request, wherever they stand, as Anthropic's system: one string, joined with
 * LF, or blocks when a part has a mark of its own (cache_control). Two walks:
 * one looks for marks, one writes. See translate_parts.h.
 */
#include "workers/translate_parts.h"

struct system {
	bool is_writing;
	bool has_marks;
	bool is_first;
};

static const struct json_value no_part = {JSON_OBJECT, PICK("{}")};

static bool
is_marked(struct json_value part)
{
	struct json_walk walk = json_walk(part);
	struct json_value value;
	unsigned count = 0;
	struct str key;

	while (json_next_member(&walk, &key, &value))
		count++;
	return count > 2;
}

static void
take_text(struct translation *t, struct system *system, struct json_value text,
	  struct json_value part)
{
	if (translate_is_blank(text))
		return;
	if (!system->is_writing) {
		system->has_marks |= is_marked(part);
		system->is_first = false;
	} else if (system->has_marks) {
		translate_write_text(t, text, part, &system->is_first);
	} else {
		if (!system->is_first)
			buf_add_z(t->out, "\\n");
		system->is_first = false;
		buf_add_str(t->out, translate_inner(text));
	}
}

static enum err
take_content(struct translation *t, struct system *system,
	     struct json_value content)
{
	struct json_walk walk = json_walk(content);
	struct json_value part, text;
	enum err err;

	if (translate_is_string(content)) {
		take_text(t, system, content, no_part);
		return ERR_OK;
	}
	if (!translate_is_there(content) || content.type != JSON_ARRAY)
		return translate_refuse_content(t);
	for (t->part = 0; json_next_item(&walk, &part); t->part++) {
		err = translate_part_text(t, part, &text);
		if (err != ERR_OK)
			return err;
		if (!translate_is_there(text))
			return translate_refuse_part(t);
		take_text(t, system, text, part);
	}
	return ERR_OK;
}

static enum err
take_messages(struct translation *t, struct system *system)
{
	enum err err = ERR_OK;

	for (unsigned i = 0; err == ERR_OK && i < t->message_count; i++) {
		t->message = t->messages[i].index;
		t->part = -1;
		if (t->messages[i].role == TRANSLATE_SYSTEM)
			err = take_content(t, system, t->messages[i].content);
	}
	t->part = -1;
	return err;
}

enum err
translate_write_system(struct translation *t, bool is_json_only)
{
	static const struct json_value sentence = {
	    JSON_STRING, PICK("\"" TRANSLATE_JSON_ONLY "\"")};
	struct system system = {.is_writing = false, .is_first = true};
	enum err err;

	err = take_messages(t, &system);
	if (err != ERR_OK || (system.is_first && !is_json_only))
		return err;
	system.is_writing = true;
	system.is_first = true;
	buf_add_z(t->out,
		  system.has_marks ? ",\"system\":[" : ",\"system\":\"");
	err = take_messages(t, &system);
	if (is_json_only)
		take_text(t, &system, sentence, no_part);
	buf_add_char(t->out, system.has_marks ? ']' : '"');
	return err;
}
