/*
 * limits_meter: limits by their names, what remains of them, and how lines
 * count in a meter. See limits.h.
 */
#include "workers/limits_parts.h"

/* --- names --------------------------------------------------------------- */

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

/* A minute that is over has all of it. */
static struct limits_left
minute_left(const struct limits_account *a, int64_t now_ms)
{
	int64_t limit = a->limits->tokens_minute;
	int64_t start = limits_minute(a->meter, now_ms);
	bool is_now = start == a->meter->minute_start;

	return (struct limits_left){limit, is_now ? tokens_left(a) : limit,
				    start + LIMITS_MINUTE_MS - now_ms};
}

static struct limits_left
left_in(enum limits_kind kind, const struct limits_account *a, int64_t now_ms)
{
	const struct limits *limits = a->limits;
	int64_t month_ms = a->meter->month_end - now_ms;

	switch (kind) {
	case LIMITS_REQUESTS_HOUR:
		return requests_left(a, now_ms);
	case LIMITS_TOKENS_MINUTE:
		return minute_left(a, now_ms);
	case LIMITS_REQUESTS_MONTH:
		return (struct limits_left){limits->requests_month,
					    month_left(a), month_ms};
	case LIMITS_SPEND_MONTH:
		return (struct limits_left){limits->spend_month, money_left(a),
					    month_ms};
	case LIMITS_CONCURRENT:
		break;
	}
	return (struct limits_left){limits->concurrent, places_left(a), 0};
}

struct limits_left
limits_left(enum limits_kind kind, const struct limits_account *accounts,
	    unsigned count, int64_t now_ms)
{
	struct limits_left least = {NONE, NONE, NONE};

	for (unsigned i = 0; i < count; i++) {
		struct limits_left left = left_in(kind, &accounts[i], now_ms);

		if (left.limit != NONE &&
		    (least.limit == NONE || left.remaining < least.remaining))
			least = left;
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
		move(&meter->month_held, sign * schema_count(line->held_price));
	}
	if (is_this_minute(which, meter, line))
		move(&meter->minute_reserved,
		     sign * schema_count(line->counted_tokens));
}

static void
count_used(enum limits_meter which, struct meter *meter,
	   const struct usage_line *line, int sign)
{
	if (is_this_month(meter, line)) {
		move(&meter->month_used, sign);
		if (meter->month_spent != NONE)
			move(&meter->month_spent,
			     sign * schema_count(line->price));
	}
	if (is_this_minute(which, meter, line))
		move(&meter->minute_used,
		     sign * schema_count(line->counted_tokens));
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
	return schema_count(line->input_tokens) +
	       schema_count(line->output_tokens) +
	       schema_count(line->cache_read_tokens) +
	       schema_count(line->cache_write_tokens);
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
