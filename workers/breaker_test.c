/*
 * Tests of the breaker: a table of what happens to a provider and when.
 */
#include "workers/breaker.h"

#include "lib/test.h"

static void
fail_so_often(struct breaker *breaker, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		CHECK(!breaker_fails(breaker, 0, false));
}

static int64_t
wait_at(struct breaker *breaker, int64_t now_ms)
{
	int64_t wait_ms = -1;
	bool is_probe;

	CHECK(!breaker_take(breaker, now_ms, &is_probe, &wait_ms));
	CHECK(!is_probe);
	return wait_ms;
}

static void
probe_at(struct breaker *breaker, int64_t now_ms)
{
	int64_t wait_ms;
	bool is_probe = false;

	CHECK(breaker_take(breaker, now_ms, &is_probe, &wait_ms));
	CHECK(is_probe);
}

TEST(breaker_opens_after_failures_in_a_row)
{
	struct breaker breaker = {.failures = 0};
	int64_t wait_ms;
	bool is_probe;

	fail_so_often(&breaker, BREAKER_FAILURES - 1);
	breaker_works(&breaker);
	fail_so_often(&breaker, BREAKER_FAILURES - 1);
	CHECK(breaker_take(&breaker, 0, &is_probe, &wait_ms));
	CHECK(!is_probe);
	CHECK_INT(breaker_state(&breaker, 0), BREAKER_CLOSED);
	CHECK(breaker_fails(&breaker, 500, false));
	CHECK_INT(breaker_state(&breaker, 500), BREAKER_OPEN);
	CHECK_INT(wait_at(&breaker, 600), BREAKER_REST_MS - 100);
	/* Stragglers do not prolong it. */
	CHECK(!breaker_fails(&breaker, 700, false));
	CHECK_INT(wait_at(&breaker, 700), BREAKER_REST_MS - 200);
}

TEST(breaker_sends_one_probe)
{
	struct breaker breaker = {.failures = 0};
	int64_t now_ms = BREAKER_REST_MS;

	fail_so_often(&breaker, BREAKER_FAILURES - 1);
	CHECK(breaker_fails(&breaker, 0, false));
	CHECK_INT(breaker_state(&breaker, now_ms), BREAKER_HALF_OPEN);
	probe_at(&breaker, now_ms);
	CHECK_INT(wait_at(&breaker, now_ms), BREAKER_PROBE_MS);
	/* It says nothing: the next one is the probe. */
	breaker_leaves(&breaker, true);
	probe_at(&breaker, now_ms);
	breaker_leaves(&breaker, false); /* another call's */
	CHECK_INT(wait_at(&breaker, now_ms), BREAKER_PROBE_MS);
	CHECK(breaker_fails(&breaker, now_ms, true));
	CHECK_INT(wait_at(&breaker, now_ms), 2 * BREAKER_REST_MS);
	probe_at(&breaker, now_ms + 2 * BREAKER_REST_MS);
	breaker_works(&breaker);
	CHECK_INT(breaker_state(&breaker, now_ms), BREAKER_CLOSED);
	fail_so_often(&breaker, BREAKER_FAILURES - 1);
}

TEST(breaker_rests_no_longer_than_a_minute)
{
	struct breaker breaker = {.failures = 0};
	int64_t now_ms = 0;

	fail_so_often(&breaker, BREAKER_FAILURES - 1);
	CHECK(breaker_fails(&breaker, 0, false));
	for (int i = 0; i < 100; i++) {
		now_ms += BREAKER_REST_MS_MAX;
		probe_at(&breaker, now_ms);
		CHECK(breaker_fails(&breaker, now_ms, true));
	}
	CHECK_INT(wait_at(&breaker, now_ms), BREAKER_REST_MS_MAX);
	probe_at(&breaker, now_ms + BREAKER_REST_MS_MAX);
	breaker_works(&breaker);
	CHECK_INT(breaker_state(&breaker, 0), BREAKER_CLOSED);
}
