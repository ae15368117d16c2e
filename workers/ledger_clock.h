/*
 * ledger_clock: the clock that expiry is judged by. The wall clock may jump (a
 * wrong date is set right): the reservations of before the jump must neither
 * all expire at once nor live on for a day. After a jump this clock goes on
 * evenly until they are gone, then takes over the wall clock's time.
 */
#ifndef WORKERS_LEDGER_CLOCK_H
#define WORKERS_LEDGER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_CLOCK_JUMP_MS 10000    /* less is taken over at once */
#define LEDGER_CLOCK_SETTLE_MS 900000 /* no reservation of a proxy is older */

struct ledger_clock {
	int64_t wall_ms; /* where the two clocks were seen together */
	int64_t mono_ms;
	int64_t jump_mono_ms; /* when a jump was seen first */
	bool is_set;
	bool has_jumped;
};

/* The time by this clock, in wall milliseconds; all zero at first. */
int64_t ledger_clock_now(struct ledger_clock *clock, int64_t wall_ms,
			 int64_t mono_ms);

#endif
