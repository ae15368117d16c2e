/*
 * translate_client_test: see translate_client_test.h.
 */
#include "workers/translate_client_test.h"

#include <jansson.h>

#include "lib/test.h"
#include "workers/sse.h"

struct arena *
client_arena(void)
{
	static struct arena arena;

	if (arena.limit_bytes == 0)
		arena_init(&arena, 1u << 30);
	return &arena;
}

static json_t *
parse(struct str text)
{
	json_error_t error;
	json_t *json = json_loadb(
	    text.p, text.n,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

	if (json == NULL)
		test_fail(__FILE__, __LINE__, "no JSON: %s at %d: %.*s",
			  error.text, error.position, STR_ARG(text));
	return json;
}

void
client_check_is_json(struct str text)
{
	json_decref(parse(text));
}

void
client_check_json(const char *file, int line, struct str got, struct str want)
{
	json_t *a = parse(got), *b = parse(want);

	if (!json_equal(a, b))
		test_fail(file, line, "\ngot  %.*s\nwant %.*s", STR_ARG(got),
			  STR_ARG(want));
	json_decref(a);
	json_decref(b);
}

static struct str
dump(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	struct str out;

	CHECK(text != NULL);
	out = arena_str(client_arena(), str_of(text));
	free(text);
	json_decref(json);
	return out;
}

struct client {
	enum ai_shape shape;
	json_t *answer;
	json_t *usage;
	int open; /* Anthropic: the open block; OpenAI: the last tool call */
	bool is_done;
};

static void
append(json_t *object, const char *key, const json_t *piece)
{
	const json_t *old = json_object_get(object, key);
	const char *a = json_is_string(old) ? json_string_value(old) : "";
	size_t a_n = json_is_string(old) ? json_string_length(old) : 0;
	size_t b_n = json_string_length(piece);
	struct buf buf;

	CHECK(json_is_string(piece));
	buf_init(&buf, 64u << 20);
	buf_add(&buf, a, a_n);
	buf_add(&buf, json_string_value(piece), b_n);
	json_object_set_new(object, key, json_stringn(buf_str(&buf).p, buf.n));
	buf_fini(&buf);
}

/* --- OpenAI --------------------------------------------------------------- */

static void
take_call(struct client *c, json_t *message, json_t *piece)
{
	json_t *calls = json_object_get(message, "tool_calls"), *call;
	json_t *function = json_object_get(piece, "function");
	int index = (int)json_integer_value(json_object_get(piece, "index"));

	if (calls == NULL) {
		calls = json_array();
		json_object_set_new(message, "tool_calls", calls);
	}
	CHECK(json_is_integer(json_object_get(piece, "index")));
	if (index == (int)json_array_size(calls)) {
		CHECK(json_is_string(json_object_get(piece, "id")));
		CHECK(json_is_string(json_object_get(function, "name")));
		call = json_deep_copy(piece);
		json_object_del(call, "index");
		json_array_append_new(calls, call);
		c->open = index;
		return;
	}
	/* Pieces of one call stand together; id and name come once. */
	CHECK_INT(index, c->open);
	CHECK(json_object_get(piece, "id") == NULL);
	CHECK(json_object_get(function, "name") == NULL);
	call = json_array_get(calls, (size_t)index);
	append(json_object_get(call, "function"), "arguments",
	       json_object_get(function, "arguments"));
}

static void
take_delta(struct client *c, json_t *choice, json_t *delta)
{
	json_t *message = json_object_get(choice, "message"), *value;
	const char *key;
	size_t i;
	json_t *piece;

	json_object_foreach(delta, key, value)
	{
		if (strcmp(key, "tool_calls") == 0) {
			json_array_foreach(value, i, piece)
			    take_call(c, message, piece);
		} else if (strcmp(key, "role") == 0) {
			CHECK(json_object_get(message, "role") == NULL);
			json_object_set(message, "role", value);
		} else {
			CHECK(json_object_get(message, "role") != NULL);
			append(message, key, value);
		}
	}
}

static void
take_chunk(struct client *c, json_t *chunk)
{
	json_t *choices = json_object_get(chunk, "choices"), *choice, *reason;
	json_t *mine = json_object_get(c->answer, "choices");
	json_t *usage = json_object_get(chunk, "usage");

	CHECK_STR(str_of(json_string_value(json_object_get(chunk, "object"))),
		  STR("chat.completion.chunk"));
	CHECK(json_is_integer(json_object_get(chunk, "created")));
	json_object_set(c->answer, "id", json_object_get(chunk, "id"));
	json_object_set(c->answer, "model", json_object_get(chunk, "model"));
	CHECK(c->usage == NULL);
	if (json_is_object(usage)) {
		CHECK_INT(json_array_size(choices), 0);
		c->usage = json_incref(usage);
		return;
	}
	CHECK_INT(json_array_size(choices), 1);
	choice = json_array_get(mine, 0);
	CHECK(!json_is_string(json_object_get(choice, "finish_reason")));
	take_delta(c, choice,
		   json_object_get(json_array_get(choices, 0), "delta"));
	reason = json_object_get(json_array_get(choices, 0), "finish_reason");
	CHECK(reason != NULL);
	json_object_set(choice, "finish_reason", reason);
}

static bool
on_chunk(void *ctx, const struct sse_event *event)
{
	struct client *c = ctx;
	json_t *chunk;

	if (event->data.p == NULL)
		return true;
	CHECK(!c->is_done);
	c->is_done = str_eq(event->data, STR("[DONE]"));
	if (c->is_done)
		return true;
	chunk = parse(event->data);
	take_chunk(c, chunk);
	json_decref(chunk);
	return true;
}

static void
finish_chunks(struct client *c)
{
	json_t *choice =
	    json_array_get(json_object_get(c->answer, "choices"), 0);
	json_t *message = json_object_get(choice, "message");
	const json_t *content = json_object_get(message, "content");

	CHECK(json_is_string(json_object_get(choice, "finish_reason")));
	/* An answer of calls alone has no content. */
	if (json_object_get(message, "tool_calls") &&
	    json_string_length(content) == 0)
		json_object_set_new(message, "content", json_null());
	json_object_set_new(message, "refusal", json_null());
	if (c->usage)
		json_object_set_new(c->answer, "usage", c->usage);
}

/* --- Anthropic ------------------------------------------------------------ */

static json_t *
open_block(struct client *c, const json_t *event)
{
	CHECK_INT(json_integer_value(json_object_get(event, "index")), c->open);
	return json_array_get(json_object_get(c->answer, "content"),
			      (size_t)c->open);
}

static void
block_start(struct client *c, json_t *event)
{
	json_t *content = json_object_get(c->answer, "content");

	CHECK_INT(c->open, -1);
	CHECK(!json_is_string(json_object_get(c->answer, "stop_reason")));
	c->open = (int)json_array_size(content);
	CHECK_INT(json_integer_value(json_object_get(event, "index")), c->open);
	json_array_append_new(
	    content, json_deep_copy(json_object_get(event, "content_block")));
}

static void
block_delta(struct client *c, json_t *event)
{
	json_t *block = open_block(c, event);
	json_t *delta = json_object_get(event, "delta");
	const char *type = json_string_value(json_object_get(delta, "type"));
	const char *kind = json_string_value(json_object_get(block, "type"));

	if (strcmp(type, "text_delta") == 0) {
		CHECK_STR(str_of(kind), STR("text"));
		append(block, "text", json_object_get(delta, "text"));
	} else if (strcmp(type, "thinking_delta") == 0) {
		CHECK_STR(str_of(kind), STR("thinking"));
		append(block, "thinking", json_object_get(delta, "thinking"));
	} else {
		CHECK_STR(str_of(type), STR("input_json_delta"));
		CHECK_STR(str_of(kind), STR("tool_use"));
		append(block, "json", json_object_get(delta, "partial_json"));
	}
}

static void
block_stop(struct client *c, json_t *event)
{
	json_t *block = open_block(c, event);
	json_t *text = json_object_get(block, "json"), *input;

	if (text) {
		input = json_loadb(json_string_value(text),
				   json_string_length(text), 0, NULL);
		/* A call that was cut in its middle stays a text. */
		json_object_set_new(block, "input",
				    input ? input : json_incref(text));
		json_object_del(block, "json");
	}
	c->open = -1;
}

static void
message_delta(struct client *c, json_t *event)
{
	json_t *delta = json_object_get(event, "delta");
	json_t *usage = json_object_get(event, "usage");

	CHECK_INT(c->open, -1);
	CHECK(!json_is_string(json_object_get(c->answer, "stop_reason")));
	CHECK(json_is_string(json_object_get(delta, "stop_reason")));
	json_object_update(c->answer, delta);
	json_object_update(json_object_get(c->answer, "usage"), usage);
}

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct client *c = ctx;
	json_t *json;
	const char *type;

	CHECK(!c->is_done);
	CHECK(event->name.p != NULL && event->data.p != NULL);
	json = parse(event->data);
	type = json_string_value(json_object_get(json, "type"));
	CHECK_STR(event->name, str_of(type));
	if (strcmp(type, "message_start") == 0) {
		CHECK(c->answer == NULL);
		c->answer = json_deep_copy(json_object_get(json, "message"));
	} else if (strcmp(type, "ping") != 0) {
		CHECK(c->answer != NULL);
		if (strcmp(type, "content_block_start") == 0)
			block_start(c, json);
		else if (strcmp(type, "content_block_delta") == 0)
			block_delta(c, json);
		else if (strcmp(type, "content_block_stop") == 0)
			block_stop(c, json);
		else if (strcmp(type, "message_delta") == 0)
			message_delta(c, json);
		else
			CHECK_STR(str_of(type), STR("message_stop"));
	}
	c->is_done = strcmp(type, "message_stop") == 0;
	json_decref(json);
	return true;
}

struct str
client_read(enum ai_shape shape, struct str stream)
{
	struct client c = {.shape = shape, .open = -1};
	struct sse sse;

	if (shape == AI_OPENAI)
		c.answer = json_pack("{s:s, s:i, s:[{s:i, s:{}, s:n, s:n}]}",
				     "object", "chat.completion", "created",
				     1700000000, "choices", "index", 0,
				     "message", "logprobs", "finish_reason");
	sse_init(&sse);
	CHECK_OK(sse_feed(&sse, stream,
			  shape == AI_OPENAI ? on_chunk : on_event, &c));
	CHECK_OK(sse_end(&sse, shape == AI_OPENAI ? on_chunk : on_event, &c));
	sse_fini(&sse);
	CHECK(c.is_done);
	if (shape == AI_OPENAI)
		finish_chunks(&c);
	else
		CHECK(json_is_string(json_object_get(c.answer, "stop_reason")));
	return dump(c.answer);
}
