/*
 * translate_random_test: see translate_random_test.h.
 */
#include "workers/translate_random_test.h"
#include "workers/translate_client_test.h"

#include "lib/test.h"

unsigned
dice_roll(struct dice *dice, unsigned n)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 7;
	dice->state ^= dice->state << 17;
	return (unsigned)(dice->state >> 33) % n;
}

json_t *
random_text(struct dice *dice, unsigned characters)
{
	static const char *const pieces[] = {
	    " ",
	    "\n",
	    "a",
	    "Z",
	    "/",
	    "\\",
	    "\"",
	    "{",
	    "]",
	    "\x01",
	    "\x7f",
	    "\xc3\xa8",
	    "\xe2\x82\xac",
	    "\xe2\x80\xa8",
	    "\xf0\x9f\x98\x80",
	    "e\xcc\x81",
	    "\xef\xbf\xbd",
	    "no ",
	    "<b>",
	};
	struct buf buf;
	json_t *text;

	buf_init(&buf, 1u << 20);
	for (unsigned n = dice_roll(dice, characters + 1); n > 0; n--)
		buf_add_z(&buf, pieces[dice_roll(dice, sizeof(pieces) /
							   sizeof(pieces[0]))]);
	text = json_stringn(buf_str(&buf).p, buf.n);
	CHECK(text != NULL);
	buf_fini(&buf);
	return text;
}

static json_t *
random_value(struct dice *dice, unsigned depth)
{
	json_t *value;

	switch (dice_roll(dice, depth ? 7 : 5)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(dice_roll(dice, 2));
	case 2:
		return json_integer((json_int_t)dice_roll(dice, 1000) - 500);
	case 3:
		return json_real(dice_roll(dice, 1000) / 8.0);
	case 4:
		return random_text(dice, 6);
	case 5:
		value = json_array();
		for (unsigned n = dice_roll(dice, 3); n > 0; n--)
			json_array_append_new(value,
					      random_value(dice, depth - 1));
		return value;
	default:
		value = json_object();
		for (unsigned n = dice_roll(dice, 3); n > 0; n--)
			json_object_set_new(value, n & 1 ? "x" : "y\"",
					    random_value(dice, depth - 1));
		return value;
	}
}

json_t *
random_object(struct dice *dice)
{
	static const char *const names[] = {"a", "b", "c\xc3\xa8"};
	json_t *object = json_object();

	for (unsigned n = dice_roll(dice, 4); n > 0; n--)
		json_object_set_new(object, names[n - 1],
				    random_value(dice, 3));
	return object;
}

struct str
random_print(struct dice *dice, const json_t *json)
{
	static const size_t ways[] = {
	    JSON_COMPACT,
	    0,
	    JSON_INDENT(2),
	    JSON_ENSURE_ASCII | JSON_COMPACT,
	    JSON_ESCAPE_SLASH | JSON_COMPACT,
	    JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH,
	};
	char *text =
	    json_dumps(json, ways[dice_roll(dice, 6)] | JSON_ENCODE_ANY);
	struct str out;

	CHECK(text != NULL);
	out = arena_str(client_arena(), str_of(text));
	CHECK(out.p != NULL);
	free(text);
	return out;
}
