/*
 * breaker: see breaker.h.
 */
#include "workers/breaker.h"

bool
breaker_take(struct breaker *breaker, int64_t now_ms, bool *is_probe,
	     int64_t *wait_ms)
{
	*is_probe = false;
	if (breaker->opens == 0)
		return true;
	if (breaker->is_probing) {
		*wait_ms = BREAKER_PROBE_MS;
		return false;
	}
	if (now_ms < breaker->rests_until_ms) {
		*wait_ms = breaker->rests_until_ms - now_ms;
		return false;
	}
	*is_probe = breaker->is_probing = true;
	return true;
}

void
breaker_works(struct breaker *breaker)
{
	*breaker = (struct breaker){.failures = 0};
}

static void
rest(struct breaker *breaker, int64_t now_ms)
{
	int64_t ms = BREAKER_REST_MS;

	for (unsigned i = 0; i < breaker->opens && ms < BREAKER_REST_MS_MAX;
	     i++)
		ms *= 2;
	if (ms > BREAKER_REST_MS_MAX)
		ms = BREAKER_REST_MS_MAX;
	breaker->opens++;
	breaker->failures = 0;
	breaker->is_probing = false;
	breaker->rests_until_ms = now_ms + ms;
}

bool
breaker_fails(struct breaker *breaker, int64_t now_ms, bool is_probe)
{
	if (breaker->opens) {
		/* Those that were out when it opened say the same again. */
		if (is_probe)
			rest(breaker, now_ms);
		return is_probe;
	}
	if (++breaker->failures < BREAKER_FAILURES)
		return false;
	rest(breaker, now_ms);
	return true;
}

void
breaker_leaves(struct breaker *breaker, bool is_probe)
{
	if (is_probe)
		breaker->is_probing = false;
}

enum breaker_state
breaker_state(const struct breaker *breaker, int64_t now_ms)
{
	if (breaker->opens == 0)
		return BREAKER_CLOSED;
	return now_ms < breaker->rests_until_ms ? BREAKER_OPEN
						: BREAKER_HALF_OPEN;
}
