/*
 * money: int64_t micro-units (1 EUR = 1 000 000) with an ISO 4217 code beside.
 * Every operation that can overflow says so; nothing is ever a float.
 */
#ifndef LIB_MONEY_H
#define LIB_MONEY_H

#include "lib/err.h"

#define MONEY_ONE INT64_C(1000000)

/* False on overflow; *out is then untouched. */
bool money_add(int64_t a, int64_t b, int64_t *out);
bool money_sub(int64_t a, int64_t b, int64_t *out);
/* For what is counted, of whatever unit: a sum that would overflow stays at the
 * largest number. */
static inline int64_t
money_add_clamped(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
/* A sum without rounding: whole micro-units, and millionths of one (less than
 * a million). Begins as {0, 0}. */
struct money_exact {
	int64_t micro;
	int64_t millionths;
};
/* Adds units (>= 0) at a price (>= 0) per million units. False on overflow;
 * *sum is then untouched. */
bool money_exact_add(struct money_exact *sum, int64_t units,
		     int64_t price_per_million);
/* Rounded up to the micro-unit. */
bool money_exact_up(const struct money_exact *sum, int64_t *out);
#define MONEY_BASIS 10000 /* basis points of the whole */
/* amount * basis_points / 10000 (both >= 0), rounded up. */
bool money_share_up(int64_t amount, int64_t basis_points, int64_t *out);
/* "7.99", "7,99", "12", ".5" -> micro-units; at most 6 decimals. */
enum err money_parse(struct str text, int64_t *out);
/* A JSON number's text ("1.5e-06", "0.15") times 10^shift, read as a decimal,
 * never through a float; what is finer is rounded up. BAD_FIELD: no number,
 * negative, too large. */
enum err money_parse_number(struct str text, int shift, int64_t *out);
/* "7.99": at least 2 decimals, more only when needed. Returns the length. */
size_t money_print(int64_t micro, char out[32]);
/* Three capitals. */
bool money_currency_is_valid(struct str code);

#endif
