/*
 * usage: the process that writes. It runs the ledger's handlers (ledger_*.c)
 * and commits what a turn has decided as one group, flushed, before any answer
 * of the turn leaves. Around that: the doorbell, the reservations that nobody
 * settles, the closing of days, the store's readers and alarms.
 *
 * Always holds: a view of the store is open exactly during a turn's handlers,
 * never over a commit.
 */
#include "workers/workers.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "workers/ledger.h"
#include "workers/ledger_clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OWNERS_MAX 64u	     /* proxies of a house */
#define SWEEP_LINES_MAX 512u /* closed in one turn */
/* Deadlines far away are looked at again meanwhile, for clocks may jump. */
#define LOOK_AGAIN_MS 60000
#define RETRY_MS 1000
#define CARE_MS 5000

/* A proxy whose other incarnations' reservations are to be closed. */
struct owner {
	char name[BUS_NAME_BYTES];
	uint64_t incarnation;
	bool is_pending;
	bool is_swept; /* in this turn; not committed yet */
};

struct usage {
	struct ledger ledger; /* first: the handlers' state */
	struct pool *pool;
	bool has_view;
	struct loop_timer sweep;
	struct loop_timer days;
	struct loop_timer care;
	struct loop_timer late; /* set while readers are behind */
	int64_t armed_ms; /* what the sweep timer waits for; INT64_MAX: none */
	int64_t sweep_again_ms; /* delay of a sweep that is not through */
	bool is_sweep_ready;	/* the store has the lines it is about */
	struct ledger_clock clock;
	struct owner owners[OWNERS_MAX];
	size_t owner_count;
	char alarm[160]; /* as it was logged last */
};

static void on_sweep(void *ctx);
static void on_days(void *ctx);
static void on_late(void *ctx);

static int64_t
expiry_now_ms(struct usage *usage)
{
	return ledger_clock_now(&usage->clock, clock_wall_ms(),
				clock_mono_ms());
}

/* --- turns --------------------------------------------------------------- */

static enum err
turn_begin(void *state)
{
	struct usage *usage = state;
	enum err e = store_view_begin(usage->ledger.store);

	usage->has_view = e == ERR_OK;
	return e;
}

static void
sweep_arm(struct usage *usage, int64_t delay_ms)
{
	loop_timer_set(pool_loop(usage->pool), &usage->sweep,
		       delay_ms < 0 ? 0 : delay_ms, on_sweep, usage);
}

/* Sets the timer for the next expiry, when it is another one than before. */
static void
sweep_arm_next(struct usage *usage)
{
	int64_t next_ms = usage->ledger.next_expiry_ms, delay_ms;

	if (next_ms == usage->armed_ms)
		return;
	usage->armed_ms = next_ms;
	if (next_ms == INT64_MAX) {
		loop_timer_clear(pool_loop(usage->pool), &usage->sweep);
		return;
	}
	delay_ms = next_ms - expiry_now_ms(usage);
	sweep_arm(usage, delay_ms < LOOK_AGAIN_MS ? delay_ms : LOOK_AGAIN_MS);
}

static bool
owners_committed(struct usage *usage, bool is_committed)
{
	bool is_pending = false;

	for (size_t i = 0; i < usage->owner_count; i++) {
		struct owner *owner = &usage->owners[i];

		if (owner->is_swept && is_committed)
			owner->is_pending = false;
		owner->is_swept = false;
		is_pending |= owner->is_pending;
	}
	return is_pending;
}

static void
late_arm(struct usage *usage)
{
	struct loop *loop = pool_loop(usage->pool);

	if (!ledger_is_late(&usage->ledger))
		loop_timer_clear(loop, &usage->late);
	else if (usage->late.heap_index == 0)
		loop_timer_set(loop, &usage->late, LEDGER_LATE_MS, on_late,
			       usage);
}

static enum err
turn_end(void *state)
{
	struct usage *usage = state;
	bool is_write = !group_is_empty(usage->ledger.group);
	bool was_late = ledger_is_late(&usage->ledger);
	int64_t start_ns = clock_mono_ns();
	unsigned event_count;
	enum err e;

	if (usage->has_view)
		store_view_end(usage->ledger.store);
	usage->has_view = false;
	e = ledger_commit(&usage->ledger, &event_count);
	late_arm(usage);
	if (e != ERR_OK) { /* what the timers did is to be done again */
		owners_committed(usage, false);
		usage->is_sweep_ready = false;
		usage->armed_ms = 0;
		sweep_arm(usage, RETRY_MS);
		loop_timer_set(pool_loop(usage->pool), &usage->days, RETRY_MS,
			       on_days, usage);
		return e;
	}
	if (is_write || (was_late && !ledger_is_late(&usage->ledger))) {
		metrics_add(METRIC_COMMITS, 1);
		metrics_add(METRIC_COMMIT_NS, clock_mono_ns() - start_ns);
	}
	if (event_count)
		bus_doorbell_ring(pool_bus(usage->pool));
	if (owners_committed(usage, true)) {
		usage->armed_ms = 0;
		sweep_arm(usage, usage->sweep_again_ms);
	} else {
		sweep_arm_next(usage);
	}
	return ERR_OK;
}

static void
on_late(void *ctx)
{
	struct usage *usage = ctx;

	ledger_hasten(&usage->ledger);
	if (pool_turn(usage->pool, NULL, NULL) != ERR_OK)
		late_arm(usage);
}

/* --- reservations that nobody settles ------------------------------------ */

static enum err
sweep_for(struct usage *usage, int64_t recorded_ms, struct owner *owner,
	  int64_t *next_ms)
{
	struct ledger_sweep sweep = {
	    .now_ms = expiry_now_ms(usage),
	    .recorded_ms = recorded_ms,
	    .owner = owner ? str_of(owner->name) : STR_NONE,
	    .owner_start = owner ? owner->incarnation : 0,
	    .limit = SWEEP_LINES_MAX,
	};
	size_t closed = 0;
	enum err e =
	    ledger_close_open(&usage->ledger, &sweep, &closed, next_ms);

	if (closed)
		log_info("reservations-closed", "count=%zu owner=%s", closed,
			 owner ? owner->name : "any");
	if (e != ERR_OK)
		log_error("reservations-unreadable", "error=%s", err_code(e));
	if (owner && (e == ERR_OK || e == ERR_STORE_CORRUPT))
		owner->is_swept = closed < SWEEP_LINES_MAX;
	return e;
}

static void
on_sweep(void *ctx)
{
	struct usage *usage = ctx;
	int64_t recorded_ms, next_ms = INT64_MAX;
	enum err e = pool_turn(usage->pool, &recorded_ms, NULL);
	bool is_done = false;

	if (e != ERR_OK) {
		sweep_arm(usage, RETRY_MS);
		return;
	}
	if (!usage->is_sweep_ready && ledger_is_late(&usage->ledger)) {
		ledger_hasten(&usage->ledger);
		usage->is_sweep_ready = true;
		usage->armed_ms = usage->sweep_again_ms = 0;
		return; /* turn_end sets the timer */
	}
	usage->is_sweep_ready = false;
	for (size_t i = 0; i < usage->owner_count && e == ERR_OK; i++) {
		if (!usage->owners[i].is_pending)
			continue;
		e = sweep_for(usage, recorded_ms, &usage->owners[i], &next_ms);
		is_done = true;
	}
	if (!is_done)
		e = sweep_for(usage, recorded_ms, NULL, &next_ms);
	usage->armed_ms = 0; /* turn_end sets the timer for what is next */
	usage->sweep_again_ms = e == ERR_OK ? 0 : RETRY_MS;
	if (e != ERR_OK)
		usage->ledger.next_expiry_ms =
		    expiry_now_ms(usage) + LOOK_AGAIN_MS;
}

/* A proxy was heard: what its earlier incarnations had open is nobody's. */
static void
on_peer(void *ctx, const struct bus_peer_state *peer)
{
	struct usage *usage = ctx;
	size_t i = 0;

	if (!peer->is_alive || strncmp(peer->name, "proxy-", 6) != 0)
		return;
	while (i < usage->owner_count &&
	       strcmp(usage->owners[i].name, peer->name) != 0)
		i++;
	if (i == OWNERS_MAX)
		return; /* expiry closes them */
	if (i == usage->owner_count) {
		usage->owner_count++;
		snprintf(usage->owners[i].name, sizeof(usage->owners[i].name),
			 "%s", peer->name);
	} else if (usage->owners[i].incarnation == peer->incarnation) {
		return;
	}
	usage->owners[i].incarnation = peer->incarnation;
	usage->owners[i].is_pending = true;
	usage->owners[i].is_swept = false;
	sweep_arm(usage, 0);
}

/* --- days ---------------------------------------------------------------- */

static void
on_days(void *ctx)
{
	struct usage *usage = ctx;
	int64_t now_ms, next_ms = 0, delay_ms = RETRY_MS;
	enum err e = pool_turn(usage->pool, &now_ms, NULL);

	if (e == ERR_OK)
		e = ledger_close_days(&usage->ledger, now_ms, &next_ms);
	if (e == ERR_OK)
		delay_ms = next_ms - now_ms;
	else
		log_error("days-not-closed", "error=%s", err_code(e));
	if (delay_ms < 0)
		delay_ms = 0; /* more than one call closes */
	if (delay_ms > LOOK_AGAIN_MS)
		delay_ms = LOOK_AGAIN_MS;
	loop_timer_set(pool_loop(usage->pool), &usage->days, delay_ms, on_days,
		       usage);
}

/* --- the store ----------------------------------------------------------- */

static void
alarm_log(struct usage *usage, const struct store_state *state)
{
	if (strcmp(usage->alarm, state->alarm) == 0)
		return;
	snprintf(usage->alarm, sizeof(usage->alarm), "%s", state->alarm);
	if (state->alarm[0])
		log_warn("store-alarm", "text=\"%s\" refusing_writes=%d",
			 state->alarm, state->is_refusing_writes);
	else
		log_info("store-alarm-over", "disk_free=%" PRId64,
			 state->disk_free_bytes);
}

/* One at a time; the next comes when this is called again. */
static void
captures_end(struct usage *usage)
{
	struct arena *arena;
	int64_t now_ms;
	enum err e = pool_turn(usage->pool, &now_ms, &arena);

	if (e == ERR_OK)
		e = ledger_captures_end(&usage->ledger, now_ms, arena);
	if (e != ERR_OK)
		log_error("capture-not-erased", "error=%s", err_code(e));
}

/* Slots of dead readers are freed, so that the file does not grow without
 * bound; the alarms are looked at. */
static void
on_care(void *ctx)
{
	struct usage *usage = ctx;
	struct store_state state;
	unsigned cleared = 0;
	enum err e = store_check_readers(usage->ledger.store, &cleared);

	if (e == ERR_OK)
		e = store_state(usage->ledger.store, &state);
	if (e != ERR_OK) {
		log_error("store-care", "error=%s", err_code(e));
	} else {
		if (cleared)
			log_info("store-readers-cleared", "count=%u", cleared);
		metrics_set(METRIC_STORE_HEAD, (int64_t)state.head_seq);
		metrics_set(METRIC_STORE_USED, state.used_bytes);
		alarm_log(usage, &state);
	}
	captures_end(usage);
	loop_timer_set(pool_loop(usage->pool), &usage->care, CARE_MS, on_care,
		       usage);
}

/* --- opening ------------------------------------------------------------- */

static enum err
usage_rest(void *state)
{
	struct usage *usage = state;

	assert(!usage->has_view);
	return ledger_rest(&usage->ledger);
}

static void
usage_close(void *state)
{
	struct usage *usage = state;
	struct loop *loop = pool_loop(usage->pool);

	loop_timer_clear(loop, &usage->sweep);
	loop_timer_clear(loop, &usage->days);
	loop_timer_clear(loop, &usage->care);
	loop_timer_clear(loop, &usage->late);
	ledger_close(&usage->ledger);
	free(usage);
}

static enum err
usage_open(struct pool *pool, void **state, struct why *why)
{
	struct usage *usage = calloc(1, sizeof(*usage));
	enum err e;

	if (usage == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	usage->pool = pool;
	e = ledger_open(&usage->ledger, pool_conf(pool), why);
	if (e != ERR_OK) {
		free(usage);
		return e;
	}
	e = bus_doorbell_open(pool_bus(pool), why);
	if (e != ERR_OK) {
		usage_close(usage);
		return e;
	}
	*state = usage;
	/* What was open when the last ledger ended, days that have ended. */
	sweep_arm(usage, 0);
	loop_timer_set(pool_loop(pool), &usage->days, 0, on_days, usage);
	loop_timer_set(pool_loop(pool), &usage->care, 0, on_care, usage);
	return ERR_OK;
}

const struct worker usage_worker = {
    .kind = "usage",
    .asked_by = ASKED_BY_EDGES | ASKED_BY_PROXIES | ASKED_BY_TOOLS,
    .rows = ledger_rows,
    .row_count = LEDGER_ROWS,
    .open = usage_open,
    .close = usage_close,
    .turn_begin = turn_begin,
    .turn_end = turn_end,
    .peer = on_peer,
    .rest = usage_rest,
};
