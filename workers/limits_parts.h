/*
 * limits_parts: what the files of limits share: what is left of a limit. Nobody
 * else includes it.
 */
#ifndef WORKERS_LIMITS_PARTS_H
#define WORKERS_LIMITS_PARTS_H

#include "lib/clock.h"
#include "lib/money.h"
#include "workers/limits.h"

#define NONE SCHEMA_INT_NONE
#define HOUR_MS INT64_C(3600000)

static inline void
move(int64_t *field, int64_t by)
{
	*field = money_add_clamped(schema_count(*field), by);
}

/* limit - used - reserved, at least 0; INT64_MAX when it is unlimited. */
static inline int64_t
left_of(int64_t limit, int64_t used, int64_t reserved)
{
	int64_t taken =
	    money_add_clamped(schema_count(used), schema_count(reserved));

	if (limit == NONE)
		return INT64_MAX;
	return limit > taken ? limit - taken : 0;
}

static inline int64_t
month_left(const struct limits_account *a)
{
	return left_of(a->limits->requests_month, a->meter->month_used,
		       a->meter->month_reserved);
}

static inline int64_t
places_left(const struct limits_account *a)
{
	return left_of(a->limits->concurrent, a->meter->open, 0);
}

static inline int64_t
money_left(const struct limits_account *a)
{
	return left_of(a->limits->spend_month, a->meter->month_spent,
		       a->meter->month_held);
}

static inline int64_t
tokens_left(const struct limits_account *a)
{
	return left_of(a->limits->tokens_minute, a->meter->minute_used,
		       a->meter->minute_reserved);
}

#endif
