/* money: overflow, rounding, parsing and printing. */
#include "lib/money.h"

#include "lib/test.h"

TEST(money_overflow_leaves_out_alone)
{
	struct money_exact sum = {1, 1};
	int64_t out = 7;

	CHECK(!money_add(INT64_MAX, 1, &out));
	CHECK(!money_sub(INT64_MIN, 1, &out));
	CHECK(!money_exact_add(&sum, INT64_MAX, 2 * MONEY_ONE));
	CHECK(!money_exact_add(&sum, INT64_MAX, MONEY_ONE));
	CHECK(!money_exact_add(&sum, -1, 1));
	CHECK(!money_exact_add(&sum, 1, -1));
	CHECK_INT(sum.micro, 1);
	CHECK_INT(sum.millionths, 1);
	CHECK(!money_exact_up(&(struct money_exact){INT64_MAX, 1}, &out));
	CHECK(!money_share_up(INT64_MAX, 10001, &out));
	CHECK(!money_share_up(-1, 10000, &out));
	CHECK(!money_share_up(1, -1, &out));
	CHECK_INT(out, 7);
	CHECK(money_add(INT64_MAX - 1, 1, &out));
	CHECK_INT(out, INT64_MAX);
	CHECK(money_sub(-5, 6, &out));
	CHECK_INT(out, -11);
}

TEST(money_exact_sums_are_rounded_up_once)
{
	static const struct {
		int64_t units, price, want, three; /* of three times that */
	} rows[] = {
	    {0, 2500000, 0, 0},
	    {1000000, 2500000, 2500000, 7500000},
	    {1, 2500000, 3, 8}, /* 2.5, 7.5 */
	    {3, 150000, 1, 2},	/* 0.45, 1.35 */
	    {1, 1, 1, 1},
	    {20, 50000, 1, 3},		    /* exactly 1 */
	    {123456, 150000, 18519, 55556}, /* 18518.4, 55555.2 */
	    {INT64_MAX / 3, 1000000, INT64_MAX / 3, INT64_MAX / 3 * 3},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct money_exact sum = {0, 0};
		int64_t out = -1;

		CHECK(money_exact_add(&sum, rows[i].units, rows[i].price));
		CHECK(money_exact_up(&sum, &out));
		CHECK_INT(out, rows[i].want);
		CHECK(money_exact_add(&sum, rows[i].units, rows[i].price));
		CHECK(money_exact_add(&sum, rows[i].units, rows[i].price));
		CHECK(money_exact_up(&sum, &out));
		CHECK_INT(out, rows[i].three);
	}
}

TEST(money_shares_are_rounded_up)
{
	static const struct {
		int64_t amount, basis_points, want;
	} rows[] = {
	    {100, 0, 0},
	    {100, 10000, 100},
	    {1, 1, 1},
	    {101, 12500, 127},
	    {10000, 12345, 12345},
	    {0, 12000, 0},
	    {3333, 10001, 3334},
	    {INT64_MAX, 10000, INT64_MAX},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t out = -1;

		CHECK(
		    money_share_up(rows[i].amount, rows[i].basis_points, &out));
		CHECK_INT(out, rows[i].want);
	}
}

TEST(money_parse_takes_prices_and_nothing_else)
{
	static const struct {
		const char *text;
		int64_t want;
	} good[] = {
	    {"7.99", 7990000},
	    {"7,99", 7990000},
	    {"12", 12000000},
	    {".5", 500000},
	    {"0", 0},
	    {"0.000001", 1},
	    {"007", 7000000},
	    {"29.90", 29900000},
	    {"9223372036854.775807", INT64_MAX},
	};
	static const char *bad[] = {"",
				    ".",
				    "1.",
				    "-1",
				    "+1",
				    "1.2.3",
				    "1,2,3",
				    "1 000",
				    " 1",
				    "1e3",
				    "abc",
				    "0.0000001",
				    "EUR 7.99",
				    "9223372036854.775808",
				    "99999999999999999999"};
	int64_t out;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_OK(money_parse(str_of(good[i].text), &out));
		CHECK_INT(out, good[i].want);
	}
	out = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_ERR(money_parse(str_of(bad[i]), &out), ERR_BAD_FIELD);
	CHECK_INT(out, 42);
}

TEST(money_parse_number_is_exact)
{
	static const struct {
		const char *text;
		int shift;
		int64_t want;
	} good[] = {
	    {"1.5e-06", 12, 1500000},
	    {"1.5E-6", 12, 1500000},
	    {"0.0000015", 12, 1500000},
	    {"2e-07", 12, 200000},
	    {"1e+1", 6, 10000000},
	    {"0", 12, 0},
	    {"0.0e9", 12, 0},
	    {"0e-999", 12, 0},
	    {"3", 12, INT64_C(3000000000000)},
	    {"0.1", 6, 100000},
	    {"0.3", 6, 300000},
	    {"1e-13", 12, 1}, /* up */
	    {"1.0000000000001e-06", 12, 1000001},
	    {"1e-900", 12, 1},
	    {"9223372036854775807", 0, INT64_MAX},
	    {"922337203685477580.7e1", 0, INT64_MAX},
	};
	static const char *bad[] = {"",
				    "-1",
				    "-0",
				    "1e",
				    "1e+",
				    "e5",
				    ".",
				    "1.2.3",
				    "1e5x",
				    "0x10",
				    "NaN",
				    "1 ",
				    "1e19",
				    "1e99999999999",
				    "9223372036854775807.1"};
	int64_t out = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_ERR(money_parse_number(str_of(bad[i]), 0, &out),
			  ERR_BAD_FIELD);
	CHECK_INT(out, 42);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_OK(money_parse_number(str_of(good[i].text), good[i].shift,
					    &out));
		CHECK_INT(out, good[i].want);
	}
}

TEST(money_print_has_two_decimals_or_more)
{
	static const struct {
		int64_t micro;
		const char *want;
	} rows[] = {
	    {7990000, "7.99"},
	    {0, "0.00"},
	    {5000, "0.005"},
	    {-1500000, "-1.50"},
	    {1, "0.000001"},
	    {29000000, "29.00"},
	    {-1, "-0.000001"},
	    {INT64_MAX, "9223372036854.775807"},
	    {INT64_MIN, "-9223372036854.775808"},
	};
	char text[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = money_print(rows[i].micro, text);

		CHECK_STR(str_bytes(text, n), str_of(rows[i].want));
		CHECK_INT(strlen(text), n);
	}
}

TEST(money_currencies)
{
	CHECK(money_currency_is_valid(STR("EUR")));
	CHECK(!money_currency_is_valid(STR("eur")));
	CHECK(!money_currency_is_valid(STR("EU")));
	CHECK(!money_currency_is_valid(STR("EURO")));
	CHECK(!money_currency_is_valid(STR_NONE));
}
