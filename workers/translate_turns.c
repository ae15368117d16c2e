/*
 * translate_turns: the messages of a chat completions request, read once into
 * an array, and written as turns. A run is what stands between two assistant
 * messages: when it has tool messages it becomes one user turn, results first.
 * See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* --- reading ------------------------------------------------------------- */

static enum err
read_role(struct translation *t, struct json_value role,
	  enum translate_role *out)
{
	static const struct {
		struct str name;
		enum translate_role role;
	} roles[] = {
	    {PICK("user"), TRANSLATE_USER},
	    {PICK("assistant"), TRANSLATE_ASSISTANT},
	    {PICK("tool"), TRANSLATE_TOOL},
	    {PICK("system"), TRANSLATE_SYSTEM},
	    {PICK("developer"), TRANSLATE_SYSTEM},
	};

	for (unsigned i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (translate_string_is(role, roles[i].name)) {
			*out = roles[i].role;
			return ERR_OK;
		}
	}
	return translate_refuse_here(
	    t, ".role",
	    "role must be system, developer, user, assistant or tool");
}

static enum err
read_message(struct translation *t, struct json_value item,
	     struct translate_message *out)
{
	static const struct str names[] = {
	    PICK("role"),	  PICK("content"), PICK("tool_calls"),
	    PICK("tool_call_id"), PICK("refusal"), PICK("function_call"),
	};
	struct json_value members[6];

	if (item.type != JSON_OBJECT)
		return translate_refuse_here(t, "",
					     "a message must be an object");
	translate_pick(item, names, 6, members);
	out->content = members[1];
	out->tool_calls = members[2];
	out->tool_call_id = members[3];
	out->refusal = members[4];
	if (translate_is_there(members[5]))
		return translate_refuse_here(
		    t, ".function_call", "it is the old name: send tool_calls");
	return read_role(t, members[0], &out->role);
}

/* Whether a part is a text of blanks. */
static bool
is_silent_part(struct json_value part)
{
	static const struct str names[] = {PICK("type"), PICK("text"),
					   PICK("refusal")};
	struct json_value members[3], text = {JSON_NULL, STR_NONE};

	translate_pick(part, names, 3, members);
	if (translate_string_is(members[0], STR("text")))
		text = members[1];
	else if (translate_string_is(members[0], STR("refusal")))
		text = members[2];
	return translate_is_string(text) && translate_is_blank(text);
}

/* An assistant message that says nothing is as good as none. */
static bool
is_silent(const struct translate_message *message)
{
	struct json_walk calls = json_walk(message->tool_calls);
	struct json_walk parts = json_walk(message->content);
	struct json_value item, text = message->content;

	if (message->role != TRANSLATE_ASSISTANT ||
	    (translate_is_there(message->tool_calls) &&
	     (message->tool_calls.type != JSON_ARRAY ||
	      json_next_item(&calls, &item))))
		return false;
	if (!translate_is_there(text))
		text = message->refusal;
	if (!translate_is_there(text))
		return true;
	if (translate_is_string(text))
		return translate_is_blank(text);
	if (text.type != JSON_ARRAY)
		return false;
	while (json_next_item(&parts, &item)) {
		if (!is_silent_part(item))
			return false;
	}
	return true;
}

/* Room for one more; NULL: no memory. */
static struct translate_message *
message_add(struct translation *t, unsigned *room)
{
	struct translate_message *messages;

	if (t->message_count == *room) {
		unsigned more = *room ? 2 * *room : 32;

		messages = arena_array(t->call->arena, more, sizeof(*messages));
		if (messages == NULL)
			return NULL;
		if (t->message_count)
			memcpy(messages, t->messages,
			       t->message_count * sizeof(*messages));
		t->messages = messages;
		*room = more;
	}
	return &t->messages[t->message_count];
}

enum err
translate_collect_messages(struct translation *t)
{
	struct json_value messages = t->fields[OPENAI_messages], item;
	struct json_walk walk = json_walk(messages);
	unsigned room = 0;

	if (!translate_is_there(messages) || messages.type != JSON_ARRAY)
		return translate_refuse(t, "messages",
					"messages must be an array");
	for (t->message = 0; json_next_item(&walk, &item); t->message++) {
		struct translate_message *message = message_add(t, &room);
		enum err err;

		if (message == NULL)
			return ERR_NO_MEMORY;
		err = read_message(t, item, message);
		if (err != ERR_OK)
			return err;
		message->index = t->message;
		t->message_count += !is_silent(message);
	}
	return ERR_OK;
}

/* --- turns ---------------------------------------------------------------- */

/* The list of turns, and what is to be taken back of a turn that is empty. */
struct turns {
	unsigned count;
	size_t begin;
	bool is_first_block;
};

static void
turn_begin(struct translation *t, struct turns *turns, const char *role)
{
	turns->begin = t->out->n;
	turns->is_first_block = true;
	if (turns->count)
		buf_add_char(t->out, ',');
	buf_add_z(t->out, "{\"role\":\"");
	buf_add_z(t->out, role);
	buf_add_z(t->out, "\",\"content\":");
}

static void
turn_end(struct translation *t, struct turns *turns, bool is_empty)
{
	if (is_empty && !t->out->is_failed) {
		t->out->n = turns->begin;
		return;
	}
	buf_add_char(t->out, '}');
	turns->count++;
}

/* A turn that is one text stays one. */
static enum err
write_turn(struct translation *t, struct turns *turns, const char *role,
	   const struct translate_message *message)
{
	struct json_value content = message->content;
	enum err err;

	turn_begin(t, turns, role);
	if (translate_is_string(content) &&
	    !translate_is_there(message->tool_calls)) {
		buf_add_str(t->out, content.raw);
		turn_end(t, turns, translate_is_blank(content));
		return ERR_OK;
	}
	buf_add_char(t->out, '[');
	err = translate_write_blocks(t, content, &turns->is_first_block);
	if (err == ERR_OK)
		err = translate_write_tool_uses(t, message->tool_calls,
						&turns->is_first_block);
	buf_add_char(t->out, ']');
	turn_end(t, turns, turns->is_first_block);
	return err;
}

static enum err
write_assistant(struct translation *t, struct turns *turns,
		struct translate_message *message)
{
	struct json_value empty = {JSON_STRING, STR("\"\"")};

	if (!translate_is_there(message->content))
		message->content = translate_is_string(message->refusal)
				       ? message->refusal
				       : empty;
	return write_turn(t, turns, "assistant", message);
}

/* Behind the last message of the run that begins at `from`. */
static unsigned
run_end(const struct translation *t, unsigned from)
{
	while (from < t->message_count &&
	       t->messages[from].role != TRANSLATE_ASSISTANT)
		from++;
	return from;
}

static bool
has_results(const struct translation *t, unsigned from, unsigned end)
{
	for (unsigned i = from; i < end; i++) {
		if (t->messages[i].role == TRANSLATE_TOOL)
			return true;
	}
	return false;
}

/* A run with results as one turn, the results first. */
static enum err
write_merged(struct translation *t, struct turns *turns, unsigned from,
	     unsigned end)
{
	enum err err = ERR_OK;

	turn_begin(t, turns, "user");
	buf_add_char(t->out, '[');
	for (unsigned i = from; err == ERR_OK && i < end; i++) {
		t->message = t->messages[i].index;
		if (t->messages[i].role == TRANSLATE_TOOL)
			err = translate_write_result(t, &t->messages[i],
						     &turns->is_first_block);
	}
	for (unsigned i = from; err == ERR_OK && i < end; i++) {
		t->message = t->messages[i].index;
		if (t->messages[i].role == TRANSLATE_USER)
			err = translate_write_blocks(t, t->messages[i].content,
						     &turns->is_first_block);
	}
	buf_add_char(t->out, ']');
	turn_end(t, turns, false);
	return err;
}

static enum err
write_run(struct translation *t, struct turns *turns, unsigned from,
	  unsigned end)
{
	enum err err = ERR_OK;

	if (has_results(t, from, end))
		return write_merged(t, turns, from, end);
	for (unsigned i = from; err == ERR_OK && i < end; i++) {
		t->message = t->messages[i].index;
		if (t->messages[i].role == TRANSLATE_USER)
			err = write_turn(t, turns, "user", &t->messages[i]);
	}
	return err;
}

static enum err
write_all(struct translation *t, struct turns *turns)
{
	enum err err = ERR_OK;

	for (unsigned i = 0; err == ERR_OK && i < t->message_count;) {
		unsigned end = run_end(t, i);

		if (end > i) {
			err = write_run(t, turns, i, end);
		} else {
			t->message = t->messages[i].index;
			err = write_assistant(t, turns, &t->messages[i]);
			end++;
		}
		i = end;
	}
	return err;
}

enum err
translate_write_turns(struct translation *t)
{
	struct turns turns = {.count = 0};
	enum err err;

	buf_add_z(t->out, ",\"messages\":[");
	err = write_all(t, &turns);
	buf_add_char(t->out, ']');
	if (err == ERR_OK && turns.count == 0)
		return translate_refuse(t, "messages",
					"messages says nothing: send at least "
					"one user message with a text");
	return err;
}
