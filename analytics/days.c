/*
 * days: see days.h.
 */
#include "analytics/days.h"

#define ENDS_PAGE 256u

/* One subscription has ended: it counts for nothing from here. */
static enum err
end_one(struct fold *fold, struct str workspace, struct str subscription_id,
	int64_t day_ms)
{
	struct stake stake;
	struct key key;
	enum err e;

	row_key_stake(&key, fold->generation, subscription_id);
	e = group_load(fold->group, &key, &stake_schema, &stake, fold->arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	stake.mrr = 0;
	stake.is_active = stake.is_paying = false;
	return fold_stake(fold, workspace, subscription_id, &stake, day_ms);
}

/* Ends those up to `until`; ERR_AGAIN when there may be more. */
static enum err
end_all(struct fold *fold, struct str workspace, int64_t until, int64_t day_ms)
{
	struct store_row rows[ENDS_PAGE];
	struct str after = STR_NONE, id;
	size_t count = ENDS_PAGE;
	struct key prefix;
	int64_t ends_at;
	enum err e;

	row_key_end(&prefix, fold->generation, workspace, 0, STR_NONE);
	for (size_t done = 0; count == ENDS_PAGE; done += count) {
		if (done >= DAYS_ENDS_MAX)
			return ERR_AGAIN;
		e = store_scan(fold->store, key_str(&prefix), after, ENDS_PAGE,
			       fold->arena, rows, &count);
		for (size_t i = 0; e == ERR_OK && i < count; i++) {
			if (!row_end_of(rows[i].key, &prefix, &ends_at, &id))
				return ERR_STORE_CORRUPT;
			if (ends_at > until)
				return ERR_OK;
			e = end_one(fold, workspace, id, day_ms);
		}
		if (e != ERR_OK)
			return e;
		if (count)
			after = rows[count - 1].key;
	}
	return ERR_OK;
}

enum err
days_close(struct fold *fold, const struct event *event)
{
	int64_t start_ms, until;
	enum err e = fold_workspace_open(fold, event->workspace);

	if (e != ERR_OK)
		return e;
	/* One millisecond before, to take the day's end for that day, too. */
	calendar_window(WINDOW_DAY, event->event_date - 1, fold->zone,
			&start_ms, &until);
	if (fold->tally.closed_until != SCHEMA_INT_NONE &&
	    fold->tally.closed_until >= until)
		return ERR_OK;
	e = end_all(fold, event->workspace, until, start_ms);
	if (e == ERR_OK)
		e = fold_day_open(fold, event->workspace, start_ms, true);
	if (e != ERR_OK)
		return e;
	fold->day.is_closed = true;
	fold->tally.closed_until = until;
	fold->is_day_dirty = fold->is_tally_dirty = true;
	return ERR_OK;
}
