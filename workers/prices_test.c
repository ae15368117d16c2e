/* prices: which counts when, what ends, and what a line costs. */
#include "workers/prices.h"

#include "lib/money.h"
#include "lib/test.h"

#include <stdlib.h>

#define NONE SCHEMA_INT_NONE

static struct price_period
period_of(int64_t from_ms, int64_t to_ms, int64_t input)
{
	struct price_period period;

	schema_clear(&price_period_schema, &period);
	period.valid_from = from_ms;
	period.valid_to = to_ms;
	period.input = period.output = input;
	return period;
}

static int64_t
input_at(const struct prices *prices, int64_t at_ms)
{
	const struct price_period *period = prices_at(prices, at_ms);

	return period ? period->input : NONE;
}

static void
put(struct prices *prices, int64_t from_ms, int64_t to_ms, int64_t input)
{
	struct price_period period = period_of(from_ms, to_ms, input);

	CHECK_OK(prices_put(prices, &period, 1000));
}

TEST(prices_count_from_their_beginning_to_their_end)
{
	struct prices prices = {.count = 0};
	int64_t ended, forgotten;

	CHECK_INT(input_at(&prices, 5), NONE);
	put(&prices, 2000, NONE, 20);
	put(&prices, NONE, NONE, 1);
	put(&prices, 500, 600, 5);
	put(&prices, 700, NONE, 7);
	CHECK_INT(input_at(&prices, INT64_MIN + 1), 1);
	CHECK_INT(input_at(&prices, 499), 1);
	CHECK_INT(input_at(&prices, 500), 5);
	CHECK_INT(input_at(&prices, 599), 5);
	CHECK_INT(input_at(&prices, 600), 1); /* what counted before */
	CHECK_INT(input_at(&prices, 700), 7);
	CHECK_INT(input_at(&prices, 2000), 20);
	put(&prices, 700, NONE, 8); /* in its place */
	CHECK_INT(prices.count, 4);
	CHECK_INT(input_at(&prices, 700), 8);
	prices_end(&prices, 700, 1000, &ended, &forgotten);
	CHECK_INT(ended, 1);
	CHECK_INT(input_at(&prices, 1000), 8); /* reserved in this instant */
	CHECK_INT(input_at(&prices, 1001), 1);
	prices_end(&prices, NONE, 1001, &ended, &forgotten);
	CHECK_INT(ended, 1);
	CHECK_INT(forgotten, 1);
	CHECK_INT(input_at(&prices, 800), 8);
	CHECK_INT(input_at(&prices, 5000), NONE);
	prices_end(&prices, NONE, 1002, &ended, &forgotten);
	CHECK_INT(ended + forgotten, 0);
}

TEST(prices_beyond_the_limit_forget_what_is_over)
{
	struct prices prices = {.count = 0};
	struct price_period period;

	put(&prices, NONE, NONE, 1);
	put(&prices, 10, 2000, 2); /* behind it the first counts again */
	for (int i = 2; i < (int)PRICES_PERIODS_MAX; i++)
		put(&prices, 100 + i, 900, i + 1);
	put(&prices, 950, 3000, 100);
	CHECK_INT(prices.count, PRICES_PERIODS_MAX);
	CHECK_INT(input_at(&prices, 5), 1);
	CHECK_INT(input_at(&prices, 20), 2);
	CHECK_INT(input_at(&prices, 102), 2); /* that one has gone */
	for (int i = 0; i < 9; i++)
		put(&prices, 4000 + i, NONE, 200);
	period = period_of(5000, NONE, 1);
	CHECK_ERR(prices_put(&prices, &period, 1000), ERR_TOO_LARGE);
	CHECK_INT(prices.count, PRICES_PERIODS_MAX);
	put(&prices, 4000, NONE, 201);
	CHECK_INT(input_at(&prices, 5000), 200);
	CHECK_INT(input_at(&prices, 4000), 201);
}

TEST(prices_of_a_record_without_dates)
{
	struct prices prices;
	struct price price;

	schema_clear(&price_schema, &price);
	prices_load(&price, &prices);
	CHECK_INT(prices.count, 0);
	price.input = 3;
	price.output = 4;
	price.per_request = 5;
	prices_load(&price, &prices);
	CHECK_INT(input_at(&prices, 0), 3);
	CHECK_INT(prices.periods[0].per_request, 5);
	prices_store(&prices, &price);
	CHECK_INT(price.input, NONE);
	CHECK_INT(price.periods_count, 1);
}

TEST(prices_check_names_the_field)
{
	struct why why = {"", ""};
	struct price_set in;

	schema_clear(&price_set_schema, &in);
	in.provider = STR("openai");
	in.model = STR("m");
	CHECK_OK(prices_check(&in, &why));
	in.charge_bp = PRICES_CHARGE_BP_MAX + 1;
	CHECK_ERR(prices_check(&in, &why), ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("charge_bp"));
	in.charge_bp = 0;
	in.valid_from = in.valid_to = 5;
	CHECK_ERR(prices_check(&in, &why), ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("valid_to"));
	in.valid_to = 6;
	CHECK_OK(prices_check(&in, &why));
	in.provider = STR("open ai");
	CHECK_ERR(prices_check(&in, &why), ERR_BAD_FIELD);
}

/* --- what a line costs --------------------------------------------------- */

TEST(prices_charge_each_class)
{
	struct price_period period = period_of(NONE, NONE, 1000000);
	struct usage_line line;

	schema_clear(&usage_line_schema, &line);
	line.input_tokens = 1000;
	line.output_tokens = 100;
	line.cache_read_tokens = 10;
	line.cache_write_tokens = 7;
	line.cache_write_1h_tokens = 3;
	period.output = 2000000;
	prices_charge(&period, &line);
	CHECK_INT(line.cost, 1000 + 200 + 10 + 7); /* as input */
	CHECK_INT(line.price, 0);
	period.cache_read = 100000;
	period.cache_write = 1250000;
	prices_charge(&period, &line);
	CHECK_INT(line.cost, 1200 + 1 + 9); /* 7 at 1.25 are 8.75 */
	period.cache_write_1h = 2000000;
	period.per_request = 5000;
	period.charge_bp = 12000;
	prices_charge(&period, &line);
	CHECK_INT(line.cost, 1200 + 1 + 5 + 6);
	CHECK_INT(line.price, 5000 + 1455); /* 1454.4 */
}

/* Never below the exact cost, and less than one micro-unit above. */
TEST(prices_charge_is_never_below_the_exact_cost)
{
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		struct price_period period = period_of(NONE, NONE, 0);
		struct usage_line line;
		int64_t exact; /* in millionths of a micro-unit */

		schema_clear(&usage_line_schema, &line);
		line.input_tokens = random() % 100000;
		line.output_tokens = random() % 100000;
		line.cache_read_tokens = random() % 1000;
		line.cache_write_tokens = random() % 1000;
		line.cache_write_1h_tokens =
		    random() % (line.cache_write_tokens + 1);
		period.input = random() % 20000000;
		period.output = random() % 20000000;
		period.cache_read = random() % 20000000;
		period.cache_write = random() % 20000000;
		period.cache_write_1h = random() % 20000000;
		period.charge_bp = random() % 30000;
		exact = line.input_tokens * period.input +
			line.output_tokens * period.output +
			line.cache_read_tokens * period.cache_read +
			(line.cache_write_tokens - line.cache_write_1h_tokens) *
			    period.cache_write +
			line.cache_write_1h_tokens * period.cache_write_1h;
		prices_charge(&period, &line);
		CHECK(line.cost * MONEY_ONE >= exact);
		CHECK((line.cost - 1) * MONEY_ONE < exact);
		CHECK(line.price * MONEY_BASIS >= line.cost * period.charge_bp);
		CHECK((line.price - 1) * MONEY_BASIS <
		      line.cost * period.charge_bp + (line.cost == 0));
	}
}
