/*
 * json_bytes: the inner loops over a string's bytes that the scanner (json.c)
 * and the strings (json_text.c) share. Included by those only.
 */
#ifndef LIB_JSON_BYTES_H
#define LIB_JSON_BYTES_H

#include "lib/json.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* High bit set in (at least) the bytes of x that are zero. */
static inline uint64_t
zero_bytes(uint64_t x)
{
	return (x - ONES) & ~x & HIGHS;
}

static inline uint64_t
load8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

/* How far the first marked byte of a mask of zero_bytes is, which is exact only
 * for the lowest one; -1 where that is not the first in memory. */
static inline int
first_marked(uint64_t mask)
{
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return -1;
	return __builtin_ctzll(mask) / 8;
}

/* Marks the bytes of x that are a quote, a backslash, a control character or
 * not ASCII, as zero_bytes does. */
static inline uint64_t
special_bytes(uint64_t x)
{
	return zero_bytes(x ^ ONES * '"') | zero_bytes(x ^ ONES * '\\') |
	       ((x - ONES * 0x20) & ~x & HIGHS) | (x & HIGHS);
}

/* The first byte of at..end that is one of those; eight at a time, the last
 * eight once more where some are left over. */
static inline const char *
plain_run(const char *at, const char *end)
{
	const char *last = end - at >= 8 ? end - 8 : NULL;

	while (at < end && last) {
		const char *from = at < last ? at : last;
		uint64_t mask = special_bytes(load8(from));

		if (mask && first_marked(mask) >= 0)
			return from + first_marked(mask);
		if (mask)
			break;
		at = from + 8;
	}
	while (at < end && (unsigned char)*at >= 0x20 &&
	       (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

static inline bool
is_tail(const char *p)
{
	return ((unsigned char)*p & 0xc0) == 0x80;
}

/* Bytes (2..4) of the UTF-8 sequence at `at`, which is not ASCII; 0 when it is
 * none: cut off, overlong, a surrogate, beyond U+10FFFF. RFC 3629. */
static inline size_t
utf8_sequence(const char *at, const char *end)
{
	unsigned char a = (unsigned char)at[0];
	unsigned char b = end - at > 1 ? (unsigned char)at[1] : 0;

	if (a >= 0xc2 && a <= 0xdf)
		return (b & 0xc0) == 0x80 ? 2 : 0;
	if (a >= 0xe0 && a <= 0xef) {
		if (end - at < 3 || (b & 0xc0) != 0x80 || !is_tail(at + 2) ||
		    (a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f))
			return 0;
		return 3;
	}
	if (a >= 0xf0 && a <= 0xf4) {
		if (end - at < 4 || (b & 0xc0) != 0x80 || !is_tail(at + 2) ||
		    !is_tail(at + 3) || (a == 0xf0 && b < 0x90) ||
		    (a == 0xf4 && b > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

#endif
