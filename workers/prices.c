/*
 * prices: see prices.h.
 */
#include "workers/prices.h"

#include "lib/money.h"

void
prices_load(const struct price *price, struct prices *out)
{
	out->count = 0;
	for (uint32_t i = 0; i < price->periods_count; i++)
		out->periods[out->count++] = price->periods[i];
	if (out->count || price->input == SCHEMA_INT_NONE)
		return;
	schema_clear(&price_period_schema, &out->periods[0]);
	out->periods[0].input = price->input;
	out->periods[0].output = price->output;
	out->periods[0].cache_read = price->cache_read;
	out->periods[0].cache_write = price->cache_write;
	out->periods[0].per_request = price->per_request;
	out->count = 1;
}

void
prices_store(struct prices *prices, struct price *out)
{
	out->input = out->output = SCHEMA_INT_NONE;
	out->cache_read = out->cache_write = SCHEMA_INT_NONE;
	out->per_request = SCHEMA_INT_NONE;
	out->periods = prices->periods;
	out->periods_count = prices->count;
}

/* An absent beginning is the smallest number; an absent end is none. */
static bool
has_ended(const struct price_period *period, int64_t at_ms)
{
	return period->valid_to != SCHEMA_INT_NONE && period->valid_to <= at_ms;
}

const struct price_period *
prices_at(const struct prices *prices, int64_t at_ms)
{
	for (unsigned i = prices->count; i > 0; i--) {
		const struct price_period *period = &prices->periods[i - 1];

		if (period->valid_from <= at_ms && !has_ended(period, at_ms))
			return period;
	}
	return NULL;
}

bool
prices_are_same(const struct price_period *a, const struct price_period *b)
{
	return a->input == b->input && a->output == b->output &&
	       a->cache_read == b->cache_read &&
	       a->cache_write == b->cache_write &&
	       a->cache_write_1h == b->cache_write_1h &&
	       a->per_request == b->per_request &&
	       a->charge_bp == b->charge_bp && a->valid_to == b->valid_to;
}

static void
take_out(struct prices *prices, unsigned at)
{
	prices->count--;
	memmove(&prices->periods[at], &prices->periods[at + 1],
		(prices->count - at) * sizeof(prices->periods[0]));
}

/* It ended, or one without an end has begun since. */
static bool
is_over(const struct prices *prices, unsigned at, int64_t now_ms)
{
	for (unsigned i = at + 1; i < prices->count; i++)
		if (prices->periods[i].valid_from <= now_ms &&
		    prices->periods[i].valid_to == SCHEMA_INT_NONE)
			return true;
	return has_ended(&prices->periods[at], now_ms);
}

static bool
forget_one(struct prices *prices, int64_t now_ms)
{
	for (unsigned i = 0; i < prices->count; i++)
		if (is_over(prices, i, now_ms)) {
			take_out(prices, i);
			return true;
		}
	return false;
}

enum err
prices_put(struct prices *prices, const struct price_period *period,
	   int64_t now_ms)
{
	unsigned at;

	for (unsigned i = 0; i < prices->count; i++)
		if (prices->periods[i].valid_from == period->valid_from) {
			prices->periods[i] = *period;
			return ERR_OK;
		}
	if (prices->count == PRICES_PERIODS_MAX && !forget_one(prices, now_ms))
		return ERR_TOO_LARGE;
	for (at = prices->count;
	     at > 0 && prices->periods[at - 1].valid_from > period->valid_from;
	     at--)
		prices->periods[at] = prices->periods[at - 1];
	prices->periods[at] = *period;
	prices->count++;
	return ERR_OK;
}

void
prices_end(struct prices *prices, int64_t from_ms, int64_t now_ms,
	   int64_t *ended, int64_t *forgotten)
{
	*ended = *forgotten = 0;
	for (unsigned i = prices->count; i > 0; i--) {
		struct price_period *period = &prices->periods[i - 1];

		if (from_ms != SCHEMA_INT_NONE && period->valid_from != from_ms)
			continue;
		if (period->valid_from > now_ms) {
			take_out(prices, i - 1);
			(*forgotten)++;
		} else if (!has_ended(period, now_ms)) {
			/* It counted in this millisecond: a line that was
			 * reserved in it finds its price. */
			period->valid_to = now_ms + 1;
			(*ended)++;
		}
	}
}

/* --- what may be set ----------------------------------------------------- */

enum err
prices_check(const struct price_set *in, struct why *why)
{
	const struct {
		const char *name;
		int64_t value, max;
	} rows[] = {{"input", in->input, PRICES_MAX},
		    {"output", in->output, PRICES_MAX},
		    {"cache_read", in->cache_read, PRICES_MAX},
		    {"cache_write", in->cache_write, PRICES_MAX},
		    {"cache_write_1h", in->cache_write_1h, PRICES_MAX},
		    {"per_request", in->per_request, PRICES_MAX},
		    {"charge_bp", in->charge_bp, PRICES_CHARGE_BP_MAX}};

	if (!str_is_word(in->provider))
		return why_field(why, ERR_BAD_FIELD, "provider",
				 "a provider is a word like openai");
	if (!str_is_plain(in->model))
		return why_field(why, ERR_BAD_FIELD, "model",
				 "the model's name is empty or has a control "
				 "character");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].value > rows[i].max ||
		    (rows[i].value < 0 && rows[i].value != SCHEMA_INT_NONE))
			return why_field(why, ERR_BAD_FIELD, rows[i].name,
					 "%s is 0 to %lld", rows[i].name,
					 (long long)rows[i].max);
	if (in->valid_to != SCHEMA_INT_NONE && in->valid_to <= in->valid_from)
		return why_field(why, ERR_BAD_FIELD, "valid_to",
				 "a price ends after it begins");
	return ERR_OK;
}

/* --- what a line costs --------------------------------------------------- */

static int64_t
known_or(int64_t i, int64_t otherwise)
{
	return i == SCHEMA_INT_NONE ? otherwise : i;
}

void
prices_charge(const struct price_period *period, struct usage_line *line)
{
	int64_t write = known_or(line->cache_write_tokens, 0);
	int64_t write_1h = known_or(line->cache_write_1h_tokens, 0);
	int64_t input = known_or(period->input, 0);
	int64_t write_price = known_or(period->cache_write, input);
	const struct {
		int64_t tokens, price;
	} classes[] = {
	    {known_or(line->input_tokens, 0), input},
	    {known_or(line->output_tokens, 0), known_or(period->output, 0)},
	    {known_or(line->cache_read_tokens, 0),
	     known_or(period->cache_read, input)},
	    {write - write_1h, write_price},
	    {write_1h, known_or(period->cache_write_1h, write_price)},
	};
	struct money_exact sum = {0, 0};
	int64_t cost = INT64_MAX, share = INT64_MAX;
	bool is_exact = true;

	/* All are bounded where they come in, so that none overflows; one that
	 * did would cost the most that can be said, not nothing. */
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		is_exact = is_exact && money_exact_add(&sum, classes[i].tokens,
						       classes[i].price);
	if (is_exact)
		money_exact_up(&sum, &cost);
	money_share_up(cost, known_or(period->charge_bp, 0), &share);
	line->cost = cost;
	line->price = INT64_MAX;
	money_add(known_or(period->per_request, 0), share, &line->price);
}

int64_t
prices_most(const struct price_period *period, int64_t prompt, int64_t output)
{
	const int64_t classes[] = {period->cache_read, period->cache_write,
				   period->cache_write_1h};
	struct price_period dearest = {.input = known_or(period->input, 0),
				       .output = period->output,
				       .per_request = period->per_request,
				       .charge_bp = period->charge_bp};
	struct usage_line line = {.input_tokens = prompt,
				  .output_tokens = output};

	/* An absent one is the smallest number. */
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i] > dearest.input)
			dearest.input = classes[i];
	prices_charge(&dearest, &line);
	return line.price;
}

/* --- the most of two ----------------------------------------------------- */

static int64_t
more(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* With what is absent filled in as prices_charge reads it. */
static struct price_period
explicit_of(const struct price_period *period)
{
	struct price_period all = *period;

	all.input = known_or(all.input, 0);
	all.output = known_or(all.output, 0);
	all.cache_read = known_or(all.cache_read, all.input);
	all.cache_write = known_or(all.cache_write, all.input);
	all.cache_write_1h = known_or(all.cache_write_1h, all.cache_write);
	all.per_request = known_or(all.per_request, 0);
	all.charge_bp = known_or(all.charge_bp, 0);
	return all;
}

void
prices_higher(const struct price_period *a, const struct price_period *b,
	      struct price_period *out)
{
	struct price_period x = explicit_of(a), y = explicit_of(b);

	x.input = more(x.input, y.input);
	x.output = more(x.output, y.output);
	x.cache_read = more(x.cache_read, y.cache_read);
	x.cache_write = more(x.cache_write, y.cache_write);
	x.cache_write_1h = more(x.cache_write_1h, y.cache_write_1h);
	x.per_request = more(x.per_request, y.per_request);
	x.charge_bp = more(x.charge_bp, y.charge_bp);
	*out = x;
}
