/*
 * money: see money.h. Digits are handled as integers all the way.
 */
#include "lib/money.h"

#include <stdio.h>

#define DECIMALS_MAX 6

bool
money_add(int64_t a, int64_t b, int64_t *out)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

bool
money_sub(int64_t a, int64_t b, int64_t *out)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference))
		return false;
	*out = difference;
	return true;
}

/* units * price / 10^6 by parts, so that no part exceeds 64 bits before the
 * result does: units = A*10^6 + a, price = B*10^6 + b gives units*B + A*b +
 * a*b/10^6. */
bool
money_exact_add(struct money_exact *sum, int64_t units,
		int64_t price_per_million)
{
	int64_t whole = price_per_million / MONEY_ONE;
	int64_t part = price_per_million % MONEY_ONE;
	int64_t by_whole, by_part, micro, rest;

	if (units < 0 || price_per_million < 0)
		return false;
	rest = sum->millionths + units % MONEY_ONE * part;
	if (__builtin_mul_overflow(units, whole, &by_whole) ||
	    __builtin_mul_overflow(units / MONEY_ONE, part, &by_part) ||
	    __builtin_add_overflow(by_whole, by_part, &micro) ||
	    __builtin_add_overflow(micro, rest / MONEY_ONE, &micro) ||
	    __builtin_add_overflow(micro, sum->micro, &micro))
		return false;
	sum->micro = micro;
	sum->millionths = rest % MONEY_ONE;
	return true;
}

bool
money_exact_up(const struct money_exact *sum, int64_t *out)
{
	return money_add(sum->micro, sum->millionths > 0, out);
}

bool
money_share_up(int64_t amount, int64_t basis_points, int64_t *out)
{
	int64_t whole = amount / MONEY_BASIS, part = amount % MONEY_BASIS;
	int64_t share, rest;

	if (amount < 0 || basis_points < 0 ||
	    __builtin_mul_overflow(whole, basis_points, &share) ||
	    __builtin_mul_overflow(part, basis_points, &rest) ||
	    __builtin_add_overflow(share, rest / MONEY_BASIS, &share))
		return false;
	return money_add(share, rest % MONEY_BASIS > 0, out);
}

enum err
money_parse(struct str text, int64_t *out)
{
	int64_t value = 0;
	int digits = 0, decimals = -1;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if ((c == '.' || c == ',') && decimals < 0) {
			decimals = 0;
			continue;
		}
		if (c < '0' || c > '9' || decimals == DECIMALS_MAX ||
		    __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, c - '0', &value))
			return ERR_BAD_FIELD;
		digits++;
		if (decimals >= 0)
			decimals++;
	}
	if (digits == 0 || decimals == 0)
		return ERR_BAD_FIELD;
	for (int i = decimals < 0 ? 0 : decimals; i < DECIMALS_MAX; i++)
		if (__builtin_mul_overflow(value, 10, &value))
			return ERR_BAD_FIELD;
	*out = value;
	return ERR_OK;
}

#define NUMBER_DIGITS_MAX 64u
#define NUMBER_EXPONENT_MAX 999

/* The digits of a number without its point and leading zeros, and the power of
 * ten that they are of. */
struct number {
	char digits[NUMBER_DIGITS_MAX];
	int count;
	int exponent;
};

static bool
read_exponent(const char *at, const char *end, int *out)
{
	bool is_negative = at < end && *at == '-';
	int exponent = 0;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9' || exponent > NUMBER_EXPONENT_MAX)
			return false;
		exponent = exponent * 10 + (*at - '0');
	}
	*out = is_negative ? -exponent : exponent;
	return true;
}

static bool
read_number(struct str text, struct number *out)
{
	const char *at = text.p, *end = at + text.n;
	bool has_digit = false, has_point = false;
	int exponent = 0;

	out->count = out->exponent = 0;
	for (; at < end && *at != 'e' && *at != 'E'; at++) {
		if (*at == '.' && !has_point) {
			has_point = true;
			continue;
		}
		if (*at < '0' || *at > '9' ||
		    out->count == (int)NUMBER_DIGITS_MAX ||
		    out->exponent < -NUMBER_EXPONENT_MAX)
			return false;
		has_digit = true;
		out->exponent -= has_point;
		if (out->count || *at != '0')
			out->digits[out->count++] = *at;
	}
	if (at < end && !read_exponent(at + 1, end, &exponent))
		return false;
	out->exponent += exponent;
	return has_digit;
}

enum err
money_parse_number(struct str text, int shift, int64_t *out)
{
	struct number number;
	bool is_finer = false;
	int64_t value = 0;
	int kept;

	if (!read_number(text, &number))
		return ERR_BAD_FIELD;
	kept = number.count ? number.count + number.exponent + shift : 0;
	for (int i = 0; i < kept; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(
			value, i < number.count ? number.digits[i] - '0' : 0,
			&value))
			return ERR_BAD_FIELD;
	for (int i = kept < 0 ? 0 : kept; i < number.count; i++)
		is_finer = is_finer || number.digits[i] != '0';
	return money_add(value, is_finer, out) ? ERR_OK : ERR_BAD_FIELD;
}

size_t
money_print(int64_t micro, char out[32])
{
	uint64_t u = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
	int n = snprintf(out, 32, "%s%llu.%06llu", micro < 0 ? "-" : "",
			 (unsigned long long)(u / 1000000),
			 (unsigned long long)(u % 1000000));
	size_t length = (size_t)n;

	for (int i = 0; i < DECIMALS_MAX - 2 && out[length - 1] == '0'; i++)
		length--;
	out[length] = '\0';
	return length;
}

bool
money_currency_is_valid(struct str code)
{
	if (code.n != 3)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (code.p[i] < 'A' || code.p[i] > 'Z')
			return false;
	return true;
}
