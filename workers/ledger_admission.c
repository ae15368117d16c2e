/*
 * ledger_admission: may this AI request go out? Everything is loaded first,
 * then decided, then put: the line `reserved`, its place among the open ones,
 * the meter. Always holds: used + reserved <= limit, and a refusal changes
 * nothing.
 *
 * The meter is written late (ledger_counters.h): what it would lose with the
 * process is in the open line, or else is written with it at once.
 *
 * In a workspace whose enforcement is `log`, what would refuse because of
 * standing, domain, feature, month or rate lets pass instead; the first such
 * reason is kept in the line's `error` as WOULD_<code>. A missing or unknown
 * key, a model without a price and a duplicate refuse there too: there would
 * be no line to write.
 */
#include "workers/ledger_parts.h"

#include "lib/id.h"
#include "lib/metrics.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

/* How long a reservation may stay open. */
#define EXPIRES_MS_DEFAULT INT64_C(900000)
#define EXPIRES_MS_MAX DAY_MS

struct admission {
	struct context *context;
	struct ledger *ledger;
	const struct reserve *in;
	unsigned char hash[CRYPTO_HASH_BYTES]; /* of the licence key */
	struct license license;
	struct subscription subscription;
	struct ledger_workspace *workspace;
	const struct ledger_plan *plan;
	const struct price_period *price; /* NULL: the model has none */
	struct price_period most; /* of it and its fallbacks, if it has some */
	int64_t fallbacks;	  /* that may be tried: a bit each */
	struct usage_line before; /* what the request id holds already */
	bool has_before;
	struct str own_key; /* sealed; absent: the customer has none */
	struct ledger_accounts accounts;
	struct limits_verdict verdict;
	struct key line_key;
	char would[32]; /* "" = nothing would have refused */
};

/* --- load ---------------------------------------------------------------- */

static enum err
load_before(struct admission *a)
{
	struct group *group = a->ledger->group;
	struct arena *arena = a->context->arena;
	bool is_new;
	enum err e = group_is_new(group, &a->line_key, arena, &is_new);

	if (e != ERR_OK || is_new)
		return e;
	a->has_before = true;
	return group_load(group, &a->line_key, &usage_line_schema, &a->before,
			  arena);
}

static enum err
load_plan(struct admission *a)
{
	struct ledger *ledger = a->ledger;
	struct key key;
	enum err e;

	key_subscription(&key, str_bytes(a->hash, sizeof(a->hash)));
	e = group_load(ledger->group, &key, &subscription_schema,
		       &a->subscription, a->context->arena);
	if (e == ERR_OK)
		e = ledger_workspace(ledger, a->license.workspace,
				     &a->workspace);
	if (e == ERR_OK)
		e = ledger_plan_limits(ledger, a->license.workspace,
				       a->subscription.plan, &a->plan);
	/* A licence without its others was not written by this house. */
	if (e == ERR_NO_SUCH || e == ERR_WORKSPACE_UNKNOWN)
		return ERR_STORE_CORRUPT;
	return e;
}

/* One that has no price is not tried; nor is one that would be paid for by
 * another key than the reservation says: with a customer's own key those of its
 * provider are, without those for whose provider the customer has none. */
static enum err
may_fall_back(struct admission *a, const struct fallback *to, bool *out)
{
	const struct price_period *price;
	struct str own_key;
	bool is_same = str_eq(to->provider, a->in->provider);
	enum err e = ledger_price(a->ledger, to->provider, to->model,
				  a->context->now_ms, &price);

	*out = false;
	if (e != ERR_OK)
		return e == ERR_MODEL_NOT_PRICED ? ERR_OK : e;
	e = is_same ? ERR_NO_SUCH
		    : ledger_own_key(a->ledger, a->license.customer_id,
				     to->provider, a->context->arena, &own_key);
	if (e != ERR_OK && e != ERR_NO_SUCH)
		return e;
	*out = is_same || (e == ERR_NO_SUCH && a->own_key.p == NULL);
	if (*out)
		prices_higher(&a->most, price, &a->most);
	return ERR_OK;
}

static enum err
load_fallbacks(struct admission *a)
{
	const struct reserve *in = a->in;
	bool may = false;
	enum err e = ERR_OK;

	if (a->price == NULL || in->fallbacks_count == 0)
		return ERR_OK;
	a->most = *a->price;
	for (uint32_t i = 0; i < in->fallbacks_count && e == ERR_OK; i++) {
		e = may_fall_back(a, &in->fallbacks[i], &may);
		if (may)
			a->fallbacks |= INT64_C(1) << i;
	}
	a->price = &a->most;
	return e;
}

static enum err
load(struct admission *a)
{
	const struct reserve *in = a->in;
	enum err e;

	if (!id_is_valid_request_id(in->request_id))
		return ledger_refuse(a->context, ERR_BAD_FIELD, "request_id",
				     "a request id is 1 to 64 letters, digits "
				     "and . _ : -");
	e = ledger_license_by_key(a->ledger, in->key, a->context->arena,
				  &a->license, a->hash);
	if (e == ERR_OK)
		e = load_plan(a);
	if (e != ERR_OK)
		return e;
	e = ledger_price(a->ledger, in->provider, in->model, a->context->now_ms,
			 &a->price);
	if (e != ERR_OK && e != ERR_MODEL_NOT_PRICED)
		return e;
	e = ledger_own_key(a->ledger, a->license.customer_id, in->provider,
			   a->context->arena, &a->own_key);
	if (e == ERR_OK || e == ERR_NO_SUCH)
		e = load_fallbacks(a);
	if (e != ERR_OK)
		return e;
	key_usage_line(&a->line_key, in->request_id, a->license.id);
	e = load_before(a);
	return e == ERR_OK
		   ? ledger_accounts_load(a->ledger, a->license.id,
					  &a->plan->limits, a->workspace,
					  a->context->now_ms, &a->accounts)
		   : e;
}

/* --- decide -------------------------------------------------------------- */

/* A refusal that a workspace in `log` mode only takes down. */
static enum err
soften(struct admission *a, enum err e)
{
	if (e == ERR_OK || a->workspace->is_enforced)
		return e;
	if (a->would[0] == '\0')
		snprintf(a->would, sizeof(a->would), "WOULD_%s", err_code(e));
	return ERR_OK;
}

static enum err
check_domain(const struct admission *a)
{
	struct str host;

	if (str_is_empty(a->license.domain) || str_is_empty(a->in->domain))
		return ERR_OK;
	if (!rules_domain(a->in->domain, a->context->arena, &host) ||
	    !rules_domain_matches(host, a->license.domain))
		return ERR_DOMAIN_MISMATCH;
	return ERR_OK;
}

static enum err
check_license(struct admission *a)
{
	bool is_grace;
	enum err e = soften(
	    a, rules_standing(&a->subscription, a->context->now_ms, &is_grace));

	if (e == ERR_OK)
		e = soften(a, check_domain(a));
	if (e == ERR_OK && !str_is_empty(a->in->feature) &&
	    !rules_has_feature(&a->plan->record, a->in->feature))
		e = soften(a, ERR_FEATURE_MISSING);
	return e;
}

/* The proxy has no key for this provider: then the customer must. What it knows
 * may be old: then it goes on, to look again. */
static enum err
check_key(const struct admission *a)
{
	const struct reserve *in = a->in;

	if (!in->needs_own_key || a->own_key.p ||
	    in->keys_version != a->ledger->keys_version)
		return ERR_OK;
	return ledger_refuse(a->context, ERR_MODEL_UNKNOWN, "model",
			     "the provider %.*s is not switched on: the vendor "
			     "sets a key with `chatello key set %.*s`, or you "
			     "set your own with PUT /api/keys/%.*s",
			     STR_ARG(in->provider), STR_ARG(in->provider),
			     STR_ARG(in->provider));
}

static bool
is_same_question(const struct usage_line *line, const struct reserve *in)
{
	return str_eq(line->owner, in->owner) &&
	       line->owner_start == in->owner_start &&
	       line->attempt == in->attempt;
}

static enum err
refuse_duplicate(struct admission *a)
{
	struct buf json;

	buf_init(&json, 2048);
	schema_print_json(&usage_line_schema, &a->before, &json);
	if (!json.is_failed)
		a->context->failure.line =
		    arena_str(a->context->arena, buf_str(&json));
	buf_fini(&json);
	return ERR_DUPLICATE_REQUEST;
}

static struct limits_left
left_of(const struct admission *a, enum limits_kind kind)
{
	return limits_left(kind, a->accounts.seen, a->accounts.count,
			   a->context->now_ms);
}

static void
say_rate(const struct admission *a, struct limits_left left)
{
	struct failure *failure = &a->context->failure;

	failure->rate_limit = left.limit;
	failure->rate_remaining = left.remaining;
	failure->rate_reset_ms = left.reset_ms;
}

static enum err
refuse_limit(struct admission *a)
{
	const struct limits_verdict *verdict = &a->verdict;
	bool is_workspace = verdict->account > 0;
	enum err e = soften(a, verdict->err);

	if (e == ERR_OK)
		return e;
	metrics_add(METRIC_LIMITED, 1);
	a->context->failure.limit =
	    arena_printf(a->context->arena, "%s%s",
			 is_workspace ? "workspace." : "", verdict->name);
	a->context->failure.retry_after_ms = verdict->retry_after_ms;
	if (strcmp(verdict->name, "requests_hour") == 0)
		say_rate(a, left_of(a, LIMITS_REQUESTS_HOUR));
	return ledger_refuse(a->context, e, NULL, "%s: %s of the %s",
			     err_text(e), verdict->name,
			     is_workspace ? "vendor's workspace" : "plan");
}

/* With the customer's own key nothing is charged. */
static enum err
check_limits(struct admission *a)
{
	const struct limits_request request = {
	    .now_ms = a->context->now_ms,
	    .prompt_tokens = ledger_tokens(a->in->input_tokens),
	    .output_tokens = a->in->output_tokens,
	    .output_min = a->in->output_min,
	    .choices = a->in->choices,
	    .price = a->own_key.p ? NULL : a->price,
	    .is_enforced = a->workspace->is_enforced,
	};

	limits_admit(&request, a->accounts.seen, a->accounts.count,
		     &a->verdict);
	return a->verdict.err == ERR_OK ? ERR_OK : refuse_limit(a);
}

/* --- put ----------------------------------------------------------------- */

static int64_t
expiry_of(const struct reserve *in, int64_t now_ms)
{
	int64_t ms = in->expires_ms;

	if (ms == SCHEMA_INT_NONE)
		ms = EXPIRES_MS_DEFAULT;
	return now_ms + (ms > EXPIRES_MS_MAX ? EXPIRES_MS_MAX : ms);
}

static void
line_fill(const struct admission *a, struct usage_line *line)
{
	const struct reserve *in = a->in;
	const struct meter *meter = a->accounts.seen[0].meter;
	int64_t now_ms = a->context->now_ms;

	schema_clear(&usage_line_schema, line);
	line->request_id = in->request_id;
	line->license_id = a->license.id;
	line->workspace = a->license.workspace;
	line->provider = in->provider;
	line->model = in->model;
	line->status = STR("reserved");
	line->input_tokens = ledger_tokens(in->input_tokens);
	line->currency = a->workspace->record.currency;
	line->reserved_at = now_ms;
	line->expires_at = expiry_of(in, now_ms);
	line->owner = in->owner;
	line->owner_start = in->owner_start;
	line->attempt = in->attempt;
	line->month_start = meter->month_start;
	line->admission = meter->admissions;
	line->hour_tat_ns = meter->hour_tat_ns;
	line->max_output_tokens = a->verdict.output_tokens;
	line->minute_start = a->verdict.minute_start;
	if (line->minute_start != SCHEMA_INT_NONE)
		line->minute_first = meter->minute_first;
	line->counted_tokens = a->verdict.held_tokens;
	line->held_price = a->verdict.held_price;
	if (a->accounts.count > 1) {
		meter = a->accounts.seen[1].meter;
		line->workspace_admission = meter->admissions;
		line->workspace_tat_ns = meter->hour_tat_ns;
		if (line->minute_start != SCHEMA_INT_NONE)
			line->workspace_minute_first = meter->minute_first;
	}
	line->is_stream = in->is_stream;
	line->own_key = a->own_key.p != NULL;
	if (a->would[0])
		line->error = str_of(a->would);
}

static enum err
put(struct admission *a)
{
	struct ledger *ledger = a->ledger;
	struct usage_line line;
	struct key open;
	enum err e = ERR_OK;

	for (unsigned i = 0; i < a->accounts.count; i++)
		limits_hold(&a->verdict, a->accounts.seen[i].meter);
	line_fill(a, &line);
	/* A line that is taken back cannot be told from the log. */
	if (a->has_before || !ledger_accounts_are_told(&a->accounts))
		counters_hasten(ledger->counters);
	if (a->has_before) /* it failed, and is counted no more */
		e = ledger_rollups_move(ledger, &a->before, NULL);
	if (e == ERR_OK)
		e = group_put(ledger->group, &a->line_key, &usage_line_schema,
			      &line);
	key_open(&open, line.reserved_at, line.license_id, line.request_id);
	if (e == ERR_OK)
		e = group_put_new(ledger->group, &open, key_str(&a->line_key));
	if (e == ERR_OK)
		e = ledger_accounts_put(ledger, &a->accounts);
	if (e == ERR_OK && line.expires_at < ledger->next_expiry_ms)
		ledger->next_expiry_ms = line.expires_at;
	return e;
}

/* --- the handler --------------------------------------------------------- */

/* As it stands behind this request; of the last three no time is said, for
 * nobody can wait for them. */
static void
answer(const struct admission *a, struct reserved *out)
{
	struct limits_left rate = left_of(a, LIMITS_REQUESTS_HOUR);
	struct limits_left tokens = left_of(a, LIMITS_TOKENS_MINUTE);
	struct limits_left month = left_of(a, LIMITS_REQUESTS_MONTH);
	struct limits_left spend = left_of(a, LIMITS_SPEND_MONTH);
	struct limits_left places = left_of(a, LIMITS_CONCURRENT);

	out->license_id = a->license.id;
	out->rate_limit = rate.limit;
	out->rate_remaining = rate.remaining;
	out->rate_reset_ms = rate.reset_ms;
	out->output_tokens = a->verdict.output_tokens;
	out->tokens_limit = tokens.limit;
	out->tokens_remaining = tokens.remaining;
	out->tokens_reset_ms = tokens.reset_ms;
	out->month_limit = month.limit;
	out->month_remaining = month.remaining;
	out->spend_limit = spend.limit;
	out->spend_remaining = spend.remaining;
	out->concurrent_limit = places.limit;
	out->concurrent_remaining = places.remaining;
	out->keys_version = a->ledger->keys_version;
	if (a->fallbacks)
		out->fallbacks = a->fallbacks;
	out->is_captured = ledger_is_captured(&a->license, a->context->now_ms);
	if (a->own_key.p == NULL)
		return;
	out->own_key = a->own_key;
	out->own_key_owner = a->license.customer_id;
}

/* Names the command that sets a price. The model is the client's text, and the
 * command is pasted into a shell: only a plain name stands in it. */
static enum err
refuse_unpriced(const struct admission *a)
{
	struct str model = a->in->model;

	for (size_t i = 0; i < model.n; i++)
		if (!isalnum((unsigned char)model.p[i]) &&
		    !memchr("._:/@+-", model.p[i], 7))
			model = STR_NONE;
	if (str_is_empty(model) || model.p[0] == '-')
		model = STR("MODEL");
	return ledger_refuse(a->context, ERR_MODEL_NOT_PRICED, "model",
			     "the model has no price: set one with `chatello "
			     "price set %.*s %.*s --input P --output P` (per "
			     "million tokens)",
			     STR_ARG(a->in->provider), STR_ARG(model));
}

static enum err
decide(struct admission *a, bool *is_repeat)
{
	bool is_failed =
	    a->has_before && str_eq(a->before.status, STR("failed"));
	enum err e = check_license(a);

	*is_repeat = false;
	if (e != ERR_OK)
		return e;
	e = check_key(a);
	if (e != ERR_OK)
		return e;
	if (a->price == NULL)
		return refuse_unpriced(a);
	if (a->has_before && str_eq(a->before.status, STR("reserved")) &&
	    is_same_question(&a->before, a->in)) {
		*is_repeat = true;
		return ERR_OK;
	}
	/* A question that was answered, and whose line has failed since, comes
	 * no second time: this one is a straggler. */
	if (a->has_before &&
	    (!is_failed || is_same_question(&a->before, a->in)))
		return refuse_duplicate(a);
	return check_limits(a);
}

/* The key was set or removed since the question came first: the line says what
 * this answer says. */
static enum err
key_again(struct admission *a)
{
	bool has_own_key = a->own_key.p != NULL;

	if (a->before.own_key == has_own_key)
		return ERR_OK;
	a->before.own_key = has_own_key;
	return group_put(a->ledger->group, &a->line_key, &usage_line_schema,
			 &a->before);
}

static enum err
reserve(struct context *context, const void *in, void *out)
{
	struct admission a = {
	    .context = context, .ledger = context->state, .in = in};
	bool is_repeat;
	enum err e = load(&a);

	if (e != ERR_OK)
		return e;
	assert(a.workspace && a.plan); /* load found them */
	e = decide(&a, &is_repeat);
	if (e != ERR_OK)
		return e;
	if (is_repeat) {
		a.verdict.output_tokens = a.before.max_output_tokens;
		e = key_again(&a);
	} else {
		e = put(&a);
		metrics_add(METRIC_RESERVED, e == ERR_OK);
	}
	answer(&a, out);
	return e;
}

enum err
ledger_reserve(struct context *context, const void *in, void *out)
{
	return ledger_run_late(context, in, out, reserve);
}
