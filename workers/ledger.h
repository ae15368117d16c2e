/*
 * ledger: every write of the house as handlers over a group (store/group.h).
 * The usage process runs them on the bus; the command tools run the same ones
 * themselves while no ledger runs. Load, pure decision, put: a handler that
 * fails leaves the group as it found it. One thread.
 */
#ifndef WORKERS_LEDGER_H
#define WORKERS_LEDGER_H

#include "lib/conf.h"
#include "store/crypto.h"
#include "store/group.h"
#include "workers/ledger_counters.h"
#include "workers/pool.h"

#define LEDGER_LATE_MS 500 /* how far behind readers of the store may be */

struct ledger_cache;

struct ledger {
	struct store *store;
	struct store_lease lease;
	struct group *group;
	struct crypto *crypto;
	struct ledger_cache *cache; /* decoded plans, workspaces, prices */
	struct counters *counters;  /* meters and rollups */
	struct buf scratch;	    /* an event's state while it is encoded */
	unsigned event_count;	    /* appended since the last commit */
	unsigned late_event_count;  /* of these journalled */
	bool is_shown;		    /* the next commit is to be read at once */
	int64_t keys_version;	    /* of the vendor's provider keys */
	int64_t next_expiry_ms;	    /* no open reservation expires before it */
};

/* Opens the store, takes the writer's lease, checks the master key, counts what
 * the last ledger had not written into its counters. ERR_STORE_LOCKED: a ledger
 * runs. STORE_CORRUPT: an event that is to be counted cannot be read. */
enum err ledger_open(struct ledger *ledger, const struct conf *conf,
		     struct why *why);
/* The same over a store and a crypto that are open; takes both over, also when
 * it fails. */
enum err ledger_attach(struct ledger *ledger, struct store *store,
		       struct crypto *crypto, struct why *why);
/* Writes the counters that wait; what was not committed is dropped. */
void ledger_close(struct ledger *ledger);
/* Makes durable what the handlers have decided since the last time; whoever
 * runs a handler calls it before anybody hears of the outcome. Reservations and
 * settlements are only journalled while there are many. *event_count: events
 * that can be read now (a reason to ring the doorbell). Errors: group_commit.
 */
enum err ledger_commit(struct ledger *ledger, unsigned *event_count);
/* Lines or counters are not all in the store yet; whoever keeps a ledger open
 * has them written LEDGER_LATE_MS later. */
bool ledger_is_late(const struct ledger *ledger);
/* The next commit writes them. */
void ledger_hasten(struct ledger *ledger);
/* Between two turns: gives back what is held for speed only. On an error the
 * ledger can only be closed. */
enum err ledger_rest(struct ledger *ledger);

/* Makes the store with the default workspace, the plan templates and the price
 * list; ERR_EXISTS (nothing changed) when there is one. The tokens are new
 * random text, stored as hashes only. */
struct ledger_init {
	struct str internal_token;
	struct str admin_setup_token;
};
enum err ledger_init(const struct conf *conf, struct arena *arena,
		     struct ledger_init *out, struct why *why);
/* The first records of an empty store, committed as one: the second half of
 * ledger_init. */
enum err ledger_seed(struct store *store, struct crypto *crypto, int64_t now_ms,
		     struct arena *arena, struct ledger_init *out,
		     struct why *why);

/* context->state is a struct ledger *, or begins with one. */
#define LEDGER_ROWS 25
extern const struct worker_row ledger_rows[LEDGER_ROWS];
extern const size_t ledger_row_count;

/* Closes as `interrupted` the open reservations that expired at now_ms or
 * before, and those of owner that belong to another incarnation than the given
 * one (owner STR_NONE: only the expired). At most `limit` a call; *closed says
 * how many, *next_expiry_ms when the next one expires (INT64_MAX: none open;
 * now_ms: there may be more to close). STORE_CORRUPT: a line could not be read;
 * the others were done. recorded_ms: the wall clock for the
 * lines and events, which may differ from the clock that expiry is judged by.
 */
struct ledger_sweep {
	int64_t now_ms;
	int64_t recorded_ms;
	struct str owner;
	uint64_t owner_start;
	size_t limit;
};
enum err ledger_close_open(struct ledger *ledger,
			   const struct ledger_sweep *sweep, size_t *closed,
			   int64_t *next_expiry_ms);
/* Erases the first capture that has ended, if one has; it is to be committed.
 */
enum err ledger_captures_end(struct ledger *ledger, int64_t now_ms,
			     struct arena *arena);
/* Writes a day_closed event for each day of each workspace that ended: a day
 * is closed at the workspace's daily_at of the day behind it. *next_ms: when
 * to call again. */
enum err ledger_close_days(struct ledger *ledger, int64_t now_ms,
			   int64_t *next_ms);

#endif
