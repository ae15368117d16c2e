/*
 * provider_key_test: what is taken for a key, and what of it is shown.
 */
#include "lib/test.h"

#include "store/provider_key.h"
#include "workers/providers/providers.h"

TEST(provider_keys_are_what_a_header_can_carry)
{
	static const struct {
		const char *key;
		const char *reason; /* NULL: it is one */
	} rows[] = {
	    {"sk-proj-abc_DEF.123=/+", NULL},
	    {"k", NULL},
	    {"", "empty"},
	    {" \t ", "empty"},
	    {"sk-12345 6789", "blanks"},
	    {" sk-123456789", "blanks"},
	    {"sk-123456789\n", "blanks"},
	    {"sk-12\r\nHost: evil.example", "blanks"},
	    {"sk-12345678\x7f", "blanks"},
	    {"sk-12345678\xc3\xa8", "blanks"},
	};
	char text[PROVIDER_KEY_BYTES_MAX + 1];
	const char *reason;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reason = "";
		CHECK(provider_key_is_valid(str_of(rows[i].key), &reason) ==
		      (rows[i].reason == NULL));
		CHECK(strstr(reason, rows[i].reason ? rows[i].reason : ""));
	}
	memset(text, 'k', sizeof(text));
	CHECK(
	    provider_key_is_valid(str_bytes(text, sizeof(text) - 1), &reason));
	CHECK(!provider_key_is_valid(str_bytes(text, sizeof(text)), &reason));
	CHECK(strstr(reason, "long") != NULL);
	CHECK(!provider_key_is_valid(STR_NONE, &reason));
	CHECK(!provider_key_is_valid(str_bytes("sk-1234\0"
					       "5678",
					       12),
				     &reason));
}

TEST(provider_keys_show_their_last_four_characters_at_most)
{
	struct arena arena;

	arena_init(&arena, 65536);
	CHECK_STR(provider_key_mask(STR("sk-0123456789ABCD"), &arena),
		  STR("****ABCD"));
	CHECK_STR(provider_key_mask(STR("sk-012345678ABCD"), &arena),
		  STR("****ABCD"));
	CHECK_STR(provider_key_mask(STR("sk-01234567ABCD"), &arena),
		  STR("****"));
	arena_fini(&arena);
}

TEST(providers_that_take_keys_are_those_of_the_proxy)
{
	size_t count = 0;

	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const char *name = provider_rows[i].name;

		if (provider_rows[i].key_name == NULL) {
			CHECK(!provider_key_is_of(str_of(name)));
			continue;
		}
		CHECK_STR(str_of(provider_key_provider(count)), str_of(name));
		CHECK(strstr(provider_key_providers, name) != NULL);
		count++;
	}
	CHECK(provider_key_provider(count) == NULL);
	CHECK(!provider_key_is_of(STR("")));
	CHECK(!provider_key_is_of(STR("OpenAI")));
}
