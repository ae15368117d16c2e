/*
 * script: reading it, and the answers in the three providers' shapes. See
 * script.h. Source of the shapes: the providers' published API references.
 */
#include "integration-tests/upstream/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOOD_PIECE_BYTES 65536
#define CREATED INT64_C(1795331040)

/* --- reading -------------------------------------------------------------- */

/* The text behind `"name":`, blanks passed over; "" when it is not there. */
static struct str
member(struct str body, const char *name)
{
	char quoted[40];
	size_t n = (size_t)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	const char *p = memmem(body.p, body.n, quoted, n);
	const char *end = body.p + body.n;

	if (p == NULL)
		return STR("");
	for (p += n; p < end && strchr(" \t\r\n:", *p); p++)
		;
	return str_bytes(p, (size_t)(end - p));
}

static bool
is_true(struct str body, const char *name)
{
	return str_starts(member(body, name), STR("true"));
}

static void
copy_word(char out[WORD_BYTES], struct str value)
{
	snprintf(out, WORD_BYTES, "%.*s", STR_ARG(value));
}

static bool
set_number(struct script *s, struct str name, struct str value)
{
	const struct {
		const char *name;
		int64_t *at;
	} numbers[] = {{"delay", &s->delay_ms},
		       {"gap", &s->gap_ms},
		       {"retry-after-ms", &s->retry_after_ms},
		       {"status", &s->status},
		       {"times", &s->times},
		       {"events", &s->events},
		       {"blank", &s->blank},
		       {"size", &s->size},
		       {"split", &s->split},
		       {"tools", &s->tools},
		       {"flood", &s->flood},
		       {"pad", &s->pad},
		       {"in", &s->input},
		       {"out", &s->output},
		       {"cached", &s->cached},
		       {"reasoning", &s->reasoning}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (str_eq(name, str_of(numbers[i].name))) {
			*numbers[i].at = strtoll(value.p, NULL, 10);
			return true;
		}
	return false;
}

static bool
set_flag(struct script *s, struct str name)
{
	const struct {
		const char *name;
		bool *at;
	} flags[] = {{"nousage", &s->has_no_usage}, {"nodone", &s->has_no_done},
		     {"garbage", &s->is_garbage},   {"error", &s->has_error},
		     {"redirect", &s->is_redirect}, {"crlf", &s->is_crlf},
		     {"stamp", &s->is_stamped},	    {"html", &s->is_html},
		     {"gzip", &s->is_gzip},	    {"drip", &s->is_drip},
		     {"echo", &s->is_echo}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (str_eq(name, str_of(flags[i].name))) {
			*flags[i].at = true;
			return true;
		}
	return false;
}

/* One of words[0..count-1], by its number. */
static bool
set_choice(int *at, struct str value, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (str_eq(value, str_of(words[i]))) {
			*at = i;
			return true;
		}
	return false;
}

static bool
set_word(struct script *s, struct str word)
{
	static const char *const stages[] = {"none", "request", "head", "line",
					     "body", "mid",	"end"};
	static const char *const ways[] = {"reset", "close", "silence"};
	const char *equals = memchr(word.p, '=', word.n);
	struct str name, value;
	bool is_known = true;
	int choice = 0;

	if (equals == NULL)
		return set_flag(s, word);
	name = str_bytes(word.p, (size_t)(equals - word.p));
	value = str_bytes(equals + 1, word.n - name.n - 1);
	if (str_eq(name, STR("key")))
		copy_word(s->key, value);
	else if (str_eq(name, STR("code")))
		copy_word(s->code, value);
	else if (str_eq(name, STR("auth")))
		copy_word(s->auth, value);
	else if (str_eq(name, STR("location")))
		copy_word(s->location, value);
	else if (str_eq(name, STR("say")))
		copy_word(s->say, value);
	else if (str_eq(name, STR("finish")))
		copy_word(s->finish, value);
	else if (str_eq(name, STR("cut"))) {
		is_known = set_choice(&choice, value, stages, 7);
		s->cut = (enum cut)choice;
	} else if (str_eq(name, STR("by"))) {
		is_known = set_choice(&choice, value, ways, 3);
		s->by = (enum cut_by)choice;
	} else
		is_known = set_number(s, name, value);
	return is_known;
}

bool
script_read(struct script *s, enum shape shape, struct str body)
{
	struct str model = member(body, "model");
	const char *at = memmem(body.p, body.n, "#up", 3);
	const char *end = body.p + body.n;

	*s = (struct script){.shape = shape,
			     .events = 3,
			     .input = 12,
			     .output = 34,
			     .retry_after_ms = -1};
	if (model.n > 1 && model.p[0] == '"')
		snprintf(s->model, sizeof(s->model), "%.*s",
			 (int)strcspn(model.p + 1, "\""), model.p + 1);
	s->is_stream = is_true(body, "stream");
	s->wants_usage = is_true(body, "include_usage");
	for (at = at ? at + 3 : end; at < end && *at == ' ';) {
		struct str word;

		at++;
		word = str_bytes(at, strcspn(at, " \"\\"));
		if (word.n && !set_word(s, word))
			return false;
		at += word.n;
	}
	if (memmem(body.p, body.n, "\"tool_result\"", 13) ||
	    memmem(body.p, body.n, "\"role\":\"tool\"", 13))
		s->tools = 0;
	if (s->tools)
		s->events = s->tools * CONTENT_TOOL_EVENTS;
	return true;
}

/* --- answering ------------------------------------------------------------ */

static const char *
finish_of(const struct script *s)
{
	bool is_anthropic = s->shape == SHAPE_ANTHROPIC;

	if (s->finish[0])
		return s->finish;
	if (s->tools)
		return is_anthropic ? "tool_use" : "tool_calls";
	return is_anthropic ? "end_turn" : "stop";
}

static void
add_usage(const struct script *s, struct buf *out)
{
	long long in = s->input, output = s->output, cached = s->cached;

	if (s->shape == SHAPE_ANTHROPIC) {
		buf_printf(out,
			   "\"usage\":{\"input_tokens\":%lld,"
			   "\"cache_creation_input_tokens\":0,"
			   "\"cache_read_input_tokens\":%lld,"
			   "\"output_tokens\":%lld}",
			   in - cached, cached, output);
		return;
	}
	buf_printf(out,
		   "\"usage\":{\"prompt_tokens\":%lld,"
		   "\"completion_tokens\":%lld,\"total_tokens\":%lld,"
		   "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
		   "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}",
		   in, output, in + output, cached, (long long)s->reasoning);
	if (s->shape == SHAPE_DEEPSEEK)
		buf_printf(out,
			   ",\"prompt_cache_hit_tokens\":%lld,"
			   "\"prompt_cache_miss_tokens\":%lld",
			   cached, in - cached);
	buf_add_char(out, '}');
}

/* What is between the brackets of `content`, or the last of `message`. */
static void
add_content(const struct script *s, struct buf *out)
{
	bool is_anthropic = s->shape == SHAPE_ANTHROPIC;

	if (s->tools) {
		buf_add_z(out, is_anthropic
				   ? ""
				   : "\"content\":null,\"tool_calls\":[");
		content_tools(s, out);
		buf_add_z(out, is_anthropic ? "" : "]");
		return;
	}
	buf_add_z(out, is_anthropic ? "{\"type\":\"text\",\"text\":\""
				    : "\"content\":\"");
	content_text(s, out);
	buf_add_z(out, is_anthropic ? "\"}" : "\"");
}

/* What is said to be gzip begins like it. */
static void
add_broken(const struct script *s, struct buf *out)
{
	if (s->is_html)
		buf_add_z(out, "<!DOCTYPE html>\n<html><title>Bad gateway"
			       "</title><p>html-canary</p></html>\n");
	else
		buf_add(out, "\x1f\x8b\x08\0\0\0\0\0\0\x03not gzip", 18);
}

const char *
script_type(const struct script *s, bool is_failure)
{
	if (s->is_html)
		return "text/html; charset=utf-8";
	return s->is_stream && !is_failure ? "text/event-stream"
					   : "application/json";
}

static void
add_json(const struct script *s, struct buf *out)
{
	if (s->is_garbage) {
		buf_add_z(out, "<html>no JSON here");
		return;
	}
	if (s->shape == SHAPE_ANTHROPIC)
		buf_printf(out,
			   "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":"
			   "\"assistant\",\"model\":\"%s\",\"stop_reason\":"
			   "\"%s\",\"stop_sequence\":null,\"content\":[",
			   s->model, finish_of(s));
	else
		buf_printf(out,
			   "{\"id\":\"chatcmpl-1\",\"object\":\"chat."
			   "completion\",\"created\":%lld,\"model\":\"%s\","
			   "\"x_unknown\":[1,{\"kept\":true}],"
			   "\"choices\":[{\"index\":0,\"logprobs\":null,"
			   "\"finish_reason\":\"%s\",\"message\":{\"role\":"
			   "\"assistant\",\"refusal\":null,",
			   (long long)CREATED, s->model, finish_of(s));
	add_content(s, out);
	buf_add_z(out, s->shape == SHAPE_ANTHROPIC ? "]" : "}}]");
	if (!s->has_no_usage) {
		buf_add_char(out, ',');
		add_usage(s, out);
	}
	buf_add_char(out, '}');
}

/* The key that was sent, or nothing. */
static struct str
key_of(const struct script *s)
{
	static const char *const names[] = {"Authorization: Bearer ",
					    "x-api-key: "};

	for (int i = 0; s->is_echo && i < 2; i++) {
		const char *at = strstr(s->head, names[i]);

		if (at)
			return str_bytes(at + strlen(names[i]),
					 strcspn(at + strlen(names[i]), "\r"));
	}
	return STR("");
}

void
script_failure(const struct script *s, struct buf *out)
{
	const char *code = s->code[0] ? s->code : "scripted";
	struct str key = key_of(s);

	if (s->is_html || s->is_gzip) {
		add_broken(s, out);
		return;
	}
	if (s->shape == SHAPE_ANTHROPIC)
		buf_printf(out,
			   "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
			   "\"message\":\"scripted failure%.*s\"},"
			   "\"request_id\":\"req_1\"}",
			   code, STR_ARG(key));
	else
		buf_printf(out,
			   "{\"error\":{\"message\":\"scripted failure%.*s\","
			   "\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
			   STR_ARG(key), code, code);
}

static void
end_event(const struct script *s, struct buf *out)
{
	buf_add_z(out, s->is_crlf ? "\r\n\r\n" : "\n\n");
}

static void
begin_chunk(const struct script *s, struct buf *out)
{
	buf_printf(out,
		   "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion."
		   "chunk\",\"created\":%lld,\"model\":\"%s\",\"choices\":[",
		   (long long)CREATED, s->model);
}

static void
add_openai_delta(const struct script *s, int64_t event, struct buf *out)
{
	begin_chunk(s, out);
	buf_add_z(out, "{\"index\":0,\"delta\":");
	if (s->tools) {
		content_tool_event(s, event, out);
	} else {
		buf_add_z(out, "{\"content\":\"");
		content_text(s, out);
		buf_add_z(out, "\"}");
	}
	buf_add_z(out, ",\"finish_reason\":null}]");
	buf_add_z(out, s->wants_usage && s->shape == SHAPE_OPENAI
			   ? ",\"usage\":null}"
			   : "}");
}

static void
add_delta(const struct script *s, int64_t event, struct buf *out)
{
	if (s->shape != SHAPE_ANTHROPIC) {
		add_openai_delta(s, event, out);
	} else if (s->tools) {
		content_tool_event(s, event, out);
	} else {
		buf_add_z(out, "event: content_block_delta\ndata: {\"type\":"
			       "\"content_block_delta\",\"index\":0,\"delta\":"
			       "{\"type\":\"text_delta\",\"text\":\"");
		content_text(s, out);
		buf_add_z(out, "\"}}");
	}
	end_event(s, out);
}

/* Of the one text of a stream in Anthropic's shape. */
static void
add_block_edge(const struct script *s, const char *edge, struct buf *out)
{
	buf_printf(out,
		   "event: content_block_%s\ndata: {\"type\":"
		   "\"content_block_%s\",\"index\":0",
		   edge, edge);
	if (strcmp(edge, "start") == 0)
		buf_add_z(out, ",\"content_block\":{\"type\":\"text\",\"text\":"
			       "\"\"}");
	buf_add_char(out, '}');
	end_event(s, out);
}

static void
add_start(const struct script *s, struct buf *out)
{
	if (s->shape == SHAPE_ANTHROPIC) {
		buf_printf(out,
			   "event: message_start\ndata: {\"type\":"
			   "\"message_start\",\"message\":{\"id\":\"msg_1\","
			   "\"type\":\"message\",\"role\":\"assistant\","
			   "\"model\":\"%s\",\"content\":[],\"stop_reason\":"
			   "null,\"usage\":{\"input_tokens\":%lld,"
			   "\"output_tokens\":1}}}",
			   s->model, (long long)s->input);
		end_event(s, out);
		if (!s->tools)
			add_block_edge(s, "start", out);
		buf_add_z(out, "event: ping\ndata: {\"type\":\"ping\"}");
	} else {
		begin_chunk(s, out);
		buf_add_z(out, "{\"index\":0,\"delta\":{\"role\":\"assistant\","
			       "\"content\":\"\"},\"finish_reason\":null}]}");
	}
	end_event(s, out);
}

/* The finish reason, and the usage where the shape puts it. */
static void
add_finish(const struct script *s, struct buf *out)
{
	if (s->shape == SHAPE_ANTHROPIC) {
		if (!s->tools)
			add_block_edge(s, "stop", out);
		buf_printf(out,
			   "event: message_delta\ndata: {\"type\":"
			   "\"message_delta\",\"delta\":{\"stop_reason\":"
			   "\"%s\",\"stop_sequence\":null},",
			   finish_of(s));
		add_usage(s, out);
		buf_add_char(out, '}');
		end_event(s, out);
		return;
	}
	begin_chunk(s, out);
	buf_printf(out, "{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]",
		   finish_of(s));
	if (s->shape == SHAPE_DEEPSEEK && !s->has_no_usage) {
		buf_add_char(out, ',');
		add_usage(s, out);
	}
	buf_add_char(out, '}');
	end_event(s, out);
	if (s->shape == SHAPE_OPENAI && s->wants_usage && !s->has_no_usage) {
		begin_chunk(s, out);
		buf_add_z(out, "],");
		add_usage(s, out);
		buf_add_char(out, '}');
		end_event(s, out);
	}
}

static void
add_done(const struct script *s, struct buf *out)
{
	if (s->has_no_done)
		return;
	buf_add_z(out, s->shape == SHAPE_ANTHROPIC
			   ? "event: message_stop\ndata: {\"type\":"
			     "\"message_stop\"}"
			   : "data: [DONE]");
	end_event(s, out);
}

static enum piece
flood_piece(const struct script *s, int64_t piece, struct buf *out)
{
	int64_t left = s->flood - piece * FLOOD_PIECE_BYTES;
	char bytes[FLOOD_PIECE_BYTES];

	if (piece == 0 && s->is_stream)
		buf_add_z(out, "data: ");
	memset(bytes, 'x', sizeof(bytes));
	buf_add(out, bytes,
		(size_t)(left < FLOOD_PIECE_BYTES ? left : FLOOD_PIECE_BYTES));
	return left > FLOOD_PIECE_BYTES ? PIECE_MORE : PIECE_LAST;
}

enum piece
script_piece(const struct script *s, int64_t piece, struct buf *out,
	     int64_t *wait_ms)
{
	*wait_ms = s->gap_ms;
	if (s->flood)
		return flood_piece(s, piece, out);
	if (piece < s->blank) {
		buf_add_z(out, s->is_stream ? ": keep-alive\n\n" : "\n");
		return PIECE_MORE;
	}
	piece -= s->blank;
	if (s->is_html || s->is_gzip) {
		add_broken(s, out);
		return PIECE_LAST;
	}
	if (!s->is_stream) {
		add_json(s, out);
		if (s->cut == CUT_MID)
			out->n /= 2;
		return s->cut ? PIECE_CUT : PIECE_LAST;
	}
	if (piece == 0) {
		*wait_ms = 0;
		add_start(s, out);
		return PIECE_MORE;
	}
	if (piece <= s->events) {
		if (piece > s->events / 2 && s->cut == CUT_MID)
			return PIECE_CUT;
		if (piece > s->events / 2 && s->has_error) {
			buf_add_z(out, s->shape == SHAPE_ANTHROPIC
					   ? "event: error\ndata: "
					   : "data: ");
			script_failure(s, out);
			end_event(s, out);
			return PIECE_LAST;
		}
		add_delta(s, piece - 1, out);
		return PIECE_MORE;
	}
	add_finish(s, out);
	add_done(s, out);
	return s->cut == CUT_END ? PIECE_CUT : PIECE_LAST;
}
