/*
 * ledger_prices: what models cost: setting, ending and importing prices, and
 * the list that `init` seeds. Absent fields of a change stay as they are at the
 * time that it is for. A change appends price_changed with the model's record;
 * what says the same as before writes nothing.
 */
#include "workers/ledger_parts.h"

struct change {
	struct price record;
	struct prices prices;
	struct price_period period; /* as it results */
	bool had_price;		    /* at that time */
	bool is_same;
};

/* --- one model's record -------------------------------------------------- */

static enum err
record_load(struct context *context, struct str provider, struct str model,
	    struct price *record, struct prices *prices)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e;

	key_price(&key, provider, model);
	e = group_load(ledger->group, &key, &price_schema, record,
		       context->arena);
	if (e == ERR_NO_SUCH) {
		schema_clear(&price_schema, record);
		record->provider = provider;
		record->model = model;
		record->created_at = context->now_ms;
		e = ERR_OK;
	}
	if (e == ERR_OK)
		prices_load(record, prices);
	return e;
}

static enum err
record_put(struct context *context, struct price *record, struct prices *prices,
	   const char *what, struct str actor)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e;

	ledger_cache_drop(ledger);
	key_price(&key, record->provider, record->model);
	prices_store(prices, record);
	if (prices->count)
		e = group_put(ledger->group, &key, &price_schema, record);
	else
		e = group_delete(ledger->group, &key);
	if (e != ERR_OK)
		return e;
	return ledger_tell_setting(
	    context, EVENT_price_changed,
	    arena_printf(context->arena, "Price %s: %.*s %.*s", what,
			 STR_ARG(record->provider), STR_ARG(record->model)),
	    actor, &price_schema, record);
}

/* --- set ----------------------------------------------------------------- */

static void
take(int64_t *field, int64_t value)
{
	if (value != SCHEMA_INT_NONE)
		*field = value;
}

static void
merge(const struct price_set *in, struct price_period *period)
{
	take(&period->input, in->input);
	take(&period->output, in->output);
	take(&period->cache_read, in->cache_read);
	take(&period->cache_write, in->cache_write);
	take(&period->cache_write_1h, in->cache_write_1h);
	take(&period->per_request, in->per_request);
	take(&period->charge_bp, in->charge_bp);
	take(&period->valid_to, in->valid_to);
}

/* What is not given stays as it is then; its end only where the change is of
 * that price itself: no beginning was given, or the same. */
static enum err
change_decide(struct context *context, const struct price_set *in,
	      struct change *change)
{
	bool is_now = in->valid_from == SCHEMA_INT_NONE;
	int64_t from_ms = is_now ? context->now_ms : in->valid_from;
	const struct price_period *base = prices_at(&change->prices, from_ms);

	change->had_price = base != NULL;
	if (base)
		change->period = *base;
	else
		schema_clear(&price_period_schema, &change->period);
	if (base && !is_now && base->valid_from != from_ms)
		change->period.valid_to = SCHEMA_INT_NONE;
	merge(in, &change->period);
	change->is_same = base && prices_are_same(base, &change->period) &&
			  (is_now || base->valid_from == from_ms);
	if (change->is_same)
		return ERR_OK;
	change->period.valid_from = from_ms;
	if (change->period.input == SCHEMA_INT_NONE)
		return ledger_refuse(context, ERR_BAD_FIELD, "input",
				     "a new price needs input and output");
	if (change->period.output == SCHEMA_INT_NONE)
		return ledger_refuse(context, ERR_BAD_FIELD, "output",
				     "a new price needs input and output");
	if (change->period.valid_to != SCHEMA_INT_NONE &&
	    change->period.valid_to <= from_ms)
		return ledger_refuse(context, ERR_BAD_FIELD, "valid_to",
				     "a price ends after it begins");
	return ERR_OK;
}

static enum err
change_make(struct context *context, const struct price_set *in,
	    struct str actor, struct change *change)
{
	struct why why = {"", ""};
	enum err e = prices_check(in, &why);

	*change = (struct change){.had_price = false};
	if (e != ERR_OK)
		return ledger_refuse(context, e, why.field, "%s", why.text);
	e = ledger_check_provider(context, in->provider,
				  ledger_is_built_in(in->provider));
	if (e == ERR_OK)
		e = record_load(context, in->provider, in->model,
				&change->record, &change->prices);
	if (e == ERR_OK)
		e = change_decide(context, in, change);
	if (e != ERR_OK || change->is_same)
		return e;
	if (prices_put(&change->prices, &change->period, context->now_ms) !=
	    ERR_OK)
		return ledger_refuse(context, ERR_CONFLICT, "valid_from",
				     "a model has at most %u prices: remove "
				     "one that is to come",
				     PRICES_PERIODS_MAX);
	return record_put(context, &change->record, &change->prices, "set",
			  actor);
}

static void
view(const struct change *change, struct price_view *out)
{
	const struct price_period *period = &change->period;

	out->provider = change->record.provider;
	out->model = change->record.model;
	out->input = period->input;
	out->output = period->output;
	out->cache_read = period->cache_read;
	out->cache_write = period->cache_write;
	out->cache_write_1h = period->cache_write_1h;
	out->per_request = period->per_request;
	out->charge_bp = period->charge_bp;
	out->valid_from = period->valid_from;
	out->valid_to = period->valid_to;
}

static enum err
price_set(struct context *context, const void *in_, void *out_)
{
	const struct price_set *in = in_;
	struct price_view *out = out_;
	struct ledger_workspace *workspace;
	struct change change;
	enum err e =
	    ledger_workspace(context->state, DEFAULT_WORKSPACE, &workspace);

	if (e != ERR_OK)
		return e;
	out->currency = arena_str(context->arena, workspace->record.currency);
	e = change_make(context, in, in->actor, &change);
	if (e == ERR_OK)
		view(&change, out);
	return e;
}

enum err
ledger_price_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, price_set);
}

/* --- remove -------------------------------------------------------------- */

static enum err
price_remove(struct context *context, const void *in_, void *out_)
{
	const struct price_remove *in = in_;
	struct price_removed *out = out_;
	struct price record;
	struct prices prices;
	enum err e;

	if (!str_is_plain(in->provider) || !str_is_plain(in->model))
		return ledger_refuse(context, ERR_BAD_FIELD, "model",
				     "the name has a control character");
	e = record_load(context, in->provider, in->model, &record, &prices);
	if (e != ERR_OK)
		return e;
	prices_end(&prices, in->valid_from, context->now_ms, &out->ended,
		   &out->forgotten);
	if (out->ended + out->forgotten == 0)
		return ledger_refuse(context, ERR_NO_SUCH, "model",
				     "there is no such price: `chatello price "
				     "list --all` shows them");
	out->provider = record.provider;
	out->model = record.model;
	return record_put(context, &record, &prices, "removed", in->actor);
}

enum err
ledger_price_remove(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, price_remove);
}

/* --- import -------------------------------------------------------------- */

/* It is the price that cannot be, not the ledger that fails. */
static bool
is_refusal(enum err e)
{
	return e == ERR_BAD_FIELD || e == ERR_NO_SUCH || e == ERR_CONFLICT;
}

static void
count(const struct change *change, struct price_imported *out)
{
	out->unchanged += change->is_same;
	out->changed += !change->is_same && change->had_price;
	out->added += !change->is_same && !change->had_price;
}

/* All that are refused are named, not the first alone. */
static enum err
price_import(struct context *context, const void *in_, void *out_)
{
	const struct price_import *in = in_;
	struct price_import_answer *out = out_;
	struct ledger *ledger = context->state;
	struct ledger_mark mark = ledger_mark(ledger);
	struct change change;
	enum err e = ERR_OK;

	out->imported = (struct price_imported){.dry_run = in->dry_run};
	out->refused = arena_array(context->arena, in->prices_count,
				   sizeof(*out->refused));
	if (out->refused == NULL)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < in->prices_count && e == ERR_OK; i++) {
		e = change_make(context, &in->prices[i], in->actor, &change);
		if (e == ERR_OK)
			count(&change, &out->imported);
		if (!is_refusal(e))
			continue;
		out->refused[out->refused_count++] =
		    (struct price_refused){i, context->failure.message};
		schema_clear(&failure_schema, &context->failure);
		e = ERR_OK;
	}
	if (e == ERR_OK && (in->dry_run || out->refused_count)) {
		ledger_undo(ledger, mark);
		ledger_cache_drop(ledger);
	}
	return e;
}

enum err
ledger_price_import(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, price_import);
}

/* --- what init seeds ----------------------------------------------------- */

#define NONE SCHEMA_INT_NONE

struct price_seed {
	const char *provider;
	const char *model;
	struct price_period period;
};
static const struct price_seed price_seeds[] = {
#define PRICE(provider, model, input, output, cache_read, cache_write,         \
	      cache_write_1h)                                                  \
	{provider,                                                             \
	 model,                                                                \
	 {NONE, NONE, input, output, cache_read, cache_write, cache_write_1h,  \
	  0, 0}},
#include "workers/prices.def"
#undef PRICE
};

enum err
ledger_seed_prices(struct group *group, int64_t now_ms)
{
	enum err e = ERR_OK;

	for (size_t i = 0;
	     i < sizeof(price_seeds) / sizeof(price_seeds[0]) && e == ERR_OK;
	     i++) {
		struct prices prices = {.count = 1};
		struct price price;
		struct key key;

		schema_clear(&price_schema, &price);
		price.provider = str_of(price_seeds[i].provider);
		price.model = str_of(price_seeds[i].model);
		price.created_at = now_ms;
		prices.periods[0] = price_seeds[i].period;
		prices_store(&prices, &price);
		key_price(&key, price.provider, price.model);
		e = group_put(group, &key, &price_schema, &price);
	}
	return e;
}
