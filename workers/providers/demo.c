/*
 * demo: see demo.h.
 */
#include "workers/providers/demo.h"

#include "lib/json.h"
#include "workers/request.h"

#define DEMO_TEXT                                                              \
	"[demo] This answer comes from Chatello itself, not from an AI: no "   \
	"provider is switched on. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or "   \
	"DEEPSEEK_API_KEY and start again to get real answers. Your licence "  \
	"was checked and this request was counted."

static void
write_head(const struct demo_ask *ask, const char *object, struct buf *out)
{
	buf_add_z(out, "{\"id\":\"chatcmpl-demo\",\"object\":\"");
	buf_add_z(out, object);
	buf_add_z(out, "\",\"created\":");
	buf_add_int(out, ask->created_s);
	buf_add_z(out, ",\"model\":");
	json_write_string(out, ask->model);
	buf_add_z(out, ",\"choices\":[");
}

static void
write_usage(const struct demo_ask *ask, struct buf *out)
{
	int64_t output = request_estimate_tokens(sizeof(DEMO_TEXT) - 1);

	buf_add_z(out, "\"usage\":{\"prompt_tokens\":");
	buf_add_int(out, ask->prompt_tokens);
	buf_add_z(out, ",\"completion_tokens\":");
	buf_add_int(out, output);
	buf_add_z(out, ",\"total_tokens\":");
	buf_add_int(out, ask->prompt_tokens + output);
	buf_add_z(out, "}}");
}

static void
write_chunk(const struct demo_ask *ask, bool is_first, struct str word,
	    const char *reason, struct buf *out)
{
	buf_add_z(out, "data: ");
	write_head(ask, "chat.completion.chunk", out);
	buf_add_z(out, "{\"index\":0,\"delta\":{");
	if (is_first)
		buf_add_z(out, "\"role\":\"assistant\",");
	if (word.p) {
		buf_add_z(out, "\"content\":");
		json_write_string(out, word);
	}
	buf_add_z(out, "},\"finish_reason\":");
	buf_add_z(out, reason);
	buf_add_z(out, "}],\"usage\":null}\n\n");
}

/* The next word with the blank in front of it. */
static struct str
next_word(struct str *rest)
{
	struct str word = *rest;
	size_t n = 1;

	while (n < rest->n && rest->p[n] != ' ')
		n++;
	word.n = n;
	*rest = str_bytes(rest->p + n, rest->n - n);
	return word;
}

static void
write_stream(const struct demo_ask *ask, struct buf *out)
{
	struct str rest = STR(DEMO_TEXT);
	bool is_first = true;

	while (rest.n) {
		write_chunk(ask, is_first, next_word(&rest), "null", out);
		is_first = false;
	}
	write_chunk(ask, false, STR_NONE, "\"stop\"", out);
	buf_add_z(out, "data: ");
	write_head(ask, "chat.completion.chunk", out);
	buf_add_z(out, "],");
	write_usage(ask, out);
	buf_add_z(out, "\n\ndata: [DONE]\n\n");
}

void
demo_write(const struct demo_ask *ask, struct buf *out)
{
	if (ask->is_stream) {
		write_stream(ask, out);
		return;
	}
	write_head(ask, "chat.completion", out);
	buf_add_z(out, "{\"index\":0,\"message\":{\"role\":\"assistant\","
		       "\"content\":");
	json_write_string(out, STR(DEMO_TEXT));
	buf_add_z(out, "},\"finish_reason\":\"stop\"}],");
	write_usage(ask, out);
}
