/*
 * translate_events: what an Anthropic client gets of a stream of OpenAI's
 * chunks: message_start, one content block at a time (start, deltas, stop),
 * message_delta with the stop reason and usage, message_stop. See
 * translate_parts.h.
 */
#include "workers/translate_parts.h"

/* --- writing -------------------------------------------------------------- */

static void
start(struct translate_stream *s, struct json_value id, struct json_value model,
      struct buf *out)
{
	struct provider_usage usage;

	if (s->has_started)
		return;
	provider_usage_clear(&usage);
	buf_add_z(out, "event: message_start\ndata: {\"type\":"
		       "\"message_start\",\"message\":{\"id\":");
	translate_write_name(id, s->how.id, out);
	buf_add_z(out, ",\"type\":\"message\",\"role\":\"assistant\","
		       "\"model\":");
	translate_write_name(model, s->how.model, out);
	buf_add_z(out, ",\"content\":[],\"stop_reason\":null,"
		       "\"stop_sequence\":null,\"usage\":");
	translate_write_usage_anthropic(&usage, s->how.prompt_tokens, out);
	buf_add_z(out, "}}\n\n");
	s->has_started = true;
}

void
translate_events_close(struct translate_stream *s, struct buf *out)
{
	if (s->open == TRANSLATE_OPEN_NONE)
		return;
	buf_add_z(out, "event: content_block_stop\ndata: {\"type\":"
		       "\"content_block_stop\",\"index\":");
	buf_add_int(out, s->block);
	buf_add_z(out, "}\n\n");
	s->block++;
	s->open = TRANSLATE_OPEN_NONE;
}

void
translate_events_open(struct translate_stream *s, enum translate_open kind,
		      struct buf *out)
{
	buf_add_z(out, "event: content_block_start\ndata: {\"type\":"
		       "\"content_block_start\",\"index\":");
	buf_add_int(out, s->block);
	buf_add_z(out, ",\"content_block\":{\"type\":");
	s->open = kind;
}

void
translate_events_delta(struct translate_stream *s, const char *delta,
		       struct str raw, struct buf *out)
{
	buf_add_z(out, "event: content_block_delta\ndata: {\"type\":"
		       "\"content_block_delta\",\"index\":");
	buf_add_int(out, s->block);
	buf_add_z(out, ",\"delta\":{\"type\":");
	buf_add_z(out, delta);
	buf_add_str(out, raw);
	buf_add_z(out, "}}\n\n");
}

static void
write_text(struct translate_stream *s, struct json_value text, struct buf *out)
{
	if (!translate_has_text(text))
		return;
	if (s->open != TRANSLATE_OPEN_TEXT) {
		translate_pieces_flush(s, out);
		translate_events_close(s, out);
		translate_events_open(s, TRANSLATE_OPEN_TEXT, out);
		buf_add_z(out, "\"text\",\"text\":\"\"}}\n\n");
	}
	translate_events_delta(s, "\"text_delta\",\"text\":", text.raw, out);
}

static void
write_thinking(struct translate_stream *s, struct json_value text,
	       struct buf *out)
{
	if (!s->how.is_thinking_wanted || !translate_has_text(text))
		return;
	if (s->open != TRANSLATE_OPEN_THINKING) {
		translate_pieces_flush(s, out);
		translate_events_close(s, out);
		translate_events_open(s, TRANSLATE_OPEN_THINKING, out);
		buf_add_z(out, "\"thinking\",\"thinking\":\"\","
			       "\"signature\":\"\"}}\n\n");
	}
	translate_events_delta(s, "\"thinking_delta\",\"thinking\":", text.raw,
			       out);
}

/* --- chunks --------------------------------------------------------------- */

static enum err
take_delta(struct translate_stream *s, struct json_value delta, struct buf *out)
{
	static const struct str names[] = {PICK("content"), PICK("refusal"),
					   PICK("reasoning_content"),
					   PICK("tool_calls")};
	struct json_value members[4], piece;
	struct json_walk walk;
	enum err err = ERR_OK;

	translate_pick(delta, names, 4, members);
	write_thinking(s, members[2], out);
	write_text(s, members[0], out);
	write_text(s, members[1], out);
	walk = json_walk(members[3]);
	while (err == ERR_OK && json_next_item(&walk, &piece))
		err = translate_piece_take(s, piece, out);
	return err;
}

/* The one choice that can have been asked for. */
static enum err
take_choice(struct translate_stream *s, struct json_value root,
	    struct json_value choice, struct buf *out)
{
	static const struct str names[] = {PICK("index"), PICK("delta"),
					   PICK("finish_reason")};
	struct json_value members[3];
	enum err err;

	translate_pick(choice, names, 3, members);
	if (translate_index_of(members[0]) != 0 || s->stop_reason)
		return ERR_OK;
	err = take_delta(s, members[1], out);
	if (err != ERR_OK || !translate_is_string(members[2]))
		return err;
	if (translate_string_is(members[2],
				STR("insufficient_system_resource")))
		return translate_stream_fail(s, root.raw, out);
	s->stop_reason =
	    translate_stop_for_anthropic(members[2], s->tool_count > 0);
	translate_pieces_flush(s, out);
	translate_events_close(s, out);
	return ERR_OK;
}

enum err
translate_events_take(struct translate_stream *s, struct json_value root,
		      struct buf *out)
{
	static const struct str names[] = {PICK("id"), PICK("model"),
					   PICK("choices"), PICK("error")};
	struct json_value members[4], choice;
	struct json_walk walk;
	enum err err = ERR_OK;

	translate_pick(root, names, 4, members);
	if (translate_is_there(members[3]))
		return translate_stream_fail(s, root.raw, out);
	if (!translate_is_there(members[2]) || members[2].type != JSON_ARRAY)
		return ERR_OK;
	start(s, members[0], members[1], out);
	walk = json_walk(members[2]);
	while (err == ERR_OK && json_next_item(&walk, &choice))
		err = take_choice(s, root, choice, out);
	return err;
}

void
translate_events_end(struct translate_stream *s, const char *reason,
		     const struct provider_usage *usage, struct buf *out)
{
	static const struct json_value none = {JSON_NULL, {NULL, 0}};

	if (s->stop_reason)
		reason = s->stop_reason;
	else if (reason == NULL)
		reason = translate_stop_for_anthropic(none, s->tool_count > 0);
	start(s, none, none, out);
	translate_pieces_flush(s, out);
	translate_events_close(s, out);
	if (!s->has_stopped) {
		buf_add_z(out, "event: message_delta\ndata: {\"type\":"
			       "\"message_delta\",\"delta\":{\"stop_reason\":"
			       "\"");
		buf_add_z(out, reason);
		buf_add_z(out, "\",\"stop_sequence\":null},\"usage\":");
		translate_write_usage_anthropic(usage, s->how.prompt_tokens,
						out);
		buf_add_z(out, "}\n\n");
	}
	buf_add_z(out, "event: message_stop\ndata: {\"type\":"
		       "\"message_stop\"}\n\n");
	s->is_over = true;
}
