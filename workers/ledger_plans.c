/*
 * ledger_plans: what is sold and what models cost: setting plans and prices,
 * and the templates that `init` seeds. Absent fields of a change stay as they
 * are. A change appends plan_changed or price_changed with the record.
 */
#include "workers/ledger_parts.h"

#include <stdlib.h>

#define ITEMS_MAX 64u /* features or limits of a plan */
#define GRACE_DAYS_MAX 366
#define PRICE_MAX INT64_C(1000000000000000) /* a thousand million, in micro */
/* Per million tokens; with the tokens of one answer it cannot overflow. */
#define MODEL_PRICE_MAX INT64_C(1000000000000)

/* --- plans --------------------------------------------------------------- */

static enum err
check_plan(struct context *context, const struct plan_set *in)
{
	if (!str_is_word(in->code))
		return ledger_refuse(context, ERR_BAD_FIELD, "code",
				     "a plan's code is letters, digits and "
				     ". _ -");
	if (!str_is_empty(in->name) && !ledger_is_plain(in->name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "the name has a control character");
	if (in->price_month > PRICE_MAX || in->price_year > PRICE_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "price",
				     "the price is too large");
	if (in->grace_days > GRACE_DAYS_MAX || in->trial_days > GRACE_DAYS_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "days",
				     "grace and trial are at most %d days",
				     GRACE_DAYS_MAX);
	for (uint32_t i = 0; i < in->features_count; i++)
		if (!str_is_word(in->features[i]))
			return ledger_refuse(context, ERR_BAD_FIELD, "features",
					     "a feature's name is letters, "
					     "digits and . _ -");
	for (uint32_t i = 0; i < in->limits_count; i++)
		if (!str_is_word(in->limits[i].name))
			return ledger_refuse(context, ERR_BAD_FIELD, "limits",
					     "a limit's name is letters, "
					     "digits and . _ -");
	return ERR_OK;
}

/* Named limits change, others stay. */
static enum err
merge_limits(struct context *context, const struct plan_set *in,
	     struct plan *plan)
{
	struct limit *limits =
	    arena_array(context->arena, ITEMS_MAX, sizeof(*limits));
	uint32_t count = plan->limits_count, at;

	if (limits == NULL)
		return ERR_NO_MEMORY;
	if (count)
		memcpy(limits, plan->limits, count * sizeof(*limits));
	for (uint32_t i = 0; i < in->limits_count; i++) {
		for (at = 0; at < count; at++)
			if (str_eq(limits[at].name, in->limits[i].name))
				break;
		if (at == ITEMS_MAX)
			return ledger_refuse(context, ERR_BAD_FIELD, "limits",
					     "a plan has at most %u limits",
					     ITEMS_MAX);
		limits[at] = in->limits[i];
		if (at == count)
			count++;
	}
	plan->limits = limits;
	plan->limits_count = count;
	return ERR_OK;
}

static enum err
merge_plan(struct context *context, const struct plan_set *in,
	   struct plan *plan)
{
	if (!str_is_empty(in->name))
		plan->name = in->name;
	if (in->price_month != SCHEMA_INT_NONE)
		plan->price_month = in->price_month;
	if (in->price_year != SCHEMA_INT_NONE)
		plan->price_year = in->price_year;
	if (in->grace_days != SCHEMA_INT_NONE)
		plan->grace_days = in->grace_days;
	if (in->trial_days != SCHEMA_INT_NONE)
		plan->trial_days = in->trial_days;
	if (in->archived != SCHEMA_INT_NONE)
		plan->archived = in->archived != 0;
	if (in->has_features) {
		plan->features = in->features;
		plan->features_count = in->features_count;
	}
	plan->updated_at = context->now_ms;
	return merge_limits(context, in, plan);
}

static void
view_plan(const struct plan *plan, struct str currency, struct plan_view *out)
{
	out->workspace = plan->workspace;
	out->code = plan->code;
	out->name = plan->name;
	out->price_month = plan->price_month;
	out->price_year = plan->price_year;
	out->currency = currency;
	out->features = plan->features;
	out->features_count = plan->features_count;
	out->limits = plan->limits;
	out->limits_count = plan->limits_count;
	out->grace_days = plan->grace_days;
	out->trial_days = plan->trial_days;
	out->archived = plan->archived;
}

static enum err
plan_put(struct context *context, const struct plan_set *in,
	 const struct plan *plan, struct str currency)
{
	struct ledger *ledger = context->state;
	struct event event;
	struct key key;
	enum err e;

	key_plan(&key, plan->workspace, plan->code);
	e = group_put(ledger->group, &key, &plan_schema, plan);
	schema_clear(&event_schema, &event);
	event.type = STR("plan_changed");
	event.description = arena_printf(context->arena, "Plan set: %.*s",
					 STR_ARG(ledger_plan_name(plan)));
	event.workspace = plan->workspace;
	event.plan = plan->code;
	event.amount = plan->price_month;
	event.currency = currency;
	event.actor = in->actor;
	if (e == ERR_OK)
		e = ledger_event(ledger, context->now_ms, &event, &plan_schema,
				 plan);
	if (e == ERR_TOO_LARGE)
		ledger_refuse(context, e, "features",
			      "the plan has too many features and limits");
	return e;
}

static enum err
plan_set(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct plan_set *in = in_;
	struct ledger_workspace *cached;
	struct str code, currency;
	struct plan plan;
	struct key key;
	enum err e = check_plan(context, in);

	if (e == ERR_OK)
		e = ledger_workspace(ledger, in->workspace, &cached);
	if (e != ERR_OK)
		return e;
	code = arena_str(context->arena, cached->record.code);
	currency = arena_str(context->arena, cached->record.currency);
	ledger_cache_drop(ledger->cache);
	key_plan(&key, code, in->code);
	e = group_load(ledger->group, &key, &plan_schema, &plan,
		       context->arena);
	if (e == ERR_NO_SUCH) {
		schema_clear(&plan_schema, &plan);
		plan.workspace = code;
		plan.code = in->code;
		plan.name = in->code;
		e = ERR_OK;
	}
	if (e == ERR_OK)
		e = merge_plan(context, in, &plan);
	if (e == ERR_OK)
		e = plan_put(context, in, &plan, currency);
	if (e == ERR_OK)
		view_plan(&plan, currency, out);
	return e;
}

enum err
ledger_plan_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, plan_set);
}

/* --- prices -------------------------------------------------------------- */

static enum err
check_price(struct context *context, const struct price_set *in)
{
	const struct {
		const char *name;
		int64_t value;
	} rows[] = {{"input", in->input},
		    {"output", in->output},
		    {"cache_read", in->cache_read},
		    {"cache_write", in->cache_write},
		    {"per_request", in->per_request}};

	if (!str_is_word(in->provider))
		return ledger_refuse(context, ERR_BAD_FIELD, "provider",
				     "a provider is a word like openai");
	if (!ledger_is_plain(in->model))
		return ledger_refuse(context, ERR_BAD_FIELD, "model",
				     "the model's name has a control "
				     "character");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].value > MODEL_PRICE_MAX)
			return ledger_refuse(context, ERR_BAD_FIELD,
					     rows[i].name,
					     "the price is too large");
	return ERR_OK;
}

static enum err
merge_price(struct context *context, const struct price_set *in,
	    struct price *price)
{
	if (in->input != SCHEMA_INT_NONE)
		price->input = in->input;
	if (in->output != SCHEMA_INT_NONE)
		price->output = in->output;
	if (in->cache_read != SCHEMA_INT_NONE)
		price->cache_read = in->cache_read;
	if (in->cache_write != SCHEMA_INT_NONE)
		price->cache_write = in->cache_write;
	if (in->per_request != SCHEMA_INT_NONE)
		price->per_request = in->per_request;
	if (price->input == SCHEMA_INT_NONE)
		return ledger_refuse(context, ERR_BAD_FIELD, "input",
				     "a new price needs input and output");
	if (price->output == SCHEMA_INT_NONE)
		return ledger_refuse(context, ERR_BAD_FIELD, "output",
				     "a new price needs input and output");
	return ERR_OK;
}

static enum err
price_put(struct context *context, const struct price_set *in,
	  const struct price *price)
{
	struct ledger *ledger = context->state;
	struct event event;
	struct key key;
	enum err e;

	key_price(&key, price->provider, price->model);
	e = group_put(ledger->group, &key, &price_schema, price);
	if (e != ERR_OK)
		return e;
	schema_clear(&event_schema, &event);
	event.type = STR("price_changed");
	event.description =
	    arena_printf(context->arena, "Price set: %.*s %.*s",
			 STR_ARG(price->provider), STR_ARG(price->model));
	event.workspace = DEFAULT_WORKSPACE;
	event.actor = in->actor;
	return ledger_event(ledger, context->now_ms, &event, &price_schema,
			    price);
}

static enum err
price_set(struct context *context, const void *in_, void *out_)
{
	struct ledger *ledger = context->state;
	const struct price_set *in = in_;
	struct price_view *out = out_;
	struct ledger_workspace *workspace;
	struct price price;
	struct key key;
	enum err e = check_price(context, in);

	if (e == ERR_OK)
		e = ledger_workspace(ledger, DEFAULT_WORKSPACE, &workspace);
	if (e != ERR_OK)
		return e;
	out->currency = arena_str(context->arena, workspace->record.currency);
	ledger_cache_drop(ledger->cache);
	key_price(&key, in->provider, in->model);
	e = group_load(ledger->group, &key, &price_schema, &price,
		       context->arena);
	if (e == ERR_NO_SUCH) {
		schema_clear(&price_schema, &price);
		price.provider = in->provider;
		price.model = in->model;
		price.created_at = context->now_ms;
		e = ERR_OK;
	}
	if (e == ERR_OK)
		e = merge_price(context, in, &price);
	if (e == ERR_OK)
		e = price_put(context, in, &price);
	out->provider = price.provider;
	out->model = price.model;
	out->input = price.input;
	out->output = price.output;
	out->cache_read = price.cache_read;
	out->cache_write = price.cache_write;
	out->per_request = price.per_request;
	return e;
}

enum err
ledger_price_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, price_set);
}

/* --- what init seeds ----------------------------------------------------- */

#define NONE SCHEMA_INT_NONE

struct plan_seed {
	const char *code;
	const char *name;
	int64_t price_month;
	int64_t price_year;
	int64_t trial_days;
	const char *features;
	const char *limits;
};
static const struct plan_seed plan_seeds[] = {
#define PLAN(code, name, price_month, price_year, trial_days, features,        \
	     limits)                                                           \
	{code, name, price_month, price_year, trial_days, features, limits},
#include "workers/plans.def"
#undef PLAN
};

static const struct price price_seeds[] = {
#define PRICE(provider, model, input, output, cache_read, cache_write)         \
	{{provider, sizeof(provider) - 1},                                     \
	 {model, sizeof(model) - 1},                                           \
	 input,                                                                \
	 output,                                                               \
	 cache_read,                                                           \
	 cache_write,                                                          \
	 0,                                                                    \
	 0},
#include "workers/prices.def"
#undef PRICE
};

/* The next word of a blank-separated list; false at its end. */
static bool
next_word(const char **at, struct str *word)
{
	const char *end;

	while (**at == ' ')
		(*at)++;
	if (**at == '\0')
		return false;
	end = strchrnul(*at, ' ');
	*word = str_bytes(*at, (size_t)(end - *at));
	*at = end;
	return true;
}

enum err
ledger_seed_plans(struct group *group, struct str workspace, int64_t now_ms)
{
	struct str features[ITEMS_MAX], word;
	struct limit limits[ITEMS_MAX];
	enum err e = ERR_OK;

	for (size_t i = 0;
	     i < sizeof(plan_seeds) / sizeof(plan_seeds[0]) && e == ERR_OK;
	     i++) {
		const struct plan_seed *seed = &plan_seeds[i];
		const char *at = seed->features, *value;
		struct plan plan;
		struct key key;

		schema_clear(&plan_schema, &plan);
		plan.workspace = workspace;
		plan.code = str_of(seed->code);
		plan.name = str_of(seed->name);
		plan.price_month = seed->price_month;
		plan.price_year = seed->price_year;
		plan.trial_days = seed->trial_days;
		plan.updated_at = now_ms;
		plan.features = features;
		while (next_word(&at, &word))
			features[plan.features_count++] = word;
		plan.limits = limits;
		at = seed->limits;
		while (next_word(&at, &word)) {
			struct limit *limit = &limits[plan.limits_count++];

			value = memchr(word.p, '=', word.n);
			limit->value =
			    value ? strtoll(value + 1, NULL, 10) : NONE;
			limit->name = str_bytes(
			    word.p, value ? (size_t)(value - word.p) : word.n);
		}
		key_plan(&key, workspace, plan.code);
		e = group_put(group, &key, &plan_schema, &plan);
	}
	return e;
}

enum err
ledger_seed_prices(struct group *group, int64_t now_ms)
{
	enum err e = ERR_OK;

	for (size_t i = 0;
	     i < sizeof(price_seeds) / sizeof(price_seeds[0]) && e == ERR_OK;
	     i++) {
		struct price price = price_seeds[i];
		struct key key;

		price.created_at = now_ms;
		key_price(&key, price.provider, price.model);
		e = group_put(group, &key, &price_schema, &price);
	}
	return e;
}
