/*
 * limits: how much a licence, and its workspace as a whole, may use: requests
 * an hour and a month, tokens a minute, money a month, requests at a time. Pure
 * functions over meters: values in, values out, no clock, no store. Used by the
 * ledger, which admits and settles by them.
 *
 * Always holds: used + reserved <= limit, of each limit at every instant. What
 * a request may use at most is reserved before it goes out; a settlement counts
 * no more than that and what is left beside it.
 *
 * A minute is one of the clock, and a request belongs to the minute and month
 * in which it was reserved, whenever it ends. (A minute of a meter is named by
 * its first admission: where the clock is set back, it is another one than that
 * which had the same time before.) Its tokens are those of all
 * classes; its money is what the customer is charged, so a request with the
 * customer's own provider key takes none.
 */
#ifndef WORKERS_LIMITS_H
#define WORKERS_LIMITS_H

#include "workers/prices.h"
#include "workers/rules.h"

/* Output tokens for a request that names no number, while a limit counts. */
#define LIMITS_OUTPUT_DEFAULT 4096
/* Fewer are of no use, unless fewer were asked for. */
#define LIMITS_OUTPUT_MIN 16
#define LIMITS_OUTPUT_MAX INT64_C(1000000000)
#define LIMITS_CHOICES_MAX 128
#define LIMITS_MINUTE_MS INT64_C(60000)
/* How soon to ask again while as many as may be are in flight. */
#define LIMITS_CONCURRENT_RETRY_MS 1000

/* SCHEMA_INT_NONE: unlimited. */
struct limits {
	int64_t requests_hour;
	int64_t requests_month;
	int64_t tokens_minute;
	int64_t spend_month; /* micro-units */
	int64_t concurrent;
};
/* All unlimited. */
void limits_clear(struct limits *limits);
/* Takes those that are named; others stay. */
void limits_read(const struct limit *rows, uint32_t count,
		 struct limits *limits);
/* One of the five. */
bool limits_is_name(struct str name);

/* Whose limits count: first the licence, then (while that has limits) its
 * workspace. */
#define LIMITS_ACCOUNTS 2
struct limits_account {
	const struct limits *limits;
	struct meter *meter; /* rolled to the month that holds now */
};

struct limits_request {
	int64_t now_ms;
	int64_t prompt_tokens; /* estimated */
	int64_t output_tokens; /* of each choice; SCHEMA_INT_NONE: not named */
	int64_t output_min;    /* SCHEMA_INT_NONE: LIMITS_OUTPUT_MIN */
	int64_t choices;       /* SCHEMA_INT_NONE: 1 */
	const struct price_period *price; /* NULL: nothing is charged */
	bool is_enforced;		  /* false: nothing refuses or clamps */
};

struct limits_verdict {
	enum err err;	  /* OK, LIMIT_REACHED or RATE_LIMITED ... */
	const char *name; /* ... by this limit ... */
	unsigned account; /* ... of that account: the first that refuses */
	int64_t retry_after_ms;
	int64_t output_tokens; /* granted; SCHEMA_INT_NONE: not bounded */
	int64_t held_tokens;   /* SCHEMA_INT_NONE: tokens_minute is no limit */
	int64_t held_price;    /* SCHEMA_INT_NONE: spend_month is no limit */
	int64_t minute_start;  /* likewise: where held_tokens are */
};

/* Decides, and moves rate and minute of the meters on; a refusal leaves meters
 * that must not be kept. Not enforced: as if each limit let pass, and err says
 * the first that would not have. */
void limits_admit(const struct limits_request *request,
		  const struct limits_account *accounts, unsigned count,
		  struct limits_verdict *out);
/* Puts what was admitted into a meter. */
void limits_hold(const struct limits_verdict *verdict, struct meter *meter);

enum limits_kind {
	LIMITS_REQUESTS_HOUR,
	LIMITS_TOKENS_MINUTE,
	LIMITS_REQUESTS_MONTH,
	LIMITS_SPEND_MONTH,
	LIMITS_CONCURRENT,
};

/* What remains of a limit, in the account that has the least of it; what is
 * reserved remains no more. limit SCHEMA_INT_NONE: unlimited, and nothing else
 * is said. Places have no time at which they are free: their reset_ms is 0. */
struct limits_left {
	int64_t limit;
	int64_t remaining;
	int64_t reset_ms;
};
struct limits_left limits_left(enum limits_kind kind,
			       const struct limits_account *accounts,
			       unsigned count, int64_t now_ms);

bool limits_is_open(const struct usage_line *line);
bool limits_is_used(const struct usage_line *line);
/* How the line counts in the meter of its licence or (workspace) of that, added
 * sign times: as one that is open (with its hold, unless it was reserved while
 * the workspace had no limits), used, or not at all; by its status, where month
 * and minute are those of the meter. */
enum limits_meter { LIMITS_LICENSE, LIMITS_WORKSPACE };
void limits_count(enum limits_meter which, struct meter *meter,
		  const struct usage_line *line, int sign);
/* What is reserved, of whatever month and minute, is nothing. */
void limits_count_none_open(struct meter *meter);

/* First instant of the minute that holds now. A clock that was set back by less
 * than a minute does not open the old one anew, with nothing used. */
static inline int64_t
limits_minute(const struct meter *meter, int64_t now_ms)
{
	if (meter->minute_start != SCHEMA_INT_NONE &&
	    now_ms < meter->minute_start &&
	    meter->minute_start - now_ms <= LIMITS_MINUTE_MS)
		return meter->minute_start;
	return now_ms - now_ms % LIMITS_MINUTE_MS;
}

/* All tokens of a line. */
int64_t limits_tokens(const struct usage_line *line);
/* What is left for a line beyond what it holds; INT64_MAX: no limit. */
int64_t limits_spare_tokens(enum limits_meter which,
			    const struct limits_account *account,
			    const struct usage_line *line);
int64_t limits_spare_price(const struct limits_account *account,
			   const struct usage_line *line);

#endif
