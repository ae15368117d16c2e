/* buf: appends, the limit's mark, dropping. */
#include "lib/buf.h"

#include "lib/test.h"

TEST(buf_appends)
{
	struct buf buf;

	buf_init(&buf, 4096);
	CHECK_STR(buf_str(&buf), STR(""));
	buf_add_z(&buf, "a=");
	buf_add_int(&buf, INT64_MIN);
	buf_add_char(&buf, ' ');
	buf_add_int(&buf, 0);
	buf_printf(&buf, " %s", "x");
	buf_add_str(&buf, STR_NONE);
	CHECK_STR(buf_str(&buf), STR("a=-9223372036854775808 0 x"));
	buf_drop(&buf, 2);
	buf_drop(&buf, 0);
	CHECK_STR(buf_str(&buf), STR("-9223372036854775808 0 x"));
	buf_drop(&buf, buf.n);
	CHECK_INT(buf.n, 0);
	buf_fini(&buf);
}

TEST(buf_marks_what_does_not_fit)
{
	struct buf buf;

	buf_init(&buf, 10);
	buf_add_z(&buf, "12345678");
	buf_add_z(&buf, "abc");
	CHECK(buf.is_failed);
	CHECK_STR(buf_str(&buf), STR("12345678"));
	buf_add_char(&buf, '9'); /* would fit, but the mark stays */
	CHECK_STR(buf_str(&buf), STR("12345678"));
	CHECK(!buf_reserve(&buf, SIZE_MAX));
	buf_reset(&buf);
	CHECK(!buf.is_failed && buf.n == 0);
	buf_add_z(&buf, "1234567890");
	CHECK(!buf.is_failed);
	CHECK(!buf_reserve(&buf, 1));
	buf_fini(&buf);
}

TEST(buf_printf_beyond_the_limit_changes_nothing)
{
	struct buf buf;

	buf_init(&buf, 16);
	buf_add_z(&buf, "head");
	buf_printf(&buf, "%20d", 1);
	CHECK(buf.is_failed);
	CHECK_STR(buf_str(&buf), STR("head"));
	buf_fini(&buf);
}
