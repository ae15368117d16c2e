/*
 * serve: see serve.h.
 */
#include "analytics/serve.h"

#include "analytics/analytics.h"
#include "analytics/follow.h"
#include "analytics/movements.h"
#include "analytics/notes.h"

#include <stdio.h>

#define PAGE_ROWS 500u
#define SYNC_TRIES_MAX 1000u /* of 50,000 events each */
#define SYNC_MS 30000
#define REPLAY_MS (3600 * 1000)
#define ANSWER_BYTES_MAX 65536u

/* --- reading -------------------------------------------------------------- */

struct reading {
	struct str from;
	struct str to;
	struct arena *arena;
	/* Totals up to the day at hand. */
	int64_t customers;
	int64_t paying_customers;
	int64_t mrr;
	struct daily_row *rows;
	size_t count;
	size_t room;
};

static struct daily_row *
row_add(struct reading *reading)
{
	size_t room = reading->room ? reading->room * 2 : 64;
	struct daily_row *rows;

	if (reading->count == reading->room) {
		rows = arena_array(reading->arena, room, sizeof(*rows));
		if (rows == NULL)
			return NULL;
		if (reading->count)
			memcpy(rows, reading->rows,
			       reading->count * sizeof(*rows));
		reading->rows = rows;
		reading->room = room;
	}
	return &reading->rows[reading->count++];
}

static enum err
day_read(struct reading *reading, struct str date, struct str raw)
{
	struct daily_row *row;
	struct day day;
	enum err e =
	    schema_decode(&day_schema, raw, &day, reading->arena, NULL);

	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
	reading->customers += day.customers;
	reading->paying_customers += day.paying_customers;
	reading->mrr += day.new_mrr + day.expansion_mrr + day.reactivation_mrr -
			day.contraction_mrr - day.churn_mrr;
	if ((reading->from.p && str_cmp(date, reading->from) < 0) ||
	    (reading->to.p && str_cmp(date, reading->to) > 0))
		return ERR_OK;
	row = row_add(reading);
	if (row == NULL)
		return ERR_NO_MEMORY;
	*row = (struct daily_row){
	    .date = date,
	    .customers = reading->customers,
	    .paying_customers = reading->paying_customers,
	    .mrr = movements_shown(reading->mrr),
	    .currency = day.currency,
	    .new_mrr = movements_shown(day.new_mrr),
	    .expansion_mrr = movements_shown(day.expansion_mrr),
	    .contraction_mrr = movements_shown(day.contraction_mrr),
	    .churn_mrr = movements_shown(day.churn_mrr),
	    .reactivation_mrr = movements_shown(day.reactivation_mrr),
	    .ai_requests = day.ai_requests,
	    .input_tokens = day.input_tokens,
	    .output_tokens = day.output_tokens,
	    .cost = day.cost,
	    .notes = note_text(&day, reading->arena),
	    .revision = day.revision,
	    .is_closed = day.is_closed,
	};
	return row->notes.p ? ERR_OK : ERR_NO_MEMORY;
}

static enum err
live_generation(struct store *store, struct arena *arena, int64_t *generation)
{
	struct follow_state state;
	struct str wanted, raw;
	struct key key;
	enum err e;

	row_key_state(&key);
	wanted = key_str(&key);
	e = store_load(store, &wanted, 1, &raw, arena);
	if (e != ERR_OK)
		return e;
	if (raw.p == NULL)
		return ERR_NO_SUCH;
	if (schema_decode(&follow_state_schema, raw, &state, arena, NULL) !=
	    ERR_OK)
		return ERR_STORE_CORRUPT;
	*generation = state.live;
	return ERR_OK;
}

static enum err
days_read(struct store *store, struct str workspace, struct reading *reading)
{
	struct store_row *rows =
	    arena_array(reading->arena, PAGE_ROWS, sizeof(*rows));
	struct str after = STR_NONE;
	size_t count = PAGE_ROWS;
	int64_t generation = 0;
	struct key prefix;
	enum err e;

	if (rows == NULL)
		return ERR_NO_MEMORY;
	e = live_generation(store, reading->arena, &generation);
	row_key_day(&prefix, generation, workspace, STR_NONE);
	while (e == ERR_OK && count == PAGE_ROWS) {
		e = store_scan(store, key_str(&prefix), after, PAGE_ROWS,
			       reading->arena, rows, &count);
		for (size_t i = 0; e == ERR_OK && i < count; i++)
			e = day_read(reading,
				     str_bytes(rows[i].key.p + prefix.n,
					       rows[i].key.n - prefix.n),
				     rows[i].value);
		if (e == ERR_OK && count)
			after = rows[count - 1].key;
	}
	return e;
}

enum err
analytics_read(struct store *store, struct str workspace, struct str from,
	       struct str to, struct arena *arena, struct daily_row **rows,
	       size_t *count)
{
	struct reading reading = {.from = from, .to = to, .arena = arena};
	enum err e = store_view_begin(store);

	if (e != ERR_OK)
		return e;
	e = days_read(store, workspace, &reading);
	store_view_end(store);
	*rows = reading.rows;
	*count = reading.count;
	return e;
}

/* --- catching up ---------------------------------------------------------- */

/* One question to the process; ERR_UNAVAILABLE when it is down. */
static enum err
ask(const struct conf *conf, unsigned type, int timeout_ms,
    const struct schema *schema, void *out, struct arena *arena,
    struct why *why)
{
	struct failure failure;
	enum err e, answer_err = ERR_OK;
	struct buf question, answer;
	struct str body;

	buf_init(&question, 64);
	buf_init(&answer, ANSWER_BYTES_MAX);
	schema_encode(&nothing_schema, &(struct nothing){false}, &question);
	e = bus_tool_call(conf->run_dir, ANALYTICS_PROCESS, (uint16_t)type,
			  buf_str(&question), timeout_ms, &answer_err, &answer,
			  why);
	body = arena_str(arena, buf_str(&answer));
	if (e == ERR_OK && body.p == NULL)
		e = ERR_NO_MEMORY;
	if (e == ERR_OK && answer_err == ERR_OK)
		e = schema_decode(schema, body, out, arena, why);
	else if (e == ERR_OK && schema_decode(&failure_schema, body, &failure,
					      arena, NULL) == ERR_OK)
		e = why_set(why, answer_err, "%.*s", STR_ARG(failure.message));
	else if (e == ERR_OK)
		e = answer_err;
	buf_fini(&question);
	buf_fini(&answer);
	return e;
}

/* By the caller itself. ERR_STORE_LOCKED: the process holds the rows. */
static enum err
catch_up_here(const struct conf *conf, struct why *why)
{
	struct follow *follow;
	bool is_behind = true;
	enum err e =
	    follow_open_data(&follow, conf->data, conf->map_bytes, why);

	if (e != ERR_OK)
		return e;
	while (e == ERR_OK && is_behind)
		e = follow_step(follow, &is_behind);
	follow_close(follow);
	return e;
}

static enum err
catch_up(const struct conf *conf, struct arena *arena, struct why *why)
{
	struct analytics_synced synced = {0};
	int64_t head = -1;
	enum err e = ERR_OK;

	for (unsigned i = 0; e == ERR_OK && i < SYNC_TRIES_MAX; i++) {
		e = ask(conf, MSG_analytics_sync, SYNC_MS,
			&analytics_synced_schema, &synced, arena, why);
		if (head < 0)
			head = synced.head;
		if (e == ERR_OK && synced.seq >= head)
			return ERR_OK;
	}
	if (e != ERR_UNAVAILABLE)
		return e;
	e = catch_up_here(conf, why);
	return e == ERR_STORE_LOCKED ? ERR_OK : e; /* it is just starting */
}

enum err
analytics_show(const struct conf *conf, struct str workspace, struct str from,
	       struct str to, struct arena *arena, struct daily_row **rows,
	       size_t *count, struct why *why)
{
	struct store *store;
	char dir[4096];
	struct store_conf store_conf = {"lmdb", dir, conf->map_bytes, false};
	enum err e = catch_up(conf, arena, why);

	if (e != ERR_OK)
		return e;
	if ((size_t)snprintf(dir, sizeof(dir), "%s/analytics", conf->data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG, "data: the path is too long");
	e = store_open(&store, &store_conf, why);
	if (e != ERR_OK)
		return e;
	e = analytics_read(store, workspace, from, to, arena, rows, count);
	store_close(store);
	return e;
}

/* --- replay --------------------------------------------------------------- */

static enum err
replay_here(const struct conf *conf, struct arena *arena,
	    struct analytics_replayed *out, struct why *why)
{
	struct follow_replayed replayed;
	struct follow *follow;
	bool is_done = false, is_behind = true;
	enum err e =
	    follow_open_data(&follow, conf->data, conf->map_bytes, why);

	if (e != ERR_OK)
		return e;
	e = follow_replay_begin(follow);
	while (e == ERR_OK && !is_done)
		e = follow_replay_step(follow, &is_done, &replayed);
	if (e == ERR_OK) {
		out->events = (int64_t)replayed.events;
		out->rows = (int64_t)replayed.rows;
		out->seq = (int64_t)replayed.seq;
		out->digest = arena_str(arena, str_of(replayed.digest));
		out->identical = replayed.is_identical;
	}
	while (e == ERR_OK && is_behind)
		e = follow_step(follow, &is_behind);
	follow_close(follow);
	return e;
}

enum err
analytics_replay_run(const struct conf *conf, struct arena *arena,
		     struct analytics_replayed *out, struct why *why)
{
	enum err e = ask(conf, MSG_analytics_replay, REPLAY_MS,
			 &analytics_replayed_schema, out, arena, why);

	return e == ERR_UNAVAILABLE ? replay_here(conf, arena, out, why) : e;
}
