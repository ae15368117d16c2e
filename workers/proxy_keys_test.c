/*
 * proxy_keys_test: which key a provider sees: the customer's before the
 * vendor's, another one when one is refused, a new one as soon as the ledger
 * has it; and that a request is told what is wrong without seeing any.
 */
#include "workers/proxy_house_test.h"

#include <stdio.h>

#define OWN_KEY "sk-own-canary-0123"

static void
ask_whole(struct house *house, struct reply *reply, struct str body)
{
	unsigned settles = house->settles;

	house_ask_whole(house, reply, "openai", body);
	house_turn_until_settled(house, settles + 1);
	buf_fini(&reply->body);
}

static bool
key_was(const struct house *house, const char *key)
{
	char header[256];

	snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", key);
	return scripted_last_has(&house->provider, header);
}

static void
keys_add(struct house *house, const char *name, const char *key)
{
	house->keys[house->keys_count++] =
	    (struct sealed_key){STR("openai"), str_of(name), 1,
				house_seal(house, "vendor", name, key)};
	house->keys_version++;
}

static void
turn_until_keys(struct house *house, unsigned gets)
{
	while (house->keys_gets < gets)
		CHECK_OK(loop_turn(house->loop, 1000));
}

TEST(proxy_uses_the_customers_key_before_the_vendors)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.own_key = house_seal(&house, "cus_1", "own", OWN_KEY);
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK(key_was(&house, OWN_KEY));
	CHECK(!scripted_last_has(&house.provider, "sk-canary"));
	CHECK(house.settle.own_key);
	CHECK_INT(house.settle.output_tokens, 5);
	house.own_key = STR_NONE;
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK(key_was(&house, "sk-canary"));
	CHECK(!house.settle.own_key);
	house_close(&house);
}

/* Also one that no key of the vendor's could stand in for. */
TEST(proxy_uses_a_customers_key_where_the_vendor_has_none)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	house.own_key = house_seal(&house, "cus_1", "own", OWN_KEY);
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK(house.reserve.needs_own_key);
	CHECK_OK(reply.err);
	CHECK(key_was(&house, OWN_KEY));
	house_close(&house);
}

TEST(proxy_never_replaces_a_customers_key_by_the_vendors)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.own_key = house_seal(&house, "cus_1", "own", OWN_KEY);
	ask_whole(&house, &reply, OPENAI("gpt-401"));
	CHECK_ERR(reply.err, ERR_OWN_KEY_REFUSED);
	CHECK(text_has(reply.failure.message, "PUT /api/keys/openai"));
	CHECK(!text_has(reply.failure.message, "canary"));
	CHECK_STR(house.settle.error, STR("OWN_KEY_REFUSED"));
	CHECK_INT(house.provider.shared->requests, 1);
	/* One that was sealed for somebody else. */
	house.own_key = house_seal(&house, "cus_2", "own", OWN_KEY);
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_STORE_CORRUPT);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_INT(house.provider.shared->requests, 1);
	house_close(&house);
}

TEST(proxy_takes_another_key_when_one_is_refused)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	keys_add(&house, "first", "sk-first-bad-key");
	keys_add(&house, "second", "sk-second-good-key");
	/* Whichever is first: the bad one is met once and put aside. */
	for (int i = 0; i < 16; i++) {
		ask_whole(&house, &reply, OPENAI("gpt-key"));
		CHECK_OK(reply.err);
		CHECK(key_was(&house, "sk-second-good-key"));
	}
	CHECK_INT(house.provider.shared->requests, 17);
	house_close(&house);
}

TEST(proxy_says_when_no_key_is_left)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	turn_until_keys(&house, 1);
	ask_whole(&house, &reply, OPENAI("gpt-401"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_KEYS_RESTING);
	CHECK(reply.failure.retry_after_ms > 3000 &&
	      reply.failure.retry_after_ms <= 5000);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_INT(house.provider.shared->requests, 1);
	/* A key that is set meanwhile is used at once. */
	keys_add(&house, "default", "sk-a-new-key");
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK(key_was(&house, "sk-a-new-key"));
	house_close(&house);
}

TEST(proxy_waits_for_the_first_key_that_is_set)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	turn_until_keys(&house, 1);
	keys_add(&house, "default", "sk-a-new-key");
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK(key_was(&house, "sk-a-new-key"));
	CHECK_INT(house.settle.attempts, 1);
	/* A key that cannot be opened is as good as none. */
	house.keys[0].sealed_key =
	    house_seal(&house, "vendor", "other", "sk-a-new-key");
	house.keys_version++;
	ask_whole(&house, &reply, OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_MODEL_UNKNOWN);
	/* Nor is one used that was taken away. */
	CHECK_INT(house.provider.shared->requests, 1);
	house_close(&house);
}
