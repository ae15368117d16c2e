/*
 * keys_test: the bytes of keys, that they sort as promised, and that a prefix
 * finds its own keys and no others.
 */
#include "lib/test.h"

#include <stdlib.h>

#include "store/keys.h"

static bool
is_prefix_of(const struct key *prefix, const struct key *key)
{
	return str_starts(key_str(key), key_str(prefix));
}

TEST(keys_have_the_bytes_that_stores_already_hold)
{
	struct key key;

	key_meta(&key);
	CHECK_STR(key_str(&key), STR("!"));
	key_plan(&key, STR("default"), STR("pro"));
	CHECK_STR(key_str(&key), STR("Pdefault\0pro"));
	key_usage_line(&key, STR("r1"), STR("lic_A"));
	CHECK_STR(key_str(&key), STR("Ur1\0lic_A"));
	key_counted(&key);
	CHECK_STR(key_str(&key), STR("N"));
	key_meter(&key, STR("lic_A"));
	CHECK_STR(key_str(&key), STR("Rlic_A\0!"));
	key_workspace_meter(&key, STR("default"));
	CHECK_STR(key_str(&key), STR("Mdefault"));
	key_rollup_license(&key, STR("lic_A"), 'h', 3600000);
	CHECK_STR(key_str(&key), STR("Rlic_A\0h\x80\0\0\0\0\x36\xee\x80"));
	key_license(&key, STR("\0hash\0"));
	CHECK_STR(key_str(&key), STR("L\0hash\0"));
	key_subscription(&key, STR("\0hash\0"));
	CHECK_STR(key_str(&key), STR("L\0hash\0s"));
	key_customer_license(&key, STR("cus_1"), STR("lic_A"));
	CHECK_STR(key_str(&key), STR("Fcus_1\0lic_A"));
	key_provider_key(&key, STR("cus_1"), STR("openai"), STR("own"));
	CHECK_STR(key_str(&key), STR("Kcus_1\0openai\0own"));
}

TEST(a_prefix_finds_no_other_licence)
{
	struct key prefix, own, other;

	key_activation(&prefix, STR("lic_A"), STR_NONE);
	key_activation(&own, STR("lic_A"), STR("shop.example"));
	key_activation(&other, STR("lic_AB"), STR("shop.example"));
	CHECK(is_prefix_of(&prefix, &own));
	CHECK(!is_prefix_of(&prefix, &other));
	key_usage_line(&prefix, STR("A"), STR_NONE);
	key_usage_line(&own, STR("A"), STR("lic_B"));
	key_usage_line(&other, STR("AB"), STR("lic_B"));
	CHECK(is_prefix_of(&prefix, &own));
	CHECK(!is_prefix_of(&prefix, &other));
	key_rollup_license(&prefix, STR("lic_A"), KEY_WINDOW_NONE,
			   KEY_TIME_NONE);
	key_rollup_license(&own, STR("lic_A"), 'm', -5);
	key_rollup_license(&other, STR("lic_Am"), 'm', -5);
	CHECK(is_prefix_of(&prefix, &own));
	CHECK(!is_prefix_of(&prefix, &other));
}

TEST(each_part_that_is_given_narrows_the_prefix)
{
	struct key key, prefix;

	key_rollup_model(&key, STR("default"), 'd', 77, STR("openai"),
			 STR("gpt-4o"));
	key_rollup_model(&prefix, STR_NONE, KEY_WINDOW_NONE, KEY_TIME_NONE,
			 STR_NONE, STR_NONE);
	CHECK_STR(key_str(&prefix), STR("Q"));
	CHECK(is_prefix_of(&prefix, &key));
	key_rollup_model(&prefix, STR("default"), 'd', KEY_TIME_NONE, STR_NONE,
			 STR_NONE);
	CHECK_STR(key_str(&prefix), STR("Qdefault\0d"));
	CHECK(is_prefix_of(&prefix, &key));
	key_rollup_model(&prefix, STR("default"), 'd', 77, STR("openai"),
			 STR_NONE);
	CHECK(is_prefix_of(&prefix, &key));
	CHECK_INT(key.n, prefix.n + 6);
	key_rollup_model(&prefix, STR("default"), 'd', 77, STR("open"),
			 STR_NONE);
	CHECK(!is_prefix_of(&prefix, &key));
	/* What stands behind an absent part does not count. */
	key_rollup_model(&prefix, STR("default"), KEY_WINDOW_NONE, 77,
			 STR("openai"), STR("gpt-4o"));
	CHECK_STR(key_str(&prefix), STR("Qdefault\0"));
}

TEST(times_sort_as_numbers)
{
	static const int64_t times[] = {
	    INT64_MIN + 1,	    -256,     -1, 0, 1, 255, 256,
	    INT64_C(1763704800000), INT64_MAX};
	struct key last, key;

	key_open(&last, times[0], STR("z"), STR("z"));
	for (size_t i = 1; i < sizeof(times) / sizeof(times[0]); i++) {
		key_open(&key, times[i], STR("a"), STR("a"));
		CHECK(str_cmp(key_str(&last), key_str(&key)) < 0);
		key_open(&last, times[i], STR("z"), STR("z"));
	}
}

TEST(a_part_that_cannot_be_in_a_key_makes_it_empty)
{
	static char big[STORE_KEY_BYTES_MAX];
	struct key key;

	key_usage_line(&key, STR("lic_A\0r1"), STR("r2"));
	CHECK_INT(key.n, 0);
	key_usage_line(&key, STR("lic_A"), STR("\0"));
	CHECK_INT(key.n, 0);
	key_rollup_model(&key, STR("a\0b"), 'd', 1, STR("p"), STR("m"));
	CHECK_INT(key.n, 0);
	memset(big, 'x', sizeof(big));
	key_customer(&key, str_bytes(big, sizeof(big)));
	CHECK_INT(key.n, 0);
	key_customer(&key, str_bytes(big, sizeof(big) - 1));
	CHECK_INT(key.n, STORE_KEY_BYTES_MAX);
}
