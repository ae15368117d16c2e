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
