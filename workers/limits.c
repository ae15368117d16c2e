/*
 * limits: admission: what is checked, what is granted and held. See limits.h.
 */
#include "workers/limits_parts.h"

/* --- what is left ----------------------------------------------------------
 */

/* The account that has the least left. */
static unsigned
tightest(const struct limits_account *accounts, unsigned count,
	 int64_t (*left)(const struct limits_account *))
{
	unsigned at = 0;

	for (unsigned i = 1; i < count; i++)
		if (left(&accounts[i]) < left(&accounts[at]))
			at = i;
	return at;
}

/* --- minutes ------------------------------------------------------------- */

static bool
counts_tokens(const struct limits_account *accounts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (accounts[i].limits->tokens_minute != NONE)
			return true;
	return false;
}

/* One minute for all of them. */
static int64_t
minutes_roll(const struct limits_account *accounts, unsigned count,
	     int64_t now_ms)
{
	int64_t start = INT64_MIN;

	for (unsigned i = 0; i < count; i++) {
		int64_t own = limits_minute(accounts[i].meter, now_ms);

		start = own > start ? own : start;
	}
	for (unsigned i = 0; i < count; i++) {
		struct meter *meter = accounts[i].meter;

		if (meter->minute_start == start)
			continue;
		meter->minute_start = start;
		meter->minute_first =
		    money_add_clamped(schema_count(meter->admissions), 1);
		meter->minute_used = meter->minute_reserved = 0;
	}
	return start;
}

/* --- the grant ----------------------------------------------------------- */

/* What a request takes with so many tokens of output for each choice. */
struct ask {
	const struct limits_request *request;
	int64_t prompt;
	int64_t choices;
	int64_t wanted;
	int64_t min;
};

static int64_t
tokens_with(const struct ask *ask, int64_t output)
{
	return ask->prompt + output * ask->choices;
}

static int64_t
price_with(const struct ask *ask, int64_t output)
{
	if (ask->request->price == NULL)
		return 0;
	return prices_most(ask->request->price, ask->prompt,
			   output * ask->choices);
}

static int64_t
within(int64_t i, int64_t min, int64_t max)
{
	return i < min ? min : i > max ? max : i;
}

static struct ask
ask_of(const struct limits_request *request)
{
	struct ask ask = {.request = request, .min = LIMITS_OUTPUT_MIN};

	ask.prompt =
	    within(schema_count(request->prompt_tokens), 0, LIMITS_OUTPUT_MAX);
	ask.choices = request->choices == NONE
			  ? 1
			  : within(request->choices, 1, LIMITS_CHOICES_MAX);
	ask.wanted = request->output_tokens;
	if (request->output_min != NONE)
		ask.min = within(request->output_min, 1, LIMITS_OUTPUT_MAX);
	if (ask.wanted == NONE)
		ask.wanted = ask.min > LIMITS_OUTPUT_DEFAULT
				 ? ask.min
				 : LIMITS_OUTPUT_DEFAULT;
	ask.wanted = within(ask.wanted, 1, LIMITS_OUTPUT_MAX);
	if (ask.min > ask.wanted)
		ask.min = ask.wanted;
	return ask;
}

/* The most output, up to what is wanted, that costs no more than left; -1 when
 * not even the prompt does. */
static int64_t
affordable(const struct ask *ask, int64_t left,
	   int64_t (*cost)(const struct ask *, int64_t output))
{
	int64_t low = -1, high = ask->wanted;

	if (cost(ask, high) <= left)
		return high;
	while (high - low > 1) { /* low is affordable, high is not */
		int64_t middle = low + (high - low) / 2;

		if (cost(ask, middle) <= left)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* --- admission ----------------------------------------------------------- */

struct admitting {
	const struct limits_request *request;
	const struct limits_account *accounts;
	unsigned count;
	struct limits_verdict *out;
};

/* True: go on with the next limit. */
static bool
refuse(const struct admitting *a, enum err err, const char *name,
       unsigned account, int64_t retry_after_ms)
{
	if (a->out->err == ERR_OK) {
		a->out->err = err;
		a->out->name = name;
		a->out->account = account;
		a->out->retry_after_ms = retry_after_ms;
	}
	return !a->request->is_enforced;
}

static int64_t
until_month_ends(const struct admitting *a, unsigned account)
{
	return a->accounts[account].meter->month_end - a->request->now_ms;
}

static bool
check_counts(const struct admitting *a)
{
	unsigned at = tightest(a->accounts, a->count, month_left);

	if (month_left(&a->accounts[at]) < 1 &&
	    !refuse(a, ERR_LIMIT_REACHED, "requests_month", at,
		    until_month_ends(a, at)))
		return false;
	at = tightest(a->accounts, a->count, places_left);
	return places_left(&a->accounts[at]) >= 1 ||
	       refuse(a, ERR_RATE_LIMITED, "concurrent", at,
		      LIMITS_CONCURRENT_RETRY_MS);
}

static bool
check_money(const struct admitting *a, const struct ask *ask, int64_t *output)
{
	unsigned at = tightest(a->accounts, a->count, money_left);
	int64_t left = money_left(&a->accounts[at]), most;

	if (left == INT64_MAX || a->request->price == NULL)
		return true;
	most = affordable(ask, left, price_with);
	if (most < ask->min && !refuse(a, ERR_LIMIT_REACHED, "spend_month", at,
				       until_month_ends(a, at)))
		return false;
	/* Output that costs nothing is not bounded by money. */
	if (a->request->output_tokens != NONE || most < ask->wanted ||
	    price_with(ask, LIMITS_OUTPUT_MAX / ask->choices) > left)
		*output = most;
	a->out->held_price = 0;
	return true;
}

static bool
check_tokens(const struct admitting *a, const struct ask *ask, int64_t *output)
{
	unsigned at = tightest(a->accounts, a->count, tokens_left);
	int64_t most, now_ms = a->request->now_ms;

	if (!counts_tokens(a->accounts, a->count))
		return true;
	most = affordable(ask, tokens_left(&a->accounts[at]), tokens_with);
	if (most < ask->min &&
	    !refuse(a, ERR_RATE_LIMITED, "tokens_minute", at,
		    a->out->minute_start + LIMITS_MINUTE_MS - now_ms))
		return false;
	if (*output == NONE || most < *output)
		*output = most;
	a->out->held_tokens = 0;
	return true;
}

/* A refusal moves none of them. */
static bool
check_rate(const struct admitting *a)
{
	int64_t tats[LIMITS_ACCOUNTS];

	for (unsigned i = 0; i < a->count; i++) {
		struct rules_rate rate;

		tats[i] = a->accounts[i].meter->hour_tat_ns;
		rate =
		    rules_gcra(&tats[i], a->request->now_ms * NS_PER_MS,
			       a->accounts[i].limits->requests_hour, HOUR_MS);
		if (!rate.is_admitted &&
		    !refuse(a, ERR_RATE_LIMITED, "requests_hour", i,
			    rate.retry_after_ms))
			return false;
	}
	for (unsigned i = 0; i < a->count; i++)
		a->accounts[i].meter->hour_tat_ns = tats[i];
	return true;
}

/* What the request may take at most. */
static void
hold(const struct admitting *a, const struct ask *ask, int64_t output)
{
	struct limits_verdict *out = a->out;
	int64_t most =
	    a->request->is_enforced && output != NONE ? output : ask->wanted;

	if (a->request->is_enforced)
		out->output_tokens = output;
	if (out->held_tokens != NONE)
		out->held_tokens = tokens_with(ask, most);
	if (out->held_price != NONE)
		out->held_price = price_with(ask, most);
}

void
limits_admit(const struct limits_request *request,
	     const struct limits_account *accounts, unsigned count,
	     struct limits_verdict *out)
{
	const struct admitting a = {request, accounts, count, out};
	struct ask ask = ask_of(request);
	int64_t output = NONE;

	*out = (struct limits_verdict){.err = ERR_OK,
				       .output_tokens = NONE,
				       .held_tokens = NONE,
				       .held_price = NONE,
				       .minute_start = NONE};
	if (counts_tokens(accounts, count))
		out->minute_start =
		    minutes_roll(accounts, count, request->now_ms);
	if (check_counts(&a) && check_money(&a, &ask, &output) &&
	    check_tokens(&a, &ask, &output) && check_rate(&a))
		hold(&a, &ask, output);
}

void
limits_hold(const struct limits_verdict *verdict, struct meter *meter)
{
	move(&meter->admissions, 1);
	move(&meter->open, 1);
	move(&meter->month_reserved, 1);
	move(&meter->month_held, schema_count(verdict->held_price));
	if (verdict->minute_start != NONE)
		move(&meter->minute_reserved, verdict->held_tokens);
}
