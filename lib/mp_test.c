/* mp: every format at its edges, and what must be refused. */
#include "lib/mp.h"
#include "lib/test.h"

static struct mp_reader
reader_of(const void *p, size_t n)
{
	return mp_reader(str_bytes(p, n));
}
#define READER(literal) reader_of(literal, sizeof(literal) - 1)

TEST(mp_integers_keep_their_value)
{
	static const int64_t values[] = {
	    0,	    127,       128,	   255,	      256,
	    65535,  65536,     UINT32_MAX, INT64_MAX, -1,
	    -32,    -33,       -128,	   -129,      -32768,
	    -32769, INT32_MIN, INT64_MIN,  INT32_MAX, INT64_C(1) << 32,
	};
	struct buf buf;

	buf_init(&buf, 4096);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct mp_reader r;
		int64_t got = 42;

		buf_reset(&buf);
		mp_write_int(&buf, values[i]);
		r = mp_reader(buf_str(&buf));
		CHECK(mp_read_int(&r, &got));
		CHECK_INT(got, values[i]);
		CHECK(r.at == r.end);
		r = mp_reader(str_bytes(buf.p, buf.n - 1));
		CHECK(!mp_read_int(&r, &got));
		r = mp_reader(buf_str(&buf));
		CHECK(mp_skip(&r, 0));
		CHECK(r.at == r.end);
	}
	buf_fini(&buf);
}

TEST(mp_refuses_an_unsigned_beyond_int64)
{
	struct mp_reader r = READER("\xcf\x80\0\0\0\0\0\0\0");
	int64_t i = 7;

	CHECK(!mp_read_int(&r, &i));
	CHECK_INT(i, 7);
	CHECK_INT(r.end - r.at, 9);
	CHECK(mp_skip(&r, 0));
	r = READER("\xca\0\0\0\0"); /* a float is no integer */
	CHECK(!mp_read_int(&r, &i));
}

TEST(mp_strings_of_every_width)
{
	static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	static char text[65536];
	struct buf buf;

	buf_init(&buf, 1 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct mp_reader r;
		struct str s;

		buf_reset(&buf);
		mp_write_str(&buf, str_bytes(text, sizes[i]));
		mp_write_bin(&buf, str_bytes(text, sizes[i]));
		r = mp_reader(buf_str(&buf));
		CHECK(!mp_read_bin(&r, &s));
		CHECK(mp_read_str(&r, &s));
		CHECK_INT(s.n, sizes[i]);
		CHECK(!mp_read_str(&r, &s));
		CHECK(mp_read_bin(&r, &s));
		CHECK_INT(s.n, sizes[i]);
		CHECK(r.at == r.end);
		r = mp_reader(buf_str(&buf));
		CHECK(mp_skip(&r, 0) && mp_skip(&r, 0));
		CHECK(r.at == r.end);
	}
	buf_fini(&buf);
}

TEST(mp_absent_is_nil_and_empty_is_not)
{
	struct buf buf;
	struct mp_reader r;
	struct str s;
	bool b = false;

	buf_init(&buf, 64);
	mp_write_str(&buf, STR_NONE);
	mp_write_str(&buf, STR(""));
	mp_write_bin(&buf, STR_NONE);
	mp_write_bool(&buf, true);
	mp_write_nil(&buf);
	r = mp_reader(buf_str(&buf));
	CHECK(mp_read_nil(&r));
	CHECK(!mp_read_nil(&r));
	CHECK(mp_read_str(&r, &s) && s.p && s.n == 0);
	CHECK(mp_read_nil(&r));
	CHECK(mp_read_bool(&r, &b) && b);
	CHECK(mp_read_nil(&r));
	CHECK(!mp_read_nil(&r));
	buf_fini(&buf);
}

TEST(mp_counts_are_checked_against_what_is_there)
{
	struct mp_reader r = READER("\xdd\xff\xff\xff\xff");
	uint32_t count = 9;
	struct str s;

	CHECK(!mp_read_array(&r, &count));
	CHECK(!mp_skip(&r, 8));
	CHECK_INT(count, 9);
	r = READER("\xdf\xff\xff\xff\xff\0\0"); /* a map of 2^32-1 */
	CHECK(!mp_skip(&r, 8));
	r = READER("\xc6\xff\xff\xff\xff\0");
	CHECK(!mp_read_bin(&r, &s));
	CHECK(!mp_skip(&r, 8));
	r = READER("\xdb\0\0\0\x02z");
	CHECK(!mp_read_str(&r, &s));
	r = READER("\x93\x01\x02\x03");
	CHECK(mp_read_array(&r, &count));
	CHECK_INT(count, 3);
	r = READER("\xdc\0\x02\x01\x02");
	CHECK(mp_read_array(&r, &count));
	CHECK_INT(count, 2);
}

TEST(mp_skip_knows_every_format_and_stops_at_its_depth)
{
	struct mp_reader r = READER("\xca\0\0\0\0\xcb\0\0\0\0\0\0\0\0\xd4\1\0"
				    "\xd5\1\0\0\xd6\1\0\0\0\0\xd8\1"
				    "0123456789abcdef\xc7\2\1xy\xc8\0\1\1x"
				    "\x82\1\2\3\xa1z\xde\0\1\1\2\xc2\xc3\xe0");
	unsigned items = 0;

	while (mp_skip(&r, 1))
		items++;
	CHECK_INT(items, 13);
	CHECK(r.at == r.end);
	r = READER("\x91\x91\x91\x01");
	CHECK(!mp_skip(&r, 2));
	CHECK(mp_skip(&r, 3));
	r = READER("\xc1");
	CHECK(!mp_skip(&r, 8));
	r = READER("");
	CHECK(!mp_skip(&r, 8));
	r = READER("\x92\x01");
	CHECK(!mp_skip(&r, 8));
}
