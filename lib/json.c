/*
 * json: the checking scanner (one pass, no recursion) and walks over what it
 * has passed. Strings and numbers are in json_text.c. See json.h.
 */
#include "lib/json_bytes.h"

/* Behind the escape whose backslash is at `at`, or NULL. */
static const char *
scan_escape(const char *at, const char *end)
{
	if (end - at < 2)
		return NULL;
	if (at[1] == 'u') {
		if (end - at < 6)
			return NULL;
		for (int i = 2; i < 6; i++)
			if (str_hex_digit(at[i]) < 0)
				return NULL;
		return at + 6;
	}
	return at[1] && strchr("\"\\/bfnrt", at[1]) ? at + 2 : NULL;
}

/* Behind the closing quote of the string whose opening one is at `at`, or NULL.
 */
static const char *
scan_string(const char *at, const char *end)
{
	at++;
	for (;;) {
		at = plain_run(at, end);
		if (at == end || (unsigned char)*at < 0x20)
			return NULL;
		if (*at == '"')
			return at + 1;
		if (*at == '\\') {
			at = scan_escape(at, end);
			if (at == NULL)
				return NULL;
		} else {
			size_t n = utf8_sequence(at, end);

			if (n == 0)
				return NULL;
			at += n;
		}
	}
}

static inline bool
is_digit(const char *at, const char *end)
{
	return at < end && *at >= '0' && *at <= '9';
}

static const char *
scan_digits(const char *at, const char *end)
{
	if (!is_digit(at, end))
		return NULL;
	while (is_digit(at, end))
		at++;
	return at;
}

static const char *
scan_number(const char *at, const char *end)
{
	if (*at == '-')
		at++;
	if (is_digit(at, end) && *at == '0')
		at++;
	else
		at = scan_digits(at, end);
	if (at && at < end && *at == '.')
		at = scan_digits(at + 1, end);
	if (at && at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		at = scan_digits(at, end);
	}
	return at;
}

static const char *
scan_word(const char *at, const char *end, struct str word)
{
	if ((size_t)(end - at) < word.n || memcmp(at, word.p, word.n) != 0)
		return NULL;
	return at + word.n;
}

static const char *
scan_scalar(const char *at, const char *end)
{
	switch (*at) {
	case '"':
		return scan_string(at, end);
	case 't':
		return scan_word(at, end, STR("true"));
	case 'f':
		return scan_word(at, end, STR("false"));
	case 'n':
		return scan_word(at, end, STR("null"));
	default:
		return scan_number(at, end);
	}
}

static const char *
blanks(const char *at, const char *end)
{
	while (at < end &&
	       (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

/* Behind `"key" :` and its blanks: where the value starts. */
static const char *
scan_key(const char *at, const char *end)
{
	if (at == end || *at != '"')
		return NULL;
	at = scan_string(at, end);
	if (at == NULL)
		return NULL;
	at = blanks(at, end);
	if (at == end || *at != ':')
		return NULL;
	return blanks(at + 1, end);
}

static enum json_type
type_of(char first)
{
	switch (first) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

/* The brackets that are open while scanning. */
struct nest {
	unsigned depth;
	char closer[JSON_DEPTH_MAX];
};

/* At a value's first byte: behind it when it is complete (*is_done), else where
 * its first inner value starts. */
static const char *
enter_value(struct nest *nest, const char *at, const char *end, bool *is_done)
{
	char closer = *at == '{' ? '}' : ']';

	*is_done = true;
	if (*at != '{' && *at != '[')
		return scan_scalar(at, end);
	if (nest->depth == JSON_DEPTH_MAX)
		return NULL;
	at = blanks(at + 1, end);
	if (at < end && *at == closer)
		return at + 1;
	*is_done = false;
	nest->closer[nest->depth++] = closer;
	return closer == '}' ? scan_key(at, end) : at;
}

/* Behind a complete value inside a bracket: closes what closes here; at the
 * next value, or behind everything (depth 0). */
static const char *
leave_values(struct nest *nest, const char *at, const char *end)
{
	while (nest->depth) {
		char closer = nest->closer[nest->depth - 1];

		at = blanks(at, end);
		if (at == end)
			return NULL;
		if (*at == ',') {
			at = blanks(at + 1, end);
			return closer == '}' ? scan_key(at, end) : at;
		}
		if (*at != closer)
			return NULL;
		at++;
		nest->depth--;
	}
	return at;
}

bool
json_check(struct str text, struct json_value *out)
{
	struct nest nest = {.depth = 0};
	const char *at, *end, *start;

	if (text.n == 0)
		return false;
	end = text.p + text.n;
	start = at = blanks(text.p, end);
	do {
		bool is_done;

		if (at == end)
			return false;
		at = enter_value(&nest, at, end, &is_done);
		if (at && is_done)
			at = leave_values(&nest, at, end);
		if (at == NULL)
			return false;
	} while (nest.depth);
	if (blanks(at, end) != end)
		return false;
	out->type = type_of(*start);
	out->raw = str_bytes(start, (size_t)(at - start));
	return true;
}

/* --- walks: over text that json_check passed ------------------------------ */

/* Behind the closing quote: one behind an odd number of backslashes is escaped.
 * memchr is several times as fast as a loop of ours, and a body of megabytes is
 * skipped at each of its levels. The opening quote ends the way back. */
static inline const char *
skip_string(const char *at, const char *end)
{
	const char *quote = at;

	while ((quote = memchr(quote + 1, '"', (size_t)(end - quote - 1)))) {
		const char *before = quote;

		while (before[-1] == '\\')
			before--;
		if ((quote - before) % 2 == 0)
			return quote + 1;
	}
	return end;
}

static const char *
skip_container(const char *at, const char *end)
{
	unsigned depth = 0;

	while (at < end) {
		char c = *at;

		if (c == '"') {
			at = skip_string(at, end);
			continue;
		}
		at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			break;
	}
	return at;
}

static const char *
skip_value(const char *at, const char *end)
{
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '{' || *at == '[')
		return skip_container(at, end);
	while (at < end && *at != ',' && *at != '}' && *at != ']' &&
	       *at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
		at++;
	return at;
}

struct json_walk
json_walk(struct json_value of)
{
	if (of.type != JSON_OBJECT && of.type != JSON_ARRAY)
		return (struct json_walk){NULL, NULL};
	return (struct json_walk){of.raw.p + 1, of.raw.p + of.raw.n - 1};
}

/* At the next member or item; false at the end. */
static bool
walk_on(struct json_walk *walk)
{
	if (walk->at == NULL)
		return false;
	walk->at = blanks(walk->at, walk->end);
	if (walk->at < walk->end && *walk->at == ',')
		walk->at = blanks(walk->at + 1, walk->end);
	return walk->at < walk->end;
}

static void
take_value(struct json_walk *walk, struct json_value *value)
{
	const char *start = walk->at;

	walk->at = skip_value(start, walk->end);
	value->type = type_of(*start);
	value->raw = str_bytes(start, (size_t)(walk->at - start));
}

bool
json_next_item(struct json_walk *walk, struct json_value *value)
{
	if (!walk_on(walk))
		return false;
	take_value(walk, value);
	return true;
}

bool
json_next_member(struct json_walk *walk, struct str *key,
		 struct json_value *value)
{
	const char *start;

	if (!walk_on(walk))
		return false;
	start = walk->at;
	walk->at = skip_string(start, walk->end);
	*key = str_bytes(start + 1, (size_t)(walk->at - start) - 2);
	walk->at = blanks(walk->at, walk->end);
	walk->at = blanks(walk->at + 1, walk->end); /* the colon */
	take_value(walk, value);
	return true;
}
