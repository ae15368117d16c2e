/* fault: the N-th pass, chance by seed; absent in release builds. */
#include "lib/fault.h"

#include <stdlib.h>

#include "lib/test.h"

#ifdef CHATELLO_FAULTS
TEST(fault_fails_the_nth_pass_only)
{
	fault_set("a:2,b:1");
	CHECK(!fault("a"));
	CHECK(!fault("c"));
	CHECK(fault("a"));
	CHECK(!fault("a"));
	CHECK(fault("b"));
	fault_set(NULL);
	CHECK(!fault("b"));
}

TEST(fault_chance_repeats_with_its_seed)
{
	unsigned first = 0, hits = 0;
	uint64_t pattern[2] = {0, 0};

	for (int run = 0; run < 2; run++) {
		setenv("CHATELLO_FAULT_SEED", "42", 1);
		fault_set("x:1/10");
		hits = 0;
		for (int i = 0; i < 1000; i++) {
			bool hit = fault("x");

			hits += hit;
			if (i < 64)
				pattern[run] |= (uint64_t)hit << i;
		}
		if (run == 0)
			first = hits;
	}
	CHECK(hits > 60 && hits < 150);
	CHECK_INT(hits, first);
	CHECK(pattern[0] == pattern[1] && pattern[0] != 0);
}

TEST(fault_reads_the_environment)
{
	setenv("CHATELLO_FAULT", "store-flush:1", 1);
	CHECK(fault("store-flush"));
	CHECK(!fault("store-flush"));
}
#else
TEST(fault_is_absent_in_release)
{
	setenv("CHATELLO_FAULT", "store-flush:1", 1);
	CHECK(!fault("store-flush"));
}
#endif
