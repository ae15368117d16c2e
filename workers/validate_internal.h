/*
 * validate_internal: what the files of the validator share: its state, finding
 * a licence, its handlers.
 */
#ifndef WORKERS_VALIDATE_INTERNAL_H
#define WORKERS_VALIDATE_INTERNAL_H

#include "workers/report.h"
#include "workers/validate.h"
#include "workers/validate_rates.h"
#include "workers/validate_settings.h"

struct validate {
	struct store *store;
	struct crypto *crypto;
	struct settings *settings;
	struct rates *rates;
	bool is_viewing;
};

/* --- validate_find.c ------------------------------------------------------ */

/* A record as the store has it. STORE_CORRUPT: it is none. */
enum err validate_decode(const struct schema *schema, struct str raw, void *out,
			 struct arena *arena);
/* KEY_MISSING, NOT_FOUND, or a fault of the store. */
enum err validate_find(struct context *context, struct str key,
		       struct report_subject *out);
/* May it be used now, on this site? *host is the site's, absent if it has
 * none. */
enum err validate_judge(struct context *context,
			const struct report_subject *subject, struct str site,
			struct str *host, bool *is_grace);
/* Both, for the reads that refuse a licence which is not in order. */
enum err validate_admit(struct context *context, struct str key,
			struct str site, struct report_subject *subject);

/* --- validate_reads.c ----------------------------------------------------- */
handler_fn validate_reads_usage_get, validate_reads_prices_get,
    validate_reads_store_status_get, validate_reads_admit;

#endif
