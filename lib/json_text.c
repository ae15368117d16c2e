/*
 * json_text: what the raw text of a JSON string or number means, and the
 * writing of strings. See json.h.
 */
#include "lib/json_bytes.h"

/* --- strings -------------------------------------------------------------- */

static size_t
utf8_put(char out[4], uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The four hex digits of the \u at `at`; false when there is none. */
static bool
unit_at(const char *at, const char *end, uint32_t *unit)
{
	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return false;
	*unit = 0;
	for (int i = 2; i < 6; i++)
		*unit = *unit << 4 | (uint32_t)str_hex_digit(at[i]);
	return true;
}

/* Undoes the escape at *at, which json_check passed; returns its bytes. */
static size_t
unescape(const char **at, const char *end, char out[4])
{
	static const char codes[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	uint32_t unit, low;

	if (!unit_at(*at, end, &unit)) {
		out[0] = means[strchr(codes, (*at)[1]) - codes];
		*at += 2;
		return 1;
	}
	*at += 6;
	if (unit >= 0xd800 && unit <= 0xdbff && unit_at(*at, end, &low) &&
	    low >= 0xdc00 && low <= 0xdfff) {
		*at += 6;
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
	} else if (unit >= 0xd800 && unit <= 0xdfff) {
		unit = 0xfffd;
	}
	return utf8_put(out, unit);
}

struct str
json_string(struct json_value value, struct arena *arena)
{
	struct str in = str_bytes(value.raw.p + 1, value.raw.n - 2);
	const char *at = in.p, *end = in.p + in.n;
	char *out;
	size_t n = 0;

	if (in.n == 0 || memchr(in.p, '\\', in.n) == NULL)
		return in;
	out = arena_alloc(arena, in.n);
	if (out == NULL)
		return STR_NONE;
	while (at < end) {
		const char *slash = memchr(at, '\\', (size_t)(end - at));
		size_t run = (size_t)((slash ? slash : end) - at);

		memcpy(out + n, at, run);
		n += run;
		at += run;
		if (slash) { /* an escape is longer than its character */
			char c[4];
			size_t bytes = unescape(&at, end, c);

			memcpy(out + n, c, bytes);
			n += bytes;
		}
	}
	return str_bytes(out, n);
}

bool
json_key_is(struct str raw_key, struct str name)
{
	const char *at = raw_key.p, *end = at + raw_key.n;
	size_t n = 0;

	if (raw_key.n == 0 || memchr(at, '\\', raw_key.n) == NULL)
		return str_eq(raw_key, name);
	while (at < end) {
		char c[4];
		size_t bytes = 1;

		if (*at == '\\')
			bytes = unescape(&at, end, c);
		else
			c[0] = *at++;
		if (name.n - n < bytes || memcmp(name.p + n, c, bytes) != 0)
			return false;
		n += bytes;
	}
	return n == name.n;
}

bool
json_get(struct json_value object, struct str key, struct json_value *out)
{
	struct json_walk walk = json_walk(object);
	struct json_value value;
	struct str name;
	bool is_there = false;

	while (object.type == JSON_OBJECT &&
	       json_next_member(&walk, &name, &value)) {
		if (json_key_is(name, key)) {
			*out = value;
			is_there = true;
		}
	}
	return is_there;
}

unsigned
json_count(struct json_value object, struct str key)
{
	struct json_walk walk = json_walk(object);
	struct json_value value;
	struct str name;
	unsigned count = 0;

	while (object.type == JSON_OBJECT &&
	       json_next_member(&walk, &name, &value))
		count += json_key_is(name, key);
	return count;
}

/* --- numbers -------------------------------------------------------------- */

#define EXPONENT_MAX 100000000 /* beyond it only zero is an integer */

static int64_t
read_exponent(const char *at, const char *end)
{
	bool is_negative = at < end && *at == '-';
	int64_t e = 0;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end; at++)
		if (e < EXPONENT_MAX)
			e = e * 10 + (*at - '0');
	return is_negative ? -e : e;
}

/* value * 10^power; false when it does not fit. */
static bool
scale(uint64_t *value, int64_t power)
{
	for (; power > 0; power--)
		if (__builtin_mul_overflow(*value, UINT64_C(10), value))
			return false;
	return true;
}

bool
json_int(struct json_value value, int64_t *out)
{
	const char *at = value.raw.p, *end = at + value.raw.n;
	bool is_negative, is_fraction = false;
	int64_t exponent = 0, zeros = 0; /* zeros not yet multiplied in */
	uint64_t u = 0, most = INT64_MAX;

	if (value.type != JSON_NUMBER)
		return false;
	is_negative = *at == '-';
	at += is_negative;
	for (; at < end && *at != 'e' && *at != 'E'; at++) {
		if (*at == '.') {
			is_fraction = true;
			continue;
		}
		exponent -= is_fraction;
		zeros += u != 0;
		if (*at == '0')
			continue;
		if (!scale(&u, zeros) ||
		    __builtin_add_overflow(u, (uint64_t)(*at - '0'), &u))
			return false;
		zeros = 0;
	}
	if (at < end)
		exponent += read_exponent(at + 1, end);
	exponent += zeros;
	if (u != 0 && (exponent < 0 || !scale(&u, exponent)))
		return false;
	if (u > most + is_negative)
		return false;
	*out = is_negative ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

/* --- writing -------------------------------------------------------------- */

static void
write_escape(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char means[] = "\"\\\b\f\n\r\t", codes[] = "\"\\bfnrt";
	const char *at = c ? strchr(means, c) : NULL;
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4 & 15], hex[c & 15]};

	if (at) {
		text[1] = codes[at - means];
		buf_add(out, text, 2);
	} else {
		buf_add(out, text, 6);
	}
}

void
json_write_string(struct buf *out, struct str s)
{
	const char *at = s.p ? s.p : "", *end = at + s.n;
	const char *run = at; /* bytes from here on go out as they are */

	buf_add_char(out, '"');
	while ((at = plain_run(at, end)) < end) {
		size_t n = 0;

		if ((unsigned char)*at >= 0x80)
			n = utf8_sequence(at, end);
		if (n) {
			at += n;
			continue;
		}
		buf_add(out, run, (size_t)(at - run));
		if ((unsigned char)*at >= 0x80)
			buf_add(out, "\xef\xbf\xbd", 3);
		else
			write_escape(out, (unsigned char)*at);
		run = ++at;
	}
	buf_add(out, run, (size_t)(at - run));
	buf_add_char(out, '"');
}
