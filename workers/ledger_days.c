/*
 * ledger_days: time passing as events. A day of a workspace is closed at its
 * `daily_at` on the day behind it, by the event `day_closed`: event_date is the
 * first instant behind the day, metadata {"date":"2026-11-21"}. The workspace
 * keeps up to where days are closed, so that each is closed once, also those
 * that ended while nothing ran.
 */
#include "workers/ledger_parts.h"

#define PAGE_ROWS 32u
#define DAYS_MAX 400 /* of one workspace in one call */
#define BYTES_MAX (4u << 20)
#define MINUTE_MS INT64_C(60000)

/* "06:00" -> milliseconds behind midnight; midnight when it is no time. */
static int64_t
daily_at_ms(struct str text)
{
	int64_t hours, minutes;

	if (text.n != 5 || text.p[2] != ':')
		return 0;
	hours = (text.p[0] - '0') * 10 + (text.p[1] - '0');
	minutes = (text.p[3] - '0') * 10 + (text.p[4] - '0');
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return 0;
	return (hours * 60 + minutes) * MINUTE_MS;
}

static enum err
day_event(struct ledger *ledger, struct arena *arena, int64_t now_ms,
	  const struct workspace *workspace, const char *zone, int64_t start_ms,
	  int64_t end_ms)
{
	char date[CALENDAR_TEXT_BYTES];
	size_t n = calendar_print_day(start_ms, zone, date);
	struct event event;

	schema_clear(&event_schema, &event);
	event.type = event_types[EVENT_day_closed];
	event.event_date = end_ms;
	event.workspace = workspace->code;
	event.metadata =
	    arena_printf(arena, "{\"date\":\"%.*s\"}", (int)n, date);
	return ledger_event(ledger, now_ms, &event, NULL, NULL);
}

/* Closes what has ended; *next_ms: when its next day closes. */
static enum err
workspace_close_days(struct ledger *ledger, struct arena *arena, int64_t now_ms,
		     struct workspace *workspace, int64_t *next_ms)
{
	int64_t start_ms, end_ms, at_ms = daily_at_ms(workspace->daily_at);
	int64_t before = workspace->closed_until;
	char zone[65] = "UTC";
	struct key key;
	enum err e = ERR_OK;

	if (!str_is_empty(workspace->timezone)) {
		memcpy(zone, workspace->timezone.p, workspace->timezone.n);
		zone[workspace->timezone.n] = '\0';
	}
	if (before == SCHEMA_INT_NONE)
		calendar_window(WINDOW_DAY, now_ms, zone,
				&workspace->closed_until, &end_ms);
	for (int i = 0; i < DAYS_MAX && e == ERR_OK; i++) {
		calendar_window(WINDOW_DAY, workspace->closed_until, zone,
				&start_ms, &end_ms);
		*next_ms = end_ms + at_ms;
		if (*next_ms > now_ms)
			break;
		e = day_event(ledger, arena, now_ms, workspace, zone, start_ms,
			      end_ms);
		workspace->closed_until = end_ms;
	}
	if (e != ERR_OK || workspace->closed_until == before)
		return e;
	ledger_cache_drop(ledger);
	key_workspace(&key, workspace->code);
	return group_put(ledger->group, &key, &workspace_schema, workspace);
}

static enum err
row_close_days(struct ledger *ledger, struct arena *arena, int64_t now_ms,
	       struct str row_key, int64_t *next_ms)
{
	struct workspace workspace;
	int64_t next = INT64_MAX;
	struct key key = {.n = row_key.n};
	enum err e;

	memcpy(key.p, row_key.p, row_key.n);
	e = group_load(ledger->group, &key, &workspace_schema, &workspace,
		       arena);
	if (e == ERR_OK)
		e = workspace_close_days(ledger, arena, now_ms, &workspace,
					 &next);
	if (next < *next_ms)
		*next_ms = next;
	return e;
}

enum err
ledger_close_days(struct ledger *ledger, int64_t now_ms, int64_t *next_ms)
{
	static const char kind = KEY_WORKSPACE;
	struct ledger_mark mark = ledger_mark(ledger);
	struct store_row rows[PAGE_ROWS];
	struct key last = {.n = 0};
	size_t count = PAGE_ROWS;
	struct arena arena;
	enum err e = ERR_OK;

	*next_ms = INT64_MAX;
	ledger->is_shown = true;
	arena_init(&arena, BYTES_MAX);
	while (e == ERR_OK && count == PAGE_ROWS) {
		arena_reset(&arena);
		e = store_scan(ledger->store, str_bytes(&kind, 1),
			       last.n ? key_str(&last) : STR_NONE, PAGE_ROWS,
			       &arena, rows, &count);
		for (size_t i = 0; i < count && e == ERR_OK; i++) {
			last.n = rows[i].key.n;
			memcpy(last.p, rows[i].key.p, last.n);
			e = row_close_days(ledger, &arena, now_ms, rows[i].key,
					   next_ms);
		}
	}
	arena_fini(&arena);
	if (e != ERR_OK) {
		ledger_undo(ledger, mark);
		ledger_cache_drop(ledger);
	}
	return e;
}
