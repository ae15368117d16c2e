/*
 * follow: see follow.h.
 */
#include "analytics/follow_parts.h"

#include "analytics/projections.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CHUNK_BYTES_MAX (64u << 20)
#define DELETE_ROWS 2000u
#define STATE_VERSION 1
#define ROWS_MAP_BYTES_MAX (INT64_C(16) << 30)

/* --- a chunk -------------------------------------------------------------- */

static void
chunk_begin(struct follow *follow, const struct generation *generation)
{
	arena_reset(&follow->arena);
	follow->fold.generation = generation->number;
	fold_drop(&follow->fold);
}

static enum err
chunk_commit(struct follow *follow, struct generation *generation, uint64_t seq)
{
	struct progress progress = {.seq = (int64_t)seq};
	struct key key;
	enum err e = fold_flush(&follow->fold);

	row_key_progress(&key, generation->number);
	if (e == ERR_OK)
		e = group_put(follow->group, &key, &progress_schema, &progress);
	if (e == ERR_OK)
		e = group_commit(follow->group);
	if (e == ERR_OK)
		generation->seq = seq;
	return e;
}

static enum err
event_decode(struct follow *follow, const struct store_event *raw,
	     struct event *event)
{
	enum err e = schema_decode(&event_schema, raw->bytes, event,
				   &follow->arena, NULL);

	if (event->event_date == SCHEMA_INT_NONE)
		event->event_date = event->recorded_at;
	if (e == ERR_OK && event->event_date == SCHEMA_INT_NONE)
		e = ERR_STORE_CORRUPT;
	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

/* The end of a day looks at what is committed, so it stands alone. */
static enum err
fold_one(struct follow *follow, struct generation *generation,
	 const struct store_event *raw)
{
	struct event event;
	bool is_day_closed;
	enum err e = event_decode(follow, raw, &event);

	if (e != ERR_OK)
		return e;
	is_day_closed = str_eq(event.type, event_types[EVENT_day_closed]);
	if (is_day_closed)
		e = chunk_commit(follow, generation, raw->seq - 1);
	follow->fold.seq = raw->seq;
	while (e == ERR_OK) {
		e = projections_fold(&follow->fold, &event);
		if (e != ERR_AGAIN)
			break;
		e = chunk_commit(follow, generation, raw->seq - 1);
	}
	if (e == ERR_OK && is_day_closed)
		e = chunk_commit(follow, generation, raw->seq);
	return e;
}

enum err
follow_advance(struct follow *follow, struct generation *generation,
	       size_t *count)
{
	struct group_mark mark = group_mark(follow->group);
	struct store_event *events;
	enum err e;

	chunk_begin(follow, generation);
	events =
	    arena_array(&follow->arena, FOLLOW_CHUNK_EVENTS, sizeof(*events));
	if (events == NULL)
		return ERR_NO_MEMORY;
	e = store_tail(follow->log, generation->seq, FOLLOW_CHUNK_EVENTS,
		       &follow->arena, events, count);
	if (e != ERR_OK || *count == 0)
		return e;
	for (size_t i = 0; e == ERR_OK && i < *count; i++)
		e = fold_one(follow, generation, &events[i]);
	if (e == ERR_OK)
		e = chunk_commit(follow, generation, events[*count - 1].seq);
	if (e != ERR_OK) {
		fold_drop(&follow->fold);
		if (!group_is_empty(follow->group))
			group_undo(follow->group, mark);
	}
	return e;
}

enum err
follow_delete_step(struct follow *follow)
{
	struct store_row *rows;
	struct key prefix, key;
	size_t count;
	enum err e;

	arena_reset(&follow->arena);
	rows = arena_array(&follow->arena, DELETE_ROWS, sizeof(*rows));
	if (rows == NULL)
		return ERR_NO_MEMORY;
	row_key_generation(&prefix, follow->retired);
	e = store_scan(follow->rows, key_str(&prefix), STR_NONE, DELETE_ROWS,
		       &follow->arena, rows, &count);
	if (e != ERR_OK)
		return e;
	if (count == 0) {
		follow->retired = 0;
		return follow_put_state(follow);
	}
	for (size_t i = 0; e == ERR_OK && i < count; i++) {
		assert(rows[i].key.n <= sizeof(key.p));
		key.n = rows[i].key.n;
		memcpy(key.p, rows[i].key.p, key.n);
		e = group_delete(follow->group, &key);
	}
	return e == ERR_OK ? group_commit(follow->group) : e;
}

enum err
follow_step(struct follow *follow, bool *is_behind)
{
	size_t count = 0;
	enum err e = follow_advance(follow, &follow->live, &count);

	*is_behind = e == ERR_OK && count == FOLLOW_CHUNK_EVENTS;
	if (e == ERR_OK && !*is_behind && follow->retired) {
		e = follow_delete_step(follow);
		*is_behind = e == ERR_OK && follow->retired != 0;
	}
	return e;
}

uint64_t
follow_seq(const struct follow *follow)
{
	return follow->live.seq;
}

enum err
follow_head(struct follow *follow, uint64_t *seq)
{
	return store_head(follow->log, seq);
}

/* --- opening -------------------------------------------------------------- */

enum err
follow_put_state(struct follow *follow)
{
	struct follow_state state = {
	    .version = STATE_VERSION,
	    .live = follow->live.number,
	    .building = follow->building.number,
	    .retired = follow->retired,
	    .newest = follow->newest,
	};
	struct key key;
	enum err e;

	row_key_state(&key);
	e = group_put(follow->group, &key, &follow_state_schema, &state);
	return e == ERR_OK ? group_commit(follow->group) : e;
}

/* A replay that was cut short left a generation behind: it goes. */
static enum err
state_read(struct follow *follow, struct why *why)
{
	struct follow_state state;
	struct progress progress;
	struct key key;
	enum err e;

	row_key_state(&key);
	e = group_load(follow->group, &key, &follow_state_schema, &state,
		       &follow->arena);
	if (e == ERR_NO_SUCH) {
		follow->live.number = follow->newest = 1;
		return follow_put_state(follow);
	}
	if (e != ERR_OK)
		return e;
	if (state.version != STATE_VERSION)
		return why_set(why, ERR_CONFIG,
			       "the analytics rows are of another version: "
			       "remove the folder `analytics`, it is rebuilt");
	follow->live.number = state.live;
	follow->newest = state.newest;
	follow->retired = state.building ? state.building : state.retired;
	row_key_progress(&key, state.live);
	e = group_load(follow->group, &key, &progress_schema, &progress,
		       &follow->arena);
	if (e == ERR_OK)
		follow->live.seq = (uint64_t)progress.seq;
	else if (e != ERR_NO_SUCH)
		return e;
	return state.building ? follow_put_state(follow) : ERR_OK;
}

/* Rows that know more than the log belong to another one. */
static enum err
log_check(const struct follow *follow, struct why *why)
{
	uint64_t head;
	enum err e = store_head(follow->log, &head);

	if (e == ERR_OK && head < follow->live.seq)
		return why_set(why, ERR_CONFIG,
			       "the analytics rows are ahead of the log: "
			       "remove the folder `analytics`, it is rebuilt");
	return e;
}

enum err
follow_open(struct follow **out, struct store *log, struct store *rows,
	    struct why *why)
{
	struct follow *follow = calloc(1, sizeof(*follow));
	enum err e;

	if (follow == NULL)
		return ERR_NO_MEMORY;
	arena_init(&follow->arena, CHUNK_BYTES_MAX);
	e = store_lease_take(rows, &follow->lease, why);
	if (e != ERR_OK) {
		free(follow);
		return e;
	}
	follow->log = log;
	follow->rows = rows;
	e = group_open(&follow->group, rows, &follow->lease);
	if (e == ERR_OK)
		e = state_read(follow, why);
	if (e == ERR_OK)
		e = log_check(follow, why);
	if (e != ERR_OK) {
		follow->log = NULL; /* still the caller's */
		store_lease_release(rows, &follow->lease);
		follow->rows = NULL;
		follow_close(follow);
		return e;
	}
	follow->fold.store = rows;
	follow->fold.group = follow->group;
	follow->fold.arena = &follow->arena;
	*out = follow;
	return ERR_OK;
}

void
follow_close(struct follow *follow)
{
	if (follow == NULL)
		return;
	if (follow->group)
		group_close(follow->group);
	if (follow->rows) {
		store_lease_release(follow->rows, &follow->lease);
		store_close(follow->rows);
	}
	if (follow->log)
		store_close(follow->log);
	arena_fini(&follow->arena);
	free(follow);
}

enum err
follow_rest(struct follow *follow)
{
	enum err e = store_rest(follow->log);

	group_rest(follow->group);
	arena_fini(&follow->arena);
	return e == ERR_OK ? store_rest(follow->rows) : e;
}

static enum err
rows_open(struct store **out, const char *data, int64_t map_bytes,
	  struct why *why)
{
	char dir[4096];
	struct store_conf conf = {"lmdb", dir, map_bytes, true};

	if (conf.map_bytes > ROWS_MAP_BYTES_MAX)
		conf.map_bytes = ROWS_MAP_BYTES_MAX;
	if ((size_t)snprintf(dir, sizeof(dir), "%s/analytics", data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG, "data: the path is too long");
	if (mkdir(dir, 0750) != 0 && errno != EEXIST)
		return why_set(why, ERR_IO, "%s cannot be made: %s", dir,
			       strerror(errno));
	return store_open(out, &conf, why);
}

enum err
follow_open_data(struct follow **out, const char *data, int64_t map_bytes,
		 struct why *why)
{
	char dir[4096];
	struct store_conf conf = {"lmdb", dir, map_bytes, false};
	struct store *log = NULL, *rows = NULL;
	enum err e;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/store", data) >= sizeof(dir))
		return why_set(why, ERR_CONFIG, "data: the path is too long");
	e = store_open(&log, &conf, why);
	if (e == ERR_OK)
		e = rows_open(&rows, data, map_bytes, why);
	if (e == ERR_OK)
		e = follow_open(out, log, rows, why);
	if (e != ERR_OK) {
		if (rows)
			store_close(rows);
		if (log)
			store_close(log);
	}
	return e;
}
