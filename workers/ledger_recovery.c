/*
 * ledger_recovery: what the counters in the store lack when a ledger ends
 * without closing, taken from what it had written in time. Used by
 * ledger_attach before anything is decided; it writes as a ledger does.
 *
 * The log behind `counted` has each line that was settled or interrupted since,
 * and no other change of the counters: those are written at once
 * (counters_hasten). Reservations have no event; the open lines tell how many
 * there are, and a licence's last admitted line tells its month and rate.
 * Each step may be cut off and done again: events are counted with the commit
 * that says so, the rest is set to what it is, not moved.
 */
#include "workers/ledger_parts.h"

#include "store/meta.h"

#include <inttypes.h>

#define PAGE_ROWS 128u
#define BYTES_MAX (4u << 20)

/* --- one line ------------------------------------------------------------ */

static enum err
line_count(struct ledger *ledger, const struct usage_line *line)
{
	struct usage_line before = *line;
	enum err e = ledger_accounts_take(ledger, line, LINE_ENDED);

	before.status = STR("reserved");
	return e == ERR_OK ? ledger_rollups_move(ledger, &before, line) : e;
}

/* --- commits ------------------------------------------------------------- */

static enum err
write_counters(struct ledger *ledger, uint64_t seq)
{
	enum err e = counters_put(ledger->counters, ledger->group, seq);

	if (e == ERR_OK)
		e = group_commit(ledger->group);
	if (e == ERR_OK)
		counters_committed(ledger->counters, true);
	return e;
}

/* Between two pages, so that they find room. */
static enum err
page_end(struct ledger *ledger, uint64_t seq)
{
	ledger_cache_trim(ledger->cache);
	counters_committed(ledger->counters, false); /* nothing to undo */
	return counters_are_many(ledger->counters) ? write_counters(ledger, seq)
						   : ERR_OK;
}

/* --- the log ------------------------------------------------------------- */

static enum err
event_count(struct ledger *ledger, struct arena *arena, struct str bytes)
{
	struct usage_line line;
	struct event event;
	enum err e = schema_decode(&event_schema, bytes, &event, arena, NULL);

	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
	if (!str_eq(event.type, event_types[EVENT_ai_request]))
		return ERR_OK;
	e = schema_decode(&usage_line_schema, event.state, &line, arena, NULL);
	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
	return line_count(ledger, &line);
}

/* *seq: counted up to here; in: so far. */
static enum err
log_count(struct ledger *ledger, struct arena *arena, uint64_t *seq)
{
	struct store_event events[PAGE_ROWS];
	size_t count = PAGE_ROWS;
	enum err e = ERR_OK;

	while (e == ERR_OK && count == PAGE_ROWS) {
		arena_reset(arena);
		e = store_tail(ledger->store, *seq, PAGE_ROWS, arena, events,
			       &count);
		for (size_t i = 0; i < count && e == ERR_OK; i++) {
			e = event_count(ledger, arena, events[i].bytes);
			*seq += e == ERR_OK;
		}
		if (e == ERR_OK)
			e = page_end(ledger, *seq);
	}
	return e;
}

/* --- the open lines ------------------------------------------------------ */

/* A line that cannot be read is passed over: the sweep, which looks at the same
 * ones, says so. */
static enum err
open_row(struct ledger *ledger, struct arena *arena, struct str line_key,
	 enum line_use use)
{
	struct usage_line line;
	struct str bytes;
	enum err e;

	if (line_key.n == 0 || line_key.n > STORE_KEY_BYTES_MAX)
		return ERR_OK;
	e = store_load(ledger->store, &line_key, 1, &bytes, arena);
	if (e == ERR_OK && bytes.p)
		e = schema_decode(&usage_line_schema, bytes, &line, arena,
				  NULL);
	else if (e == ERR_OK)
		e = ERR_STORE_CORRUPT;
	if (e == ERR_OK)
		return ledger_accounts_take(ledger, &line, use);
	return e == ERR_NO_MEMORY || e == ERR_UNAVAILABLE ? e : ERR_OK;
}

static enum err
each_open(struct ledger *ledger, struct arena *arena, uint64_t seq,
	  enum line_use use)
{
	static const char kind = KEY_OPEN;
	struct store_row rows[PAGE_ROWS];
	size_t count = PAGE_ROWS;
	struct key last = {.n = 0};
	enum err e = ERR_OK;

	while (e == ERR_OK && count == PAGE_ROWS) {
		arena_reset(arena);
		e = store_scan(ledger->store, str_bytes(&kind, 1),
			       last.n ? key_str(&last) : STR_NONE, PAGE_ROWS,
			       arena, rows, &count);
		for (size_t i = 0; i < count && e == ERR_OK; i++) {
			last.n = rows[i].key.n;
			memcpy(last.p, rows[i].key.p, last.n);
			e = open_row(ledger, arena, rows[i].value, use);
		}
		if (e == ERR_OK)
			e = page_end(ledger, seq);
	}
	return e;
}

/* --- all of it ----------------------------------------------------------- */

/* A store of before `counted` has complete counters. */
static enum err
mark_counted(struct ledger *ledger, struct arena *arena)
{
	struct meta meta;
	struct key key;
	enum err e;

	key_meta(&key);
	e = group_load(ledger->group, &key, &meta_schema, &meta, arena);
	if (e == ERR_OK && meta.version < META_VERSION) {
		meta.version = META_VERSION;
		e = group_put(ledger->group, &key, &meta_schema, &meta);
	}
	return e == ERR_OK ? write_counters(ledger, group_seq(ledger->group))
			   : e;
}

static enum err
counted_load(struct ledger *ledger, struct arena *arena, uint64_t *seq)
{
	struct counted counted;
	struct key key;
	enum err e;

	key_counted(&key);
	e = group_load(ledger->group, &key, &counted_schema, &counted, arena);
	if (e == ERR_NO_SUCH) {
		e = mark_counted(ledger, arena);
		counted.seq = (int64_t)group_seq(ledger->group);
	}
	if (e != ERR_OK)
		return e;
	*seq = (uint64_t)counted.seq;
	counters_begin(ledger->counters, *seq);
	return ERR_OK;
}

enum err
ledger_recover(struct ledger *ledger, struct why *why)
{
	struct arena arena;
	uint64_t seq = 0;
	enum err e;

	arena_init(&arena, BYTES_MAX);
	e = counted_load(ledger, &arena, &seq);
	if (e == ERR_OK)
		e = log_count(ledger, &arena, &seq);
	if (e == ERR_OK)
		e = each_open(ledger, &arena, seq, LINE_OPEN_MET);
	if (e == ERR_OK)
		e = each_open(ledger, &arena, seq, LINE_OPEN_COUNTED);
	if (e == ERR_OK && counters_wait(ledger->counters))
		e = write_counters(ledger, seq);
	arena_fini(&arena);
	if (e == ERR_STORE_CORRUPT)
		return why_set(why, e,
			       "the counters cannot be brought up to date "
			       "behind event %" PRIu64
			       ": restore from a backup",
			       seq);
	return e == ERR_OK
		   ? e
		   : why_set(why, e, "cannot open the ledger: %s", err_text(e));
}
