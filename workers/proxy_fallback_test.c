/*
 * proxy_fallback_test: which model is tried when one fails, what it is sent,
 * and what the ledger is told of both.
 */
#include "workers/proxy_house_test.h"

#include <stdio.h>

static void
ask_whole(struct house *house, struct reply *reply, const char *shape,
	  struct str body)
{
	unsigned settles = house->settles;

	house_ask_whole(house, reply, shape, body);
	house_turn_until_settled(house, settles + 1);
}

/* name falls back to these, and the ledger lets those of the mask. */
static void
add_route(struct house *house, const char *name, struct str *fallbacks,
	  uint32_t count, int64_t mask)
{
	struct reply reply;
	unsigned gets = house->keys_gets;

	house->routes[house->routes_count++] =
	    (struct route_setting){.name = str_of(name),
				   .fallbacks = fallbacks,
				   .fallbacks_count = count};
	house->keys_version++;
	house->fallbacks = mask;
	ask_whole(house, &reply, "openai", OPENAI("gpt-json"));
	buf_fini(&reply.body);
	while (house->keys_gets == gets)
		CHECK_OK(loop_turn(house->loop, 1000));
	house->provider.shared->requests = 0;
}

static void
check_try(const struct house *house, uint32_t i, const char *provider,
	  const char *model, int64_t status, int64_t calls)
{
	CHECK(i < house->settle.tries_count);
	CHECK_STR(house->settle.tries[i].provider, str_of(provider));
	CHECK_STR(house->settle.tries[i].model, str_of(model));
	CHECK_INT(house->settle.tries[i].status, status);
	CHECK_INT(house->settle.tries[i].calls, calls);
}

/* An image takes what the dearest of the route's models counts for one, however
 * many bytes it has. */
TEST(proxy_reserves_images_for_each_model_of_the_route)
{
	static const char image[] = "{\"type\":\"image_url\",\"image_url\":{"
				    "\"url\":\"data:image/png;base64,";
	struct str fallbacks[] = {STR("gpt-4o-mini")};
	static char body[100000];
	struct house house;
	struct reply reply;
	size_t n;

	n = (size_t)snprintf(
	    body, sizeof(body),
	    "{\"model\":\"gpt-5-json\",\"messages\":[{\"role\":"
	    "\"user\",\"content\":[%s",
	    image);
	memset(body + n, 'A', 80000);
	n += 80000;
	snprintf(body + n, sizeof(body) - n, "\"}},%sAA==\"}}]}]}", image);
	house_open(&house);
	ask_whole(&house, &reply, "openai", str_of(body));
	CHECK_OK(reply.err);
	CHECK(house.reserve.input_tokens > 2 * 3779);
	CHECK(house.reserve.input_tokens < 2 * 3779 + 100);
	buf_fini(&reply.body);
	add_route(&house, "gpt-5-json", fallbacks, 1, 1);
	ask_whole(&house, &reply, "openai", str_of(body));
	CHECK_OK(reply.err);
	CHECK(house.reserve.input_tokens > 2 * 48169);
	CHECK(house.reserve.input_tokens < 2 * 48169 + 100);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_falls_back_to_a_model_of_another_shape)
{
	struct str fallbacks[] = {STR("claude-json")};
	struct house house;
	struct reply reply;

	house_open(&house);
	add_route(&house, "gpt-down", fallbacks, 1, 1);
	ask_whole(&house, &reply, "openai", OPENAI("gpt-down"));
	CHECK_OK(reply.err);
	CHECK_INT(reply.head.status, 200);
	CHECK_STR(reply.head.provider, STR("anthropic"));
	CHECK(text_has(buf_str(&reply.body), "\"chat.completion\""));
	CHECK(scripted_last_has(&house.provider, "POST /v1/messages "));
	CHECK(scripted_last_has(&house.provider, "x-api-key: sk-claude\r\n"));
	CHECK(scripted_last_has(&house.provider, "anthropic-version: "));
	CHECK(text_has(scripted_last_body(&house.provider),
		       "\"model\":\"claude-json\""));
	CHECK_STR(house.reserve.provider, STR("openai"));
	CHECK_INT(house.reserve.fallbacks_count, 1);
	CHECK_STR(house.reserve.fallbacks[0].provider, STR("anthropic"));
	CHECK_STR(house.reserve.fallbacks[0].model, STR("claude-json"));
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_STR(house.settle.provider, STR("anthropic"));
	CHECK_STR(house.settle.asked_model, STR("claude-json"));
	CHECK_STR(house.settle.model, STR("claude-json-1"));
	CHECK_INT(house.settle.attempts, 4);
	CHECK_INT(house.settle.tries_count, 2);
	check_try(&house, 0, "openai", "gpt-down", 503, 3);
	check_try(&house, 1, "anthropic", "claude-json", 200, 1);
	buf_fini(&reply.body);
	/* A stream likewise, and from the other side. */
	ask_whole(&house, &reply, "openai", OPENAI_STREAM("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_INT(house.settle.tries_count, 0);
	CHECK(house.settle.provider.p == NULL);
	buf_fini(&reply.body);
	fallbacks[0] = STR("gpt-json");
	add_route(&house, "claude-529", fallbacks, 1, 1);
	ask_whole(&house, &reply, "anthropic", CLAUDE("claude-529"));
	CHECK_OK(reply.err);
	CHECK(text_has(buf_str(&reply.body), "\"type\":\"message\""));
	CHECK(!scripted_last_has(&house.provider, "x-api-key"));
	CHECK(!scripted_last_has(&house.provider, "anthropic-version"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_tries_each_that_the_reservation_covers)
{
	struct str fallbacks[] = {STR("claude-529"), STR("gpt-json"),
				  STR("gpt-429")};
	struct house house;
	struct reply reply;

	house_open(&house);
	add_route(&house, "gpt-down", fallbacks, 3, 5);
	ask_whole(&house, &reply, "openai", OPENAI("gpt-down"));
	CHECK_ERR(reply.err, ERR_RATE_LIMITED); /* as the last one says */
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_INT(house.settle.tries_count, 3);
	check_try(&house, 0, "openai", "gpt-down", 503, 3);
	check_try(&house, 1, "anthropic", "claude-529", 529, 3);
	check_try(&house, 2, "openai", "gpt-429", 429, 3);
	CHECK_INT(house.settle.attempts, 9);
	CHECK_INT(house.provider.shared->requests, 9);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_falls_back_only_when_nothing_can_be_billed)
{
	static const struct {
		const char *model;
		const char *body;
		enum err err;
		unsigned calls;
	} rows[] = {
	    {"gpt-400", "{\"model\":\"gpt-400\"," MESSAGES "}", ERR_OK, 1},
	    /* A kept connection may have been closed already. */
	    {"gpt-reset", "{\"model\":\"gpt-reset\"," MESSAGES "}",
	     ERR_UPSTREAM_FAILED, 2},
	    {"gpt-garbage", "{\"model\":\"gpt-garbage\"," MESSAGES "}",
	     ERR_UPSTREAM_FAILED, 1},
	    {"gpt-401", "{\"model\":\"gpt-401\"," MESSAGES "}",
	     ERR_UPSTREAM_FAILED, 1},
	};
	struct str fallbacks[] = {STR("claude-json")};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		add_route(&house, rows[i].model, fallbacks, 1, 1);
		ask_whole(&house, &reply, "openai", str_of(rows[i].body));
		CHECK_ERR(reply.err, rows[i].err);
		CHECK_INT(house.settle.tries_count, 0);
		CHECK_INT(house.provider.shared->requests, rows[i].calls);
		CHECK(!scripted_last_has(&house.provider, "/messages"));
		buf_fini(&reply.body);
	}
	/* Now its only key rests. */
	ask_whole(&house, &reply, "openai", OPENAI("gpt-401"));
	CHECK_OK(reply.err);
	check_try(&house, 0, "openai", "gpt-401", SCHEMA_INT_NONE, 0);
	check_try(&house, 1, "anthropic", "claude-json", 200, 1);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_falls_back_at_once_from_one_that_is_left_alone)
{
	struct str fallbacks[] = {STR("claude-json")};
	struct house house;
	struct reply reply;

	house_open(&house);
	add_route(&house, "gpt-down", fallbacks, 1, 1);
	do {
		ask_whole(&house, &reply, "openai", OPENAI("gpt-down"));
		CHECK_OK(reply.err);
		buf_fini(&reply.body);
	} while (house.settle.tries[0].calls > 0);
	check_try(&house, 0, "openai", "gpt-down", SCHEMA_INT_NONE, 0);
	check_try(&house, 1, "anthropic", "claude-json", 200, 1);
	CHECK_INT(house.settle.attempts, 1);
	house_close(&house);
}

/* It is bound to what was granted, as the one before it was. */
TEST(proxy_falls_back_within_what_is_granted)
{
	struct str fallbacks[] = {STR("claude-json")};
	struct house house;
	struct reply reply;

	house_open(&house);
	add_route(&house, "gpt-down", fallbacks, 1, 1);
	house.granted = 7;
	ask_whole(&house, &reply, "openai", OPENAI("gpt-down"));
	CHECK_OK(reply.err);
	CHECK(text_has(scripted_last_body(&house.provider),
		       "\"model\":\"claude-json\""));
	CHECK(
	    text_has(scripted_last_body(&house.provider), "\"max_tokens\":7"));
	CHECK(!text_has(scripted_last_body(&house.provider),
			"\"max_tokens\":70"));
	buf_fini(&reply.body);
	house_close(&house);
}

/* What the other shape has no place for is said by the model that was meant. */
TEST(proxy_skips_a_fallback_that_cannot_be_asked)
{
	struct str fallbacks[] = {STR("claude-json"), STR("gpt-json")};
	struct house house;
	struct reply reply;

	house_open(&house);
	add_route(&house, "gpt-down", fallbacks, 2, 3);
	ask_whole(&house, &reply, "openai",
		  STR("{\"model\":\"gpt-down\",\"n\":2," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(reply.head.provider, STR("openai"));
	CHECK_INT(house.settle.tries_count, 2);
	check_try(&house, 1, "openai", "gpt-json", 200, 1);
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{\"model\":\"gpt-json\",\"n\":2," MESSAGES "}"));
	buf_fini(&reply.body);
	house_close(&house);
}
