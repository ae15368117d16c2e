/*
 * limits: see limits.h.
 */
#include "workers/limits.h"

#define HOUR_MS INT64_C(3600000)
#define NS_PER_MS INT64_C(1000000)
#define NONE SCHEMA_INT_NONE

static const struct {
	const char *name;
	size_t at;
} names[] = {
    {"requests_hour", offsetof(struct limits, requests_hour)},
    {"requests_month", offsetof(struct limits, requests_month)},
    {"tokens_minute", offsetof(struct limits, tokens_minute)},
    {"spend_month", offsetof(struct limits, spend_month)},
    {"concurrent", offsetof(struct limits, concurrent)},
};
#define NAMES (sizeof(names) / sizeof(names[0]))

void
limits_clear(struct limits *limits)
{
	*limits = (struct limits){NONE, NONE, NONE, NONE, NONE};
}

void
limits_read(const struct limit *rows, uint32_t count, struct limits *limits)
{
	for (uint32_t i = 0; i < count; i++)
		for (size_t k = 0; k < NAMES; k++)
			if (str_eq(rows[i].name, str_of(names[k].name)))
				*(int64_t *)((char *)limits + names[k].at) =
				    rows[i].value;
}

bool
limits_is_name(struct str name)
{
	for (size_t k = 0; k < NAMES; k++)
		if (str_eq(name, str_of(names[k].name)))
			return true;
	return false;
}

/* --- sums ---------------------------------------------------------------- */

static int64_t
count_of(int64_t i)
{
	return i == NONE ? 0 : i;
}

static int64_t
add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void
move(int64_t *field, int64_t by)
{
	*field = add(count_of(*field), by);
}

/* limit - used - reserved, at least 0; INT64_MAX when it is unlimited. */
static int64_t
left_of(int64_t limit, int64_t used, int64_t reserved)
{
	int64_t taken = add(count_of(used), count_of(reserved));

	if (limit == NONE)
		return INT64_MAX;
	return limit > taken ? limit - taken : 0;
}

static int64_t
month_left(const struct limits_account *a)
{
	return left_of(a->limits->requests_month, a->meter->month_used,
		       a->meter->month_reserved);
}

static int64_t
money_left(const struct limits_account *a)
{
	return left_of(a->limits->spend_month, a->meter->month_spent,
		       a->meter->month_held);
}

static int64_t
tokens_left(const struct limits_account *a)
{
	return left_of(a->limits->tokens_minute, a->meter->minute_used,
		       a->meter->minute_reserved);
}

static int64_t
places_left(const struct limits_account *a)
{
	return left_of(a->limits->concurrent, a->meter->open, 0);
}

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

/* A clock that was set back by less than a minute does not open the old one
 * anew, with nothing used. */
static int64_t
minute_of(const struct meter *meter, int64_t now_ms)
{
	if (meter->minute_start != NONE && now_ms < meter->minute_start &&
	    meter->minute_start - now_ms <= LIMITS_MINUTE_MS)
		return meter->minute_start;
	return now_ms - now_ms % LIMITS_MINUTE_MS;
}

/* One minute for all of them. */
static int64_t
minutes_roll(const struct limits_account *accounts, unsigned count,
	     int64_t now_ms)
{
	int64_t start = INT64_MIN;

	for (unsigned i = 0; i < count; i++) {
		int64_t own = minute_of(accounts[i].meter, now_ms);

		start = own > start ? own : start;
	}
	for (unsigned i = 0; i < count; i++) {
		struct meter *meter = accounts[i].meter;

		if (meter->minute_start == start)
			continue;
		meter->minute_start = start;
		meter->minute_first = add(count_of(meter->admissions), 1);
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
	    within(count_of(request->prompt_tokens), 0, LIMITS_OUTPUT_MAX);
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
	move(&meter->month_held, count_of(verdict->held_price));
	if (verdict->minute_start != NONE)
		move(&meter->minute_reserved, verdict->held_tokens);
}

/* --- what remains -------------------------------------------------------- */

/* Without a further request. */
static struct limits_left
requests_left(const struct limits_account *a, int64_t now_ms)
{
	struct limits_left left = {a->limits->requests_hour, 0, 0};
	int64_t before_ns = a->meter->hour_tat_ns, tat_ns = before_ns;
	int64_t now_ns = now_ms * NS_PER_MS;
	struct rules_rate rate =
	    rules_gcra(&tat_ns, now_ns, left.limit, HOUR_MS);

	left.reset_ms = rate.reset_ms;
	if (!rate.is_admitted)
		return left;
	left.remaining = rate.remaining + 1;
	left.reset_ms =
	    before_ns > now_ns ? (before_ns - now_ns - 1) / NS_PER_MS + 1 : 0;
	return left;
}

struct limits_left
limits_left_requests(const struct limits_account *accounts, unsigned count,
		     int64_t now_ms)
{
	struct limits_left least = {NONE, NONE, NONE};

	for (unsigned i = 0; i < count; i++) {
		struct limits_left left;

		if (accounts[i].limits->requests_hour == NONE)
			continue;
		left = requests_left(&accounts[i], now_ms);
		if (least.limit == NONE || left.remaining < least.remaining)
			least = left;
	}
	return least;
}

struct limits_left
limits_left_tokens(const struct limits_account *accounts, unsigned count,
		   int64_t now_ms)
{
	struct limits_left least = {NONE, NONE, NONE};

	for (unsigned i = 0; i < count; i++) {
		const struct limits_account *a = &accounts[i];
		int64_t limit = a->limits->tokens_minute, remaining;
		int64_t start = minute_of(a->meter, now_ms);

		if (limit == NONE)
			continue;
		remaining =
		    start == a->meter->minute_start ? tokens_left(a) : limit;
		if (least.limit == NONE || remaining < least.remaining)
			least = (struct limits_left){limit, remaining,
						     start + LIMITS_MINUTE_MS -
							 now_ms};
	}
	return least;
}

/* --- lines --------------------------------------------------------------- */

bool
limits_is_open(const struct usage_line *line)
{
	return str_eq(line->status, STR("reserved"));
}

bool
limits_is_used(const struct usage_line *line)
{
	return str_eq(line->status, STR("settled")) ||
	       str_eq(line->status, STR("interrupted"));
}

static bool
is_this_month(const struct meter *meter, const struct usage_line *line)
{
	return line->month_start == meter->month_start;
}

static bool
is_this_minute(enum limits_meter which, const struct meter *meter,
	       const struct usage_line *line)
{
	int64_t first = which == LIMITS_LICENSE ? line->minute_first
						: line->workspace_minute_first;

	return first != NONE && first == meter->minute_first;
}

static void
count_open(enum limits_meter which, struct meter *meter,
	   const struct usage_line *line, int sign)
{
	move(&meter->open, sign);
	if (is_this_month(meter, line)) {
		move(&meter->month_reserved, sign);
		move(&meter->month_held, sign * count_of(line->held_price));
	}
	if (is_this_minute(which, meter, line))
		move(&meter->minute_reserved,
		     sign * count_of(line->counted_tokens));
}

static void
count_used(enum limits_meter which, struct meter *meter,
	   const struct usage_line *line, int sign)
{
	if (is_this_month(meter, line)) {
		move(&meter->month_used, sign);
		if (meter->month_spent != NONE)
			move(&meter->month_spent, sign * count_of(line->price));
	}
	if (is_this_minute(which, meter, line))
		move(&meter->minute_used,
		     sign * count_of(line->counted_tokens));
}

void
limits_count(enum limits_meter which, struct meter *meter,
	     const struct usage_line *line, int sign)
{
	if (limits_is_used(line))
		count_used(which, meter, line, sign);
	else if (limits_is_open(line) &&
		 (which == LIMITS_LICENSE || line->workspace_admission != NONE))
		count_open(which, meter, line, sign);
}

void
limits_count_none_open(struct meter *meter)
{
	meter->open = meter->month_reserved = meter->month_held = 0;
	if (meter->minute_start != NONE)
		meter->minute_reserved = 0;
}

int64_t
limits_tokens(const struct usage_line *line)
{
	return count_of(line->input_tokens) + count_of(line->output_tokens) +
	       count_of(line->cache_read_tokens) +
	       count_of(line->cache_write_tokens);
}

/* Behind the end of its month or minute a line has what it holds. */
int64_t
limits_spare_tokens(enum limits_meter which,
		    const struct limits_account *account,
		    const struct usage_line *line)
{
	if (account->limits->tokens_minute == NONE)
		return INT64_MAX;
	return is_this_minute(which, account->meter, line)
		   ? tokens_left(account)
		   : 0;
}

int64_t
limits_spare_price(const struct limits_account *account,
		   const struct usage_line *line)
{
	if (account->limits->spend_month == NONE)
		return INT64_MAX;
	return is_this_month(account->meter, line) ? money_left(account) : 0;
}
