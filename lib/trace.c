/*
 * trace: see trace.h. "00-" 32 hex "-" 16 hex "-" 2 hex.
 */
#include "lib/trace.h"

#include "lib/id.h"

#define TRACE_AT 3u
#define PARENT_AT 36u
#define PARENT_CHARS 16u
#define FLAGS_AT 53u

static const char digits[] = "0123456789abcdef";

/* Lower case only. */
static bool
is_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!memchr(digits, s.p[i], 16))
			return false;
	return true;
}

static struct str
part(struct str s, size_t at, size_t n)
{
	return str_bytes(s.p + at, n);
}

/* Hex digits, not all of them 0. */
static bool
is_id(struct str s)
{
	static const char zeros[] = "00000000000000000000000000000000";

	return is_hex(s) && memcmp(s.p, zeros, s.n) != 0;
}

bool
trace_is_valid(struct str s)
{
	if (s.n < TRACE_PARENT_CHARS || s.p[2] != '-' || s.p[35] != '-' ||
	    s.p[52] != '-' || !is_hex(part(s, 0, 2)) ||
	    str_starts(s, STR("ff")))
		return false;
	if (s.n > TRACE_PARENT_CHARS &&
	    (str_starts(s, STR("00")) || s.p[TRACE_PARENT_CHARS] != '-'))
		return false;
	return is_id(part(s, TRACE_AT, TRACE_ID_CHARS)) &&
	       is_id(part(s, PARENT_AT, PARENT_CHARS)) &&
	       is_hex(part(s, FLAGS_AT, 2));
}

struct str
trace_id(struct str s)
{
	return part(s, TRACE_AT, TRACE_ID_CHARS);
}

void
trace_next(struct str s, char out[TRACE_PARENT_CHARS + 1])
{
	unsigned char parent[PARENT_CHARS / 2];
	/* An odd last digit: its lowest bit. */
	bool is_sampled = strchr("13579bdf", s.p[FLAGS_AT + 1]) != NULL;

	id_random(parent, sizeof(parent));
	parent[0] |= 1; /* 0 is no id */
	memcpy(out, s.p, TRACE_PARENT_CHARS);
	memcpy(out, "00", 2);
	for (size_t i = 0; i < sizeof(parent); i++) {
		out[PARENT_AT + 2 * i] = digits[parent[i] >> 4];
		out[PARENT_AT + 2 * i + 1] = digits[parent[i] & 15];
	}
	out[FLAGS_AT] = '0';
	out[FLAGS_AT + 1] = is_sampled ? '1' : '0';
	out[TRACE_PARENT_CHARS] = '\0';
}

/* key=value: the key begins with a letter or a digit. */
static bool
is_member(struct str s)
{
	static const char in_key[] = "abcdefghijklmnopqrstuvwxyz0123456789"
				     "_-*/@";
	const char *equals = memchr(s.p, '=', s.n);
	size_t key_n;

	if (equals == NULL || equals == s.p || memchr(in_key + 36, s.p[0], 5))
		return false;
	key_n = (size_t)(equals - s.p);
	for (size_t i = 0; i < key_n; i++)
		if (!memchr(in_key, s.p[i], sizeof(in_key) - 1))
			return false;
	for (size_t i = key_n + 1; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '=')
			return false;
	return key_n + 1 < s.n;
}

bool
trace_state_is_valid(struct str s)
{
	bool has_member = false;

	if (s.n > TRACE_STATE_CHARS_MAX)
		return false;
	while (s.n > 0) {
		const char *comma = memchr(s.p, ',', s.n);
		size_t n = comma ? (size_t)(comma - s.p) : s.n;
		struct str member = str_trim(str_bytes(s.p, n));

		/* One may be empty. */
		if (member.n > 0 && !is_member(member))
			return false;
		has_member |= member.n > 0;
		n += comma != NULL;
		s = str_bytes(s.p + n, s.n - n);
	}
	return has_member;
}
