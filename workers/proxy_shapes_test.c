/*
 * Tests of the proxy as a process: each of a client's shapes to a provider of
 * the other one, and Anthropic's to its own.
 */
#include "workers/proxy_house_test.h"

static void
check_settled(struct house *house, unsigned settles, const char *provider)
{
	house_turn_until_settled(house, settles);
	CHECK_STR(house->reserve.provider, str_of(provider));
	CHECK_STR(house->settle.status, STR("settled"));
	CHECK_STR(house->settle.source, STR("provider"));
	CHECK_INT(house->settle.output_tokens, 5);
	CHECK_INT(house->settle.cache_read_tokens, 8);
}

static void
check_has(const struct reply *reply, const char *text)
{
	if (!text_has(buf_str(&reply->body), text))
		test_fail(__FILE__, __LINE__, "no %s in %.*s", text,
			  STR_ARG(buf_str(&reply->body)));
}

/* --- Anthropic's shape as it came ------------------------------------- */

TEST(shapes_anthropic_to_anthropic_passes_bytes)
{
	static const char begins[] = CLAUDE_START CLAUDE_EVENT("ping", "");
	static const struct house_headers headers = {"2026-10-21", "a-1,b-2"};
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_with(&house, &reply, "anthropic", CLAUDE("claude-json"),
		       &headers);
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK_INT(reply.head.status, 200);
	CHECK_STR(buf_str(&reply.body), STR(CLAUDE_ANSWER));
	CHECK_STR(scripted_last_body(&house.provider), CLAUDE("claude-json"));
	CHECK(str_starts(scripted_last(&house.provider),
			 STR("POST /v1/messages HTTP/1.1\r\n")));
	CHECK(scripted_last_has(&house.provider, "x-api-key: sk-claude\r\n"));
	CHECK(scripted_last_has(&house.provider,
				"anthropic-version: 2026-10-21\r\n"));
	CHECK(
	    scripted_last_has(&house.provider, "anthropic-beta: a-1,b-2\r\n"));
	check_settled(&house, 1, "anthropic");
	CHECK_INT(house.settle.input_tokens, 8);
	CHECK_INT(house.settle.cache_write_tokens, 4);
	CHECK_STR(house.settle.model, STR("claude-json-1"));
	buf_fini(&reply.body);

	house_ask_whole(&house, &reply, "anthropic", CLAUDE_STREAM("claude-s"));
	CHECK_OK(reply.err);
	CHECK(reply.head.is_stream);
	CHECK(memmem(reply.body.p, reply.body.n, begins, sizeof(begins) - 1) ==
	      reply.body.p);
	CHECK(str_ends(buf_str(&reply.body), STR(CLAUDE_END)));
	CHECK(scripted_last_has(&house.provider,
				"anthropic-version: 2023-06-01\r\n"));
	CHECK(!scripted_last_has(&house.provider, "anthropic-beta"));
	check_settled(&house, 2, "anthropic");
	buf_fini(&reply.body);

	house_ask_whole(&house, &reply, "anthropic", CLAUDE("claude-400"));
	CHECK_INT(reply.head.status, 400);
	CHECK_STR(buf_str(&reply.body), STR(CLAUDE_REFUSAL));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(shapes_headers_hold_nothing_else)
{
	static const struct house_headers headers = {"1\r\nx-more: 1", NULL};
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_with(&house, &reply, "anthropic", CLAUDE("claude-json"),
		       &headers);
	house_turn_until(&house, &reply.is_over);
	CHECK_ERR(reply.err, ERR_BAD_FIELD);
	CHECK_STR(reply.failure.field, STR("anthropic-version"));
	CHECK_INT(house.reserves, 0);
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- OpenAI's shape to Anthropic ---------------------------------------- */

TEST(shapes_openai_to_anthropic_json)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_with(
	    &house, &reply, "openai",
	    STR("{\"model\":\"claude-sonnet-4-5\",\"user\":\"grace\","
		"\"temperature\":1.5," MESSAGES "}"),
	    &(struct house_headers){"2026-10-21", "b"});
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK_INT(reply.head.status, 200);
	check_has(&reply, "\"object\":\"chat.completion\"");
	check_has(&reply, "\"content\":\"Hi \\u00e8\"");
	check_has(&reply, "\"finish_reason\":\"stop\"");
	check_has(&reply, "\"prompt_tokens\":20,\"completion_tokens\":5");
	CHECK(scripted_last_has(&house.provider, "\"temperature\":1,") ||
	      scripted_last_has(&house.provider, "\"temperature\":1}"));
	CHECK(scripted_last_has(&house.provider, "\"max_tokens\":4096"));
	CHECK(scripted_last_has(&house.provider, "\"user_id\":\""));
	CHECK(!scripted_last_has(&house.provider, "grace"));
	/* An OpenAI client's header says nothing here. */
	CHECK(scripted_last_has(&house.provider,
				"anthropic-version: 2023-06-01\r\n"));
	CHECK(!scripted_last_has(&house.provider, "anthropic-beta"));
	check_settled(&house, 1, "anthropic");
	buf_fini(&reply.body);

	house_ask_whole(&house, &reply, "openai",
			STR("{\"model\":\"claude-opus-4-8\",\"temperature\":0,"
			    "\"reasoning_effort\":\"low\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK(!scripted_last_has(&house.provider, "temperature"));
	CHECK(scripted_last_has(&house.provider, "\"effort\":\"low\""));
	buf_fini(&reply.body);

	house_ask_whole(&house, &reply, "openai", OPENAI("claude-400"));
	CHECK_INT(reply.head.status, 400);
	check_has(&reply, "{\"error\":{\"message\":\"bad stop\",\"type\":"
			  "\"invalid_request_error\"");
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "openai", OPENAI("claude-529"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(shapes_openai_to_anthropic_stream)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.is_settle_held = true;
	house_ask(&house, &reply, "openai",
		  STR("{\"model\":\"claude-s\",\"stream\":true,"
		      "\"stream_options\":{\"include_usage\":true}," MESSAGES
		      "}"));
	while (house.held_settle == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	CHECK(!reply.is_over);
	CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
	house_answer_settled(&house, house.held_settle);
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	check_has(&reply, "\"delta\":{\"content\":\"one \"}");
	check_has(&reply, "\"delta\":{\"content\":\"two\"}");
	check_has(&reply, "\"finish_reason\":\"stop\"");
	check_has(&reply, "\"prompt_tokens\":20,\"completion_tokens\":5");
	CHECK(str_ends(buf_str(&reply.body), STR("data: [DONE]\n\n")));
	CHECK(!text_has(buf_str(&reply.body), "message_"));
	check_settled(&house, 1, "anthropic");
	CHECK_INT(house.settle.input_tokens, 8);
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- Anthropic's shape to OpenAI ----------------------------------------- */

TEST(shapes_anthropic_to_openai_json)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "anthropic",
			STR("{\"model\":\"gpt-4o\",\"max_tokens\":77,"
			    "\"system\":\"Be brief.\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_INT(reply.head.status, 200);
	check_has(&reply, "\"type\":\"message\",\"role\":\"assistant\"");
	check_has(&reply, "{\"type\":\"text\",\"text\":\"Hi \\u00e8\"}");
	check_has(&reply, "\"stop_reason\":\"end_turn\"");
	check_has(&reply, "\"input_tokens\":12,"
			  "\"cache_creation_input_tokens\":0,"
			  "\"cache_read_input_tokens\":8,\"output_tokens\":5");
	CHECK(
	    scripted_last_has(&house.provider, "\"max_completion_tokens\":77"));
	CHECK(scripted_last_has(&house.provider,
				"\"role\":\"system\",\"content\":\"Be "
				"brief.\""));
	CHECK(!scripted_last_has(&house.provider, "anthropic-version"));
	check_settled(&house, 1, "openai");
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "anthropic", CLAUDE("gpt-400"));
	CHECK_INT(reply.head.status, 400);
	check_has(&reply, "{\"type\":\"error\",\"error\":{\"type\":"
			  "\"invalid_request_error\",\"message\":\"bad stop\"},"
			  "\"request_id\":\"req-1\"}");
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(shapes_anthropic_to_openai_stream)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.is_settle_held = true;
	house_ask(&house, &reply, "anthropic", CLAUDE_STREAM("gpt-s"));
	while (house.held_settle == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	CHECK(!text_has(buf_str(&reply.body), "message_stop"));
	house_answer_settled(&house, house.held_settle);
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK(str_starts(buf_str(&reply.body), STR("event: ")));
	check_has(&reply, "event: message_start\n");
	check_has(&reply, "\"text_delta\",\"text\":\"one \"}");
	check_has(&reply, "\"text_delta\",\"text\":\"two\"}");
	check_has(&reply, "event: message_delta\n");
	CHECK(str_ends(buf_str(&reply.body),
		       STR("event: message_stop\ndata: "
			   "{\"type\":\"message_stop\"}\n\n")));
	CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
	CHECK(scripted_last_has(&house.provider, "\"include_usage\":true"));
	check_settled(&house, 1, "openai");
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- streams that break --------------------------------------------------- */

/* It was generated, is billed, and cannot be said in the client's shape. */
TEST(shapes_answer_that_cannot_be_translated_is_not_charged)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(
	    &house, &reply, "anthropic",
	    STR("{\"model\":\"gpt-nochoice\",\"max_tokens\":9," MESSAGES "}"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	CHECK(reply.failure.may_be_billed);
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.error, STR("UPSTREAM_FAILED"));
	CHECK_INT(house.settle.output_tokens, 5);
	CHECK(house.settle.undelivered);
	buf_fini(&reply.body);
	house_close(&house);
}

/* /api/chat shows no thoughts: nothing came of this stream. */
TEST(shapes_thoughts_that_nobody_saw_are_not_charged)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "chat", OPENAI_STREAM("gpt-thinks"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.source, STR("partial"));
	CHECK(house.settle.output_tokens > 0);
	CHECK(house.settle.undelivered);
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "openai", OPENAI_STREAM("gpt-thinks"));
	house_turn_until_settled(&house, 2);
	CHECK(text_has(buf_str(&reply.body), "thoughts"));
	CHECK(!house.settle.undelivered);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(shapes_stream_that_breaks_is_partial)
{
	static const struct {
		const char *shape;
		const char *body;
	} rows[] = {
	    {"anthropic", "{\"model\":\"claude-cut\",\"max_tokens\":9,"
			  "\"stream\":true," MESSAGES "}"},
	    {"anthropic", "{\"model\":\"claude-error\",\"max_tokens\":9,"
			  "\"stream\":true," MESSAGES "}"},
	    {"anthropic", "{\"model\":\"gpt-cut\",\"max_tokens\":9,"
			  "\"stream\":true," MESSAGES "}"},
	    {"anthropic", "{\"model\":\"gpt-error\",\"max_tokens\":9,"
			  "\"stream\":true," MESSAGES "}"},
	    {"openai",
	     "{\"model\":\"claude-cut\",\"stream\":true," MESSAGES "}"},
	    {"openai",
	     "{\"model\":\"claude-error\",\"stream\":true," MESSAGES "}"},
	    {"chat", "{\"model\":\"claude-cut\",\"stream\":true," MESSAGES "}"},
	};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		house_ask_whole(&house, &reply, rows[i].shape,
				str_of(rows[i].body));
		CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
		check_has(&reply, "one ");
		CHECK(!text_has(buf_str(&reply.body), "secret"));
		CHECK(!text_has(buf_str(&reply.body), "message_stop"));
		CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
		house_turn_until_settled(&house, i + 1);
		CHECK_STR(house.settle.status, STR("settled"));
		CHECK_STR(house.settle.source, STR("partial"));
		/* What message_start said of the input counts, but not its one
		 * token of output. */
		if (memmem(rows[i].body, strlen(rows[i].body), "claude", 6))
			CHECK_INT(house.settle.input_tokens, 3);
		CHECK(house.settle.output_tokens > 0);
		buf_fini(&reply.body);
	}
	house_close(&house);
}

/* --- /api/chat --------------------------------------------------------------
 */

TEST(shapes_chat_to_anthropic)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "chat",
			STR("{\"api_provider\":\"anthropic\",\"max_tokens\":9,"
			    "\"temperature\":0.5," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(buf_str(&reply.body),
		  STR("{\"success\":true,\"response\":\"Hi \\u00e8\","
		      "\"provider\":\"anthropic\",\"model\":"
		      "\"claude-json-1\","
		      "\"usage\":{\"prompt_tokens\":20,"
		      "\"completion_tokens\":5,\"total_tokens\":25},"
		      "\"cost\":77,\"request_id\":\"req-1\"}"));
	CHECK(scripted_last_has(&house.provider, "\"max_tokens\":9"));
	CHECK(scripted_last_has(&house.provider, "\"temperature\":0.5"));
	CHECK_STR(house.reserve.provider, STR("anthropic"));
	buf_fini(&reply.body);
	house_ask_whole(
	    &house, &reply, "chat",
	    STR("{\"stream\":true,\"model\":\"claude-s\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(buf_str(&reply.body),
		  STR("data: {\"delta\":\"one \"}\n\n"
		      "data: {\"delta\":\"two\"}\n\n"
		      "data: {\"done\":true,\"usage\":{\"prompt_tokens\":20,"
		      "\"completion_tokens\":5,\"total_tokens\":25},"
		      "\"cost\":77,\"request_id\":\"req-1\"}\n\n"
		      "data: [DONE]\n\n"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(shapes_anthropic_to_demo)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	house_ask_whole(&house, &reply, "anthropic", CLAUDE("demo"));
	CHECK_OK(reply.err);
	check_has(&reply, "{\"type\":\"text\",\"text\":\"[demo] ");
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "anthropic", CLAUDE_STREAM("demo"));
	CHECK_OK(reply.err);
	check_has(&reply, "event: message_stop\n");
	CHECK_STR(house.settle.status, STR("settled"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- count_tokens -----------------------------------------------------------
 */

/* A proxy asks a validator as soon as it has heard one. */
static void
count_tokens(struct house *house, struct reply *reply, struct str body)
{
	house_ask_whole(house, reply, "count", body);
	while (reply->err == ERR_UNAVAILABLE) {
		buf_fini(&reply->body);
		CHECK_OK(loop_turn(house->loop, 5));
		house_ask_whole(house, reply, "count", body);
	}
}

TEST(shapes_count_tokens)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	count_tokens(&house, &reply,
		     STR("{\"model\":\"claude-json\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_INT(reply.head.status, 200);
	CHECK_INT(reply.head.rate_remaining, 98);
	CHECK_STR(buf_str(&reply.body), STR("{\"input_tokens\":4321}"));
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{\"model\":\"claude-json\"," MESSAGES "}"));
	CHECK(scripted_last_has(&house.provider, "x-api-key: sk-claude\r\n"));
	buf_fini(&reply.body);
	count_tokens(&house, &reply,
		     STR("{\"model\":\"gpt-4o\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(buf_str(&reply.body),
		  STR("{\"input_tokens\":9,\"estimated\":true}"));
	CHECK_INT(house.provider.shared->requests, 1);
	buf_fini(&reply.body);
	count_tokens(&house, &reply,
		     STR("{\"model\":\"claude-garbage\"," MESSAGES "}"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	buf_fini(&reply.body);
	house.reserve_err = ERR_FEATURE_MISSING;
	count_tokens(&house, &reply,
		     STR("{\"model\":\"claude-json\"," MESSAGES "}"));
	CHECK_ERR(reply.err, ERR_FEATURE_MISSING);
	CHECK_INT(house.provider.shared->requests, 2);
	CHECK_INT(house.admits, 4);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.reserves, 0);
	CHECK_INT(house.settles, 0);
}
