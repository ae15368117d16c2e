/*
 * proxy_limit_test: what admission grants reaches the provider, and a stream
 * that runs past it ends well, in each client's shape.
 */
#include "workers/proxy_house_test.h"

static void
ask(struct house *house, struct reply *reply, const char *shape,
    struct str body)
{
	unsigned settles = house->settles;

	house_ask_whole(house, reply, shape, body);
	CHECK_OK(reply->err);
	house_turn_until_settled(house, settles + 1);
}

TEST(limit_wish_is_asked_for)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask(&house, &reply, "openai",
	    STR("{\"model\":\"gpt-json\",\"max_tokens\":70,\"n\":2," MESSAGES
		"}"));
	CHECK_INT(house.reserve.output_tokens, 70);
	CHECK_INT(house.reserve.choices, 2);
	CHECK_INT(house.reserve.output_min, SCHEMA_INT_NONE);
	buf_fini(&reply.body);
	ask(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_INT(house.reserve.output_tokens, SCHEMA_INT_NONE);
	CHECK_INT(house.reserve.choices, SCHEMA_INT_NONE);
	buf_fini(&reply.body);
	/* Anthropic needs a number: the one that it gets. */
	ask(&house, &reply, "openai", OPENAI("claude-json"));
	CHECK_INT(house.reserve.output_tokens, TRANSLATE_MAX_TOKENS);
	buf_fini(&reply.body);
	ask(&house, &reply, "anthropic",
	    STR("{\"model\":\"claude-json\",\"max_tokens\":3000,\"thinking\":{"
		"\"type\":\"enabled\",\"budget_tokens\":2000}," MESSAGES "}"));
	CHECK_INT(house.reserve.output_tokens, 3000);
	CHECK_INT(house.reserve.output_min, 2001);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(limit_grant_is_written_into_the_request)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.granted = 50;
	ask(&house, &reply, "openai",
	    STR("{ \"model\":\"gpt-json\", \"max_tokens\": 70 ," MESSAGES
		" }"));
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{ \"model\":\"gpt-json\", \"max_tokens\": 50 ," MESSAGES
		      " }"));
	buf_fini(&reply.body);
	ask(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{\"model\":\"gpt-json\"," MESSAGES
		      ",\"max_completion_tokens\":50}"));
	buf_fini(&reply.body);
	ask(&house, &reply, "anthropic", CLAUDE("claude-json"));
	CHECK_STR(
	    scripted_last_body(&house.provider),
	    STR("{\"model\":\"claude-json\",\"max_tokens\":50," MESSAGES "}"));
	buf_fini(&reply.body);
	ask(&house, &reply, "openai", OPENAI("claude-json"));
	CHECK(scripted_last_has(&house.provider, "\"max_tokens\":50"));
	CHECK(!scripted_last_has(&house.provider, "4096"));
	buf_fini(&reply.body);
	ask(&house, &reply, "chat", OPENAI("gpt-json"));
	CHECK(scripted_last_has(&house.provider,
				",\"max_completion_tokens\":50}"));
	buf_fini(&reply.body);
	/* What asks for no more is passed as it came. */
	house.granted = 99;
	ask(&house, &reply, "anthropic", CLAUDE("claude-json"));
	CHECK_STR(scripted_last_body(&house.provider), CLAUDE("claude-json"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* A provider that keeps to it is not cut, whatever the size of its pieces. */
TEST(limit_stream_within_its_grant_is_whole)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.granted = 5;
	ask(&house, &reply, "openai", OPENAI_STREAM("gpt-s"));
	CHECK(str_ends(buf_str(&reply.body), STR("data: [DONE]\n\n")));
	CHECK(text_has(buf_str(&reply.body), "two"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_INT(house.settle.output_tokens, 5);
	buf_fini(&reply.body);
	ask(&house, &reply, "anthropic", CLAUDE_STREAM("claude-s"));
	CHECK(text_has(buf_str(&reply.body), "end_turn"));
	CHECK_STR(house.settle.source, STR("provider"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(limit_stream_past_its_grant_ends_well)
{
	const struct {
		const char *shape;
		struct str body;
		const char *reason, *end;
	} rows[] = {
	    {"openai", OPENAI_STREAM("gpt-endless"),
	     "\"finish_reason\":\"length\"", "data: [DONE]\n\n"},
	    {"openai", OPENAI_STREAM("claude-endless"),
	     "\"finish_reason\":\"length\"", "data: [DONE]\n\n"},
	    {"anthropic", CLAUDE_STREAM("claude-endless"),
	     "\"stop_reason\":\"max_tokens\"",
	     "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	    {"anthropic", CLAUDE_STREAM("gpt-endless"),
	     "\"stop_reason\":\"max_tokens\"",
	     "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	    {"chat", OPENAI_STREAM("gpt-endless"), "{\"done\":true,",
	     "data: [DONE]\n\n"},
	};

	struct house house;

	house_open(&house);
	house.granted = 10;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reply reply;
		struct str text;

		ask(&house, &reply, rows[i].shape, rows[i].body);
		text = buf_str(&reply.body);
		CHECK(text_has(text, rows[i].reason));
		CHECK(str_ends(text, str_of(rows[i].end)));
		CHECK_INT(test_count(text, "word"), 9); /* and "one" */
		CHECK_STR(house.settle.status, STR("settled"));
		CHECK_STR(house.settle.source, STR("partial"));
		CHECK(house.settle.output_tokens > 10);
		CHECK(house.settle.input_tokens > 0);
		CHECK(house.settle.error.p == NULL);
		buf_fini(&reply.body);
	}
	house_close(&house);
}
