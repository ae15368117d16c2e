/*
 * translate_stream: one event of the provider at a time: those of the other
 * shape go to translate_chunks (an OpenAI client) or translate_events (an
 * Anthropic client); those of the client's own shape pass as they came, and
 * are only watched, so that the stream can be ended well. See
 * translate_parts.h.
 */
#include "workers/translate_parts.h"

#define HEAD_BYTES_MAX 4096u
#define CHOICES_MAX 64 /* whose ends are known */

void
translate_stream_init(struct translate_stream *stream,
		      const struct translate_how *how)
{
	memset(stream, 0, sizeof(*stream));
	stream->how = *how;
	buf_init(&stream->head, HEAD_BYTES_MAX);
	buf_init(&stream->pending, TRANSLATE_PENDING_BYTES_MAX);
}

void
translate_stream_fini(struct translate_stream *stream)
{
	buf_fini(&stream->head);
	buf_fini(&stream->pending);
}

/* --- what both directions need -------------------------------------------- */

int
translate_tool_of(const struct translate_stream *s, int64_t index)
{
	/* Pieces mostly belong to the newest. */
	for (unsigned i = s->tool_count; i-- > 0;) {
		if (s->tools[i].index == index)
			return (int)i;
	}
	return -1;
}

int
translate_tool_add(struct translate_stream *s, int64_t index)
{
	if (s->tool_count == TRANSLATE_CALLS_MAX)
		return -1;
	s->tools[s->tool_count] = (struct translate_tool){.index = index};
	return (int)s->tool_count++;
}

int64_t
translate_index_of(struct json_value index)
{
	int64_t i;

	if (translate_is_there(index) && json_int(index, &i) && i >= 0)
		return i;
	return 0;
}

enum err
translate_stream_fail(struct translate_stream *s, struct str body,
		      struct buf *out)
{
	buf_add_z(out, s->how.to == AI_ANTHROPIC ? "event: error\ndata: "
						 : "data: ");
	translate_error(s->how.from, 0, body, s->how.id, out);
	buf_add_z(out, "\n\n");
	s->is_over = true;
	return ERR_UPSTREAM_FAILED;
}

void
translate_stream_ping(enum ai_shape to, struct buf *out)
{
	buf_add_z(out, to == AI_ANTHROPIC
			   ? "event: ping\ndata: {\"type\":\"ping\"}\n\n"
			   : ": keep-alive\n\n");
}

/* --- a client of the provider's shape ------------------------------------- */

static void
watch_choices(struct translate_stream *s, struct json_value choices)
{
	static const struct str names[] = {PICK("index"),
					   PICK("finish_reason")};
	struct json_walk walk = json_walk(choices);
	struct json_value choice, members[2];

	while (json_next_item(&walk, &choice)) {
		int64_t index;

		translate_pick(choice, names, 2, members);
		index = translate_index_of(members[0]);
		if (index >= CHOICES_MAX)
			continue;
		s->choices |= UINT64_C(1) << index;
		if (translate_is_there(members[1]))
			s->ended_choices |= UINT64_C(1) << index;
	}
}

/* *is_kept: the client gets it. */
static enum err
watch_chunk(struct translate_stream *s, struct json_value root, bool *is_kept)
{
	static const struct str names[] = {PICK("id"), PICK("model"),
					   PICK("choices"), PICK("usage"),
					   PICK("error")};
	struct json_walk walk;
	struct json_value members[5], item;
	bool has_choices;

	translate_pick(root, names, 5, members);
	if (translate_is_there(members[4])) {
		s->is_over = true;
		return ERR_UPSTREAM_FAILED;
	}
	if (!s->has_started)
		translate_chunks_head(s, members[0], members[1]);
	watch_choices(s, members[2]);
	walk = json_walk(members[2]);
	has_choices = json_next_item(&walk, &item);
	*is_kept = s->how.is_usage_wanted || has_choices ||
		   !translate_is_there(members[3]) ||
		   members[3].type != JSON_OBJECT;
	return ERR_OK;
}

static enum err
watch_message(struct translate_stream *s, struct json_value root)
{
	static const struct str names[] = {PICK("type"), PICK("index"),
					   PICK("error")};
	struct json_value members[3];

	translate_pick(root, names, 3, members);
	if (translate_is_there(members[2]) ||
	    translate_string_is(members[0], STR("error"))) {
		s->is_over = true;
		return ERR_UPSTREAM_FAILED;
	}
	if (translate_string_is(members[0], STR("message_start"))) {
		s->has_started = true;
	} else if (translate_string_is(members[0],
				       STR("content_block_start"))) {
		s->block = translate_index_of(members[1]);
		s->open = TRANSLATE_OPEN_TEXT;
	} else if (translate_string_is(members[0], STR("content_block_stop"))) {
		s->open = TRANSLATE_OPEN_NONE;
	} else if (translate_string_is(members[0], STR("message_delta"))) {
		s->has_stopped = true;
	} else if (translate_string_is(members[0], STR("message_stop"))) {
		s->is_over = true;
	}
	return ERR_OK;
}

static bool
is_done(const struct sse_event *event)
{
	return event->data.p && str_eq(str_trim(event->data), STR("[DONE]"));
}

static enum err
pass_event(struct translate_stream *s, const struct sse_event *event,
	   struct buf *out)
{
	struct json_value root;
	bool is_kept = true;
	enum err err = ERR_OK;

	if (event->data.p && json_check(event->data, &root))
		err = s->how.to == AI_OPENAI ? watch_chunk(s, root, &is_kept)
					     : watch_message(s, root);
	else if (s->how.to == AI_OPENAI)
		s->is_over = is_done(event);
	if (is_kept)
		buf_add_str(out, event->raw);
	return err;
}

/* --- events --------------------------------------------------------------- */

static enum err
take_event(struct translate_stream *s, const struct sse_event *event,
	   const struct provider_usage *usage, struct buf *out)
{
	struct json_value root;

	if (s->how.from == s->how.to)
		return pass_event(s, event, out);
	if (event->data.p == NULL) {
		translate_stream_ping(s->how.to, out);
		return ERR_OK;
	}
	if (s->how.from == AI_OPENAI && is_done(event)) {
		translate_events_end(s, NULL, usage, out);
		return ERR_OK;
	}
	if (!json_check(event->data, &root) || root.type != JSON_OBJECT)
		return ERR_OK;
	if (s->how.to == AI_OPENAI)
		return translate_chunks_take(s, root, usage, out);
	return translate_events_take(s, root, out);
}

enum err
translate_stream_event(struct translate_stream *stream,
		       const struct sse_event *event,
		       const struct provider_usage *usage, struct buf *out)
{
	enum err err = ERR_OK;

	if (!stream->is_over)
		err = take_event(stream, event, usage, out);
	if (err == ERR_OK && (out->is_failed || stream->head.is_failed ||
			      stream->pending.is_failed))
		return ERR_NO_MEMORY;
	return err;
}

void
translate_stream_finish(struct translate_stream *stream,
			const struct provider_usage *usage, struct buf *out)
{
	if (stream->is_over)
		return;
	if (stream->how.to == AI_OPENAI)
		translate_chunks_end(stream, "length", usage, out);
	else
		translate_events_end(stream, "max_tokens", usage, out);
}
