/*
 * validate_settings: workspaces and plans as they are in the store, decoded
 * once. Their bytes are looked at again when the store was written since, and
 * decoded again only when they changed, so a change is seen by the next turn.
 */
#ifndef WORKERS_VALIDATE_SETTINGS_H
#define WORKERS_VALIDATE_SETTINGS_H

#include "lib/calendar.h"
#include "store/records.h"
#include "store/store.h"

#define SETTINGS_SLOTS 256u /* of each kind; more of them share slots */

struct settings;

struct settings_workspace {
	struct workspace record;
	char zone[65]; /* of the record, a known one */
	/* The month that holds the turn's time, and its end as text. */
	int64_t month_start_ms;
	int64_t month_end_ms;
	char resets_at[CALENDAR_TEXT_BYTES];
	size_t resets_at_n;
};

/* NULL when out of memory. */
struct settings *settings_open(void);
void settings_close(struct settings *settings);
/* A new turn begins, with this store_view_number. */
void settings_turn(struct settings *settings, uint64_t view);

/* *out lives until the next call for another one of its kind. ERR_NO_SUCH: the
 * store has none. scratch is the turn's. */
enum err settings_workspace(struct settings *settings, struct store *store,
			    struct str code, int64_t now_ms,
			    struct arena *scratch,
			    const struct settings_workspace **out);
/* With the limits that hold where the plan says nothing (requests_hour). */
enum err settings_plan(struct settings *settings, struct store *store,
		       struct str workspace, struct str code,
		       struct arena *scratch, const struct plan **out);

#endif
