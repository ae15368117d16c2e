/*
 * validate: see validate.h. Here are validate_license, which rules.h decides,
 * and the worker.
 */
#include "workers/validate_internal.h"

#include "lib/metrics.h"
#include "lib/proc.h"
#include "store/keys.h"
#include "store/meta.h"
#include "store/records.h"
#include "workers/rules.h"
#include "workers/workers.h"

#include <stdio.h>
#include <stdlib.h>

/* The edge sends these on while the next ones are made: both work, where one
 * would wait for the other's whole batch. Fewer at once wake it more often. */
#define TURN_ANSWERS 16u
#define DAY_MS INT64_C(86400000)

/* --- validate_license ----------------------------------------------------- */

static bool
is_about_key(enum err e)
{
	return e == ERR_OK || e == ERR_KEY_MISSING || e == ERR_NOT_FOUND ||
	       e == ERR_SUSPENDED || e == ERR_EXPIRED || e == ERR_CANCELLED ||
	       e == ERR_DOMAIN_MISMATCH || e == ERR_TOO_MANY_ACTIVATIONS ||
	       e == ERR_RATE_LIMITED;
}

/* In the mode `log` nothing is refused for its rate; it is only counted. */
static enum err
take_rate(struct context *context, const struct report_subject *subject,
	  struct str host, struct validate_answer *out)
{
	struct validate *validate = context->state;
	int64_t limit = rules_limit(subject->plan, "validations_hour",
				    RULES_VALIDATIONS_HOUR_DEFAULT);
	struct rules_rate rate = rates_take(
	    validate->rates, subject->license.id, host, context->now_ms, limit);

	if (rate.is_admitted)
		return ERR_OK;
	metrics_add(METRIC_LIMITED, 1);
	if (str_eq(subject->workspace->enforcement, STR("log")))
		return ERR_OK;
	out->retry_after_ms = rate.retry_after_ms;
	out->rate_limit = limit;
	out->rate_remaining = rate.remaining;
	out->rate_reset_ms = rate.reset_ms;
	return ERR_RATE_LIMITED;
}

/* May it be in use on one more site? Only a licence whose places are all taken
 * costs a read: of the site's own place. In the mode `log` activations are not
 * refused either. */
static enum err
check_place(struct context *context, const struct report_subject *subject,
	    struct str site, struct str host)
{
	struct validate *validate = context->state;
	const struct license *license = &subject->license;
	int64_t limit =
	    rules_limit(subject->plan, "activations", SCHEMA_INT_NONE);
	struct str wanted, activation;
	struct key key;
	enum err e;

	if (limit == SCHEMA_INT_NONE || str_is_empty(site) ||
	    license->activations < limit ||
	    str_eq(subject->workspace->enforcement, STR("log")))
		return ERR_OK;
	if (str_is_empty(host)) /* a site that could not be activated */
		return ERR_TOO_MANY_ACTIVATIONS;
	if (rules_domain_is_local(host, license->domain))
		return ERR_OK;
	key_activation(&key, license->id, host);
	wanted = key_str(&key);
	e = store_load(validate->store, &wanted, 1, &activation,
		       context->arena);
	if (e != ERR_OK || activation.p)
		return e;
	return ERR_TOO_MANY_ACTIVATIONS;
}

/* How long a plugin may rely on the answer: a day, but not beyond the end of
 * the subscription or of its grace; an answer that says no, not at all. */
static int64_t
cache_until(const struct report_subject *subject, int64_t now_ms, bool is_grace)
{
	int64_t until = now_ms + DAY_MS;
	int64_t end = subject->subscription.ends_at;

	if (end == SCHEMA_INT_NONE)
		return until;
	if (is_grace)
		end += subject->subscription.grace_days * DAY_MS;
	return end < until ? end : until;
}

static enum err
subject_fill(const struct context *context,
	     const struct report_subject *subject, struct validate_answer *out)
{
	report_license(subject, context->now_ms, &out->license);
	report_plan(subject, &out->plan);
	return report_limits(subject, context->now_ms, context->arena,
			     &out->usage, &out->usage_count);
}

static void
verdict_fill(struct validate_answer *out, enum err e, bool is_grace)
{
	out->err = e;
	out->valid = e == ERR_OK;
	if (e != ERR_OK) {
		out->code = str_of(err_code(e));
		out->message = str_of(err_text(e));
	} else if (is_grace) {
		out->code = STR("GRACE");
		out->message = STR("licence has expired and works for its days "
				   "of grace: renew it");
	} else {
		out->code = STR("VALID");
		out->message = STR("licence is valid");
	}
	metrics_add(out->valid ? METRIC_VALIDATIONS_VALID
			       : METRIC_VALIDATIONS_OTHER,
		    1);
}

static enum err
handle_validate_license(struct context *context, const void *in, void *answer)
{
	const struct validate_license *question = in;
	struct validate_answer *out = answer;
	struct report_subject subject;
	bool is_grace = false;
	struct str host;
	enum err e, fault;

	out->checked_at = context->now_ms - context->now_ms % 1000;
	out->cache_until = out->checked_at;
	e = validate_find(context, question->key, &subject);
	if (!is_about_key(e))
		return e;
	if (e == ERR_OK) {
		e = validate_judge(context, &subject, question->domain, &host,
				   &is_grace);
		fault = subject_fill(context, &subject, out);
		if (fault != ERR_OK)
			return fault;
		if (take_rate(context, &subject, host, out) != ERR_OK)
			e = ERR_RATE_LIMITED;
		if (e == ERR_OK)
			e = check_place(context, &subject, question->domain,
					host);
		if (!is_about_key(e))
			return e;
		if (e == ERR_OK)
			out->cache_until =
			    cache_until(&subject, out->checked_at, is_grace);
	}
	verdict_fill(out, e, is_grace);
	return ERR_OK;
}

const struct worker_row validate_rows[] = {
    {&validate_license_schema, &validate_answer_schema,
     handle_validate_license},
    {&usage_get_schema, &usage_report_schema, validate_reads_usage_get},
    {&prices_get_schema, &prices_answer_schema, validate_reads_prices_get},
    {&store_status_get_schema, &store_status_schema,
     validate_reads_store_status_get},
    {&admit_schema, &reserved_schema, validate_reads_admit},
};
const size_t validate_row_count =
    sizeof(validate_rows) / sizeof(validate_rows[0]);

/* --- the worker ----------------------------------------------------------- */

static enum err
check_master_key(struct store *store, struct crypto *crypto, struct why *why)
{
	struct arena arena;
	struct meta meta;
	enum err e;

	arena_init(&arena, 65536);
	e = meta_unlock(store, crypto, &arena, &meta, why);
	arena_fini(&arena);
	return e;
}

enum err
validate_open(struct validate **out, struct store *store, struct crypto *crypto,
	      struct why *why)
{
	struct validate *validate;
	enum err e = check_master_key(store, crypto, why);

	if (e != ERR_OK)
		return e;
	validate = calloc(1, sizeof(*validate));
	if (validate == NULL)
		return ERR_NO_MEMORY;
	validate->settings = settings_open();
	validate->rates = rates_open();
	if (validate->settings == NULL || validate->rates == NULL) {
		validate_close(validate);
		return ERR_NO_MEMORY;
	}
	validate->store = store;
	validate->crypto = crypto;
	*out = validate;
	return ERR_OK;
}

void
validate_close(struct validate *validate)
{
	if (validate == NULL)
		return;
	validate_turn_end(validate);
	settings_close(validate->settings);
	rates_close(validate->rates);
	if (validate->crypto)
		crypto_close(validate->crypto);
	if (validate->store)
		store_close(validate->store);
	free(validate);
}

enum err
validate_turn_begin(struct validate *validate)
{
	enum err e = store_view_begin(validate->store);

	validate->is_viewing = e == ERR_OK;
	if (e == ERR_OK)
		settings_turn(validate->settings,
			      store_view_number(validate->store));
	return e;
}

void
validate_turn_end(struct validate *validate)
{
	if (validate->is_viewing)
		store_view_end(validate->store);
	validate->is_viewing = false;
}

static enum err
worker_open(struct pool *pool, void **state, struct why *why)
{
	const struct conf *conf = pool_conf(pool);
	struct validate *validate = NULL;
	struct crypto *crypto = NULL;
	struct store *store = NULL;
	char dir[4096];
	struct store_conf store_conf = {"lmdb", dir, conf->map_bytes, false};
	enum err e;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/store", conf->data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG, "data: the path is too long");
	e = crypto_open(&crypto, conf->master_key_file, why);
	if (e == ERR_OK)
		e = store_open(&store, &store_conf, why);
	if (e == ERR_OK)
		e = validate_open(&validate, store, crypto, why);
	if (e != ERR_OK) {
		if (store)
			store_close(store);
		if (crypto)
			crypto_close(crypto);
		return e;
	}
	*state = validate;
	proc_schedule_as_batch();
	return ERR_OK;
}

static void
worker_close(void *state)
{
	validate_close(state);
}

static enum err
worker_turn_begin(void *state)
{
	return validate_turn_begin(state);
}

static enum err
worker_turn_end(void *state)
{
	validate_turn_end(state);
	return ERR_OK;
}

static enum err
worker_rest(void *state)
{
	const struct validate *validate = state;

	return store_rest(validate->store);
}

const struct worker validate_worker = {
    .kind = "validate",
    .asked_by = ASKED_BY_EDGES | ASKED_BY_PROXIES,
    .rows = validate_rows,
    .row_count = sizeof(validate_rows) / sizeof(validate_rows[0]),
    .open = worker_open,
    .close = worker_close,
    .turn_begin = worker_turn_begin,
    .turn_end = worker_turn_end,
    .turn_answers = TURN_ANSWERS,
    .rest = worker_rest,
};
