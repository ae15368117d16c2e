/*
 * movements_test: each kind of movement, and the arithmetic that must be exact.
 */
#include "analytics/movements.h"

#include "lib/test.h"

#define EUR INT64_C(1000000)

TEST(movements_mrr_is_exact)
{
	CHECK_INT(movements_mrr(7990000, STR("month")), 7990000 * 24);
	CHECK_INT(movements_mrr(290 * EUR, STR("year")), 290 * EUR * 2);
	/* Twelve yearly shares are the year's price, to the last unit. */
	CHECK_INT(movements_mrr(1, STR("year")) * 12, 24);
	CHECK_INT(movements_mrr(0, STR("month")), 0);
	CHECK_INT(movements_mrr(INT64_MIN, STR("month")), 0);
	CHECK_INT(movements_mrr(5, STR("decade")), 0);
	CHECK_INT(movements_mrr(INT64_MAX, STR("month")), 0);
}

TEST(movements_shown_rounds_half_away)
{
	CHECK_INT(movements_shown(24 * 7990000), 7990000);
	CHECK_INT(movements_shown(11), 0);
	CHECK_INT(movements_shown(12), 1);
	CHECK_INT(movements_shown(-12), -1);
	CHECK_INT(movements_shown(-11), 0);
	CHECK_INT(movements_shown(INT64_MAX), INT64_MAX / 24);
}

TEST(movements_of_table)
{
	static const struct {
		int64_t before, after;
		bool has_paid;
		struct movement want;
	} rows[] = {
	    {0, 10, false, {.new_mrr = 10}},
	    {0, 10, true, {.reactivation_mrr = 10}},
	    {10, 25, true, {.expansion_mrr = 15}},
	    {25, 10, true, {.contraction_mrr = 15}},
	    {10, 0, true, {.churn_mrr = 10}},
	    {0, 0, false, {0}},
	    {10, 10, true, {0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct movement got = movements_of(
		    rows[i].before, rows[i].after, rows[i].has_paid);

		CHECK(memcmp(&got, &rows[i].want, sizeof(got)) == 0);
		CHECK_INT(got.new_mrr + got.expansion_mrr +
			      got.reactivation_mrr - got.contraction_mrr -
			      got.churn_mrr,
			  rows[i].after - rows[i].before);
	}
}
