/*
 * breaker: whether a provider is called at all. After so many calls in a row
 * that failed for a passing reason it is left alone for a while; then one call
 * goes and decides: the provider is back, or is left alone for longer. Pure:
 * the time is the caller's.
 */
#ifndef WORKERS_BREAKER_H
#define WORKERS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 20u /* in a row, until it opens */
#define BREAKER_REST_MS 1000 /* at first; doubled each time the probe fails */
#define BREAKER_REST_MS_MAX 60000
#define BREAKER_PROBE_MS 1000 /* others come again while the probe is out */

enum breaker_state {
	BREAKER_CLOSED,	   /* calls go */
	BREAKER_OPEN,	   /* none goes */
	BREAKER_HALF_OPEN, /* the next one goes, or is out, as the probe */
};

/* All zero: closed. */
struct breaker {
	unsigned failures; /* in a row */
	unsigned opens;	   /* in a row; 0 = closed */
	int64_t rests_until_ms;
	bool is_probing;
};

/* True: the call may go; *is_probe says whether as the probe, and then one of
 * the three below must be told what became of it. False: *wait_ms until it is
 * worth to come again. */
bool breaker_take(struct breaker *breaker, int64_t now_ms, bool *is_probe,
		  int64_t *wait_ms);
/* The provider answered. */
void breaker_works(struct breaker *breaker);
/* It failed, for a reason that may pass. True: that has opened it. */
bool breaker_fails(struct breaker *breaker, int64_t now_ms, bool is_probe);
/* The call ended and says nothing of the provider. */
void breaker_leaves(struct breaker *breaker, bool is_probe);

enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_ms);

#endif
