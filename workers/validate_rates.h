/*
 * validate_rates: how often each licence was validated from each site, in a
 * table of fixed size. It lives in the process alone: a restart forgets it.
 * When the table is crowded, the entry that was full again first goes.
 */
#ifndef WORKERS_VALIDATE_RATES_H
#define WORKERS_VALIDATE_RATES_H

#include "workers/rules.h"

#define RATES_SLOTS 65536u

struct rates;

/* NULL when out of memory. */
struct rates *rates_open(void);
void rates_close(struct rates *rates);
/* Counts one validation of the licence from the host (absent = no site).
 * limit as for rules_gcra. */
struct rules_rate rates_take(struct rates *rates, struct str license_id,
			     struct str host, int64_t now_ms, int64_t limit);

#endif
