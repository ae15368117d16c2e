/*
 * translate_chunks: what an OpenAI client gets of a stream of Anthropic's
 * messages: the role first, a chunk for each delta, the finish reason, usage if
 * it was asked for, [DONE]. See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* --- writing -------------------------------------------------------------- */

void
translate_chunks_head(struct translate_stream *s, struct json_value id,
		      struct json_value model)
{
	struct buf *head = &s->head;

	buf_reset(head);
	buf_add_z(head, "data: {\"id\":");
	translate_write_name(id, s->how.id, head);
	buf_add_z(head, ",\"object\":\"chat.completion.chunk\",\"created\":");
	buf_add_int(head, s->how.created_s);
	buf_add_z(head, ",\"model\":");
	translate_write_name(model, s->how.model, head);
	buf_add_z(head, ",\"choices\":[");
	s->has_started = true;
}

static void
chunk_begin(struct translate_stream *s, int choice, struct buf *out)
{
	buf_add_str(out, buf_str(&s->head));
	buf_add_z(out, "{\"index\":");
	buf_add_int(out, choice);
	buf_add_z(out, ",\"delta\":{");
}

/* reason: NULL while the choice goes on. */
static void
chunk_end(struct translate_stream *s, const char *reason, struct buf *out)
{
	buf_add_z(out, "},\"logprobs\":null,\"finish_reason\":");
	if (reason) {
		buf_add_char(out, '"');
		buf_add_z(out, reason);
		buf_add_char(out, '"');
	} else {
		buf_add_z(out, "null");
	}
	buf_add_z(out, s->how.is_usage_wanted ? "}],\"usage\":null}\n\n"
					      : "}]}\n\n");
}

static void
start(struct translate_stream *s, struct json_value id, struct json_value model,
      struct buf *out)
{
	if (s->has_started)
		return;
	translate_chunks_head(s, id, model);
	s->choices = 1;
	chunk_begin(s, 0, out);
	buf_add_z(out, "\"role\":\"assistant\",\"content\":\"\"");
	chunk_end(s, NULL, out);
}

static void
write_text(struct translate_stream *s, const char *member,
	   struct json_value text, struct buf *out)
{
	if (!translate_has_text(text))
		return;
	chunk_begin(s, 0, out);
	buf_add_z(out, member);
	buf_add_str(out, text.raw);
	chunk_end(s, NULL, out);
}

static void
write_tool_start(struct translate_stream *s, int place, struct json_value id,
		 struct json_value name, struct buf *out)
{
	chunk_begin(s, 0, out);
	buf_add_z(out, "\"tool_calls\":[{\"index\":");
	buf_add_int(out, place);
	buf_add_z(out, ",\"id\":");
	buf_add_str(out, translate_raw_string(id));
	buf_add_z(out, ",\"type\":\"function\",\"function\":{\"name\":");
	buf_add_str(out, translate_raw_string(name));
	buf_add_z(out, ",\"arguments\":\"\"}}]");
	chunk_end(s, NULL, out);
}

/* is_raw: the piece is a JSON string; else it becomes one. */
static void
write_arguments(struct translate_stream *s, int place, struct str piece,
		bool is_raw, struct buf *out)
{
	chunk_begin(s, 0, out);
	buf_add_z(out, "\"tool_calls\":[{\"index\":");
	buf_add_int(out, place);
	buf_add_z(out, ",\"function\":{\"arguments\":");
	if (is_raw)
		buf_add_str(out, piece);
	else
		json_write_string(out, piece);
	buf_add_z(out, "}}]");
	chunk_end(s, NULL, out);
}

/* --- blocks --------------------------------------------------------------- */

static enum err
block_start(struct translate_stream *s, int64_t index, struct json_value value,
	    struct buf *out)
{
	struct translate_block block;
	int place;

	translate_read_block(value, &block);
	write_text(s, "\"reasoning_content\":", block.thinking, out);
	write_text(s, "\"content\":", translate_block_text(&block), out);
	if (!translate_block_is(&block, STR("tool_use")))
		return ERR_OK;
	place = translate_tool_add(s, index);
	if (place < 0)
		return translate_stream_fail(s, STR_NONE, out);
	write_tool_start(s, place, block.id, block.name, out);
	/* {} also stands where the input is to come. */
	if (translate_is_there(block.input) &&
	    block.input.type == JSON_OBJECT && block.input.raw.n > 2) {
		s->tools[place].is_given = true;
		s->tools[place].has_input = true;
		write_arguments(s, place, block.input.raw, false, out);
	}
	return ERR_OK;
}

static void
block_delta(struct translate_stream *s, int64_t index, struct json_value delta,
	    struct buf *out)
{
	static const struct str names[] = {PICK("text"), PICK("thinking"),
					   PICK("partial_json")};
	struct json_value members[3];
	int place;

	translate_pick(delta, names, 3, members);
	write_text(s, "\"content\":", members[0], out);
	write_text(s, "\"reasoning_content\":", members[1], out);
	if (!translate_has_text(members[2]))
		return;
	place = translate_tool_of(s, index);
	if (place < 0 || s->tools[place].is_given)
		return;
	s->tools[place].has_input = true;
	write_arguments(s, place, members[2].raw, true, out);
}

static void
block_stop(struct translate_stream *s, int64_t index, struct buf *out)
{
	int place = translate_tool_of(s, index);

	if (place < 0 || s->tools[place].has_input)
		return;
	s->tools[place].has_input = true;
	write_arguments(s, place, STR("{}"), false, out);
}

/* --- events --------------------------------------------------------------- */

enum { EVENT_TYPE, EVENT_INDEX, EVENT_MESSAGE, EVENT_BLOCK, EVENT_DELTA };
#define EVENT_MEMBERS 6u /* and the error */

static void
message_start(struct translate_stream *s, struct json_value message,
	      struct buf *out)
{
	static const struct str names[] = {PICK("id"), PICK("model")};
	struct json_value members[2];

	translate_pick(message, names, 2, members);
	start(s, members[0], members[1], out);
}

static void
message_delta(struct translate_stream *s, struct json_value delta,
	      struct buf *out)
{
	static const struct str names[] = {PICK("stop_reason")};
	struct json_value reason;

	translate_pick(delta, names, 1, &reason);
	if (!translate_is_there(reason))
		return;
	chunk_begin(s, 0, out);
	chunk_end(s, translate_stop_for_openai(reason), out);
	s->ended_choices = 1;
}

enum err
translate_chunks_take(struct translate_stream *s, struct json_value root,
		      const struct provider_usage *usage, struct buf *out)
{
	static const struct str names[EVENT_MEMBERS] = {
	    PICK("type"),	   PICK("index"), PICK("message"),
	    PICK("content_block"), PICK("delta"), PICK("error")};
	static const struct json_value none = {JSON_NULL, {NULL, 0}};
	struct json_value members[EVENT_MEMBERS], type;
	int64_t index;

	translate_pick(root, names, EVENT_MEMBERS, members);
	type = members[EVENT_TYPE];
	index = translate_index_of(members[EVENT_INDEX]);
	if (translate_is_there(members[5]) ||
	    translate_string_is(type, STR("error")))
		return translate_stream_fail(s, root.raw, out);
	if (translate_string_is(type, STR("ping"))) {
		translate_stream_ping(AI_OPENAI, out);
		return ERR_OK;
	}
	if (translate_string_is(type, STR("message_start"))) {
		message_start(s, members[EVENT_MESSAGE], out);
		return ERR_OK;
	}
	start(s, none, none, out);
	if (translate_string_is(type, STR("message_stop")))
		translate_chunks_end(s, "stop", usage, out);
	else if (s->ended_choices)
		return ERR_OK; /* nothing is said behind the reason */
	else if (translate_string_is(type, STR("content_block_delta")))
		block_delta(s, index, members[EVENT_DELTA], out);
	else if (translate_string_is(type, STR("content_block_start")))
		return block_start(s, index, members[EVENT_BLOCK], out);
	else if (translate_string_is(type, STR("content_block_stop")))
		block_stop(s, index, out);
	else if (translate_string_is(type, STR("message_delta")))
		message_delta(s, members[EVENT_DELTA], out);
	return ERR_OK;
}

void
translate_chunks_end(struct translate_stream *s, const char *reason,
		     const struct provider_usage *usage, struct buf *out)
{
	static const struct json_value none = {JSON_NULL, {NULL, 0}};

	start(s, none, none, out);
	if (s->choices == 0)
		s->choices = 1;
	for (int i = 0; i < 64; i++) {
		uint64_t bit = UINT64_C(1) << i;

		if (!(s->choices & bit) || (s->ended_choices & bit))
			continue;
		chunk_begin(s, i, out);
		chunk_end(s, reason, out);
	}
	if (s->how.is_usage_wanted && provider_usage_is_whole(usage)) {
		buf_add_str(out, buf_str(&s->head));
		buf_add_z(out, "],\"usage\":");
		translate_write_usage_openai(usage, out);
		buf_add_z(out, "}\n\n");
	}
	buf_add_z(out, "data: [DONE]\n\n");
	s->is_over = true;
}
