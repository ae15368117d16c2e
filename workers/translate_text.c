/*
 * translate_text: looking at members, strings and numbers without undoing
 * them. See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* Names are mostly written plainly. */
int
translate_place_of(struct str key, const struct str *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (names[i].n == key.n &&
		    memcmp(names[i].p, key.p, key.n) == 0)
			return (int)i;
	}
	if (key.n == 0 || memchr(key.p, '\\', key.n) == NULL)
		return -1;
	for (unsigned i = 0; i < count; i++) {
		if (json_key_is(key, names[i]))
			return (int)i;
	}
	return -1;
}

void
translate_pick(struct json_value object, const struct str *names,
	       unsigned count, struct json_value *values)
{
	struct json_walk walk = json_walk(object);
	struct json_value value;
	struct str key;

	for (unsigned i = 0; i < count; i++)
		values[i] = (struct json_value){JSON_NULL, STR_NONE};
	if (object.raw.p == NULL || object.type != JSON_OBJECT)
		return;
	while (json_next_member(&walk, &key, &value)) {
		int place = translate_place_of(key, names, count);

		if (place < 0)
			continue;
		if (value.type == JSON_NULL)
			value.raw = STR_NONE;
		values[place] = value;
	}
}

void
translate_write_others(struct json_value object, const struct str *names,
		       unsigned count, struct buf *out)
{
	struct json_walk walk = json_walk(object);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		if (translate_place_of(key, names, count) >= 0)
			continue;
		buf_add_z(out, ",\"");
		buf_add_str(out, key);
		buf_add_z(out, "\":");
		buf_add_str(out, value.raw);
	}
}

bool
translate_is_blank(struct json_value string)
{
	struct str s = translate_inner(string);

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ')
			continue;
		if (s.p[i] != '\\')
			return false;
		i++; /* json_check: one byte at least stands behind it */
		if (s.p[i] != 'n' && s.p[i] != 't' && s.p[i] != 'r')
			return false;
	}
	return true;
}

#define EXPONENT_MAX 100000000

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

/* By the power of ten of its first digit that is not 0, and what follows. */
int
translate_compare_to_one(struct json_value number)
{
	const char *at = number.raw.p, *end = at + number.raw.n;
	bool is_fraction = false, has_more = false;
	int64_t power = -1;
	char first = 0;

	for (; at < end && *at != 'e' && *at != 'E'; at++) {
		if (*at == '-')
			continue;
		if (*at == '.') {
			is_fraction = true;
		} else if (first) {
			has_more |= *at != '0';
			power += !is_fraction;
		} else if (*at != '0') {
			first = *at;
			power += !is_fraction;
		} else {
			power -= is_fraction;
		}
	}
	if (first == 0)
		return -1;
	if (at < end)
		power += read_exponent(at + 1, end);
	if (power != 0)
		return power > 0 ? 1 : -1;
	return first > '1' || has_more;
}
