/*
 * str: a borrowed run of bytes. Never owns memory; lives as long as what it
 * points into (a received batch, an arena, a literal). p == NULL means absent,
 * which differs from empty (p != NULL, n == 0).
 */
#ifndef LIB_STR_H
#define LIB_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct str {
	const char *p;
	size_t n;
};

/* STR("literal"): a str over a string literal. */
#define STR(literal) ((struct str){("" literal ""), sizeof(literal) - 1})
/* STR_NONE: the absent str. */
#define STR_NONE ((struct str){NULL, 0})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str
str_of(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline struct str
str_bytes(const void *p, size_t n)
{
	return (struct str){p, n};
}

static inline bool
str_is_empty(struct str s)
{
	return s.n == 0;
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* What a hexadecimal digit stands for; -1: it is none. */
static inline int
str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* ASCII case ignored. */
static inline bool
str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool
str_starts(struct str s, struct str head)
{
	return s.n >= head.n &&
	       (head.n == 0 || memcmp(s.p, head.p, head.n) == 0);
}

static inline bool
str_ends(struct str s, struct str tail)
{
	return s.n >= tail.n &&
	       (tail.n == 0 || memcmp(s.p + s.n - tail.n, tail.p, tail.n) == 0);
}

/* Bytewise order, a shorter prefix first. */
static inline int
str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return (a.n > b.n) - (a.n < b.n);
}

/* For hash tables: seed it where others choose the bytes. */
static inline uint64_t
str_hash(struct str s, uint64_t seed)
{
	uint64_t h = seed ^ s.n, eight;

	for (; s.n >= sizeof(eight); s.p += 8, s.n -= 8) {
		memcpy(&eight, s.p, sizeof(eight));
		h = (h ^ eight) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	for (; s.n > 0; s.p++, s.n--)
		h = (h ^ (unsigned char)*s.p) * UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 32;
}

/* Without leading and trailing blanks (space, TAB, CR, LF). */
static inline struct str
str_trim(struct str s)
{
	while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0]) {
		s.p++;
		s.n--;
	}
	while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
		s.n--;
	return s;
}

/* At least one byte, and none is a control character: it can be part of a key
 * of the store. */
static inline bool
str_is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

/* Letters, digits and . _ -, at least one: it can stand in keys, lists and
 * URLs. */
static inline bool
str_is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '_' || c == '-' ||
		      c == '.'))
			return false;
	}
	return s.n > 0;
}

#endif
