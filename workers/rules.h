/*
 * rules: what a licence may do, as pure functions: values in, values out, no
 * clock, no store. Used by validate (to answer) and by the ledger (to admit),
 * so that both say the same.
 */
#ifndef WORKERS_RULES_H
#define WORKERS_RULES_H

#include "lib/calendar.h"
#include "store/records.h"

/* Source: product contract, section 4. */

/* The status that time makes of a subscription: trial, active, past_due,
 * suspended, expired, cancelled. */
const char *rules_status(const struct subscription *subscription,
			 int64_t now_ms);
/* OK (also in grace: *is_grace), SUSPENDED, EXPIRED or CANCELLED. */
enum err rules_standing(const struct subscription *subscription, int64_t now_ms,
			bool *is_grace);

/* The host of "https://www.Shop.example:8080/x", "shop.example", an Origin:
 * lower case, no port, no trailing dot, no leading "www.". False when there is
 * no valid host in it. */
bool rules_domain(struct str site, struct arena *arena, struct str *host);
/* localhost, *.local, *.test, *.localhost, private and loopback addresses; with
 * a licensed domain also its staging. and dev. */
bool rules_domain_is_local(struct str host, struct str licensed);
/* licensed: absent = any; exact; "*.example.com" = any name below it. Local
 * hosts always match. */
bool rules_domain_matches(struct str host, struct str licensed);

bool rules_has_feature(const struct plan *plan, struct str feature);
/* The plan's limit of that name; fallback when the plan says nothing; *limit =
 * SCHEMA_INT_NONE when unlimited. */
int64_t rules_limit(const struct plan *plan, const char *name,
		    int64_t fallback);
#define RULES_REQUESTS_HOUR_DEFAULT 100
#define RULES_VALIDATIONS_HOUR_DEFAULT 1000

/* GCRA (ITU-T I.371, the virtual scheduling algorithm): `limit` requests in
 * window_ms, all at once if unused. *tat_ns moves only when admitted. */
struct rules_rate {
	bool is_admitted;
	int64_t remaining;	/* after this request */
	int64_t retry_after_ms; /* when refused */
	int64_t reset_ms;	/* until all of limit is there again */
};
struct rules_rate rules_gcra(int64_t *tat_ns, int64_t now_ns, int64_t limit,
			     int64_t window_ms);

/* Moves a meter to the month that holds now; nothing when it is there. */
void rules_meter_roll(struct meter *meter, int64_t now_ms, const char *zone);

#endif
