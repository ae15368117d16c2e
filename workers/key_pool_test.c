/*
 * key_pool_test: which key is picked, how long one rests, and what stays over
 * a change.
 */
#include "workers/key_pool.h"

#include "lib/test.h"

#define OPENAI 0
#define DEEPSEEK 2

static void
fill(struct key_pool *pool)
{
	memset(pool, 0, sizeof(*pool));
	CHECK(key_pool_add(pool, OPENAI, STR("a"), STR("key-aaaa"), 1));
	CHECK(key_pool_add(pool, DEEPSEEK, STR("d"), STR("key-dddd"), 1));
	CHECK(key_pool_add(pool, OPENAI, STR("b"), STR("key-bbbb"), 3));
}

TEST(keys_are_picked_by_weight_among_those_that_do_not_rest)
{
	struct key_pool pool;
	int64_t wait_ms = -1;
	unsigned picks[3] = {0};

	fill(&pool);
	CHECK_INT(key_pool_pick(&pool, 1, 0, 0, &wait_ms), KEY_POOL_NONE);
	CHECK(!key_pool_has(&pool, 1) && key_pool_has(&pool, DEEPSEEK));
	for (uint64_t i = 0; i < 400; i++)
		picks[key_pool_pick(&pool, OPENAI, 0, i, &wait_ms)]++;
	CHECK_INT(picks[0], 100);
	CHECK_INT(picks[1], 0);
	CHECK_INT(picks[2], 300);
	CHECK_INT(key_pool_rest(&pool, 2, KEY_REST_LIMITED, 700, 1000), 700);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_INT(key_pool_pick(&pool, OPENAI, 1699, i, &wait_ms), 0);
	CHECK_INT(key_pool_pick(&pool, OPENAI, 1700, 1, &wait_ms), 2);
	CHECK_INT(key_pool_rest(&pool, 0, KEY_REST_REFUSED, -1, 1000), 5000);
	CHECK_INT(key_pool_pick(&pool, OPENAI, 1600, 0, &wait_ms),
		  KEY_POOL_RESTING);
	CHECK_INT(wait_ms, 100);
	CHECK_INT(key_pool_first_back(&pool, OPENAI), 2);
	CHECK_INT(key_pool_pick(&pool, DEEPSEEK, 1600, 9, &wait_ms), 1);
}

TEST(keys_rest_longer_with_each_refusal_and_not_for_ever)
{
	struct key_pool pool;
	int64_t now_ms = 1000, last_ms = 0, ms;

	fill(&pool);
	for (int i = 0; i < 12; i++) {
		ms = key_pool_rest(&pool, 1, KEY_REST_LIMITED, -1, now_ms);
		CHECK(ms >= last_ms && ms >= 1000 && ms <= 300000);
		now_ms += ms;
		last_ms = ms;
	}
	CHECK_INT(last_ms, 300000);
	/* A refusal of a request that was under way is not another one. */
	key_pool_works(&pool, 1);
	CHECK_INT(key_pool_rest(&pool, 1, KEY_REST_LIMITED, -1, now_ms), 1000);
	CHECK_INT(key_pool_rest(&pool, 1, KEY_REST_LIMITED, -1, now_ms + 1),
		  1000);
	CHECK_INT(pool.keys[1].rests, 1);
	/* A shorter wish takes nothing off, a mad one is bounded. */
	CHECK_INT(key_pool_rest(&pool, 1, KEY_REST_LIMITED, 10, now_ms + 2),
		  10);
	CHECK_INT(pool.keys[1].rests_until_ms, now_ms + 1001);
	CHECK_INT(
	    key_pool_rest(&pool, 1, KEY_REST_LIMITED, INT64_MAX / 2, now_ms),
	    300000);
}

TEST(a_403_never_takes_the_last_key)
{
	struct key_pool pool;
	int64_t wait_ms;

	fill(&pool);
	CHECK_INT(key_pool_rest(&pool, 1, KEY_REST_FORBIDDEN, -1, 0), 0);
	CHECK_INT(key_pool_pick(&pool, DEEPSEEK, 0, 0, &wait_ms), 1);
	CHECK_INT(key_pool_rest(&pool, 0, KEY_REST_FORBIDDEN, -1, 0), 5000);
	CHECK_INT(key_pool_rest(&pool, 2, KEY_REST_FORBIDDEN, -1, 0), 0);
	CHECK_INT(key_pool_pick(&pool, OPENAI, 0, 0, &wait_ms), 2);
}

TEST(a_change_keeps_the_rest_of_keys_that_stayed)
{
	struct key_pool pool, next;
	int64_t wait_ms;

	fill(&pool);
	key_pool_rest(&pool, 0, KEY_REST_NO_BALANCE, -1, 0);
	key_pool_rest(&pool, 2, KEY_REST_NO_BALANCE, -1, 0);
	memset(&next, 0, sizeof(next));
	CHECK(key_pool_add(&next, OPENAI, STR("b"), STR("key-new!"), 3));
	CHECK(key_pool_add(&next, OPENAI, STR("a"), STR("key-aaaa"), 1));
	key_pool_replace(&pool, &next);
	CHECK_INT(pool.count, 2);
	CHECK_INT(pool.generation, 1);
	CHECK_INT(next.count, 0);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_INT(key_pool_pick(&pool, OPENAI, 1, i, &wait_ms), 0);
	CHECK(!key_pool_has(&pool, DEEPSEEK));
}

/* Whoever is being asked with a key tells of that one when it is refused. */
TEST(the_same_keys_again_are_no_change)
{
	struct key_pool pool, next;

	fill(&pool);
	fill(&next);
	next.keys[0].weight = 9;
	key_pool_replace(&pool, &next);
	CHECK_INT(pool.generation, 0);
	CHECK_INT(pool.keys[0].weight, 9);
	fill(&next);
	next.keys[1].text[0] ^= 1;
	key_pool_replace(&pool, &next);
	CHECK_INT(pool.generation, 1);
	fill(&next);
	next.count--;
	key_pool_replace(&pool, &next);
	CHECK_INT(pool.generation, 2);
}

TEST(a_key_pool_has_a_limit)
{
	struct key_pool pool = {.count = 0};
	char text[PROVIDER_KEY_BYTES_MAX + 1];

	memset(text, 'k', sizeof(text));
	CHECK(!key_pool_add(&pool, 0, STR("a"), str_bytes(text, sizeof(text)),
			    1));
	for (unsigned i = 0; i < KEY_POOL_MAX; i++)
		CHECK(key_pool_add(&pool, 0, STR("a"),
				   str_bytes(text, sizeof(text) - 1), 1));
	CHECK(!key_pool_add(&pool, 0, STR("a"), STR("key-aaaa"), 1));
}
