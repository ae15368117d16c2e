/*
 * rows: the records of the analytics environment (fields in rows.def) and their
 * keys. A generation's keys share a prefix, so that it is compared and deleted
 * as a whole.
 */
#ifndef ANALYTICS_ROWS_H
#define ANALYTICS_ROWS_H

#include "lib/schema.h"
#include "store/keys.h"

/* clang-format off */
#define SCHEMA_DEF_STRUCTS
#include "lib/schema_def.h"
#include "analytics/rows.def"
#include "lib/schema_undef.h"
/* clang-format on */

/* Zeros instead of "absent" in the numbers that are added to. */
void day_clear(struct day *day);
void tally_clear(struct tally *tally);
void payer_clear(struct payer *payer);
void stake_clear(struct stake *stake);

#define ROW_DATE_BYTES 10u /* "2026-11-22" */

void row_key_state(struct key *key);
/* The prefix of everything of a generation. */
void row_key_generation(struct key *key, int64_t generation);
void row_key_progress(struct key *key, int64_t generation);
void row_key_tally(struct key *key, int64_t generation, struct str workspace);
void row_key_payer(struct key *key, int64_t generation, struct str customer_id);
void row_key_stake(struct key *key, int64_t generation,
		   struct str subscription_id);
void row_key_provisional(struct key *key, int64_t generation,
			 struct str license_id, struct str request_id);
/* date STR_NONE: the prefix of all days of the workspace, in order. */
void row_key_day(struct key *key, int64_t generation, struct str workspace,
		 struct str date);
/* Subscriptions by their end -> nothing; with STR_NONE and 0 the prefix of all
 * of the workspace. */
void row_key_end(struct key *key, int64_t generation, struct str workspace,
		 int64_t ends_at_ms, struct str subscription_id);
/* Undoes row_key_end. False when it is no such key. */
bool row_end_of(struct str key, const struct key *prefix, int64_t *ends_at_ms,
		struct str *subscription_id);

#endif
