/*
 * ledger_clock: see ledger_clock.h. Pure but for its own struct.
 */
#include "workers/ledger_clock.h"

static int64_t
take_over(struct ledger_clock *clock, int64_t wall_ms, int64_t mono_ms)
{
	*clock = (struct ledger_clock){
	    .wall_ms = wall_ms, .mono_ms = mono_ms, .is_set = true};
	return wall_ms;
}

int64_t
ledger_clock_now(struct ledger_clock *clock, int64_t wall_ms, int64_t mono_ms)
{
	int64_t even_ms = clock->wall_ms + (mono_ms - clock->mono_ms);

	if (!clock->is_set || (wall_ms - even_ms < LEDGER_CLOCK_JUMP_MS &&
			       even_ms - wall_ms < LEDGER_CLOCK_JUMP_MS))
		return take_over(clock, wall_ms, mono_ms);
	if (!clock->has_jumped) {
		clock->has_jumped = true;
		clock->jump_mono_ms = mono_ms;
	}
	if (mono_ms - clock->jump_mono_ms >= LEDGER_CLOCK_SETTLE_MS)
		return take_over(clock, wall_ms, mono_ms);
	return even_ms;
}
