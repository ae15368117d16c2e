/*
 * limits_test: what is granted and held, by tables; the ledger's property test
 * has the rest.
 */
#include "workers/limits.h"

#include "lib/test.h"

#define NONE SCHEMA_INT_NONE
#define NOW INT64_C(1795248030000) /* 2026-11-21T08:00:30Z */
#define MINUTE (NOW - 30000)

struct world {
	struct limits own, common;
	struct meter meters[2];
	struct limits_account accounts[2];
	struct price_period price;
	struct limits_request request;
	struct limits_verdict verdict;
};

/* A prompt of 100 tokens; a million tokens cost a unit in, two out, and are
 * charged as they are. */
static void
world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	limits_clear(&w->own);
	limits_clear(&w->common);
	for (int i = 0; i < 2; i++) {
		schema_clear(&meter_schema, &w->meters[i]);
		rules_meter_roll(&w->meters[i], NOW, "Europe/Rome");
		w->accounts[i] = (struct limits_account){
		    i ? &w->common : &w->own, &w->meters[i]};
	}
	schema_clear(&price_period_schema, &w->price);
	w->price.input = 1000000;
	w->price.output = 2000000;
	w->price.charge_bp = 10000;
	w->request = (struct limits_request){.now_ms = NOW,
					     .prompt_tokens = 100,
					     .output_tokens = NONE,
					     .output_min = NONE,
					     .choices = NONE,
					     .price = &w->price,
					     .is_enforced = true};
}

/* Decides; what is admitted goes into both meters. */
static enum err
admit(struct world *w)
{
	struct meter before[2] = {w->meters[0], w->meters[1]};

	limits_admit(&w->request, w->accounts, 2, &w->verdict);
	for (int i = 0; i < 2; i++) {
		if (w->verdict.err != ERR_OK)
			w->meters[i] = before[i];
		else
			limits_hold(&w->verdict, &w->meters[i]);
	}
	return w->verdict.err;
}

static void
check_refused(struct world *w, enum err err, const char *name, unsigned account,
	      int64_t retry_after_ms)
{
	CHECK_ERR(admit(w), err);
	CHECK_STR(str_of(w->verdict.name), str_of(name));
	CHECK_INT(w->verdict.account, account);
	CHECK_INT(w->verdict.retry_after_ms, retry_after_ms);
}

TEST(limits_are_read_by_name)
{
	struct limit rows[] = {{STR("tokens_minute"), 5},
			       {STR("rooms"), 7},
			       {STR("concurrent"), NONE}};
	struct limits limits;

	limits_clear(&limits);
	limits.concurrent = 3;
	limits.requests_hour = 100;
	limits_read(rows, 3, &limits);
	CHECK_INT(limits.tokens_minute, 5);
	CHECK_INT(limits.concurrent, NONE);
	CHECK_INT(limits.requests_hour, 100);
	CHECK_INT(limits.spend_month, NONE);
	CHECK(limits_is_name(STR("spend_month")) &&
	      !limits_is_name(STR("rooms")));
}

TEST(limits_without_any_hold_nothing)
{
	struct world w;

	world_init(&w);
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, NONE);
	CHECK_INT(w.verdict.held_tokens, NONE);
	CHECK_INT(w.verdict.held_price, NONE);
	CHECK_INT(w.verdict.minute_start, NONE);
	CHECK_INT(w.meters[0].open, 1);
	CHECK_INT(w.meters[0].month_held, 0);
	CHECK_INT(w.meters[0].minute_start, NONE);
}

TEST(limits_of_tokens_clamp_to_what_is_left)
{
	const struct {
		int64_t limit, wanted, min, choices, granted, held;
	} rows[] = {
	    {10000, NONE, NONE, NONE, 4096, 4196},
	    {10000, 500, NONE, NONE, 500, 600},
	    {1000, NONE, NONE, NONE, 900, 1000},
	    {1000, 901, NONE, NONE, 900, 1000},
	    {1000, 500, NONE, 3, 300, 1000},
	    {116, 500, NONE, NONE, 16, 116},
	    {105, 5, NONE, NONE, 5, 105},
	    {1200, 5000, 1025, NONE, 1100, 1200},
	    {20000, NONE, 8193, NONE, 8193, 8293},
	    /* of no use */
	    {115, 500, NONE, NONE, -1, 0},
	    {104, 5, NONE, NONE, -1, 0},
	    {1100, 5000, 1025, NONE, -1, 0},
	    {50, 500, NONE, NONE, -1, 0},
	    {0, 1, NONE, NONE, -1, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		world_init(&w);
		w.own.tokens_minute = rows[i].limit;
		w.request.output_tokens = rows[i].wanted;
		w.request.output_min = rows[i].min;
		w.request.choices = rows[i].choices;
		if (rows[i].granted < 0) {
			check_refused(&w, ERR_RATE_LIMITED, "tokens_minute", 0,
				      30000);
			continue;
		}
		CHECK_OK(admit(&w));
		CHECK_INT(w.verdict.output_tokens, rows[i].granted);
		CHECK_INT(w.verdict.held_tokens, rows[i].held);
		CHECK_INT(w.meters[0].minute_start, MINUTE);
		CHECK_INT(w.meters[0].minute_reserved, rows[i].held);
		CHECK_INT(w.verdict.held_price, NONE);
	}
}

TEST(limits_of_money_clamp_to_what_is_left)
{
	struct world w;

	world_init(&w);
	w.own.spend_month = 1000;
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, 450); /* 100 + 2 * 450 */
	CHECK_INT(w.verdict.held_price, 1000);
	CHECK_INT(w.verdict.held_tokens, NONE);
	check_refused(&w, ERR_LIMIT_REACHED, "spend_month", 0,
		      w.meters[0].month_end - NOW);
	/* The customer's own key is charged nothing. */
	w.request.price = NULL;
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, NONE);
	CHECK_INT(w.verdict.held_price, NONE);

	world_init(&w);
	w.own.spend_month = 1000;
	w.price.cache_write_1h = 5000000; /* the prompt may be written there */
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, 250);

	/* Each request costs, its tokens nothing: nothing to clamp. */
	world_init(&w);
	w.own.spend_month = 250;
	w.price.charge_bp = 0;
	w.price.per_request = 100;
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, NONE);
	CHECK_INT(w.verdict.held_price, 100);
	CHECK_OK(admit(&w));
	check_refused(&w, ERR_LIMIT_REACHED, "spend_month", 0,
		      w.meters[0].month_end - NOW);
}

TEST(limits_of_the_workspace_hold_too)
{
	struct world w;

	world_init(&w);
	w.own.tokens_minute = 2000;
	w.common.tokens_minute = 1500;
	CHECK_OK(admit(&w));
	CHECK_INT(w.verdict.output_tokens, 1400);
	CHECK_INT(limits_left(LIMITS_TOKENS_MINUTE, w.accounts, 2, NOW).limit,
		  1500);
	CHECK_INT(
	    limits_left(LIMITS_TOKENS_MINUTE, w.accounts, 2, NOW).remaining, 0);
	CHECK_INT(
	    limits_left(LIMITS_TOKENS_MINUTE, w.accounts, 2, NOW).reset_ms,
	    30000);
	CHECK_INT(
	    limits_left(LIMITS_TOKENS_MINUTE, w.accounts, 1, NOW).remaining,
	    500);
	check_refused(&w, ERR_RATE_LIMITED, "tokens_minute", 1, 30000);

	world_init(&w);
	w.own.concurrent = 2;
	w.common.concurrent = 1;
	CHECK_OK(admit(&w));
	check_refused(&w, ERR_RATE_LIMITED, "concurrent", 1,
		      LIMITS_CONCURRENT_RETRY_MS);

	world_init(&w);
	w.own.requests_month = 1;
	w.common.requests_month = 5;
	CHECK_OK(admit(&w));
	check_refused(&w, ERR_LIMIT_REACHED, "requests_month", 0,
		      w.meters[0].month_end - NOW);
}

/* What a request holds remains no more; the tighter account is told. */
TEST(limits_say_what_remains)
{
	struct limits_left left;
	struct world w;

	world_init(&w);
	CHECK_OK(admit(&w));
	CHECK_INT(limits_left(LIMITS_REQUESTS_MONTH, w.accounts, 2, NOW).limit,
		  NONE);
	CHECK_INT(limits_left(LIMITS_SPEND_MONTH, w.accounts, 2, NOW).limit,
		  NONE);
	CHECK_INT(limits_left(LIMITS_CONCURRENT, w.accounts, 2, NOW).limit,
		  NONE);

	world_init(&w);
	w.own.requests_month = 9;
	w.common.requests_month = 5;
	w.own.spend_month = 1000;
	w.common.spend_month = 90000;
	w.common.concurrent = 3;
	w.request.output_tokens = 50;
	CHECK_OK(admit(&w));
	left = limits_left(LIMITS_REQUESTS_MONTH, w.accounts, 2, NOW);
	CHECK_INT(left.limit, 5);
	CHECK_INT(left.remaining, 4);
	CHECK_INT(left.reset_ms, w.meters[1].month_end - NOW);
	left = limits_left(LIMITS_SPEND_MONTH, w.accounts, 2, NOW);
	CHECK_INT(left.limit, 1000);
	CHECK_INT(left.remaining, 800); /* 100 + 2 * 50 are held */
	left = limits_left(LIMITS_CONCURRENT, w.accounts, 2, NOW);
	CHECK_INT(left.limit, 3);
	CHECK_INT(left.remaining, 2);
	w.own.concurrent = 1;
	CHECK_INT(limits_left(LIMITS_CONCURRENT, w.accounts, 2, NOW).limit, 1);
	CHECK_INT(limits_left(LIMITS_CONCURRENT, w.accounts, 2, NOW).remaining,
		  0);
}

TEST(limits_of_an_hour_move_both_or_none)
{
	struct world w;

	world_init(&w);
	w.own.requests_hour = 10;
	w.common.requests_hour = 2;
	CHECK_OK(admit(&w));
	CHECK_INT(limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 2, NOW).limit,
		  2);
	CHECK_INT(
	    limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 2, NOW).remaining, 1);
	CHECK_INT(
	    limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 1, NOW).remaining, 9);
	CHECK_OK(admit(&w));
	check_refused(&w, ERR_RATE_LIMITED, "requests_hour", 1, 1800000);
	CHECK_INT(
	    limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 1, NOW).remaining, 8);
	CHECK_INT(
	    limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 1, NOW).reset_ms,
	    720000);
	CHECK_INT(
	    limits_left(LIMITS_REQUESTS_HOUR, w.accounts, 2, NOW).remaining, 0);
}

TEST(limits_in_log_mode_let_pass_and_say_the_first)
{
	struct world w;

	world_init(&w);
	w.request.is_enforced = false;
	w.request.output_tokens = 700;
	w.own.concurrent = 0;
	w.own.tokens_minute = 300;
	w.own.spend_month = 10;
	limits_admit(&w.request, w.accounts, 2, &w.verdict);
	CHECK_ERR(w.verdict.err, ERR_RATE_LIMITED);
	CHECK_STR(str_of(w.verdict.name), STR("concurrent"));
	CHECK_INT(w.verdict.output_tokens, NONE);
	CHECK_INT(w.verdict.held_tokens, 800);
	CHECK_INT(w.verdict.held_price, 1500);
}

TEST(limits_minutes_begin_anew)
{
	struct world w;

	world_init(&w);
	w.own.tokens_minute = 200;
	w.request.output_tokens = 100;
	CHECK_OK(admit(&w));
	CHECK_INT(w.meters[0].minute_first, 1);
	/* The clock goes back a little: the same minute. */
	w.request.now_ms = MINUTE - 1;
	check_refused(&w, ERR_RATE_LIMITED, "tokens_minute", 0, 60001);
	w.request.now_ms = MINUTE + 60000;
	CHECK_OK(admit(&w));
	CHECK_INT(w.meters[0].minute_start, MINUTE + 60000);
	CHECK_INT(w.meters[0].minute_first, 2);
	CHECK_INT(w.meters[0].minute_reserved, 200);
	/* It goes back by an hour: a minute of its own. */
	w.request.now_ms = NOW - 3600000;
	CHECK_OK(admit(&w));
	CHECK_INT(w.meters[0].minute_start, MINUTE - 3600000);
	CHECK_INT(w.meters[0].minute_first, 3);
}

TEST(limits_count_lines_where_they_belong)
{
	struct world w;
	struct usage_line line;
	struct meter empty;

	world_init(&w);
	w.own.tokens_minute = 1000;
	w.own.spend_month = 10000;
	w.request.output_tokens = 100;
	w.meters[0].open = 0;
	w.meters[0].minute_used = w.meters[0].minute_reserved = 0;
	CHECK_OK(admit(&w));
	empty = w.meters[0];
	empty.open = empty.month_reserved = empty.month_held =
	    empty.minute_reserved = 0;
	schema_clear(&usage_line_schema, &line);
	line.status = STR("reserved");
	line.month_start = w.meters[0].month_start;
	line.minute_first = 1;
	line.counted_tokens = 200;
	line.held_price = 300;
	limits_count(LIMITS_LICENSE, &w.meters[0], &line, -1);
	CHECK(memcmp(&w.meters[0], &empty, sizeof(empty)) == 0);
	line.status = STR("settled");
	line.counted_tokens = 150;
	line.price = 222;
	limits_count(LIMITS_LICENSE, &w.meters[0], &line, 1);
	CHECK_INT(w.meters[0].month_used, 1);
	CHECK_INT(w.meters[0].month_spent, 222);
	CHECK_INT(w.meters[0].minute_used, 150);
	CHECK_INT(limits_spare_tokens(LIMITS_LICENSE, &w.accounts[0], &line),
		  850);
	CHECK_INT(limits_spare_price(&w.accounts[0], &line), 9778);
	/* Of another minute and month: only what it holds. */
	line.minute_first = 7;
	line.month_start = 0;
	CHECK_INT(limits_spare_tokens(LIMITS_LICENSE, &w.accounts[0], &line),
		  0);
	CHECK_INT(limits_spare_price(&w.accounts[0], &line), 0);
	CHECK_INT(limits_spare_price(&w.accounts[1], &line), INT64_MAX);
	limits_count(LIMITS_LICENSE, &w.meters[0], &line, 1);
	CHECK_INT(w.meters[0].month_used, 1);
	CHECK_INT(w.meters[0].minute_used, 150);
}
