/*
 * validate: see validate.h. A key is hashed, its licence, subscription and
 * meter are read in the turn's view, plan and workspace come from
 * validate_settings, and rules.h decides. An unknown key costs the same reads
 * as a known one.
 */
#include "workers/validate.h"

#include "lib/metrics.h"
#include "store/keys.h"
#include "store/meta.h"
#include "store/records.h"
#include "workers/prices.h"
#include "workers/report.h"
#include "workers/rules.h"
#include "workers/validate_rates.h"
#include "workers/validate_settings.h"
#include "workers/workers.h"

#include <stdio.h>
#include <stdlib.h>

/* The edge sends these on while the next ones are made: both work, where one
 * would wait for the other's whole batch. */
#define TURN_ANSWERS 8u
#define DAY_MS INT64_C(86400000)
#define MODELS_MAX 4096u
#define MODELS_PAGE 256u

struct validate {
	struct store *store;
	struct crypto *crypto;
	struct settings *settings;
	struct rates *rates;
	bool is_viewing;
};

/* --- one licence ---------------------------------------------------------- */

/* The licence's hash. Without a possible key it is one that no key has, so
 * that the caller does the same work. */
static void
hash_key(struct validate *validate, struct str key,
	 unsigned char hash[CRYPTO_HASH_BYTES])
{
	char text[LICENSE_KEY_BYTES_MAX];
	size_t n;

	if (!crypto_normalize_license_key(key, text, &n)) {
		text[0] = '!';
		n = 1;
	}
	crypto_hash_license_key(validate->crypto, str_bytes(text, n), hash);
}

static enum err
decode(const struct schema *schema, struct str raw, void *out,
       struct arena *arena)
{
	enum err e;

	if (raw.p == NULL)
		return ERR_STORE_CORRUPT;
	e = schema_decode(schema, raw, out, arena, NULL);
	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

/* The meter as it stands in the month that holds now. */
static enum err
meter_fill(struct str raw, const struct settings_workspace *workspace,
	   int64_t now_ms, struct arena *arena, struct meter *meter)
{
	enum err e = ERR_OK;

	schema_clear(&meter_schema, meter);
	if (raw.p)
		e = decode(&meter_schema, raw, meter, arena);
	if (e != ERR_OK)
		return e;
	if (meter->month_end != SCHEMA_INT_NONE && now_ms < meter->month_end) {
		rules_meter_roll(meter, now_ms, workspace->zone);
		return ERR_OK;
	}
	/* What rolling would come to, without the calendar. */
	meter->month_start = workspace->month_start_ms;
	meter->month_end = workspace->month_end_ms;
	meter->month_used = meter->month_reserved = 0;
	meter->month_spent = meter->month_held = 0;
	return ERR_OK;
}

static enum err
settings_fill(struct validate *validate, int64_t now_ms, struct arena *arena,
	      struct str meter_raw, struct report_subject *out)
{
	const struct settings_workspace *workspace = NULL;
	enum err e;

	e = settings_workspace(validate->settings, validate->store,
			       out->license.workspace, now_ms, arena,
			       &workspace);
	if (e == ERR_OK)
		e = settings_plan(validate->settings, validate->store,
				  out->license.workspace,
				  out->subscription.plan, arena, &out->plan);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	out->workspace = &workspace->record;
	out->zone = workspace->zone;
	out->month_end_ms = workspace->month_end_ms;
	out->month_resets_at =
	    str_bytes(workspace->resets_at, workspace->resets_at_n);
	return meter_fill(meter_raw, workspace, now_ms, arena, &out->meter);
}

/* Licence and subscription, which lie side by side. An unknown key has a
 * licence that has no meter. */
static enum err
license_fill(struct context *context, struct str key, bool *is_known,
	     struct report_subject *out)
{
	struct validate *validate = context->state;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct key keys[2];
	struct str wanted[2], raw[2];
	enum err e;

	hash_key(validate, key, hash);
	key_license(&keys[0], str_bytes(hash, sizeof(hash)));
	key_subscription(&keys[1], str_bytes(hash, sizeof(hash)));
	wanted[0] = key_str(&keys[0]);
	wanted[1] = key_str(&keys[1]);
	e = store_load(validate->store, wanted, 2, raw, context->arena);
	*is_known = e == ERR_OK && raw[0].p != NULL;
	out->license.id = STR("none_00000000000000000000000000");
	if (!*is_known)
		return e;
	e = decode(&license_schema, raw[0], &out->license, context->arena);
	if (e == ERR_OK)
		e = decode(&subscription_schema, raw[1], &out->subscription,
			   context->arena);
	return e;
}

/* KEY_MISSING, NOT_FOUND, or a fault of the store. */
static enum err
find(struct context *context, struct str key, struct report_subject *out)
{
	struct validate *validate = context->state;
	struct str wanted, meter_raw;
	struct key meter_key;
	bool is_known;
	enum err e;

	if (str_is_empty(str_trim(key)))
		return ERR_KEY_MISSING;
	e = license_fill(context, key, &is_known, out);
	if (e != ERR_OK)
		return e;
	key_meter(&meter_key, out->license.id);
	wanted = key_str(&meter_key);
	e = store_load(validate->store, &wanted, 1, &meter_raw, context->arena);
	if (e != ERR_OK || !is_known)
		return e != ERR_OK ? e : ERR_NOT_FOUND;
	return settings_fill(validate, context->now_ms, context->arena,
			     meter_raw, out);
}

/* May it be used now, on this site? *host is the site's, absent if it has
 * none. */
static enum err
judge(struct context *context, const struct report_subject *subject,
      struct str site, struct str *host, bool *is_grace)
{
	enum err e;

	*host = STR_NONE;
	if (!str_is_empty(site) && !rules_domain(site, context->arena, host))
		*host = STR_NONE;
	e = rules_standing(&subject->subscription, context->now_ms, is_grace);
	/* Clients that are no site, like the providers' own libraries, have
	 * nothing that could match; the ledger admits them, too. */
	if (str_is_empty(site))
		return e;
	if (e == ERR_OK &&
	    !rules_domain_matches(*host, subject->license.domain))
		e = ERR_DOMAIN_MISMATCH;
	return e;
}

/* find and judge, for the reads that refuse a licence which is not in order. */
static enum err
admit(struct context *context, struct str key, struct str site,
      struct report_subject *subject)
{
	struct str host;
	bool is_grace;
	enum err e = find(context, key, subject);

	return e == ERR_OK ? judge(context, subject, site, &host, &is_grace)
			   : e;
}

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
	e = find(context, question->key, &subject);
	if (!is_about_key(e))
		return e;
	if (e == ERR_OK) {
		e = judge(context, &subject, question->domain, &host,
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

/* --- the other reads ------------------------------------------------------ */

static enum err
handle_usage_get(struct context *context, const void *in, void *out)
{
	struct validate *validate = context->state;
	const struct usage_get *question = in;
	struct report_subject subject;
	enum err e = admit(context, question->key, question->domain, &subject);

	if (e != ERR_OK)
		return e;
	return report_usage(validate->store, &subject, context->now_ms,
			    context->arena, out);
}

static enum err
price_add(struct prices_answer *out, const struct store_row *row,
	  int64_t now_ms, struct arena *arena)
{
	struct prices prices;
	struct price price;
	enum err e = decode(&price_schema, row->value, &price, arena);

	if (e != ERR_OK)
		return e;
	prices_load(&price, &prices);
	if (prices_at(&prices, now_ms))
		out->models[out->models_count++] = (struct priced_model){
		    price.model, price.provider, price.created_at};
	return ERR_OK;
}

static enum err
handle_prices_get(struct context *context, const void *in, void *answer)
{
	struct validate *validate = context->state;
	const struct prices_get *question = in;
	struct prices_answer *out = answer;
	struct str after = STR_NONE;
	struct report_subject subject;
	struct store_row *rows;
	struct key prefix;
	size_t count = MODELS_PAGE;
	enum err e = admit(context, question->key, question->domain, &subject);

	if (e != ERR_OK)
		return e;
	if (!rules_has_feature(subject.plan, STR("ai_proxy")) &&
	    !str_eq(subject.workspace->enforcement, STR("log")))
		return ERR_OK; /* it may use none */
	rows = arena_array(context->arena, MODELS_PAGE, sizeof(*rows));
	out->models =
	    arena_array(context->arena, MODELS_MAX, sizeof(*out->models));
	if (rows == NULL || out->models == NULL)
		return ERR_NO_MEMORY;
	key_price(&prefix, STR_NONE, STR_NONE);
	while (e == ERR_OK && count == MODELS_PAGE &&
	       out->models_count + MODELS_PAGE <= MODELS_MAX) {
		e = store_scan(validate->store, key_str(&prefix), after,
			       MODELS_PAGE, context->arena, rows, &count);
		for (size_t i = 0; e == ERR_OK && i < count; i++)
			e = price_add(out, &rows[i], context->now_ms,
				      context->arena);
		if (e == ERR_OK && count)
			after = rows[count - 1].key;
	}
	return e;
}

/* As the ledger judges an AI request, but for what costs money. The rate is
 * that of AI requests in a bucket of its own, which is no site's. */
static enum err
take_count_rate(struct context *context, const struct report_subject *subject,
		struct reserved *out)
{
	struct validate *validate = context->state;
	struct failure *failure = &context->failure;
	int64_t limit = rules_limit(subject->plan, "requests_hour",
				    RULES_REQUESTS_HOUR_DEFAULT);
	struct rules_rate rate =
	    rates_take(validate->rates, subject->license.id, STR("/count"),
		       context->now_ms, limit);

	out->license_id = subject->license.id;
	out->rate_limit = limit;
	out->rate_remaining = rate.remaining;
	out->rate_reset_ms = rate.reset_ms;
	if (rate.is_admitted)
		return ERR_OK;
	metrics_add(METRIC_LIMITED, 1);
	failure->limit = STR("requests_hour");
	failure->retry_after_ms = rate.retry_after_ms;
	failure->rate_limit = limit;
	failure->rate_remaining = 0;
	failure->rate_reset_ms = rate.reset_ms;
	return ERR_RATE_LIMITED;
}

static enum err
handle_admit(struct context *context, const void *in, void *answer)
{
	const struct admit *question = in;
	struct report_subject subject;
	struct str host;
	bool is_grace, is_log;
	enum err e = find(context, question->key, &subject), rate_err;

	if (e != ERR_OK)
		return e;
	is_log = str_eq(subject.workspace->enforcement, STR("log"));
	e = judge(context, &subject, question->domain, &host, &is_grace);
	if (e == ERR_OK && !rules_has_feature(subject.plan, question->feature))
		e = ERR_FEATURE_MISSING;
	if (e != ERR_OK && !is_log)
		return e;
	rate_err = take_count_rate(context, &subject, answer);
	return is_log ? ERR_OK : rate_err;
}

static enum err
handle_store_status_get(struct context *context, const void *in, void *answer)
{
	struct validate *validate = context->state;

	(void)in;
	return report_store(validate->store, context->arena, answer);
}

const struct worker_row validate_rows[] = {
    {&validate_license_schema, &validate_answer_schema,
     handle_validate_license},
    {&usage_get_schema, &usage_report_schema, handle_usage_get},
    {&prices_get_schema, &prices_answer_schema, handle_prices_get},
    {&store_status_get_schema, &store_status_schema, handle_store_status_get},
    {&admit_schema, &reserved_schema, handle_admit},
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
	settings_turn(validate->settings);
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
};
