/*
 * Fuzzer of translation. The first byte says what the others are: a request,
 * an answer, an error, or a stream whose end is cut. What comes out is valid
 * JSON that can be translated back, without a field twice or one that could
 * redirect the call; a client's stream is in valid order and ends well.
 */
#include "workers/translate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_BYTES_MAX (16u << 20)

static void
expect(bool is_so)
{
	if (!is_so)
		abort();
}

static enum ai_shape
other(enum ai_shape shape)
{
	return shape == AI_OPENAI ? AI_ANTHROPIC : AI_OPENAI;
}

static struct json_value
json_of(const struct buf *buf)
{
	struct json_value value;

	expect(json_check(buf_str(buf), &value) && value.type == JSON_OBJECT);
	return value;
}

/* --- requests ------------------------------------------------------------- */

static void
no_hash(void *ctx, struct str text, unsigned char out[TRANSLATE_HASH_BYTES])
{
	(void)ctx;
	memset(out, (int)text.n, TRANSLATE_HASH_BYTES);
}

static bool
translate(enum ai_shape from, struct str body, uint8_t flags,
	  struct arena *arena, struct buf *out)
{
	struct why why = {"", ""};
	struct translate_call call = {
	    .from = from,
	    .target = {.max_tokens_name = "max_tokens",
		       .max_tokens = flags & 16 ? 100 : 0,
		       .refuses_sampling = flags & 32,
		       .takes_effort = flags & 64,
		       .takes_thinking = flags & 128,
		       .hash = no_hash},
	    .arena = arena,
	    .why = &why,
	};
	enum err err;

	if (!json_check(body, &call.root) || call.root.type != JSON_OBJECT)
		return false;
	err = translate_request(&call, out);
	expect(err == ERR_OK || err == ERR_BAD_FIELD || err == ERR_NO_MEMORY);
	expect(err != ERR_BAD_FIELD || (why.field[0] && why.text[0]));
	expect(err != ERR_OK || call.max_tokens > 0);
	return err == ERR_OK;
}

static void
fuzz_request(enum ai_shape from, uint8_t flags, struct str body,
	     struct arena *arena)
{
	static const char *const once[] = {
	    "model",	      "messages",	"max_tokens", "system",
	    "stop",	      "temperature",	"top_p",      "tools",
	    "tool_choice",    "metadata",	"user",	      "output_config",
	    "stop_sequences", "response_format"};
	static const char *const never[] = {"base_url", "api_base", "api_key",
					    "n"};
	struct buf there, back;

	buf_init(&there, OUT_BYTES_MAX);
	buf_init(&back, OUT_BYTES_MAX);
	if (translate(from, body, flags, arena, &there)) {
		struct json_value root = json_of(&there);

		for (unsigned i = 0; i < sizeof(once) / sizeof(once[0]); i++)
			expect(json_count(root, str_of(once[i])) <= 1);
		for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			expect(json_count(root, str_of(never[i])) == 0);
		if (translate(other(from), buf_str(&there), flags, arena,
			      &back))
			json_of(&back);
	}
	buf_fini(&there);
	buf_fini(&back);
}

/* --- answers and errors --------------------------------------------------- */

static const struct provider_wire *
wire_of(enum ai_shape shape)
{
	return shape == AI_OPENAI ? &openai_wire : &anthropic_wire;
}

static struct translate_how
how_of(enum ai_shape from, enum ai_shape to, uint8_t flags)
{
	return (struct translate_how){
	    .from = from,
	    .to = to,
	    .created_s = 1,
	    .id = STR("id"),
	    .model = STR("model"),
	    .is_usage_wanted = flags & 16,
	    .is_thinking_wanted = flags & 32,
	};
}

static void
fuzz_answer(enum ai_shape from, uint8_t flags, struct str body,
	    struct arena *arena)
{
	struct translate_how how = how_of(from, other(from), flags);
	struct provider_usage usage;
	struct provider_answer answer;
	struct buf out;

	buf_init(&out, OUT_BYTES_MAX);
	provider_usage_clear(&usage);
	wire_of(from)->read_answer(body, &usage, &answer);
	if (translate_answer(&how, body, &usage, arena, &out) == ERR_OK) {
		json_of(&out);
		expect(wire_of(how.to)->read_answer(buf_str(&out), &usage,
						    &answer));
	}
	buf_reset(&out);
	translate_error(from, flags & 64 ? 0 : 400 + (flags & 128), body,
			STR("id"), &out);
	json_of(&out);
	buf_fini(&out);
}

/* --- streams -------------------------------------------------------------- */

/* What a client has seen. */
struct client {
	enum ai_shape shape;
	bool has_started;
	bool has_stopped; /* the reason */
	bool is_over;
	int64_t open; /* Anthropic: the open block; OpenAI: the last call */
	int64_t next;
};

static bool
is_type(const struct sse_event *event, const char *type)
{
	return str_eq(event->name, str_of(type));
}

static int64_t
index_of(struct json_value object)
{
	struct json_value index;
	int64_t i = -1;

	expect(json_get(object, STR("index"), &index) && json_int(index, &i));
	return i;
}

static void
see_event(struct client *c, const struct sse_event *event,
	  struct json_value root)
{
	if (is_type(event, "ping"))
		return;
	expect(is_type(event, "message_start") != c->has_started);
	c->has_started = true;
	if (is_type(event, "content_block_start")) {
		expect(c->open < 0 && !c->has_stopped);
		c->open = c->next++;
		expect(index_of(root) == c->open);
	} else if (is_type(event, "content_block_delta")) {
		expect(c->open >= 0 && index_of(root) == c->open);
	} else if (is_type(event, "content_block_stop")) {
		expect(c->open >= 0 && index_of(root) == c->open);
		c->open = -1;
	} else if (is_type(event, "message_delta")) {
		expect(c->open < 0 && !c->has_stopped);
		c->has_stopped = true;
	} else if (is_type(event, "message_stop")) {
		expect(c->has_stopped);
		c->is_over = true;
	} else {
		expect(is_type(event, "message_start"));
	}
}

static void
see_calls(struct client *c, struct json_value delta)
{
	struct json_walk walk;
	struct json_value calls, call, id;

	if (!json_get(delta, STR("tool_calls"), &calls))
		return;
	walk = json_walk(calls);
	while (json_next_item(&walk, &call)) {
		int64_t index = index_of(call);

		expect(index <= c->next);
		expect(json_get(call, STR("id"), &id) == (index == c->next));
		c->next += index == c->next;
	}
}

static void
see_chunk(struct client *c, struct json_value root)
{
	struct json_value choices, choice, value;
	struct json_walk walk;

	expect(json_get(root, STR("choices"), &choices));
	walk = json_walk(choices);
	if (!json_next_item(&walk, &choice)) {
		expect(c->has_stopped && json_get(root, STR("usage"), &value));
		return;
	}
	expect(!c->has_stopped);
	expect(json_get(choice, STR("delta"), &value));
	expect(c->has_started || json_count(value, STR("role")) == 1);
	c->has_started = true;
	see_calls(c, value);
	expect(json_get(choice, STR("finish_reason"), &value));
	c->has_stopped = value.type == JSON_STRING;
}

static bool
on_client_event(void *ctx, const struct sse_event *event)
{
	struct client *c = ctx;
	struct json_value root;

	expect(!c->is_over);
	if (event->data.p == NULL)
		return true;
	if (c->shape == AI_OPENAI && str_eq(event->data, STR("[DONE]"))) {
		expect(c->has_stopped);
		c->is_over = true;
		return true;
	}
	expect(json_check(event->data, &root));
	if (json_count(root, STR("error"))) {
		c->is_over = true;
		return true;
	}
	if (c->shape == AI_OPENAI)
		see_chunk(c, root);
	else
		see_event(c, event, root);
	return true;
}

static void
check_client(enum ai_shape shape, struct str stream)
{
	struct client c = {.shape = shape, .open = -1};
	struct sse sse;

	sse_init(&sse);
	expect(sse_feed(&sse, stream, on_client_event, &c) == ERR_OK);
	expect(c.is_over);
	sse_fini(&sse);
}

/* Each line is an event's data. */
static void
fuzz_stream(enum ai_shape from, enum ai_shape to, uint8_t flags,
	    struct str lines)
{
	struct translate_how how = how_of(from, to, flags);
	struct translate_stream stream;
	struct provider_usage usage;
	struct provider_event said;
	struct buf out;
	enum err err = ERR_OK;

	translate_stream_init(&stream, &how);
	provider_usage_clear(&usage);
	buf_init(&out, OUT_BYTES_MAX);
	while (lines.n && err == ERR_OK) {
		const char *end = memchr(lines.p, '\n', lines.n);
		size_t n = end ? (size_t)(end - lines.p) : lines.n;
		struct sse_event event = {STR_NONE, str_bytes(lines.p, n),
					  STR("")};

		wire_of(from)->read_event(&event, &usage, &said);
		err = translate_stream_event(&stream, &event, &usage, &out);
		n += end != NULL;
		lines = str_bytes(lines.p + n, lines.n - n);
	}
	expect(err == ERR_OK || err == ERR_UPSTREAM_FAILED ||
	       err == ERR_NO_MEMORY);
	translate_stream_finish(&stream, &usage, &out);
	if (from != to && err != ERR_NO_MEMORY && !out.is_failed)
		check_client(to, buf_str(&out));
	translate_stream_fini(&stream);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	enum ai_shape from, to;
	struct str rest;

	if (size < 1)
		return 0;
	arena_init(&arena, 16u << 20);
	rest = str_bytes(data + 1, size - 1);
	from = data[0] & 1 ? AI_OPENAI : AI_ANTHROPIC;
	to = data[0] & 2 ? from : other(from);
	if (data[0] & 4)
		fuzz_stream(from, to, data[0], rest);
	else if (data[0] & 8)
		fuzz_answer(from, data[0], rest, &arena);
	else
		fuzz_request(from, data[0], rest, &arena);
	arena_fini(&arena);
	return 0;
}
