/*
 * Tests of the name that a provider is told for a user.
 */
#include "workers/user_hash.h"

#include "lib/test.h"

/* RFC 4231, test case 2. */
TEST(user_hash_is_the_published_one)
{
	static const unsigned char want[4] = {0x5b, 0xdc, 0xc1, 0x46};
	unsigned char hash[USER_HASH_BYTES], other[USER_HASH_BYTES];

	user_hash(STR("Jefe"), STR("what do ya want for nothing?"), hash);
	CHECK(memcmp(hash, want, sizeof(want)) == 0);
	user_hash(STR("Jefa"), STR("what do ya want for nothing?"), other);
	CHECK(memcmp(hash, other, sizeof(hash)) != 0);
}
