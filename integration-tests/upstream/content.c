/*
 * content: see content.h. Source of the shapes: the providers' published API
 * references.
 */
#include "integration-tests/upstream/content.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"

#define TOOL "get_weather"
#define ARGUMENTS_BYTES 64
#define ARGUMENT_PIECES (CONTENT_TOOL_EVENTS - 2)

/* Words that stand for more than themselves; as they are in a JSON string. */
static const struct {
	const char *word;
	const char *text;
} texts[] = {
    {"unicode",
     "Grüße, Привет, 你好, \xe2\x80\xa8 👩‍🚀 \\ud83d\\ude00 "
     "\\\"q\\\" "},
    {"json", "{\\\"answer\\\":42,\\\"names\\\":[\\\"Zoë\\\"]}"},
};

void
content_text(const struct script *s, struct buf *out)
{
	if (s->is_stamped) {
		buf_add_z(out, "stamp=");
		buf_add_int(out, clock_mono_ns());
		return;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(s->say, texts[i].word) == 0) {
			buf_add_z(out, texts[i].text);
			return;
		}
	if (s->say[0])
		buf_add_z(out, s->say);
	else if (s->size == 0)
		buf_add_z(out, "Hello from upstream. ");
	for (int64_t i = 0; i < s->size; i++)
		buf_add_char(out, (char)('a' + i % 26));
}

/* What call number `call` asks with: a letter of two bytes and quotes within.
 */
static struct str
arguments(int64_t call, char out[ARGUMENTS_BYTES])
{
	int n = snprintf(out, ARGUMENTS_BYTES,
			 "{\"city\":\"Zürich \\\"%lld\\\"\",\"days\":%lld}",
			 (long long)call, (long long)call + 1);

	return str_bytes(out, (size_t)n);
}

/* Where piece number `piece` begins: never inside a letter. */
static size_t
piece_begin(struct str s, int64_t piece)
{
	size_t at = s.n * (size_t)piece / ARGUMENT_PIECES;

	while (at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80)
		at++;
	return at;
}

static void
add_argument_piece(int64_t call, int64_t piece, struct buf *out)
{
	char text[ARGUMENTS_BYTES];
	struct str all = arguments(call, text);
	size_t from = piece_begin(all, piece);

	json_write_string(
	    out, str_bytes(all.p + from, piece_begin(all, piece + 1) - from));
}

void
content_tools(const struct script *s, struct buf *out)
{
	char text[ARGUMENTS_BYTES];

	for (int64_t i = 0; i < s->tools; i++) {
		buf_add_z(out, i ? "," : "");
		if (s->shape == SHAPE_ANTHROPIC) {
			buf_printf(out,
				   "{\"type\":\"tool_use\",\"id\":\"toolu_%lld"
				   "\",\"name\":\"" TOOL "\",\"input\":",
				   (long long)i);
			buf_add_str(out, arguments(i, text));
			buf_add_char(out, '}');
			continue;
		}
		buf_printf(out,
			   "{\"id\":\"call_%lld\",\"type\":\"function\","
			   "\"function\":{\"name\":\"" TOOL "\",\"arguments\":",
			   (long long)i);
		json_write_string(out, arguments(i, text));
		buf_add_z(out, "}}");
	}
}

static void
anthropic_event(int64_t call, int64_t step, struct buf *out)
{
	const char *type = step == 0		     ? "content_block_start"
			   : step <= ARGUMENT_PIECES ? "content_block_delta"
						     : "content_block_stop";

	buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"index\":%lld",
		   type, type, (long long)call);
	if (step == 0) {
		buf_printf(out,
			   ",\"content_block\":{\"type\":\"tool_use\",\"id\":"
			   "\"toolu_%lld\",\"name\":\"" TOOL "\",\"input\":{}}",
			   (long long)call);
	} else if (step <= ARGUMENT_PIECES) {
		buf_add_z(out, ",\"delta\":{\"type\":\"input_json_delta\","
			       "\"partial_json\":");
		add_argument_piece(call, step - 1, out);
		buf_add_char(out, '}');
	}
	buf_add_char(out, '}');
}

static void
openai_delta(int64_t call, int64_t step, struct buf *out)
{
	if (step > ARGUMENT_PIECES) { /* nothing ends a call here */
		buf_add_z(out, "{}");
		return;
	}
	buf_printf(out, "{\"tool_calls\":[{\"index\":%lld,", (long long)call);
	if (step == 0)
		buf_printf(out,
			   "\"id\":\"call_%lld\",\"type\":\"function\","
			   "\"function\":{\"name\":\"" TOOL
			   "\",\"arguments\":\"\"",
			   (long long)call);
	else {
		buf_add_z(out, "\"function\":{\"arguments\":");
		add_argument_piece(call, step - 1, out);
	}
	buf_add_z(out, "}}]}");
}

void
content_tool_event(const struct script *s, int64_t event, struct buf *out)
{
	int64_t call = event / CONTENT_TOOL_EVENTS;
	int64_t step = event % CONTENT_TOOL_EVENTS;

	if (s->shape == SHAPE_ANTHROPIC)
		anthropic_event(call, step, out);
	else
		openai_delta(call, step, out);
}
