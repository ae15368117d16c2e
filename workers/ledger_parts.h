/*
 * ledger_parts: what the groups of handlers (ledger_*.c) share: the cache of
 * records that rarely change, finding a licence, refusing with a reason,
 * appending events. Nobody else includes it.
 */
#ifndef WORKERS_LEDGER_PARTS_H
#define WORKERS_LEDGER_PARTS_H

#include "lib/calendar.h"
#include "workers/ledger.h"
#include "workers/limits.h"
#include "workers/prices.h"
#include "workers/rules.h"

#define DEFAULT_WORKSPACE STR("default")
#define DAY_MS INT64_C(86400000)

/* --- ledger_cache.c ------------------------------------------------------ */

/* A workspace with its zone as a C string and the windows of its last clock
 * readings, so that the hot path makes no calendar call. */
struct ledger_window {
	int64_t start_ms;
	int64_t end_ms;
};
struct ledger_workspace {
	struct workspace record;
	char zone[65];
	bool is_enforced; /* false: `log`, nothing is blocked */
	bool has_limits;  /* of its licences together */
	struct limits limits;
	struct ledger_window hour, day, month;
};

/* A plan with its limits for AI requests. */
struct ledger_plan {
	struct plan record;
	struct limits limits;
};

enum err ledger_cache_open(struct ledger_cache **out);
void ledger_cache_close(struct ledger_cache *cache);
/* Makes room; what was loaded from the cache before is gone. Once at the
 * beginning of each request. */
void ledger_cache_trim(struct ledger_cache *cache);
/* Forgets everything: before a write of a plan, a workspace or a price, and
 * when such a write did not come to be. The counters are written with it, for
 * their windows are those of the workspace as it was. */
void ledger_cache_drop(struct ledger *ledger);
/* Has been dropped since ledger_cache_trim. */
bool ledger_cache_was_dropped(const struct ledger_cache *cache);

/* Each lives until the next trim or drop. WORKSPACE_UNKNOWN, PLAN_UNKNOWN,
 * MODEL_NOT_PRICED when there is none. */
enum err ledger_workspace(struct ledger *ledger, struct str code,
			  struct ledger_workspace **out);
enum err ledger_plan(struct ledger *ledger, struct str workspace,
		     struct str code, const struct plan **out);
enum err ledger_plan_limits(struct ledger *ledger, struct str workspace,
			    struct str code, const struct ledger_plan **out);
/* The price that counts at that time of exactly this model, else of the model
 * without its date. */
enum err ledger_price(struct ledger *ledger, struct str provider,
		      struct str model, int64_t at_ms,
		      const struct price_period **out);
/* First instant of the window that holds ms. */
int64_t ledger_window_start(struct ledger_workspace *workspace,
			    enum calendar_window window, int64_t ms);

/* --- ledger.c ------------------------------------------------------------ */

/* A point to go back to, also when several things are done in one turn. */
struct ledger_mark {
	struct group_mark group;
	size_t counters;
	unsigned event_count;
};
struct ledger_mark ledger_mark(const struct ledger *ledger);
void ledger_undo(struct ledger *ledger, struct ledger_mark mark);
/* Runs fn; takes back what it put when it fails. */
enum err ledger_run(struct context *context, const void *in, void *out,
		    handler_fn *fn);
/* The same for what need not be read at once. */
enum err ledger_run_late(struct context *context, const void *in, void *out,
			 handler_fn *fn);
/* Fills context->failure; returns e. field NULL: none. */
enum err ledger_refuse(struct context *context, enum err e, const char *field,
		       const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tokens of a class in one answer, as somebody says: absent is none, and more
 * than there can be is the most. */
#define LEDGER_TOKENS_MAX INT64_C(1000000000)
static inline int64_t
ledger_tokens(int64_t count)
{
	return count > LEDGER_TOKENS_MAX ? LEDGER_TOKENS_MAX
					 : schema_count(count);
}

/* The licence of a key as a plugin presents it, and the key's hash:
 * KEY_MISSING, NOT_FOUND. */
enum err ledger_license_by_key(struct ledger *ledger, struct str key,
			       struct arena *arena, struct license *license,
			       unsigned char hash[CRYPTO_HASH_BYTES]);
struct ledger_license {
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license license;
	struct subscription subscription;
	struct customer customer;
};
/* All that belongs to a licence, by its id or key: NO_SUCH. */
enum err ledger_license_find(struct ledger *ledger, struct str id_or_key,
			     struct arena *arena, struct ledger_license *out);

/* --- ledger_events.c ----------------------------------------------------- */

/* Appends an event that the house itself makes: id and recorded_at are filled
 * here, event_date unless given; state is encoded into it (schema NULL: it has
 * one already, or none). TOO_LARGE: the state does not fit. */
enum err ledger_event(struct ledger *ledger, int64_t now_ms,
		      struct event *event, const struct schema *schema,
		      const void *state);

/* An event about a customer or (state) the given subscription. */
struct ledger_told {
	enum event_type type;
	const char *what; /* "Licence issued" */
	struct str name;  /* the customer's */
	struct str plan_code;
	struct str plan_name;
	struct str license_id; /* absent: an event about the customer */
	struct str reason;
	struct str actor;
	int64_t amount;
};
enum err ledger_tell(struct context *context, const struct ledger_told *told,
		     const struct customer *customer,
		     const struct subscription *subscription);
/* The name that people see. */
struct str ledger_plan_name(const struct plan *plan);

/* --- ledger_recovery.c --------------------------------------------------- */

/* Brings the counters to where the log and the open lines are, and commits
 * them. Nothing is decided yet. */
enum err ledger_recover(struct ledger *ledger, struct why *why);

/* --- ledger_limits.c ----------------------------------------------------- */

/* A meter with the limits that it is held to. */
struct ledger_account {
	const struct limits *limits;
	struct counter *counter;
	union counter_record record; /* the counter's, as it is to be */
};
/* First the licence's; then, while that has limits, its workspace's. */
struct ledger_accounts {
	unsigned count;
	struct ledger_account of[LIMITS_ACCOUNTS];
	struct limits_account seen[LIMITS_ACCOUNTS]; /* the same, for limits.h
						      */
};
/* Loads them, rolled to the month that holds now. It must not be moved. */
enum err ledger_accounts_load(struct ledger *ledger, struct str license_id,
			      const struct limits *limits,
			      struct ledger_workspace *workspace,
			      int64_t now_ms, struct ledger_accounts *out);
/* Whether the log and the line tell what ledger_accounts_put changes: a month
 * that comes again, since the clock was set back, they do not. */
bool ledger_accounts_are_told(const struct ledger_accounts *accounts);
enum err ledger_accounts_put(struct ledger *ledger,
			     const struct ledger_accounts *accounts);

/* Takes out of the meters what the line counted before, and puts in what it
 * counts now. */
enum err ledger_accounts_move(struct ledger *ledger,
			      const struct usage_line *before,
			      const struct usage_line *after);
/* Brings tokens and price of what ends down to what it held and what is left
 * beside that. */
enum err ledger_accounts_cap(struct ledger *ledger, struct arena *arena,
			     const struct usage_line *before,
			     struct usage_line *after);

/* The same for a ledger that counts again (ledger_recovery.c). */
enum line_use {
	LINE_OPEN_MET, /* open ones are counted anew from here */
	LINE_OPEN_COUNTED,
	LINE_ENDED, /* it was reserved until an event */
};
enum err ledger_accounts_take(struct ledger *ledger,
			      const struct usage_line *line, enum line_use use);

/* A workspace gets limits: its meter becomes what its licences have used. */
enum err ledger_workspace_meter_begin(struct ledger *ledger,
				      struct str workspace, const char *zone,
				      int64_t now_ms);

/* --- ledger_settle.c ----------------------------------------------------- */

/* Takes off the rollups what the line counted before and adds what it counts
 * now; after NULL: it counts no more. */
enum err ledger_rollups_move(struct ledger *ledger,
			     const struct usage_line *before,
			     const struct usage_line *after);

/* --- ledger_observe.c ---------------------------------------------------- */

/* A line has moved: counts it for /metrics. */
void ledger_observe(const struct usage_line *before,
		    const struct usage_line *after);

/* --- ledger_keys.c, ledger_own_keys.c ------------------------------------ */

/* The customer's own key for the provider, sealed: NO_SUCH when there is none,
 * or none that counts: it was set for another provider, which had the name
 * before, or the provider takes no keys now. */
enum err ledger_own_key(struct ledger *ledger, struct str customer_id,
			struct str provider, struct arena *arena,
			struct str *sealed);
/* Reads from the store what it says of keys: ledger->keys_version, and which
 * master key seals. */
enum err ledger_keys_read(struct ledger *ledger);
/* The version that the store's first record says. */
void ledger_keys_take(struct ledger *ledger, const struct meta *meta);
/* The version that ledger_keys_raise makes next, which there never was before.
 */
int64_t ledger_keys_next(const struct context *context);
/* What a proxy is told has changed: it is to ask again. */
enum err ledger_keys_raise(struct context *context);

/* --- ledger_providers.c, ledger_routes.c --------------------------------- */

bool ledger_is_built_in(struct str provider);
/* The provider of the settings that has the name; ERR_NO_SUCH: none has. */
enum err ledger_provider_find(struct ledger *ledger, struct str name,
			      struct arena *arena, struct provider *out);
/* Refuses (NO_SUCH) a provider that is neither built in nor of the settings. */
enum err ledger_check_provider(struct context *context, struct str provider,
			       bool is_built_in);
/* A model's name as a user may paste it: printable, no blank. */
bool ledger_is_model(struct str name);
/* The event of a change, with what results. */
enum err ledger_tell_setting(struct context *context, enum event_type type,
			     struct str description, struct str actor,
			     const struct schema *schema, const void *state);
/* Up to max rows with the prefix, with what this turn has changed. */
enum err ledger_scan(struct ledger *ledger, const struct key *prefix,
		     size_t max, struct arena *arena, struct store_row **rows,
		     size_t *count);
/* Fills out's providers, and out's routes, which have room for one more. */
enum err ledger_providers_get(struct ledger *ledger, struct arena *arena,
			      struct vendor_keys *out);
enum err ledger_routes_get(struct ledger *ledger, struct arena *arena,
			   struct vendor_keys *out);

/* --- ledger_captures.c --------------------------------------------------- */

/* Its debug capture is on, and has room. */
bool ledger_is_captured(const struct license *license, int64_t now_ms);

/* --- the groups of handlers ---------------------------------------------- */
handler_fn ledger_reserve, ledger_settle;
handler_fn ledger_license_issue, ledger_license_change;
handler_fn ledger_activate, ledger_deactivate;
handler_fn ledger_plan_set;
handler_fn ledger_workspace_set;
handler_fn ledger_price_set, ledger_price_remove, ledger_price_import;
handler_fn ledger_capture_set, ledger_capture_put;
handler_fn ledger_key_next, ledger_key_reseal;
handler_fn ledger_own_key_set, ledger_own_keys_get, ledger_own_key_remove;
handler_fn ledger_vendor_key_set, ledger_vendor_key_remove,
    ledger_vendor_keys_get;
handler_fn ledger_provider_set, ledger_provider_remove;
handler_fn ledger_route_set, ledger_route_remove;

/* ledger_plans.c: refuses a plan's code with those that a workspace has. */
enum err ledger_plan_unknown(struct context *context, struct str workspace);
/* ledger_plans.c, ledger_prices.c: the templates and the price list of `init`.
 */
enum err ledger_seed_plans(struct group *group, struct str workspace,
			   int64_t now_ms);
enum err ledger_seed_prices(struct group *group, int64_t now_ms);

#endif
