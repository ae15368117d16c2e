/*
 * analytics: see analytics.h. One timer drives everything: a chunk of the log
 * (and of a replay) a turn, at once while there is more, soon after the
 * ledger's doorbell rang, and each second whether it rang or not. The pause
 * behind the doorbell gathers what a busy ledger commits into few flushes.
 */
#include "analytics/analytics.h"

#include "analytics/follow.h"
#include "lib/log.h"
#include "lib/metrics.h"

#include <stdlib.h>

#define FOLLOW_EVERY_MS 1000
#define FOLLOW_SOON_MS 100
#define SYNC_STEPS_MAX 50u /* chunks that one analytics_sync folds */

struct analytics {
	struct pool *pool;
	struct follow *follow;
	struct loop_timer timer;
	bool is_soon;	   /* the timer is set for the doorbell */
	enum err last_err; /* told once, not each second */
	enum err fatal;	   /* for turn_end: the pool ends the process */
	struct bus_from *replay_from; /* who waits for the replay */
};

static void on_timer(void *ctx);

static void
timer_set(struct analytics *analytics, int64_t delay_ms)
{
	loop_timer_set(pool_loop(analytics->pool), &analytics->timer, delay_ms,
		       on_timer, analytics);
}

static void
on_doorbell(void *ctx)
{
	struct analytics *analytics = ctx;

	if (analytics->is_soon)
		return;
	analytics->is_soon = true;
	timer_set(analytics, FOLLOW_SOON_MS);
}

static void
outcome(struct analytics *analytics, const char *what, enum err e)
{
	if (e != ERR_OK && e != analytics->last_err)
		log_error("follow", "step=%s error=%s seq=%llu", what,
			  err_code(e),
			  (unsigned long long)follow_seq(analytics->follow));
	analytics->last_err = e;
	if (e == ERR_COMMIT_UNKNOWN || e == ERR_FENCED)
		analytics->fatal = e;
	metrics_set(METRIC_FOLLOWED, (int64_t)follow_seq(analytics->follow));
}

static void
replay_answer(struct analytics *analytics, enum err e,
	      const struct follow_replayed *replayed)
{
	struct analytics_replayed body;
	struct buf out;

	if (analytics->replay_from == NULL)
		return;
	buf_init(&out, 4096);
	schema_clear(&analytics_replayed_schema, &body);
	if (e == ERR_OK) {
		body.events = (int64_t)replayed->events;
		body.rows = (int64_t)replayed->rows;
		body.seq = (int64_t)replayed->seq;
		body.digest = str_of(replayed->digest);
		body.identical = replayed->is_identical;
		schema_encode(&analytics_replayed_schema, &body, &out);
	} else {
		struct failure failure;

		schema_clear(&failure_schema, &failure);
		failure.message = str_of(err_text(e));
		schema_encode(&failure_schema, &failure, &out);
	}
	bus_answer(pool_bus(analytics->pool), analytics->replay_from, e,
		   buf_str(&out));
	analytics->replay_from = NULL;
	buf_fini(&out);
}

static void
replay_step(struct analytics *analytics)
{
	struct follow_replayed replayed;
	bool is_done;
	enum err e = follow_replay_step(analytics->follow, &is_done, &replayed);

	outcome(analytics, "replay", e);
	if (e != ERR_OK)
		replay_answer(analytics, e, NULL);
	else if (is_done)
		replay_answer(analytics, ERR_OK, &replayed);
	if (e == ERR_OK && is_done)
		log_info("replayed", "events=%llu identical=%d digest=%s",
			 (unsigned long long)replayed.events,
			 replayed.is_identical, replayed.digest);
}

static void
on_timer(void *ctx)
{
	struct analytics *analytics = ctx;
	uint64_t seq = follow_seq(analytics->follow);
	bool is_behind = false;
	enum err e;

	analytics->is_soon = false;
	e = follow_step(analytics->follow, &is_behind);
	outcome(analytics, "fold", e);
	if (e == ERR_OK && follow_is_replaying(analytics->follow)) {
		replay_step(analytics);
		is_behind = true;
	}
	/* A look that finds nothing is no turn: it keeps nobody from rest. */
	if (e != ERR_OK || is_behind || follow_seq(analytics->follow) != seq)
		pool_turn(analytics->pool, NULL, NULL);
	timer_set(analytics, is_behind ? 0 : FOLLOW_EVERY_MS);
}

/* --- messages ------------------------------------------------------------- */

static enum err
handle_replay(struct context *context, const void *in, void *out)
{
	struct analytics *analytics = context->state;
	enum err e;

	(void)in;
	(void)out;
	e = follow_replay_begin(analytics->follow);
	if (e == ERR_CONFLICT)
		context->failure.message = STR("a replay is under way");
	if (e != ERR_OK)
		return e;
	analytics->replay_from = context->from;
	timer_set(analytics, 0);
	return ERR_AGAIN;
}

static enum err
handle_sync(struct context *context, const void *in, void *out)
{
	struct analytics *analytics = context->state;
	struct analytics_synced *answer = out;
	bool is_behind = true;
	enum err e;
	uint64_t head;

	(void)in;
	e = follow_head(analytics->follow, &head);
	for (unsigned i = 0; e == ERR_OK && i < SYNC_STEPS_MAX &&
			     follow_seq(analytics->follow) < head;
	     i++)
		e = follow_step(analytics->follow, &is_behind);
	outcome(analytics, "sync", e);
	answer->seq = (int64_t)follow_seq(analytics->follow);
	answer->head = (int64_t)head;
	return e;
}

static const struct worker_row rows[] = {
    {&analytics_replay_schema, &analytics_replayed_schema, handle_replay},
    {&analytics_sync_schema, &analytics_synced_schema, handle_sync},
};

/* --- the worker ----------------------------------------------------------- */

static enum err
worker_open(struct pool *pool, void **state, struct why *why)
{
	const struct conf *conf = pool_conf(pool);
	struct analytics *analytics = calloc(1, sizeof(*analytics));
	enum err e;

	if (analytics == NULL)
		return ERR_NO_MEMORY;
	analytics->pool = pool;
	e = follow_open_data(&analytics->follow, conf->data, conf->map_bytes,
			     why);
	if (e == ERR_OK)
		e = bus_doorbell_listen(pool_bus(pool), "usage-0", on_doorbell,
					analytics);
	if (e != ERR_OK) {
		follow_close(analytics->follow);
		free(analytics);
		return e;
	}
	timer_set(analytics, 0);
	*state = analytics;
	return ERR_OK;
}

static void
worker_close(void *state)
{
	struct analytics *analytics = state;

	replay_answer(analytics, ERR_UNAVAILABLE, NULL);
	loop_timer_clear(pool_loop(analytics->pool), &analytics->timer);
	follow_close(analytics->follow);
	free(analytics);
}

static enum err
worker_turn_end(void *state)
{
	struct analytics *analytics = state;

	return analytics->fatal;
}

static enum err
worker_rest(void *state)
{
	struct analytics *analytics = state;

	return follow_rest(analytics->follow);
}

const struct worker analytics_worker = {
    .kind = "analytics",
    .asked_by = ASKED_BY_EDGES | ASKED_BY_TOOLS,
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .open = worker_open,
    .close = worker_close,
    .turn_end = worker_turn_end,
    .rest = worker_rest,
};
