/*
 * license_key: the text of licence keys: making, normalizing, masking. Declared
 * in crypto.h; pure but for the random source.
 */
#include <assert.h>

#include "lib/id.h"
#include "store/crypto.h"

#define GROUPS 4u
#define GROUP_CHARS 4u
#define RANDOM_BYTES 10u /* 16 characters of 5 bits */
#define PREFIX_BYTES_MAX 64u
/* Masking: the last characters that are shown when at least HIDDEN_LEAST stay
 * hidden, and how many groups a key with a prefix has. */
#define SHOWN_CHARS 4u
#define HIDDEN_LEAST 8u
#define GROUPS_WITH_PREFIX (GROUPS + 1)

static const char alphabet[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

static bool
is_key_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

bool
crypto_normalize_license_key(struct str key, char out[LICENSE_KEY_BYTES_MAX],
			     size_t *n)
{
	key = str_trim(key);
	if (key.n == 0 || key.n > LICENSE_KEY_BYTES_MAX)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (!is_key_char(c))
			return false;
		out[i] = c;
	}
	*n = key.n;
	return true;
}

bool
crypto_is_long_license_key(struct str normalized)
{
	size_t count = 0;

	for (size_t i = 0; i < normalized.n; i++)
		count += normalized.p[i] != '-' && normalized.p[i] != '_';
	return count >= LICENSE_KEY_CHARS_MIN;
}

struct str
crypto_make_license_key(struct str prefix, char out[LICENSE_KEY_BYTES_MAX])
{
	unsigned char random[RANDOM_BYTES];
	size_t n = prefix.n;
	unsigned bits = 0, count = 0;
	const unsigned char *next = random;

	assert(prefix.n <= PREFIX_BYTES_MAX);
	id_random(random, sizeof(random));
	if (prefix.n)
		memcpy(out, prefix.p, prefix.n);
	for (unsigned i = 0; i < GROUPS * GROUP_CHARS; i++) {
		if (i % GROUP_CHARS == 0 && n > 0)
			out[n++] = '-';
		if (count < 5) {
			bits = bits << 8 | *next++;
			count += 8;
		}
		count -= 5;
		out[n++] = alphabet[bits >> count & 31];
	}
	assert(next == random + sizeof(random));
	return str_bytes(out, n);
}

struct str
crypto_mask_license_key(struct str normalized, struct arena *arena)
{
	size_t first = 0, groups = 1, n = normalized.n, shown_from = n;
	char *at = arena_alloc(arena, n + 1);

	if (at == NULL)
		return STR_NONE;
	for (size_t i = 0; i < n; i++) {
		at[i] = normalized.p[i];
		groups += at[i] == '-';
	}
	if (groups >= GROUPS_WITH_PREFIX)
		while (at[first] != '-')
			first++;
	if (n >= first + HIDDEN_LEAST + SHOWN_CHARS)
		shown_from = n - SHOWN_CHARS;
	for (size_t i = first; i < shown_from; i++)
		if (at[i] != '-')
			at[i] = '*';
	return str_bytes(at, n);
}
