/*
 * ledger: every write of the house as handlers over a group (store/group.h).
 * The usage process runs them on the bus; the command tools run the same ones
 * themselves while no ledger runs. Load, pure decision, put: a handler that
 * fails leaves the group as it found it.
 */
#ifndef WORKERS_LEDGER_H
#define WORKERS_LEDGER_H

#include "lib/conf.h"
#include "store/crypto.h"
#include "store/group.h"
#include "workers/pool.h"

struct ledger {
	struct store *store;
	struct store_lease lease;
	struct group *group;
	struct crypto *crypto;
};

/* Opens the store, takes the writer's lease, checks the master key.
 * ERR_STORE_LOCKED: a ledger runs. */
enum err ledger_open(struct ledger *ledger, const struct conf *conf,
		     struct why *why);
void ledger_close(struct ledger *ledger);
/* Makes the store with the default workspace, the plan templates and the price
 * list; ERR_EXISTS (nothing changed) when there is one. The tokens are new
 * random text, stored as hashes only. */
struct ledger_init {
	struct str internal_token;
	struct str admin_setup_token;
};
enum err ledger_init(const struct conf *conf, struct arena *arena,
		     struct ledger_init *out, struct why *why);

/* context->state is a struct ledger *. */
extern const struct worker_row ledger_rows[];
extern const size_t ledger_row_count;

/* Closes as `interrupted` the open reservations that expired before now_ms, and
 * those of owner that belong to another incarnation than the given one (owner
 * STR_NONE: only the expired). At most `limit` a call; *closed says how many,
 * *next_expiry_ms when the next one expires (INT64_MAX: none open). */
enum err ledger_close_open(struct ledger *ledger, struct arena *arena,
			   int64_t now_ms, struct str owner,
			   uint64_t owner_start, size_t limit, size_t *closed,
			   int64_t *next_expiry_ms);
/* Writes a day_closed event for each day of each workspace that ended. */
enum err ledger_close_days(struct ledger *ledger, struct arena *arena,
			   int64_t now_ms, int64_t *next_ms);

#endif
