/*
 * prices: what models cost by time, and what a line costs and is charged, as
 * pure functions: no clock, no store. Used by the ledger (to admit, settle and
 * change prices), by validate and by the tools (to list them).
 */
#ifndef WORKERS_PRICES_H
#define WORKERS_PRICES_H

#include "store/records.h"

#define PRICES_PERIODS_MAX 12u /* of a model; store/records.def */

/* A model's prices, the earliest first. A record that was written before
 * prices had dates is one that always was. */
struct prices {
	unsigned count;
	struct price_period periods[PRICES_PERIODS_MAX];
};
void prices_load(const struct price *price, struct prices *out);
/* Points into prices. */
void prices_store(struct prices *prices, struct price *out);

/* The price that counts at that time: of those that have begun and not ended
 * the one that began last; NULL when there is none. */
const struct price_period *prices_at(const struct prices *prices,
				     int64_t at_ms);

/* Per million tokens, micro-units. */
#define PRICES_MAX INT64_C(1000000000000)
#define PRICES_CHARGE_BP_MAX 1000000

/* Whether a change can be: ERR_BAD_FIELD, the field and the remedy in why. */
enum err prices_check(const struct price_set *in, struct why *why);

/* Whether both say the same for the same time. */
bool prices_are_same(const struct price_period *a,
		     const struct price_period *b);
/* Puts it in, in place of one that begins at the same time. Beyond
 * PRICES_PERIODS_MAX the earliest that will not count again is forgotten;
 * ERR_TOO_LARGE when there is none. */
enum err prices_put(struct prices *prices, const struct price_period *period,
		    int64_t now_ms);
/* Ends the one that begins at from_ms (SCHEMA_INT_NONE: all): what has begun
 * ends now, what has not is forgotten. */
void prices_end(struct prices *prices, int64_t from_ms, int64_t now_ms,
		int64_t *ended, int64_t *forgotten);

/* Takes of each class the higher price, so that out's is never below either's.
 * out may be a or b. */
void prices_higher(const struct price_period *a, const struct price_period *b,
		   struct price_period *out);

/* Fills cost and price of the line from its tokens. The cost is the exact sum
 * of all classes, rounded up once; the price is per_request and charge_bp of
 * the cost, rounded up. See doc/decisions/014-prices.md. */
void prices_charge(const struct price_period *period, struct usage_line *line);

/* The most that a request is charged with so many tokens of prompt and output:
 * those of the prompt in whichever class is dearest. */
int64_t prices_most(const struct price_period *period, int64_t prompt,
		    int64_t output);

#endif
