/*
 * ledger_keys: keys of AI providers. A customer has one of its own for each
 * provider (ledger_own_keys.c); the vendor has several, with names and weights
 * (ledger_keys.c). They are sealed here and never opened here: that is the
 * proxy's. Answers and events say which key and what changed; of the key itself
 * they show the last four characters at most. Here: what both files share; the
 * errors that they do not name are the store's.
 */
#ifndef WORKERS_LEDGER_KEYS_H
#define WORKERS_LEDGER_KEYS_H

#include "workers/ledger_parts.h"

/* What an event says of a change. */
struct ledger_key_told {
	enum event_type type;
	const char *change; /* new, replaced, changed, removed */
	struct str workspace;
	struct str customer_id; /* absent: the vendor's */
	struct str actor;
};

/* BAD_FIELD: what a key looks like, without a byte of it. */
enum err ledger_key_check(struct context *context, struct str api_key);
/* ERR_NO_SUCH: record says whose it would be, and nothing else. */
enum err ledger_key_load(struct context *context, struct str owner,
			 struct str provider, struct str name,
			 struct provider_key *record);
/* Into the record, which says whose it is. */
enum err ledger_key_seal(struct context *context, struct str api_key,
			 struct provider_key *record);
/* Both with their event. */
enum err ledger_key_put(struct context *context,
			const struct ledger_key_told *told,
			const struct provider_key *record);
enum err ledger_key_delete(struct context *context,
			   const struct ledger_key_told *told,
			   const struct provider_key *record);

#endif
