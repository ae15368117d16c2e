/*
 * proxy_routes_test: where a request goes by the settings' routes, and how soon
 * a proxy knows of them.
 */
#include "workers/proxy_house_test.h"

#include <stdio.h>

static void
ask_whole(struct house *house, struct reply *reply, const char *shape,
	  struct str body)
{
	house_ask_whole(house, reply, shape, body);
	buf_fini(&reply->body);
}

static void
add_route(struct house *house, struct route_setting route)
{
	house->routes[house->routes_count++] = route;
	house->keys_version++;
}

/* The scripted provider under another name, without a key. */
static void
add_provider(struct house *house, const char *name)
{
	house->providers[house->providers_count++] = (struct provider_setting){
	    str_of(name), str_of(house->provider.base), STR("none"),
	    STR("gpt-small")};
	house->keys_version++;
}

TEST(proxy_routes_an_alias_and_a_further_provider)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	add_provider(&house, "near");
	add_route(&house, (struct route_setting){.name = STR("fast"),
						 .model = STR("gpt-json")});
	add_route(&house, (struct route_setting){.name = STR("gpt-near*"),
						 .provider = STR("near")});
	/* A name that it has not heard of is worth a question. */
	ask_whole(&house, &reply, "openai", OPENAI("fast"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.provider, STR("openai"));
	CHECK_STR(house.reserve.model, STR("gpt-json"));
	CHECK_STR(scripted_last_body(&house.provider), OPENAI("gpt-json"));
	ask_whole(&house, &reply, "openai", OPENAI("gpt-near-1"));
	CHECK_OK(reply.err);
	CHECK_STR(reply.head.provider, STR("near"));
	CHECK_STR(house.reserve.provider, STR("near"));
	CHECK_STR(house.reserve.model, STR("gpt-near-1"));
	CHECK(!house.reserve.needs_own_key);
	CHECK(!scripted_last_has(&house.provider, "Authorization"));
	CHECK(!scripted_last_has(&house.provider, "sk-canary"));
	/* In the other shape, too; and by its name. */
	ask_whole(&house, &reply, "anthropic", CLAUDE("gpt-near-1"));
	CHECK_OK(reply.err);
	CHECK_STR(reply.head.provider, STR("near"));
	ask_whole(&house, &reply, "chat",
		  STR("{\"api_provider\":\"near\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.provider, STR("near"));
	CHECK_STR(house.reserve.model, STR("gpt-small"));
	house_close(&house);
}

TEST(proxy_routes_follow_their_changes)
{
	struct house house;
	struct reply reply;
	unsigned gets;

	house_open(&house);
	add_provider(&house, "near");
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_STR(house.reserve.provider, STR("openai"));
	gets = house.keys_gets;
	add_route(&house, (struct route_setting){.name = STR("gpt-*"),
						 .provider = STR("near")});
	/* The answer to a reservation brings the news. */
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	while (house.keys_gets == gets)
		CHECK_OK(loop_turn(house.loop, 1000));
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.provider, STR("near"));
	house.routes_count = 0;
	house.providers_count = 0;
	house.keys_version++;
	gets = house.keys_gets;
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	while (house.keys_gets == gets)
		CHECK_OK(loop_turn(house.loop, 1000));
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.provider, STR("openai"));
	ask_whole(&house, &reply, "chat",
		  STR("{\"api_provider\":\"near\"," MESSAGES "}"));
	CHECK_ERR(reply.err, ERR_BAD_FIELD);
	CHECK_STR(reply.failure.field, STR("api_provider"));
	house_close(&house);
}

/* Whoever makes names up does not keep the ledger busy. */
TEST(proxy_asks_for_unknown_names_now_and_then)
{
	struct reply replies[20];
	struct house house;

	house_open(&house);
	ask_whole(&house, &replies[0], "openai", OPENAI("gpt-json"));
	for (int i = 0; i < 20; i++)
		house_ask(&house, &replies[i], "openai", OPENAI("mistral"));
	for (int i = 0; i < 20; i++) {
		house_turn_until(&house, &replies[i].is_over);
		CHECK_ERR(replies[i].err, ERR_MODEL_UNKNOWN);
		CHECK_STR(replies[i].failure.field, STR("model"));
		CHECK(text_has(replies[i].failure.message, "mistral"));
		buf_fini(&replies[i].body);
	}
	CHECK(house.keys_gets <= 4);
	CHECK_INT(house.reserves, 1);
	house_close(&house);
}

/* Whoever sets a route and asks for it gets it, even if somebody has just asked
 * for a name that is none. */
TEST(proxy_waits_for_a_route_that_was_just_set)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_whole(&house, &reply, "openai", OPENAI("mistral"));
	CHECK_ERR(reply.err, ERR_MODEL_UNKNOWN);
	add_route(&house, (struct route_setting){.name = STR("mistral"),
						 .model = STR("gpt-json")});
	ask_whole(&house, &reply, "openai", OPENAI("mistral"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.model, STR("gpt-json"));
	house_close(&house);
}

TEST(proxy_client_that_waits_for_routes_may_leave)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.is_keys_held = true;
	house_ask(&house, &reply, "openai", OPENAI("mistral"));
	while (house.held_keys == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	bus_cancel(house.edge, reply.id);
	CHECK_OK(loop_turn(house.loop, 5));
	house_answer_keys(&house, house.held_keys);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.reserves, 0);
}

/* What no key and no route can mend is not kept waiting for them. */
TEST(proxy_refuses_what_is_malformed_before_it_knows_its_keys)
{
	static const char *const bodies[] = {
	    "", "{", "{\"model\":\"gpt-json\"}",
	    "{\"model\":\"gpt-json\",\"base_url\":\"x\"," MESSAGES "}"};
	struct reply parked, reply;
	struct house house;

	house_keys_held = true;
	house_open(&house);
	house_ask(&house, &parked, "openai", OPENAI("gpt-json"));
	while (house.held_keys == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		ask_whole(&house, &reply, "openai", str_of(bodies[i]));
		CHECK(reply.err == ERR_BAD_REQUEST ||
		      reply.err == ERR_BAD_FIELD);
		CHECK(!parked.is_over);
		CHECK_INT(house.reserves, 0);
	}
	house.is_keys_held = false;
	house_answer_keys(&house, house.held_keys);
	house_turn_until(&house, &parked.is_over);
	CHECK_OK(parked.err);
	buf_fini(&parked.body);
	house_close(&house);
}
