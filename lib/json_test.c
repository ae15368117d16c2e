/* json: what is JSON and what is not, walks, strings, integers. */
#include "lib/json.h"
#include "lib/test.h"

static bool
is_json(struct str text)
{
	struct json_value v;

	return json_check(text, &v);
}

TEST(json_takes_what_is_json)
{
	static const char *const good[] = {
	    "0",
	    "-0",
	    "1.5e-3",
	    " [ ] ",
	    "{}",
	    "\"\"",
	    "null",
	    "true",
	    "false",
	    "[1,2,[3]]",
	    "{\"a\":{\"b\":[{}]},\"a\":1}",
	    "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
	    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
	    "\"\\ud83d\"",
	    "[\"0123456789abcdef\\\"]\"]",
	    "1E+2",
	    "-12.0",
	    "\"\xef\xbf\xbf\"",
	    "\"\x7f\"",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!is_json(str_of(good[i])))
			test_fail(__FILE__, __LINE__, "refused: %s", good[i]);
}

TEST(json_refuses_what_is_not)
{
	static const char *const bad[] = {
	    "",
	    " ",
	    "01",
	    "1.",
	    ".5",
	    "+1",
	    "-",
	    "1e",
	    "1e+",
	    "[1,]",
	    "[,1]",
	    "{\"a\"}",
	    "{\"a\":}",
	    "{\"a\":1,}",
	    "{a:1}",
	    "{1:1}",
	    "[1 2]",
	    "[1}",
	    "{]",
	    "]",
	    "\"",
	    "\"\\\"",
	    "\"\\x\"",
	    "\"\\u12g4\"",
	    "\"\\u12",
	    "\"\n\"",
	    "\"\x01\"",
	    "nul",
	    "nulll",
	    "True",
	    "1 1",
	    "[] []",
	    "\"\xff\"",
	    "\"\xc0\xaf\"",
	    "\"\xed\xa0\x80\"",
	    "\"\xe0\x80\x80\"",
	    "\"\xf4\x90\x80\x80\"",
	    "\"\xc3\"",
	    "[",
	    "{\"a\":1",
	    "'a'",
	    "NaN",
	    "/**/1",
	    "\xef\xbb\xbf{}",
	    "[1,",
	    "{\"a\" 1}",
	    "{,}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (is_json(str_of(bad[i])))
			test_fail(__FILE__, __LINE__, "took: %s", bad[i]);
	CHECK(!is_json(str_bytes("\"a\0b\"", 5)));
	CHECK(!is_json(str_bytes("1\0", 2)));
	CHECK(!is_json(STR_NONE));
}

TEST(json_depth_has_a_limit)
{
	char text[2 * JSON_DEPTH_MAX + 4];
	size_t d = JSON_DEPTH_MAX;

	memset(text, '[', d);
	memset(text + d, ']', d);
	CHECK(is_json(str_bytes(text, 2 * d)));
	memset(text, '[', d + 1);
	memset(text + d + 1, ']', d + 1);
	CHECK(!is_json(str_bytes(text, 2 * d + 2)));
	memset(text, '[', sizeof(text));
	CHECK(!is_json(str_bytes(text, sizeof(text))));
}

TEST(json_check_gives_the_place)
{
	struct json_value v;

	CHECK(json_check(STR(" \t{\"a\": [1, 2]}\r\n"), &v));
	CHECK_INT(v.type, JSON_OBJECT);
	CHECK_STR(v.raw, STR("{\"a\": [1, 2]}"));
	CHECK(json_check(STR("\"x\""), &v));
	CHECK_INT(v.type, JSON_STRING);
	CHECK(json_check(STR(" -1 "), &v));
	CHECK_INT(v.type, JSON_NUMBER);
	CHECK_STR(v.raw, STR("-1"));
}

TEST(json_walks_members_and_items)
{
	struct str text = STR("{ \"a\" : 1 , \"b\":{\"x\":\"}\\\"\"},\"c\":"
			      "[true ,null,\"]\\\\\",[]], \"d\":\"\" }");
	struct json_value v, value;
	struct json_walk walk;
	struct str key;

	CHECK(json_check(text, &v));
	walk = json_walk(v);
	CHECK(json_next_member(&walk, &key, &value));
	CHECK_STR(key, STR("a"));
	CHECK_STR(value.raw, STR("1"));
	CHECK(json_next_member(&walk, &key, &value));
	CHECK_STR(key, STR("b"));
	CHECK_STR(value.raw, STR("{\"x\":\"}\\\"\"}"));
	CHECK(json_next_member(&walk, &key, &value));
	CHECK_STR(key, STR("c"));
	CHECK_INT(value.type, JSON_ARRAY);
	CHECK(json_next_member(&walk, &key, &v));
	CHECK_STR(v.raw, STR("\"\""));
	CHECK(!json_next_member(&walk, &key, &v));
	CHECK(!json_next_member(&walk, &key, &v));
	walk = json_walk(value);
	CHECK(json_next_item(&walk, &v));
	CHECK_INT(v.type, JSON_TRUE);
	CHECK_STR(v.raw, STR("true"));
	CHECK(json_next_item(&walk, &v));
	CHECK_INT(v.type, JSON_NULL);
	CHECK(json_next_item(&walk, &v));
	CHECK_STR(v.raw, STR("\"]\\\\\""));
	CHECK(json_next_item(&walk, &v));
	CHECK_STR(v.raw, STR("[]"));
	CHECK(!json_next_item(&walk, &v));
	CHECK(json_check(STR("5"), &v));
	walk = json_walk(v);
	CHECK(!json_next_item(&walk, &v));
}

/* A quote ends a string unless an odd number of backslashes is before it. */
TEST(json_walks_past_escaped_quotes)
{
	char text[80] = "[\"";
	struct json_value v, item;
	struct json_walk walk;

	for (size_t n = 0; n < 32; n++) {
		memset(text + 2, '\\', n);
		strcpy(text + 2 + n, n % 2 ? "\"x\",\"]\"]" : "\",\"]\"]");
		CHECK(json_check(str_of(text), &v));
		walk = json_walk(v);
		CHECK(json_next_item(&walk, &item));
		CHECK_INT(item.raw.n, n + (n % 2 ? 4 : 2));
		CHECK(json_next_item(&walk, &item));
		CHECK_STR(item.raw, STR("\"]\""));
		CHECK(!json_next_item(&walk, &item));
	}
}

TEST(json_get_finds_the_last_and_sees_through_escapes)
{
	struct json_value v, out;

	CHECK(json_check(STR("{\"model\":1,\"m\\u006fdel\":2,\"x\":3}"), &v));
	CHECK(json_get(v, STR("model"), &out));
	CHECK_STR(out.raw, STR("2"));
	CHECK_INT(json_count(v, STR("model")), 2);
	CHECK_INT(json_count(v, STR("x")), 1);
	CHECK(!json_get(v, STR("mode"), &out));
	CHECK(!json_get(v, STR("modell"), &out));
	CHECK(json_key_is(STR(""), STR("")));
	CHECK(json_key_is(STR("\\ud83d\\ude00"), STR("\xf0\x9f\x98\x80")));
	CHECK(!json_key_is(STR("a\\n"), STR("a")));
	CHECK(json_check(STR("[1]"), &v));
	CHECK(!json_get(v, STR("a"), &out));
	CHECK_INT(json_count(v, STR("a")), 0);
}

static struct str
text_of(struct str json, struct arena *arena)
{
	struct json_value v;

	CHECK(json_check(json, &v));
	CHECK_INT(v.type, JSON_STRING);
	return json_string(v, arena);
}

TEST(json_strings_are_unescaped)
{
	struct arena arena;
	struct str plain = STR("\"plain\"");

	arena_init(&arena, 4096);
	CHECK(text_of(plain, &arena).p == plain.p + 1);
	CHECK_INT(arena.used_bytes, 0);
	CHECK_STR(text_of(STR("\"\""), &arena), STR(""));
	CHECK_STR(text_of(STR("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), &arena),
		  STR("a\"\\/\b\f\n\r\tz"));
	CHECK_STR(text_of(STR("\"\\u00E8\\u20ac\\ud83d\\ude00\""), &arena),
		  STR("\xc3\xa8\xe2\x82\xac\xf0\x9f\x98\x80"));
	CHECK_STR(text_of(STR("\"\\ud83d!\""), &arena), STR("\xef\xbf\xbd!"));
	CHECK_STR(text_of(STR("\"\\ude00\\ud83d\\u0041\""), &arena),
		  STR("\xef\xbf\xbd\xef\xbf\xbd"
		      "A"));
	arena_fini(&arena);
	arena_init(&arena, 0);
	CHECK(text_of(STR("\"\\n\""), &arena).p == NULL);
	arena_fini(&arena);
}

static bool
int_of(const char *text, int64_t *out)
{
	struct json_value v;

	CHECK(json_check(str_of(text), &v));
	return json_int(v, out);
}

TEST(json_integers)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
	    {"0", 0},
	    {"-0", 0},
	    {"-0.0e9", 0},
	    {"1e3", 1000},
	    {"1.0", 1},
	    {"1.50e1", 15},
	    {"100e-2", 1},
	    {"-7", -7},
	    {"10", 10},
	    {"0.001e3", 1},
	    {"1001000", 1001000},
	    {"0e999999999999", 0},
	    {"9223372036854775807", INT64_MAX},
	    {"-9223372036854775808", INT64_MIN},
	    {"0.00000000000000000000000001e26", 1},
	    {"100000000000000000000000000e-25", 10},
	};
	static const char *const bad[] = {
	    "1.5",
	    "1e-1",
	    "9223372036854775808",
	    "-9223372036854775809",
	    "1e19",
	    "1e999999999999",
	    "1e-999999999999",
	    "\"1\"",
	    "true",
	    "99999999999999999999999",
	    "0.1",
	};
	int64_t i;

	for (size_t k = 0; k < sizeof(good) / sizeof(*good); k++) {
		i = 42;
		if (!int_of(good[k].text, &i) || i != good[k].value)
			test_fail(__FILE__, __LINE__, "%s gave %lld",
				  good[k].text, (long long)i);
	}
	for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
		i = 42;
		if (int_of(bad[k], &i) || i != 42)
			test_fail(__FILE__, __LINE__, "took %s", bad[k]);
	}
}

TEST(json_writes_strings_that_read_back)
{
	struct arena arena;
	struct buf buf;
	char all[0x80];

	arena_init(&arena, 4096);
	buf_init(&buf, 4096);
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	json_write_string(&buf, str_bytes(all, sizeof(all)));
	CHECK_STR(text_of(buf_str(&buf), &arena), str_bytes(all, sizeof(all)));
	buf_reset(&buf);
	json_write_string(&buf, STR("\xc3\xa8\n\x1f\xff\xf0\x9f\x98\x80\xe2"));
	CHECK_STR(buf_str(&buf),
		  STR("\"\xc3\xa8\\n\\u001f\xef\xbf\xbd\xf0\x9f\x98\x80"
		      "\xef\xbf\xbd\""));
	buf_reset(&buf);
	json_write_string(&buf, STR_NONE);
	CHECK_STR(buf_str(&buf), STR("\"\""));
	buf_fini(&buf);
	arena_fini(&arena);
}
