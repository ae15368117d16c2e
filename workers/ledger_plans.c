/*
 * ledger_plans: what is sold: setting plans, and the templates that `init`
 * seeds. Absent fields of a change stay as they are. A change appends
 * plan_changed with the record.
 */
#include "workers/ledger_parts.h"

#include <stdlib.h>

#define ITEMS_MAX 64u /* features or limits of a plan */
#define GRACE_DAYS_MAX 366
#define NAMED_MAX 32u /* plans that a refusal names, in so many bytes */
#define NAMED_BYTES_MAX 230u
#define PRICE_MAX INT64_C(1000000000000000) /* a thousand million, in micro */

/* --- plans --------------------------------------------------------------- */

static enum err
check_plan(struct context *context, const struct plan_set *in)
{
	if (!str_is_word(in->code))
		return ledger_refuse(context, ERR_BAD_FIELD, "code",
				     "a plan's code is letters, digits and "
				     ". _ -");
	if (!str_is_empty(in->name) && !str_is_plain(in->name))
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
			return ledger_refuse(context, ERR_CONFLICT, "limits",
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
	event.type = event_types[EVENT_plan_changed];
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
	ledger_cache_drop(ledger);
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

/* --- a plan that there is not ----------------------------------------------
 */

/* As many as fit into one sentence; archived ones are not for choice. */
static void
add_codes(const struct store_row *rows, size_t count, struct arena *arena,
	  struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		struct plan plan;

		if (schema_decode(&plan_schema, rows[i].value, &plan, arena,
				  NULL) != ERR_OK ||
		    plan.archived || out->n + plan.code.n > NAMED_BYTES_MAX)
			continue;
		buf_add_z(out, out->n ? ", " : "");
		buf_add_str(out, plan.code);
	}
}

enum err
ledger_plan_unknown(struct context *context, struct str workspace)
{
	struct ledger *ledger = context->state;
	struct store_row rows[NAMED_MAX];
	struct key prefix;
	struct buf codes;
	size_t count = 0;
	enum err e;

	key_plan(&prefix, workspace, STR_NONE);
	e = store_scan(ledger->store, key_str(&prefix), STR_NONE, NAMED_MAX,
		       context->arena, rows, &count);
	buf_init(&codes, 2 * NAMED_BYTES_MAX);
	if (e == ERR_OK)
		add_codes(rows, count, context->arena, &codes);
	e = ledger_refuse(context, ERR_PLAN_UNKNOWN, "plan",
			  codes.n ? "no such plan: the workspace has %.*s"
				  : "no such plan: the workspace has none%.*s",
			  STR_ARG(buf_str(&codes)));
	buf_fini(&codes);
	return e;
}
