/*
 * report: what a plugin or the vendor is told about a licence: where it stands
 * on its limits, and what it has used by day and month. The validate process
 * and the command tools print the same numbers from here.
 */
#ifndef WORKERS_REPORT_H
#define WORKERS_REPORT_H

#include "lib/calendar.h"
#include "store/records.h"
#include "store/store.h"

#define REPORT_ZONE_BYTES 65
#define REPORT_ZONE_DEFAULT "Europe/Rome"
#define REPORT_DAYS 31 /* the days that a report looks back, today included */

/* A licence with all that decides about it. */
struct report_subject {
	struct license license;
	struct subscription subscription;
	const struct plan *plan;
	const struct workspace *workspace;
	const char *zone;
	struct meter meter;	    /* rolled to the month that holds now */
	int64_t month_end_ms;	    /* end of the month of the text below */
	struct str month_resets_at; /* that end as text; STR_NONE: not known */
};

/* The store as health and status show it; the alarm lives in the arena. */
enum err report_store(struct store *store, struct arena *arena,
		      struct store_status *out);
/* The workspace's zone, or the default where it has none that is known. */
void report_zone(const struct workspace *workspace,
		 char zone[REPORT_ZONE_BYTES]);
/* Adds the limits that hold where the plan says nothing. */
enum err report_complete_plan(struct plan *plan, struct arena *arena);

/* Loads all of it by the licence's hash; plan, workspace and strings live in
 * the arena. ERR_NOT_FOUND: no such licence; ERR_STORE_CORRUPT: what it refers
 * to is missing. */
enum err report_load(struct store *store, struct str license_hash,
		     int64_t now_ms, struct arena *arena,
		     struct report_subject *out);

void report_license(const struct report_subject *subject, int64_t now_ms,
		    struct license_brief *out);
void report_plan(const struct report_subject *subject, struct plan_brief *out);
/* requests_month, requests_hour and (when the plan limits them) activations,
 * tokens_minute, spend_month and concurrent.
 * Reservations in flight count as used. */
enum err report_limits(const struct report_subject *subject, int64_t now_ms,
		       struct arena *arena, struct limit_usage **rows,
		       uint32_t *count);
/* GET /api/usage. Days without usage are left out. */
enum err report_usage(struct store *store, const struct report_subject *subject,
		      int64_t now_ms, struct arena *arena,
		      struct usage_report *out);

#endif
