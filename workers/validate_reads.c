/*
 * validate_reads: what a validator is asked beside validate_license: usage, the
 * price list, how the store stands, and whether tokens may be counted.
 */
#include "workers/validate_internal.h"

#include "lib/metrics.h"
#include "store/keys.h"
#include "store/records.h"
#include "workers/prices.h"
#include "workers/rules.h"

#define MODELS_MAX 4096u
#define MODELS_PAGE 256u

enum err
validate_reads_usage_get(struct context *context, const void *in, void *out)
{
	struct validate *validate = context->state;
	const struct usage_get *question = in;
	struct report_subject subject;
	enum err e =
	    validate_admit(context, question->key, question->domain, &subject);

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
	enum err e = validate_decode(&price_schema, row->value, &price, arena);

	if (e != ERR_OK)
		return e;
	prices_load(&price, &prices);
	if (prices_at(&prices, now_ms))
		out->models[out->models_count++] = (struct priced_model){
		    price.model, price.provider, price.created_at};
	return ERR_OK;
}

enum err
validate_reads_prices_get(struct context *context, const void *in, void *answer)
{
	struct validate *validate = context->state;
	const struct prices_get *question = in;
	struct prices_answer *out = answer;
	struct str after = STR_NONE;
	struct report_subject subject;
	struct store_row *rows;
	struct key prefix;
	size_t count = MODELS_PAGE;
	enum err e =
	    validate_admit(context, question->key, question->domain, &subject);

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

enum err
validate_reads_admit(struct context *context, const void *in, void *answer)
{
	const struct admit *question = in;
	struct report_subject subject;
	struct str host;
	bool is_grace, is_log;
	enum err e = validate_find(context, question->key, &subject), rate_err;

	if (e != ERR_OK)
		return e;
	is_log = str_eq(subject.workspace->enforcement, STR("log"));
	e = validate_judge(context, &subject, question->domain, &host,
			   &is_grace);
	if (e == ERR_OK && !rules_has_feature(subject.plan, question->feature))
		e = ERR_FEATURE_MISSING;
	if (e != ERR_OK && !is_log)
		return e;
	rate_err = take_count_rate(context, &subject, answer);
	return is_log ? ERR_OK : rate_err;
}

enum err
validate_reads_store_status_get(struct context *context, const void *in,
				void *answer)
{
	struct validate *validate = context->state;

	(void)in;
	return report_store(validate->store, context->arena, answer);
}
