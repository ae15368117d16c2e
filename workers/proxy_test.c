/*
 * Tests of the proxy as a process: see proxy_house_test.h.
 */
#include "workers/proxy_house_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- JSON ------------------------------------------------------------ */

TEST(proxy_json_is_reserved_passed_on_and_settled)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_INT(reply.parts, 1);
	CHECK_INT(reply.head.status, 200);
	CHECK(!reply.head.is_stream);
	CHECK_STR(reply.head.content_type, STR("application/json"));
	CHECK_STR(reply.head.provider, STR("openai"));
	CHECK_INT(reply.head.rate_remaining, 99);
	CHECK(reply.head.upstream_us > 0);
	CHECK_STR(buf_str(&reply.body), STR(ANSWER));

	CHECK_INT(house.reserves, 1);
	CHECK_STR(house.reserve.request_id, STR("req-1"));
	CHECK_STR(house.reserve.key, STR(LICENSE_KEY));
	CHECK_STR(house.reserve.domain, STR("shop.example"));
	CHECK_STR(house.reserve.feature, STR("ai_proxy"));
	CHECK_STR(house.reserve.provider, STR("openai"));
	CHECK_STR(house.reserve.model, STR("gpt-json"));
	CHECK_STR(house.reserve.owner, STR("proxy-0"));
	CHECK(house.reserve.expires_ms > 600000);
	CHECK(house.reserve.input_tokens > 0);

	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.license_id, STR("lic_1"));
	CHECK_STR(house.settle.request_id, STR("req-1"));
	CHECK_INT(house.settle.attempt, house.reserve.attempt);
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_STR(house.settle.model, STR("gpt-json-1"));
	CHECK_INT(house.settle.input_tokens, 12);
	CHECK_INT(house.settle.cache_read_tokens, 8);
	CHECK_INT(house.settle.cache_write_tokens, 0);
	CHECK_INT(house.settle.output_tokens, 5);
	CHECK_INT(house.settle.reasoning_tokens, 2);
	CHECK_INT(house.settle.attempts, 1);
	CHECK(house.settle.error.p == NULL);

	CHECK(scripted_last_has(&house.provider,
				"Authorization: Bearer sk-canary\r\n"));
	CHECK(scripted_last_has(&house.provider,
				"traceparent: 00-0af7651916cd43dd8448eb211c8031"
				"9c-"));
	CHECK(!scripted_last_has(&house.provider, "b7ad6b7169203331"));
	CHECK(scripted_last_has(&house.provider,
				"tracestate: rojo=00f067aa0ba902b7\r\n"));
	CHECK(!scripted_last_has(&house.provider, LICENSE_KEY));
	CHECK_STR(scripted_last_body(&house.provider), OPENAI("gpt-json"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* A settlement that lingers goes in front of the next reservation: the one may
 * give back what the other needs. */
TEST(proxy_settles_before_it_reserves_again)
{
	struct house house;
	struct reply first, second;

	house_open(&house);
	house_ask_whole(&house, &first, "openai", OPENAI("gpt-json"));
	house.is_reserve_held = true;
	house_ask(&house, &second, "openai", OPENAI("gpt-json"));
	while (house.held_reserve == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	CHECK_INT(house.reserves, 2);
	CHECK_INT(house.settles, 1);
	house_answer_reserved(&house, house.held_reserve);
	house_turn_until(&house, &second.is_over);
	house_turn_until_settled(&house, 2);
	CHECK_OK(second.err);
	buf_fini(&first.body);
	buf_fini(&second.body);
	house_close(&house);
}

TEST(proxy_json_without_usage_is_estimated)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-nousage"));
	CHECK_OK(reply.err);
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.source, STR("estimated"));
	CHECK_INT(house.settle.input_tokens, house.reserve.input_tokens);
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_large_json_waits_for_credit)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask(&house, &reply, "openai", OPENAI("gpt-big"));
	reply.gives_no_credit = true;
	house_turn_until_settled(&house, 1);
	while (reply.uncredited < BUS_STREAM_CREDIT_BYTES)
		CHECK_OK(loop_turn(house.loop, 1000));
	for (unsigned i = 0; i < 20; i++)
		CHECK_OK(loop_turn(house.loop, 5));
	CHECK_INT(reply.uncredited, BUS_STREAM_CREDIT_BYTES);
	CHECK(!reply.is_over);
	reply.gives_no_credit = false;
	bus_credit(house.edge, reply.id, reply.uncredited);
	reply.uncredited = 0;
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK_INT(reply.body.n, 1000000);
	CHECK(str_ends(buf_str(&reply.body), STR("xxx\"}}]}")));
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- refusals -------------------------------------------------------- */

TEST(proxy_refused_by_the_ledger_reaches_no_provider)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.reserve_err = ERR_LIMIT_REACHED;
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_LIMIT_REACHED);
	CHECK_STR(reply.failure.message, STR("the ledger says no"));
	CHECK_INT(reply.failure.retry_after_ms, 1234);
	CHECK_INT(house.provider.shared->requests, 0);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.settles, 0);
}

TEST(proxy_refuses_before_anything_is_reserved)
{
	static const struct {
		const char *shape;
		const char *body;
		enum err err;
		const char *field;
	} rows[] = {
	    {"openai", "{", ERR_BAD_REQUEST, NULL},
	    {"openai", "{\"model\":\"gpt-1\"}", ERR_BAD_FIELD, "messages"},
	    {"openai", "{" MESSAGES "}", ERR_BAD_FIELD, "model"},
	    {"openai",
	     "{\"model\":\"gpt-1\",\"base_url\":\"http://127.0.0.1\"," MESSAGES
	     "}",
	     ERR_BAD_FIELD, "base_url"},
	    {"openai", "{\"model\":\"mistral\"," MESSAGES "}",
	     ERR_MODEL_UNKNOWN, "model"},
	    {"anthropic", "{\"model\":\"gpt-1\"," MESSAGES "}", ERR_BAD_FIELD,
	     "max_tokens"},
	    {"anthropic",
	     "{\"model\":\"gpt-1\",\"max_tokens\":1,\"top_k\":2," MESSAGES "}",
	     ERR_BAD_FIELD, "top_k"},
	    {"anthropic",
	     "{\"model\":\"claude-4\",\"api_key\":\"k\"," MESSAGES "}",
	     ERR_BAD_FIELD, "api_key"},
	    {"openai", "{\"model\":\"claude-4\",\"n\":2," MESSAGES "}",
	     ERR_BAD_FIELD, "n"},
	    {"chat", "{\"model\":\"demo\"," MESSAGES "}", ERR_MODEL_UNKNOWN,
	     "model"},
	    {"chat", "{\"api_provider\":\"x\"," MESSAGES "}", ERR_BAD_FIELD,
	     "api_provider"},
	    {"soap", "{}", ERR_BAD_FIELD, "shape"},
	};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		house_ask_whole(&house, &reply, rows[i].shape,
				str_of(rows[i].body));
		CHECK_ERR(reply.err, rows[i].err);
		CHECK_STR(reply.failure.field, str_of(rows[i].field));
		CHECK(reply.failure.message.n > 0);
		buf_fini(&reply.body);
	}
	CHECK_INT(house.reserves, 0);
	CHECK_INT(house.provider.shared->requests, 0);
	house_close(&house);
}

/* --- failures of the provider ---------------------------------------- */

TEST(proxy_provider_failures)
{
	static const struct {
		const char *body;
		enum err err;
		int status; /* of the head, when err is OK */
		unsigned calls;
		const char *error; /* of the ledger line; NULL = settled */
	} rows[] = {
	    {"{\"model\":\"gpt-503\"," MESSAGES "}", ERR_OK, 200, 2, NULL},
	    {"{\"model\":\"gpt-400\"," MESSAGES "}", ERR_OK, 400, 1,
	     "BAD_REQUEST"},
	    {"{\"model\":\"gpt-garbage\"," MESSAGES "}", ERR_UPSTREAM_FAILED, 0,
	     1, "UPSTREAM_FAILED"},
	    {"{\"model\":\"gpt-error\"," MESSAGES "}", ERR_UPSTREAM_FAILED, 0,
	     1, "UPSTREAM_FAILED"},
	};
	struct house house;
	struct reply reply;
	unsigned calls = 0;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		house_ask_whole(&house, &reply, "openai", str_of(rows[i].body));
		CHECK_ERR(reply.err, rows[i].err);
		if (rows[i].err == ERR_OK)
			CHECK_INT(reply.head.status, rows[i].status);
		calls += rows[i].calls;
		CHECK_INT(house.provider.shared->requests, calls);
		house_turn_until_settled(&house, i + 1);
		CHECK_INT(house.settle.attempts, rows[i].calls);
		CHECK_STR(house.settle.status,
			  rows[i].error ? STR("failed") : STR("settled"));
		CHECK_STR(house.settle.error, str_of(rows[i].error));
		buf_fini(&reply.body);
	}
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-400"));
	CHECK_STR(buf_str(&reply.body), STR(REFUSAL));
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "chat", OPENAI("gpt-400"));
	CHECK_ERR(reply.err, ERR_BAD_REQUEST);
	CHECK_STR(reply.failure.message, STR("bad stop"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* One that keeps failing is left alone, the others are not; one call finds out
 * that it is back. */
TEST(proxy_leaves_a_provider_alone_that_keeps_failing)
{
	struct house house;
	struct reply reply;
	unsigned calls;

	house_open(&house);
	do {
		house_ask_whole(&house, &reply, "openai", OPENAI("gpt-down"));
		buf_fini(&reply.body);
	} while (reply.err == ERR_UPSTREAM_FAILED);
	CHECK_ERR(reply.err, ERR_UPSTREAM_RESTING);
	CHECK_INT(house.provider.shared->requests, BREAKER_FAILURES);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_RESTING);
	CHECK(reply.failure.retry_after_ms > 0 &&
	      reply.failure.retry_after_ms <= BREAKER_REST_MS);
	buf_fini(&reply.body);
	CHECK_INT(house.provider.shared->requests, BREAKER_FAILURES);
	house_turn_until_settled(&house, house.reserves);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_STR(house.settle.error, STR("UPSTREAM_RESTING"));
	CHECK_INT(house.settle.attempts, 0);
	house_ask_whole(&house, &reply, "anthropic", CLAUDE("claude-json"));
	CHECK_OK(reply.err);
	buf_fini(&reply.body);
	calls = house.provider.shared->requests;
	do {
		CHECK_OK(loop_turn(house.loop, 20));
		house_ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
		buf_fini(&reply.body);
	} while (reply.err == ERR_UPSTREAM_RESTING);
	CHECK_OK(reply.err);
	CHECK_INT(house.provider.shared->requests, calls + 1);
	house_close(&house);
}

TEST(proxy_tries_a_429_again_and_then_says_when)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-429"));
	CHECK_ERR(reply.err, ERR_RATE_LIMITED);
	CHECK_INT(reply.failure.retry_after_ms, 30);
	CHECK(!reply.failure.may_be_billed);
	CHECK_INT(house.provider.shared->requests, 3);
	house_turn_until_settled(&house, 1);
	CHECK_INT(house.settle.attempts, 3);
	CHECK_STR(house.settle.error, STR("UPSTREAM_FAILED"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* The provider may bill what it had begun to answer. */
TEST(proxy_json_that_breaks_is_partial)
{
	const int64_t half = request_estimate_tokens(sizeof(HALF_ANSWER) - 1);
	const struct {
		const char *body;
		int64_t tokens; /* of output */
	} rows[] = {
	    {"{\"model\":\"gpt-halfjson\"," MESSAGES "}", half},
	    {"{\"model\":\"gpt-halfclosed\"," MESSAGES "}", half},
	    {"{\"model\":\"gpt-headonly\"," MESSAGES "}", 0},
	    {"{\"model\":\"gpt-flood\"," MESSAGES "}", PROXY_GUESS_TOKENS_MAX},
	    {"{\"model\":\"gpt-flood\",\"max_tokens\":50," MESSAGES "}", 50},
	    {"{\"model\":\"gpt-flood\",\"max_tokens\":50,\"n\":3," MESSAGES "}",
	     150},
	};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		house_ask_whole(&house, &reply, "openai", str_of(rows[i].body));
		CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
		CHECK(!reply.has_head);
		CHECK(reply.failure.may_be_billed);
		house_turn_until_settled(&house, i + 1);
		CHECK_STR(house.settle.status, STR("settled"));
		CHECK_STR(house.settle.source, STR("partial"));
		CHECK_STR(house.settle.error, STR("UPSTREAM_FAILED"));
		CHECK_INT(house.settle.input_tokens,
			  house.reserve.input_tokens);
		CHECK_INT(house.settle.output_tokens, rows[i].tokens);
		CHECK(house.settle.undelivered);
		buf_fini(&reply.body);
	}
	house_close(&house);
}

/* It got the whole question and says nothing: it may have worked on it. */
static void
check_may_be_billed(const struct house *house, const char *error)
{
	CHECK_STR(house->settle.status, STR("settled"));
	CHECK_STR(house->settle.source, STR("partial"));
	CHECK_STR(house->settle.error, str_of(error));
	CHECK_INT(house->settle.attempts, 1);
	CHECK_INT(house->settle.input_tokens, house->reserve.input_tokens);
	CHECK_INT(house->settle.output_tokens, 0);
	CHECK_INT(house->provider.shared->requests, 1);
}

TEST(proxy_silent_provider_is_given_up)
{
	struct house house;
	struct reply reply;

	setenv("CHATELLO_UPSTREAM_FIRST_BYTE_MS", "200", 1);
	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-silent"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_TIMEOUT);
	CHECK(reply.failure.may_be_billed);
	house_turn_until_settled(&house, 1);
	check_may_be_billed(&house, "UPSTREAM_TIMEOUT");
	while (house.provider.shared->gone == 0)
		CHECK_OK(loop_turn(house.loop, 5));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_provider_that_hangs_up_is_not_asked_again)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-reset"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	house_turn_until_settled(&house, 1);
	check_may_be_billed(&house, "UPSTREAM_FAILED");
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_silence_in_mid_answer_is_given_up)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "sk-canary", "200");
	house_ask_whole(&house, &reply, "openai", OPENAI_STREAM("gpt-forever"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_TIMEOUT);
	CHECK(text_has(buf_str(&reply.body), "one "));
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.source, STR("partial"));
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- streams --------------------------------------------------------- */

/* What is in between is to see something before it gives up. */
TEST(proxy_begins_a_stream_that_the_provider_does_not)
{
	struct house house;
	struct reply reply;

	setenv("CHATELLO_UPSTREAM_FIRST_BYTE_MS", "400", 1);
	setenv("CHATELLO_KEEP_ALIVE_MS", "50", 1);
	house_open(&house);
	house_ask(&house, &reply, "openai", OPENAI_STREAM("gpt-silent"));
	while (!reply.has_head && !reply.is_over)
		CHECK_OK(loop_turn(house.loop, 1000));
	CHECK(!reply.is_over);
	CHECK_INT(reply.head.status, 200);
	CHECK(reply.head.is_stream);
	CHECK_STR(reply.head.content_type, STR("text/event-stream"));
	CHECK_INT(reply.head.body.n, 0);
	house_turn_until(&house, &reply.is_over);
	CHECK_ERR(reply.err, ERR_UPSTREAM_TIMEOUT);
	buf_fini(&reply.body);
	house_close(&house);
}

/* It is told in the stream what became of it. */
TEST(proxy_stream_that_was_begun_ends_as_one)
{
	struct house house;
	struct reply reply;

	setenv("CHATELLO_KEEP_ALIVE_MS", "50", 1);
	house_open(&house);
	house_ask_whole(&house, &reply, "openai", OPENAI_STREAM("gpt-late400"));
	CHECK(reply.has_head && reply.head.is_stream);
	CHECK_ERR(reply.err, ERR_BAD_REQUEST);
	CHECK_STR(reply.failure.message, STR("bad stop"));
	CHECK_INT(reply.body.n, 0);
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.status, STR("failed"));
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "openai",
			OPENAI_STREAM("gpt-latejson"));
	CHECK(reply.has_head && reply.head.is_stream);
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(reply.body.n, 0);
	house_turn_until_settled(&house, 2);
	CHECK_STR(house.settle.source, STR("partial"));
	CHECK_INT(house.settle.output_tokens, 5);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_stream_ends_behind_its_settlement)
{
	struct house house;
	struct reply reply;
	bool is_seen = false;

	house_open(&house);
	house.is_settle_held = true;
	house_ask(&house, &reply, "openai", OPENAI_STREAM("gpt-s"));
	house_turn_until_settled(&house, 1);
	while (!is_seen) {
		CHECK_OK(loop_turn(house.loop, 100));
		is_seen =
		    text_has(buf_str(&reply.body), "{\"choices\":[]}\n\n");
	}
	CHECK(!reply.is_over);
	CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
	house_answer_settled(&house, house.held_settle);
	house_turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK(reply.head.is_stream);
	CHECK_STR(reply.head.content_type, STR("text/event-stream"));
	CHECK_STR(buf_str(&reply.body),
		  STR(": keep-alive\n\n" DELTA("one ") DELTA(
		      "two") "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_INT(house.settle.input_tokens, 12);
	CHECK_INT(house.settle.output_tokens, 5);
	CHECK(house.reserve.is_stream);
	CHECK(scripted_last_has(&house.provider,
				"\"stream_options\":{\"include_usage\":true}"));
	buf_fini(&reply.body);
	house.is_settle_held = false;
	/* Asked for, the usage is passed on. */
	house_ask_whole(
	    &house, &reply, "openai",
	    STR("{\"model\":\"gpt-s\",\"stream\":true,\"stream_options\":"
		"{\"include_usage\":true}," MESSAGES "}"));
	CHECK(str_ends(buf_str(&reply.body), STR(STREAM_END)));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_stream_that_breaks_is_partial)
{
	static const char *const bodies[] = {
	    "{\"model\":\"gpt-cut\",\"stream\":true," MESSAGES "}",
	    "{\"model\":\"gpt-error\",\"stream\":true," MESSAGES "}"};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < 2; i++) {
		house_ask_whole(&house, &reply, "openai", str_of(bodies[i]));
		CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
		CHECK(reply.failure.message.n > 0);
		CHECK(text_has(buf_str(&reply.body), DELTA("one ")));
		CHECK(!text_has(buf_str(&reply.body), "secret"));
		CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
		house_turn_until_settled(&house, i + 1);
		CHECK_STR(house.settle.status, STR("settled"));
		CHECK_STR(house.settle.source, STR("partial"));
		CHECK(house.settle.output_tokens > 0);
		CHECK_INT(house.settle.input_tokens,
			  house.reserve.input_tokens);
		buf_fini(&reply.body);
	}
	house_close(&house);
}

TEST(proxy_client_gone_closes_the_provider)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask(&house, &reply, "openai", OPENAI_STREAM("gpt-forever"));
	while (!text_has(buf_str(&reply.body), "one "))
		CHECK_OK(loop_turn(house.loop, 1000));
	bus_cancel(house.edge, reply.id);
	house_turn_until_settled(&house, 1);
	while (house.provider.shared->gone == 0)
		CHECK_OK(loop_turn(house.loop, 5));
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("partial"));
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_client_gone_before_the_call)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.is_reserve_held = true;
	house_ask(&house, &reply, "openai", OPENAI("gpt-json"));
	while (house.held_reserve == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	bus_cancel(house.edge, reply.id);
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(loop_turn(house.loop, 5));
	house_answer_reserved(&house, house.held_reserve);
	house_turn_until_settled(&house, 1);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_STR(house.settle.error, STR("CANCELLED_BY_CALLER"));
	CHECK_INT(house.provider.shared->requests, 0);
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- /api/chat ------------------------------------------------------- */

TEST(proxy_chat_shape)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house_ask_whole(&house, &reply, "chat",
			STR("{\"max_tokens\":9," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.model, STR("gpt-4o-mini"));
	CHECK_STR(buf_str(&reply.body),
		  STR("{\"success\":true,\"response\":\"Hi \\u00e8\","
		      "\"provider\":\"openai\",\"model\":\"gpt-json-1\","
		      "\"usage\":{\"prompt_tokens\":20,"
		      "\"completion_tokens\":5,\"total_tokens\":25},"
		      "\"cost\":77,\"request_id\":\"req-1\"}"));
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{\"model\":\"gpt-4o-mini\"," MESSAGES
		      ",\"max_completion_tokens\":9}"));
	buf_fini(&reply.body);
	house_ask_whole(
	    &house, &reply, "chat",
	    STR("{\"stream\":true,\"model\":\"gpt-s\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK(reply.head.is_stream);
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

TEST(proxy_demo_needs_no_provider)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	house_ask_whole(&house, &reply, "chat", STR("{" MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK(text_has(buf_str(&reply.body), "\"response\":\"[demo] "));
	CHECK_STR(house.reserve.provider, STR("demo"));
	CHECK_STR(house.reserve.model, STR("demo"));
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "openai", OPENAI_STREAM("demo"));
	CHECK_OK(reply.err);
	CHECK(str_ends(buf_str(&reply.body), STR("data: [DONE]\n\n")));
	CHECK(!text_has(buf_str(&reply.body), "prompt_tokens"));
	buf_fini(&reply.body);
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-4o"));
	CHECK(house.reserve.needs_own_key); /* and a ledger would refuse it */
	CHECK_ERR(reply.err, ERR_MODEL_UNKNOWN);
	CHECK(text_has(reply.failure.message, "chatello key set openai"));
	buf_fini(&reply.body);
	CHECK_INT(house.provider.shared->requests, 0);
	house_close(&house);
}

/* --- a ledger that is away ------------------------------------------- */

TEST(proxy_asks_the_ledger_until_it_answers)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.away_err = ERR_UNAVAILABLE;
	house.reserve_failures = 2;
	house.settle_failures = 3;
	house_ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_INT(house.reserves, 3);
	house_turn_until_settled(&house, 4);
	CHECK_INT(house.settle.attempt, house.reserve.attempt);
	CHECK_INT(house.provider.shared->requests, 1);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.settles, 4);
}

/* --- models ---------------------------------------------------------- */

struct models {
	struct house *house;
	bool is_over;
	enum err err;
	struct models_answer answer;
};

static void
on_models(void *ctx, const struct bus_answer *answer)
{
	struct models *models = ctx;

	models->is_over = answer->is_last;
	models->err = answer->err;
	if (answer->err == ERR_OK)
		house_decode(models->house, &models_answer_schema, answer->body,
			     &models->answer);
}

static void
ask_models(struct house *house, struct models *models, struct str key)
{
	struct models_list list = {key, STR_NONE};
	struct bus_ask ask = {.type = MSG_models_list,
			      .deadline_ms = 5000,
			      .fn = on_models,
			      .ctx = models};
	struct buf out;
	uint64_t id;

	memset(models, 0, sizeof(*models));
	models->house = house;
	buf_init(&out, 4096);
	schema_encode(&models_list_schema, &list, &out);
	ask.body = buf_str(&out);
	CHECK_OK(bus_ask(house->pool, &ask, &id));
	buf_fini(&out);
	house_turn_until(house, &models->is_over);
}

TEST(proxy_lists_models_of_providers_that_are_on)
{
	struct house house;
	struct models models;

	house_open(&house);
	do { /* the proxy may not have heard the validator yet */
		CHECK_OK(loop_turn(house.loop, 5));
		ask_models(&house, &models, STR(LICENSE_KEY));
	} while (models.err == ERR_UNAVAILABLE);
	CHECK_OK(models.err);
	CHECK_INT(models.answer.models_count, 2);
	CHECK_STR(models.answer.models[0].id, STR("gpt-4o"));
	CHECK_STR(models.answer.models[1].id, STR("gpt-4o-mini"));
	ask_models(&house, &models, STR("CHA-NONE"));
	CHECK_ERR(models.err, ERR_NOT_FOUND);
	house_close(&house);
}

/* Of names, those that lead to a model of the list; a route in front of a
 * model's own name says whose it is. */
TEST(proxy_lists_aliases_like_models)
{
	const struct route_setting routes[] = {
	    {.name = STR("fast"), .model = STR("gpt-4o-mini")},
	    {.name = STR("dated"), .model = STR("gpt-4o-2024-08-06")},
	    {.name = STR("deep"), .model = STR("deepseek-chat")}, /* off */
	    {.name = STR("gone"), .model = STR("gpt-unpriced")},
	    {.name = STR("fa*"), .model = STR("gpt-4o")},
	    {.name = STR("gpt-4o"), .model = STR("gpt-4o-mini")},
	};
	struct house house;
	struct models models;
	const struct priced_model *list;

	house_open(&house);
	memcpy(house.routes, routes, sizeof(routes));
	house.routes_count = sizeof(routes) / sizeof(routes[0]);
	house.keys_version++;
	do { /* the first lists are from before the routes are known */
		CHECK_OK(loop_turn(house.loop, 5));
		ask_models(&house, &models, STR(LICENSE_KEY));
	} while (models.err == ERR_UNAVAILABLE ||
		 models.answer.models_count < 4);
	list = models.answer.models;
	CHECK_INT(models.answer.models_count, 4);
	CHECK_STR(list[0].id, STR("gpt-4o-mini"));
	for (int i = 1; i < 4; i++)
		CHECK_STR(list[i].provider, STR("openai"));
	CHECK_STR(list[1].id, STR("gpt-4o"));
	CHECK_INT(list[1].created_at, SCHEMA_INT_NONE);
	CHECK_STR(list[2].id, STR("dated"));
	CHECK_INT(list[2].created_at, 1000);
	CHECK_STR(list[3].id, STR("fast"));
	house_close(&house);
}

/* --- speed ----------------------------------------------------------- */

#define SPEED_OUTSTANDING 64u
#define SPEED_REQUESTS 5000u

struct speed {
	struct house *house;
	struct buf question;
	unsigned asked, answered;
};

static void speed_ask(struct speed *speed);

static void
on_speed(void *ctx, const struct bus_answer *answer)
{
	struct speed *speed = ctx;

	CHECK_OK(answer->err);
	CHECK(answer->is_last);
	speed->answered++;
	if (speed->asked < SPEED_REQUESTS)
		speed_ask(speed);
}

static void
speed_ask(struct speed *speed)
{
	struct bus_ask ask = {.type = MSG_ai_request,
			      .deadline_ms = 60000,
			      .body = buf_str(&speed->question),
			      .fn = on_speed,
			      .ctx = speed};
	uint64_t id;

	speed->asked++;
	CHECK_OK(bus_ask(speed->house->pool, &ask, &id));
}

/* User and system time of a process in microseconds. */
static long long
cpu_us(pid_t pid)
{
	long long user = 0, system = 0;
	char path[64], line[1024];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	CHECK(file && fgets(line, sizeof(line), file));
	fclose(file);
	CHECK(sscanf(strrchr(line, ')') + 2,
		     "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld",
		     &user, &system) == 2);
	return (user + system) * 1000000 / sysconf(_SC_CLK_TCK);
}

TEST(proxy_speed)
{
	struct house house;
	struct speed speed = {.house = &house};
	struct ai_request request;
	long long before;

	house_open(&house);
	schema_clear(&ai_request_schema, &request);
	request.request_id = STR("req-1");
	request.key = STR(LICENSE_KEY);
	request.shape = STR("openai");
	request.body = OPENAI("gpt-json");
	buf_init(&speed.question, 4096);
	schema_encode(&ai_request_schema, &request, &speed.question);
	before = cpu_us(house.proxy);
	for (unsigned i = 0; i < SPEED_OUTSTANDING; i++)
		speed_ask(&speed);
	while (speed.answered < SPEED_REQUESTS) {
		arena_reset(&house.arena);
		CHECK_OK(loop_turn(house.loop, 1000));
	}
	fprintf(stderr, "proxy: %.1f us CPU a JSON request at %u outstanding\n",
		(double)(cpu_us(house.proxy) - before) / SPEED_REQUESTS,
		SPEED_OUTSTANDING);
	buf_fini(&speed.question);
	house_close(&house);
}
