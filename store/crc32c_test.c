/*
 * crc32c_test: the published answers (RFC 3720, B.4), by both ways.
 */
#include "lib/test.h"

#include "store/crc32c.h"

TEST(both_ways_give_the_published_answers)
{
	static const unsigned char zeros[32];
	unsigned char rising[32];

	for (unsigned i = 0; i < 32; i++)
		rising[i] = (unsigned char)i;
	CHECK_INT(crc32c(0, zeros, 32), 0x8a9136aa);
	CHECK_INT(crc32c_by_table(0, zeros, 32), 0x8a9136aa);
	CHECK_INT(crc32c(0, rising, 32), 0x46dd794e);
	CHECK_INT(crc32c_by_table(0, rising, 32), 0x46dd794e);
	CHECK_INT(crc32c(0, "123456789", 9), 0xe3069283);
	CHECK_INT(crc32c_by_table(0, "123456789", 9), 0xe3069283);
}

TEST(it_goes_on_from_any_cut)
{
	const char *text = "a text that is longer than two words of eight";
	size_t n = strlen(text);
	uint32_t whole = crc32c_by_table(0, text, n);

	for (size_t cut = 0; cut <= n; cut++)
		CHECK_INT(crc32c(crc32c(0, text, cut), text + cut, n - cut),
			  whole);
}
