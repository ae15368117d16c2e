/*
 * Properties of translated streams, over random ones: what a client joins is
 * the translated JSON answer, however the provider cuts its texts, its tool
 * arguments and its bytes, and in whatever order it mixes its tool calls.
 */
#include "workers/translate_client_test.h"
#include "workers/translate_random_test.h"

#include "lib/test.h"

#define ANSWERS 2000
#define PARTS_MAX 6u

static void
add_event(struct dice *dice, struct buf *to, json_t *event)
{
	const json_t *type = json_object_get(event, "type");
	char *text = json_dumps(event, dice_roll(dice, 2) ? JSON_COMPACT
							  : JSON_ENSURE_ASCII);

	if (type)
		buf_printf(to, "event: %s\n", json_string_value(type));
	buf_printf(to, "data: %s\n\n", text);
	free(text);
	json_decref(event);
}

/* The text as pieces at random borders of characters, empty ones among them.
 */
static json_t *
cut(struct dice *dice, const json_t *text)
{
	const char *p = json_string_value(text);
	size_t n = json_string_length(text), at = 0;
	json_t *pieces = json_array();

	for (unsigned i = dice_roll(dice, PARTS_MAX); i > 0; i--) {
		size_t end = at + dice_roll(dice, (unsigned)(n - at) + 1);

		while (end < n && ((unsigned char)p[end] & 0xc0) == 0x80)
			end++;
		json_array_append_new(pieces, json_stringn(p + at, end - at));
		at = end;
	}
	json_array_append_new(pieces, json_stringn(p + at, n - at));
	return pieces;
}

static json_t *
random_usage(struct dice *dice, const char *input, const char *output)
{
	return json_pack("{s:i, s:i}", input, (int)dice_roll(dice, 500), output,
			 (int)dice_roll(dice, 500));
}

/* --- Anthropic's ---------------------------------------------------------- */

static void
add_deltas(struct dice *dice, struct buf *to, int index, const char *type,
	   const char *member, json_t *text)
{
	json_t *pieces = cut(dice, text), *piece;
	size_t i;

	json_array_foreach(pieces, i, piece)
	{
		if (dice_roll(dice, 9) == 0)
			add_event(dice, to, json_pack("{s:s}", "type", "ping"));
		add_event(dice, to,
			  json_pack("{s:s, s:i, s:{s:s, s:O}}", "type",
				    "content_block_delta", "index", index,
				    "delta", "type", type, member, piece));
	}
	json_decref(pieces);
}

static void
add_block(struct dice *dice, struct buf *to, int index, json_t *block)
{
	const char *type = json_string_value(json_object_get(block, "type"));
	json_t *empty = json_deep_copy(block), *text;
	const char *member = type;

	if (strcmp(type, "tool_use") == 0) {
		json_t *input = json_object_get(block, "input");
		char *dump = json_dumps(input, 0);

		member = "input";
		text = json_pack("s", json_object_size(input) ? dump : "");
		free(dump);
		json_object_set_new(empty, "input", json_object());
	} else {
		text = json_incref(json_object_get(block, type));
		json_object_set_new(empty, type, json_pack("s", ""));
	}
	add_event(dice, to,
		  json_pack("{s:s, s:i, s:o}", "type", "content_block_start",
			    "index", index, "content_block", empty));
	if (strcmp(member, "input") == 0)
		add_deltas(dice, to, index, "input_json_delta", "partial_json",
			   text);
	else
		add_deltas(dice, to, index,
			   *type == 't' && type[1] == 'e' ? "text_delta"
							  : "thinking_delta",
			   type, text);
	json_decref(text);
	add_event(dice, to,
		  json_pack("{s:s, s:i}", "type", "content_block_stop", "index",
			    index));
}

static json_t *
random_message(struct dice *dice)
{
	json_t *content = json_array();
	unsigned calls = 0;

	if (dice_roll(dice, 3) == 0)
		json_array_append_new(
		    content,
		    json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking",
			      random_text(dice, 20), "signature", ""));
	for (unsigned n = dice_roll(dice, 4); n > 0; n--) {
		char id[24];

		snprintf(id, sizeof(id), "toolu_%u", calls);
		if (dice_roll(dice, 2))
			json_array_append_new(
			    content, json_pack("{s:s, s:o}", "type", "text",
					       "text", random_text(dice, 30)));
		else if (++calls)
			json_array_append_new(
			    content,
			    json_pack("{s:s, s:s, s:s, s:o}", "type",
				      "tool_use", "id", id, "name", "f",
				      "input", random_object(dice)));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:n, s:o}", "id",
			 "msg_1", "type", "message", "role", "assistant",
			 "model", "claude-x", "content", content, "stop_reason",
			 calls ? "tool_use" : "end_turn", "stop_sequence",
			 "usage",
			 random_usage(dice, "input_tokens", "output_tokens"));
}

static void
write_message(struct dice *dice, json_t *message, struct buf *to)
{
	json_t *head = json_deep_copy(message), *block;
	size_t i;

	json_object_set_new(head, "content", json_array());
	json_object_set_new(head, "stop_reason", json_null());
	json_object_set_new(
	    head, "usage", random_usage(dice, "input_tokens", "output_tokens"));
	add_event(
	    dice, to,
	    json_pack("{s:s, s:o}", "type", "message_start", "message", head));
	json_array_foreach(json_object_get(message, "content"), i, block)
	    add_block(dice, to, (int)i, block);
	add_event(dice, to,
		  json_pack("{s:s, s:{s:O, s:n}, s:O}", "type", "message_delta",
			    "delta", "stop_reason",
			    json_object_get(message, "stop_reason"),
			    "stop_sequence", "usage",
			    json_object_get(message, "usage")));
	add_event(dice, to, json_pack("{s:s}", "type", "message_stop"));
}

/* --- OpenAI's ------------------------------------------------------------- */

static json_t *
random_completion(struct dice *dice)
{
	json_t *message = json_pack("{s:s}", "role", "assistant");
	json_t *calls = json_array();

	json_object_set_new(message, "content",
			    dice_roll(dice, 3) ? random_text(dice, 30)
					       : json_null());
	if (dice_roll(dice, 3) == 0)
		json_object_set_new(message, "reasoning_content",
				    random_text(dice, 20));
	for (unsigned n = dice_roll(dice, 2) * dice_roll(dice, 5); n > 0; n--) {
		json_t *input = random_object(dice);
		char *text = json_dumps(input, 0);
		char id[24];

		snprintf(id, sizeof(id), "call_%u", n);
		json_array_append_new(
		    calls, json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", id,
				     "type", "function", "function", "name",
				     "f", "arguments", text));
		free(text);
		json_decref(input);
	}
	if (json_array_size(calls))
		json_object_set(message, "tool_calls", calls);
	message = json_pack(
	    "{s:s, s:s, s:s, s:[{s:i, s:o, s:s}], s:o}", "id", "chatcmpl-1",
	    "object", "chat.completion", "model", "gpt-x", "choices", "index",
	    0, "message", message, "finish_reason",
	    json_array_size(calls) ? "tool_calls" : "stop", "usage",
	    random_usage(dice, "prompt_tokens", "completion_tokens"));
	json_decref(calls);
	return message;
}

static void
add_chunk(struct dice *dice, struct buf *to, json_t *delta, const char *reason)
{
	add_event(dice, to,
		  json_pack("{s:s, s:s, s:s, s:[{s:i, s:o, s:s?}], s:n}", "id",
			    "chatcmpl-1", "object", "chat.completion.chunk",
			    "model", "gpt-x", "choices", "index", 0, "delta",
			    delta, "finish_reason", reason, "usage"));
}

static void
add_text(struct dice *dice, struct buf *to, const char *member,
	 const json_t *text)
{
	json_t *pieces, *piece;
	size_t i;

	if (!json_is_string(text))
		return;
	pieces = cut(dice, text);
	json_array_foreach(pieces, i, piece)
	    add_chunk(dice, to, json_pack("{s:O}", member, piece), NULL);
	json_decref(pieces);
}

/* The first piece has id and name; a random call goes on, until none has any
 * pieces left. Begun in order, since their places are. */
static void
add_calls(struct dice *dice, struct buf *to, json_t *calls)
{
	json_t *pieces[8], *call;
	size_t count = json_array_size(calls), begun = 0, left = 0, i;

	json_array_foreach(calls, i, call)
	{
		pieces[i] =
		    cut(dice, json_object_get(json_object_get(call, "functio"
								    "n"),
					      "arguments"));
		left += json_array_size(pieces[i]);
	}
	while (left) {
		json_t *piece, *function;

		i = dice_roll(dice, (unsigned)count);
		if (i > begun || json_array_size(pieces[i]) == 0)
			continue;
		function = json_pack("{s:O}", "arguments",
				     json_array_get(pieces[i], 0));
		piece = json_pack("{s:i, s:o}", "index", (int)i * 3 + 2,
				  "function", function);
		if (i == begun) {
			call = json_array_get(calls, i);
			json_object_update_missing(
			    function, json_object_get(call, "function"));
			json_object_update_missing(piece, call);
			begun++;
		}
		json_array_remove(pieces[i], 0);
		left--;
		add_chunk(dice, to, json_pack("{s:[o]}", "tool_calls", piece),
			  NULL);
	}
	for (i = 0; i < count; i++)
		json_decref(pieces[i]);
}

static void
write_completion(struct dice *dice, json_t *completion, struct buf *to)
{
	json_t *choice =
	    json_array_get(json_object_get(completion, "choices"), 0);
	json_t *message = json_object_get(choice, "message");

	add_chunk(dice, to,
		  json_pack("{s:s, s:s}", "role", "assistant", "content", ""),
		  NULL);
	add_text(dice, to, "reasoning_content",
		 json_object_get(message, "reasoning_content"));
	add_text(dice, to, "content", json_object_get(message, "content"));
	add_calls(dice, to, json_object_get(message, "tool_calls"));
	add_chunk(dice, to, json_object(),
		  json_string_value(json_object_get(choice, "finish_reason")));
	add_event(dice, to,
		  json_pack("{s:s, s:s, s:s, s:[], s:O}", "id", "chatcmpl-1",
			    "object", "chat.completion.chunk", "model", "gpt-x",
			    "choices", "usage",
			    json_object_get(completion, "usage")));
	buf_add_z(to, "data: [DONE]\n\n");
}

/* --- the property --------------------------------------------------------- */

static void
check_same(enum ai_shape from, json_t *answer, struct str stream, size_t part)
{
	enum ai_shape to = from == AI_OPENAI ? AI_ANTHROPIC : AI_OPENAI;
	char *text = json_dumps(answer, 0);

	CHECK_JSON(client_read(to, world_stream_of(from, stream, part)),
		   world_answer_of(from, str_of(text)));
	free(text);
	json_decref(answer);
	arena_reset(client_arena());
}

TEST(translate_random_streams_are_their_answers)
{
	struct buf stream;

	buf_init(&stream, 1u << 20);
	for (unsigned i = 0; i < ANSWERS; i++) {
		struct dice dice = dice_of(i + 99);
		json_t *answer;

		buf_reset(&stream);
		if (i & 1) {
			answer = random_message(&dice);
			write_message(&dice, answer, &stream);
		} else {
			answer = random_completion(&dice);
			write_completion(&dice, answer, &stream);
		}
		CHECK(!stream.is_failed);
		check_same(i & 1 ? AI_ANTHROPIC : AI_OPENAI, answer,
			   buf_str(&stream), dice_roll(&dice, 200));
	}
	buf_fini(&stream);
}

TEST(translate_long_streams_are_their_answers)
{
	struct dice dice = dice_of(1);
	struct buf stream, text;
	json_t *answer;

	buf_init(&stream, 8u << 20);
	buf_init(&text, 1u << 20);
	while (text.n < 100 * 1024)
		buf_add_z(&text, "\xe2\x82\xac\"no\"\n\xf0\x9f\x98\x80 ");
	answer =
	    json_pack("{s:s, s:s, s:[{s:s, s:s%}], s:s, s:o}", "id", "msg_1",
		      "model", "claude-x", "content", "type", "text", "text",
		      text.p, text.n, "stop_reason", "end_turn", "usage",
		      random_usage(&dice, "input_tokens", "output_tokens"));
	write_message(&dice, answer, &stream);
	check_same(AI_ANTHROPIC, answer, buf_str(&stream), 1000);
	buf_reset(&stream);
	answer = json_pack(
	    "{s:s, s:s, s:[{s:i, s:{s:s%}, s:s}], s:o}", "id", "chatcmpl-1",
	    "model", "gpt-x", "choices", "index", 0, "message", "content",
	    text.p, text.n, "finish_reason", "stop", "usage",
	    random_usage(&dice, "prompt_tokens", "completion_tokens"));
	write_completion(&dice, answer, &stream);
	check_same(AI_OPENAI, answer, buf_str(&stream), 1000);
	buf_fini(&stream);
	buf_fini(&text);
}

/* --- there and back ------------------------------------------------------- */

/* What a completion says, whoever wrote it down: an absent text is an empty
 * one, and arguments are what they parse to. */
static json_t *
said(json_t *completion)
{
	json_t *choice =
	    json_array_get(json_object_get(completion, "choices"), 0);
	json_t *message = json_object_get(choice, "message");
	json_t *usage = json_object_get(completion, "usage");
	const char *text =
	    json_string_value(json_object_get(message, "content"));
	json_t *calls = json_array(), *call;
	size_t i;

	json_array_foreach(json_object_get(message, "tool_calls"), i, call)
	{
		json_t *function = json_object_get(call, "function");
		const char *arguments =
		    json_string_value(json_object_get(function, "arguments"));

		json_array_append_new(
		    calls, json_pack("[O, O, o]", json_object_get(call, "id"),
				     json_object_get(function, "name"),
				     json_loads(arguments, 0, NULL)));
	}
	return json_pack("{s:s, s:o, s:O, s:O, s:O}", "text", text ? text : "",
			 "calls", calls, "reason",
			 json_object_get(choice, "finish_reason"), "in",
			 json_object_get(usage, "prompt_tokens"), "out",
			 json_object_get(usage, "completion_tokens"));
}

/* OpenAI's to Anthropic's and back to OpenAI's. */
TEST(translate_answers_there_and_back_say_the_same)
{
	for (unsigned i = 0; i < ANSWERS; i++) {
		struct dice dice = dice_of(i + 4242);
		json_t *answer = random_completion(&dice), *back, *want, *got;
		char *text = json_dumps(answer, 0);
		struct str there = world_answer_of(AI_OPENAI, str_of(text));
		struct str again = world_answer_of(AI_ANTHROPIC, there);

		back =
		    json_loadb(again.p, again.n, JSON_REJECT_DUPLICATES, NULL);
		CHECK(back);
		want = said(answer);
		got = said(back);
		CHECK(want && got);
		if (!json_equal(want, got))
			test_fail(__FILE__, __LINE__,
				  "seed %u:\n%s\n%.*s\n%.*s", i, text,
				  STR_ARG(there), STR_ARG(again));
		json_decref(want);
		json_decref(got);
		json_decref(back);
		json_decref(answer);
		free(text);
		arena_reset(client_arena());
	}
}
