/*
 * store: what all engines have in common: limits, sorting, seals, copies into
 * the caller's arena, the guard against a full disk. See store.h; engine.h is
 * what stands behind it.
 *
 * Always holds: no byte reaches a caller before its seal was checked on the
 * copy that the caller gets, and rows come in strictly rising key order.
 */
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/fault.h"
#include "store/engine.h"

#define SPACE_EVERY_MS 1000
#define DISK_FREE_LEAST_PERCENT 5
#define DISK_USED_ALARM_PERCENT 80
#define MAP_USED_ALARM_PERCENT 70
#define SORTED_KEPT 8192u /* pointers kept over commits */

struct store {
	const struct engine_ops *ops;
	void *engine;
	bool is_viewing;
	bool is_leased;
	const struct store_write **sorted; /* scratch of a commit */
	size_t sorted_room;
	struct engine_space space;
	int64_t space_at_ms;
};

/* Copies first and checks the copy: what is checked is what is used. */
static enum err
copy_value(enum engine_table table, struct str key, struct str sealed,
	   struct arena *arena, struct str *value)
{
	char *copy;

	if (sealed.n < ENGINE_SEAL_BYTES ||
	    sealed.n > STORE_VALUE_BYTES_MAX + ENGINE_SEAL_BYTES)
		return ERR_STORE_CORRUPT;
	copy = arena_alloc(arena, sealed.n);
	if (copy == NULL)
		return ERR_NO_MEMORY;
	memcpy(copy, sealed.p, sealed.n);
	if (!engine_is_sound(table, key, str_bytes(copy, sealed.n)))
		return ERR_STORE_CORRUPT;
	*value =
	    str_bytes(copy + ENGINE_SEAL_BYTES, sealed.n - ENGINE_SEAL_BYTES);
	return ERR_OK;
}

/* --- open and close ------------------------------------------------------ */

enum err
store_open(struct store **out, const struct store_conf *conf, struct why *why)
{
	static const struct engine_ops *const engines[] = {&engine_lmdb,
							   &engine_memory};
	const struct engine_ops *ops = NULL;
	struct store *store;
	enum err err;

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (strcmp(engines[i]->name, conf->engine) == 0)
			ops = engines[i];
	if (ops == NULL)
		return why_set(why, ERR_CONFIG,
			       "no store engine \"%s\": use lmdb",
			       conf->engine);
	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	store->ops = ops;
	err = ops->open(&store->engine, conf, why);
	if (err != ERR_OK) {
		free(store);
		return err;
	}
	store->space_at_ms = INT64_MIN;
	*out = store;
	return ERR_OK;
}

void
store_close(struct store *store)
{
	if (store == NULL)
		return;
	assert(!store->is_viewing);
	if (store->is_leased)
		store->ops->lease_release(store->engine);
	store->ops->close(store->engine);
	free(store->sorted);
	free(store);
}

/* --- reading ------------------------------------------------------------- */

enum err
store_view_begin(struct store *store)
{
	enum err err;

	assert(!store->is_viewing);
	err = store->ops->view_begin(store->engine);
	store->is_viewing = err == ERR_OK;
	return err;
}

void
store_view_end(struct store *store)
{
	assert(store->is_viewing);
	store->is_viewing = false;
	store->ops->view_end(store->engine);
}

uint64_t
store_view_number(struct store *store)
{
	assert(store->is_viewing);
	return store->ops->view_number(store->engine);
}

/* A read outside of a view gets one of its own. */
static enum err
borrow_view(struct store *store, bool *is_own)
{
	*is_own = !store->is_viewing;
	return *is_own ? store_view_begin(store) : ERR_OK;
}

static void
return_view(struct store *store, bool is_own)
{
	if (is_own)
		store_view_end(store);
}

#define LOAD_AT_ONCE 64u

enum err
store_load(struct store *store, const struct str *keys, size_t count,
	   struct str *values, struct arena *arena)
{
	struct str sealed[LOAD_AT_ONCE];
	enum err err;
	bool is_own;

	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < count && err == ERR_OK; i += LOAD_AT_ONCE) {
		size_t n = count - i < LOAD_AT_ONCE ? count - i : LOAD_AT_ONCE;

		err = store->ops->get(store->engine, keys + i, n, sealed);
		for (size_t j = 0; j < n && err == ERR_OK; j++) {
			values[i + j] = STR_NONE;
			if (sealed[j].p)
				err = copy_value(ENGINE_KV, keys[i + j],
						 sealed[j], arena,
						 &values[i + j]);
		}
	}
	return_view(store, is_own);
	return err;
}

struct scan {
	enum engine_table table;
	struct str prefix;
	struct str after; /* the last key that was passed */
	size_t limit;
	struct arena *arena;
	struct store_row *rows;
	size_t count;
	bool is_ending;
	enum err err;
};

static enum err
take_row(struct scan *scan, const struct engine_row *row)
{
	struct store_row *out = &scan->rows[scan->count];

	out->key = arena_str(scan->arena, row->key);
	if (out->key.p == NULL)
		return ERR_NO_MEMORY;
	scan->count++;
	return copy_value(scan->table, out->key, row->sealed, scan->arena,
			  &out->value);
}

/* The scan goes one row beyond its end: a row is believed to come next, or to
 * be the first one without the prefix, when it is sound and the one behind it
 * is in order, too (a damaged index may lead to sound rows from elsewhere). */
static bool
scan_row(void *ctx, const struct engine_row *row)
{
	struct scan *scan = ctx;
	int order = scan->after.p ? str_cmp(row->key, scan->after) : 1;
	bool has_prefix;

	if (order == 0 && scan->count == 0 && !scan->is_ending)
		return true; /* the key to go on behind */
	if (order > 0 && scan->is_ending)
		return false;
	has_prefix = str_starts(row->key, scan->prefix);
	if (order > 0 && has_prefix)
		scan->err = take_row(scan, row);
	else if (order <= 0 ||
		 !engine_is_sound(scan->table, row->key, row->sealed))
		scan->err = ERR_STORE_CORRUPT;
	if (scan->err != ERR_OK)
		return false;
	scan->is_ending = !has_prefix || scan->count == scan->limit;
	scan->after = row->key;
	return true;
}

static enum err
run_scan(struct store *store, struct scan *scan)
{
	struct str from = scan->prefix;
	enum err err;
	bool is_own;

	if (scan->after.p && str_cmp(scan->after, from) > 0)
		from = scan->after;
	else
		scan->after = STR_NONE;
	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err =
	    store->ops->walk(store->engine, scan->table, from, scan_row, scan);
	return_view(store, is_own);
	return err != ERR_OK ? err : scan->err;
}

enum err
store_scan(struct store *store, struct str prefix, struct str after,
	   size_t limit, struct arena *arena, struct store_row *rows,
	   size_t *count)
{
	struct scan scan = {.table = ENGINE_KV,
			    .prefix = prefix,
			    .after = after,
			    .limit = limit,
			    .arena = arena,
			    .rows = rows};
	enum err err = ERR_OK;

	if (prefix.n > 0 && limit > 0)
		err = run_scan(store, &scan);
	if (err == ERR_OK)
		*count = scan.count;
	return err;
}

enum err
store_last(struct store *store, struct str prefix, struct arena *arena,
	   struct store_row *row)
{
	char bound[STORE_KEY_BYTES_MAX];
	struct engine_row last = {STR_NONE, STR_NONE};
	struct store_row out = {STR_NONE, STR_NONE};
	size_t n = prefix.n < sizeof(bound) ? prefix.n : sizeof(bound);
	enum err err;
	bool is_own;

	*row = out;
	memcpy(bound, prefix.p ? prefix.p : "", n);
	while (n > 0 && (unsigned char)bound[n - 1] == 0xff)
		n--;
	if (n == 0)
		return ERR_OK; /* no prefix that a key can have */
	bound[n - 1]++;
	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err = store->ops->before(store->engine, str_bytes(bound, n), &last);
	if (err == ERR_OK && last.key.p && str_starts(last.key, prefix)) {
		out.key = arena_str(arena, last.key);
		err = out.key.p ? copy_value(ENGINE_KV, out.key, last.sealed,
					     arena, &out.value)
				: ERR_NO_MEMORY;
	}
	return_view(store, is_own);
	if (err == ERR_OK)
		*row = out;
	return err;
}

struct tail {
	uint64_t seq; /* the last one that was passed */
	size_t limit;
	struct arena *arena;
	struct store_event *events;
	size_t count;
	enum err err;
};

static bool
tail_row(void *ctx, const struct engine_row *row)
{
	struct tail *tail = ctx;
	struct store_event *out = &tail->events[tail->count];

	if (row->key.n != ENGINE_SEQ_BYTES ||
	    engine_get_u64(row->key.p) != tail->seq + 1) {
		tail->err = ERR_STORE_CORRUPT; /* a gap */
		return false;
	}
	out->seq = ++tail->seq;
	tail->err = copy_value(ENGINE_EV, row->key, row->sealed, tail->arena,
			       &out->bytes);
	return tail->err == ERR_OK && ++tail->count < tail->limit;
}

enum err
store_tail(struct store *store, uint64_t after, size_t limit,
	   struct arena *arena, struct store_event *events, size_t *count)
{
	struct tail tail = {
	    .seq = after, .limit = limit, .arena = arena, .events = events};
	unsigned char from[ENGINE_SEQ_BYTES];
	uint64_t head = 0;
	enum err err;
	bool is_own;

	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err = store->ops->head(store->engine, &head);
	if (err == ERR_OK && after < head && limit > 0) {
		engine_put_u64(from, after + 1);
		err = store->ops->walk(store->engine, ENGINE_EV,
				       str_bytes(from, sizeof(from)), tail_row,
				       &tail);
		if (err == ERR_OK)
			err = tail.err;
		if (err == ERR_OK && tail.count < limit && tail.seq != head)
			err = ERR_STORE_CORRUPT; /* the log ends too early */
	}
	return_view(store, is_own);
	if (err == ERR_OK)
		*count = tail.count;
	return err;
}

enum err
store_head(struct store *store, uint64_t *seq)
{
	enum err err;
	bool is_own;

	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err = store->ops->head(store->engine, seq);
	return_view(store, is_own);
	return err;
}

/* --- writing ------------------------------------------------------------- */

enum err
store_lease_take(struct store *store, struct store_lease *lease,
		 struct why *why)
{
	enum err err;

	if (store->is_leased)
		return why_set(why, ERR_STORE_LOCKED,
			       "this process holds the writer's lease already");
	err = store->ops->lease_take(store->engine, &lease->token, why);
	store->is_leased = err == ERR_OK;
	return err;
}

void
store_lease_release(struct store *store, struct store_lease *lease)
{
	if (store->is_leased)
		store->ops->lease_release(store->engine);
	store->is_leased = false;
	lease->token = 0;
}

static enum err
refresh_space(struct store *store)
{
	int64_t now_ms = clock_mono_ms();
	enum err err;

	if (store->space_at_ms != INT64_MIN &&
	    now_ms - store->space_at_ms < SPACE_EVERY_MS)
		return ERR_OK;
	err = store->ops->space(store->engine, &store->space);
	if (err == ERR_OK)
		store->space_at_ms = now_ms;
	return err;
}

static bool
is_disk_short(const struct engine_space *space)
{
	return space->disk_free_bytes <
	       space->disk_bytes / 100 * DISK_FREE_LEAST_PERCENT;
}

static int
by_key(const void *a, const void *b)
{
	const struct store_write *const *x = a;
	const struct store_write *const *y = b;

	return str_cmp((*x)->key, (*y)->key);
}

static enum err
check_group(const struct store_group *group)
{
	for (size_t i = 0; i < group->write_count; i++) {
		const struct store_write *write = &group->writes[i];

		if (write->key.n == 0 || write->key.n > STORE_KEY_BYTES_MAX ||
		    write->value.n > STORE_VALUE_BYTES_MAX)
			return ERR_TOO_LARGE;
		assert(write->key.p[0] >= 0x20 && write->key.p[0] <= 0x7e);
	}
	for (size_t i = 0; i < group->event_count; i++)
		if (group->events[i].n > STORE_VALUE_BYTES_MAX)
			return ERR_TOO_LARGE;
	return ERR_OK;
}

static enum err
sort_writes(struct store *store, const struct store_group *group)
{
	size_t n = group->write_count;

	if (n > store->sorted_room) {
		size_t room = n > SORTED_KEPT ? n : SORTED_KEPT;
		const struct store_write **sorted = realloc(
		    store->sorted, room * sizeof(const struct store_write *));

		if (sorted == NULL)
			return ERR_NO_MEMORY;
		store->sorted = sorted;
		store->sorted_room = room;
	}
	for (size_t i = 0; i < n; i++)
		store->sorted[i] = &group->writes[i];
	if (n > 1)
		qsort(store->sorted, n, sizeof(const struct store_write *),
		      by_key);
	for (size_t i = 1; i < n; i++)
		assert(
		    !str_eq(store->sorted[i - 1]->key, store->sorted[i]->key));
	return ERR_OK;
}

static enum err
may_write(struct store *store, const struct store_lease *lease,
	  const struct store_group *group)
{
	enum err err;

	assert(!store->is_viewing);
	if (!store->is_leased || lease->token == 0)
		return ERR_FENCED;
	err = check_group(group);
	if (err == ERR_OK)
		err = refresh_space(store);
	if (err != ERR_OK)
		return err;
	return is_disk_short(&store->space) || fault("store-full")
		   ? ERR_STORE_FULL
		   : ERR_OK;
}

enum err
store_journal(struct store *store, const struct store_lease *lease,
	      uint64_t head, const struct store_group *group)
{
	enum err err = may_write(store, lease, group);

	return err == ERR_OK ? store->ops->journal(store->engine, lease->token,
						   head, group)
			     : err;
}

enum err
store_is_behind(struct store *store, bool *is_behind)
{
	enum err err;
	bool is_own;

	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err = store->ops->is_behind(store->engine, is_behind);
	return_view(store, is_own);
	return err;
}

enum err
store_commit(struct store *store, const struct store_lease *lease,
	     uint64_t *head, const struct store_group *group)
{
	struct engine_group sorted;
	enum err err = may_write(store, lease, group);

	if (err == ERR_OK)
		err = sort_writes(store, group);
	if (err != ERR_OK)
		return err;
	sorted = (struct engine_group){store->sorted, group->write_count,
				       group->events, group->event_count};
	return store->ops->commit(store->engine, lease->token, head, &sorted);
}

/* --- state --------------------------------------------------------------- */

enum err
store_rest(struct store *store)
{
	assert(!store->is_viewing);
	free(store->sorted);
	store->sorted = NULL;
	store->sorted_room = 0;
	return store->ops->rest ? store->ops->rest(store->engine) : ERR_OK;
}

enum err
store_state(struct store *store, struct store_state *out)
{
	struct store_state state = {0};
	struct engine_space space;
	enum err err;

	err = store_head(store, &state.head_seq);
	if (err == ERR_OK)
		err = store->ops->space(store->engine, &space);
	if (err != ERR_OK)
		return err;
	state.used_bytes = space.used_bytes;
	state.map_bytes = space.map_bytes;
	state.disk_bytes = space.disk_bytes;
	state.disk_free_bytes = space.disk_free_bytes;
	state.is_refusing_writes = is_disk_short(&space);
	if (state.is_refusing_writes)
		snprintf(state.alarm, sizeof(state.alarm),
			 "less than %d %% of the disk is free: writes are "
			 "refused until there is room",
			 DISK_FREE_LEAST_PERCENT);
	else if (space.disk_bytes - space.disk_free_bytes >
		 space.disk_bytes / 100 * DISK_USED_ALARM_PERCENT)
		snprintf(state.alarm, sizeof(state.alarm),
			 "more than %d %% of the disk is used: make room",
			 DISK_USED_ALARM_PERCENT);
	else if (space.map_bytes > 0 &&
		 space.used_bytes >
		     space.map_bytes / 100 * MAP_USED_ALARM_PERCENT)
		snprintf(state.alarm, sizeof(state.alarm),
			 "more than %d %% of the store's map is used: restart "
			 "with a larger one",
			 MAP_USED_ALARM_PERCENT);
	*out = state;
	return ERR_OK;
}

enum err
store_check_readers(struct store *store, unsigned *cleared)
{
	return store->ops->check_readers(store->engine, cleared);
}

enum err
store_verify(struct store *store, uint64_t *records, uint64_t *bad,
	     struct why *why)
{
	enum err err;
	bool is_own;

	err = borrow_view(store, &is_own);
	if (err != ERR_OK)
		return err;
	err = engine_verify(store->ops, store->engine, records, bad, why);
	return_view(store, is_own);
	return err;
}
