/*
 * rules_test: tables for the pure decisions, and two properties of GCRA: in no
 * stretch of time more than burst plus refill, and a refusal moves nothing.
 */
#include "workers/rules.h"

#include "lib/test.h"

#define DAY_MS INT64_C(86400000)
#define HOUR_MS INT64_C(3600000)

static struct subscription
subscription_of(const char *status, int64_t ends_at)
{
	struct subscription s;

	schema_clear(&subscription_schema, &s);
	s.status = str_of(status);
	s.ends_at = ends_at;
	return s;
}

TEST(rules_status_is_computed_from_time)
{
	struct subscription s = subscription_of("active", 1000);
	bool is_grace = true;

	CHECK_STR(str_of(rules_status(&s, 999)), STR("active"));
	CHECK_OK(rules_standing(&s, 999, &is_grace));
	CHECK(!is_grace);
	CHECK_STR(str_of(rules_status(&s, 1000)), STR("expired"));
	CHECK_ERR(rules_standing(&s, 1000, &is_grace), ERR_EXPIRED);
	s.grace_days = 2;
	CHECK_OK(rules_standing(&s, 1000, &is_grace));
	CHECK(is_grace);
	CHECK_STR(str_of(rules_status(&s, 1000)), STR("expired"));
	CHECK_OK(rules_standing(&s, 1000 + 2 * DAY_MS - 1, &is_grace));
	CHECK_ERR(rules_standing(&s, 1000 + 2 * DAY_MS, &is_grace),
		  ERR_EXPIRED);
	CHECK(!is_grace);
	s.cancels_at_end = true;
	CHECK_OK(rules_standing(&s, 999, &is_grace));
	CHECK_ERR(rules_standing(&s, 1000, &is_grace), ERR_CANCELLED);
}

TEST(rules_status_of_the_stored_ones)
{
	static const struct {
		const char *stored;
		const char *status;
		enum err standing;
	} rows[] = {
	    {"trial", "trial", ERR_OK},
	    {"active", "active", ERR_OK},
	    {"past_due", "past_due", ERR_OK},
	    {"suspended", "suspended", ERR_SUSPENDED},
	    {"cancelled", "cancelled", ERR_CANCELLED},
	};
	bool is_grace;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct subscription s =
		    subscription_of(rows[i].stored, SCHEMA_INT_NONE);

		CHECK_STR(str_of(rules_status(&s, INT64_MAX)),
			  str_of(rows[i].status));
		CHECK_ERR(rules_standing(&s, INT64_MAX, &is_grace),
			  rows[i].standing);
		CHECK(!is_grace);
	}
}

TEST(rules_domain_takes_the_host)
{
	static const char *const rows[][2] = {
	    {"shop.example", "shop.example"},
	    {" https://www.Shop.example:8080/x ", "shop.example"},
	    {"http://shop.example", "shop.example"},
	    {"https://shop.example/?a=b://c", "shop.example"},
	    {"SHOP.EXAMPLE.", "shop.example"},
	    {"localhost:3000", "localhost"},
	    {"http://[::1]:3000/", "::1"},
	    {"192.168.1.7", "192.168.1.7"},
	    {"www.com", "www.com"},
	    {"my_site.example", "my_site.example"},
	    {"", NULL},
	    {"null", NULL},
	    {"https://", NULL},
	    {"shop..example", NULL},
	    {".example", NULL},
	    {"*.example", NULL},
	    {"-a.example", NULL},
	    {"a-.example", NULL},
	    {"a b.example", NULL},
	    {"user@shop.example", NULL},
	    {"shop.example:80x", NULL},
	    {"shop.example:80:90", NULL},
	    {"[::1", NULL},
	    {"[shop.example]", NULL},
	    {"h\xc3\xb4tel.example", NULL},
	};
	struct arena arena;

	arena_init(&arena, 65536);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str host = STR_NONE;
		bool ok = rules_domain(str_of(rows[i][0]), &arena, &host);

		if (ok != (rows[i][1] != NULL))
			test_fail(__FILE__, __LINE__, "\"%s\"", rows[i][0]);
		CHECK_STR(host, str_of(rows[i][1]));
	}
	arena_fini(&arena);
}

TEST(rules_domain_refuses_the_too_long)
{
	struct arena arena;
	struct str host;
	char long_label[80], long_name[300];

	arena_init(&arena, 65536);
	memset(long_label, 'a', sizeof(long_label));
	CHECK(rules_domain(str_bytes(long_label, 63), &arena, &host));
	CHECK(!rules_domain(str_bytes(long_label, 64), &arena, &host));
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 2 ? '.' : 'a';
	CHECK(rules_domain(str_bytes(long_name, 253), &arena, &host));
	CHECK(!rules_domain(str_bytes(long_name, 255), &arena, &host));
	CHECK(!rules_domain(STR_NONE, &arena, &host));
	arena_fini(&arena);
}

TEST(rules_domain_matches_table)
{
	static const struct {
		const char *host;
		const char *licensed;
		bool matches;
		bool is_local;
	} rows[] = {
	    {"shop.example", NULL, true, false},
	    {"shop.example", "", true, false},
	    {"shop.example", "shop.example", true, false},
	    {"shop.example", "www.Shop.Example", true, false},
	    {"a.shop.example", "shop.example", false, false},
	    {"other.example", "shop.example", false, false},
	    {"notshop.example", "*.shop.example", false, false},
	    {"a.shop.example", "*.shop.example", true, false},
	    {"a.b.shop.example", "*.shop.example", true, false},
	    {"shop.example", "*.shop.example", true, false},
	    {"staging.shop.example", "shop.example", true, true},
	    {"dev.shop.example", "shop.example", true, true},
	    {"dev.shop.example", "www.shop.example", true, true},
	    {"dev.shop.example", NULL, true, false},
	    {"dev.other.example", "shop.example", false, false},
	    {"localhost", "shop.example", true, true},
	    {"a.localhost", "shop.example", true, true},
	    {"a.local", "shop.example", true, true},
	    {"a.test", "shop.example", true, true},
	    {"atest", "shop.example", false, false},
	    {"10.1.2.3", "shop.example", true, true},
	    {"172.16.0.1", "shop.example", true, true},
	    {"172.32.0.1", "shop.example", false, false},
	    {"192.168.1.1", "shop.example", true, true},
	    {"127.0.0.1", "shop.example", true, true},
	    {"8.8.8.8", "shop.example", false, false},
	    {"10.1.2.3.example", "shop.example", false, false},
	    {"::1", "shop.example", true, true},
	    {"fd00::1", "shop.example", true, true},
	    {"fe80::1", "shop.example", true, true},
	    {"2001:db8::1", "shop.example", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str host = str_of(rows[i].host);
		struct str licensed = str_of(rows[i].licensed);

		if (rules_domain_matches(host, licensed) != rows[i].matches ||
		    rules_domain_is_local(host, licensed) != rows[i].is_local)
			test_fail(__FILE__, __LINE__, "%s against %s",
				  rows[i].host,
				  licensed.p ? rows[i].licensed : "any");
	}
}

TEST(rules_plan_features_and_limits)
{
	struct str features[] = {STR("ai_proxy"), STR("weather")};
	struct limit limits[] = {{STR("requests_month"), 1000},
				 {STR("rooms"), SCHEMA_INT_NONE}};
	struct plan plan;

	schema_clear(&plan_schema, &plan);
	CHECK(!rules_has_feature(&plan, STR("ai_proxy")));
	plan.features = features;
	plan.features_count = 2;
	plan.limits = limits;
	plan.limits_count = 2;
	CHECK(rules_has_feature(&plan, STR("ai_proxy")));
	CHECK(!rules_has_feature(&plan, STR("ai")));
	CHECK_INT(rules_limit(&plan, "requests_month", 5), 1000);
	CHECK_INT(rules_limit(&plan, "rooms", 5), SCHEMA_INT_NONE);
	CHECK_INT(rules_limit(&plan, "requests_hour", 100), 100);
}

TEST(rules_gcra_admits_burst_then_the_rate)
{
	int64_t tat = SCHEMA_INT_NONE, before,
		now = INT64_C(1700000000000000000);
	struct rules_rate rate;

	for (int i = 0; i < 100; i++) {
		rate = rules_gcra(&tat, now, 100, HOUR_MS);
		CHECK(rate.is_admitted);
		CHECK_INT(rate.remaining, 99 - i);
	}
	CHECK_INT(rate.reset_ms, HOUR_MS);
	before = tat;
	rate = rules_gcra(&tat, now, 100, HOUR_MS);
	CHECK(!rate.is_admitted);
	CHECK_INT(rate.retry_after_ms, 36000);
	CHECK_INT(rate.reset_ms, HOUR_MS);
	CHECK_INT(rate.remaining, 0);
	CHECK_INT(tat, before);
	now += INT64_C(36000000000);
	CHECK(rules_gcra(&tat, now, 100, HOUR_MS).is_admitted);
	CHECK(!rules_gcra(&tat, now, 100, HOUR_MS).is_admitted);
}

TEST(rules_gcra_never_beats_its_rate)
{
	int64_t now = 0, tat = 0, admitted = 0;
	uint64_t random = 42;

	for (int i = 0; i < 100000; i++) {
		int64_t before = tat;
		struct rules_rate rate;

		random = random * 6364136223846793005u + 1442695040888963407u;
		now += (int64_t)(random >> 40) * 1000;
		rate = rules_gcra(&tat, now, 7, 1000);
		if (rate.is_admitted) {
			admitted++;
			CHECK(rate.remaining >= 0 && rate.remaining < 7);
		} else {
			int64_t again = tat;

			CHECK_INT(tat, before);
			CHECK(rate.retry_after_ms > 0);
			/* What it says is enough. */
			CHECK(rules_gcra(&again,
					 now + rate.retry_after_ms * 1000000, 7,
					 1000)
				  .is_admitted);
		}
		CHECK(admitted <= 7 + now / (1000000000 / 7) + 1);
	}
	CHECK(admitted > 1000);
}

TEST(rules_gcra_edges)
{
	int64_t now = INT64_C(1700000000000000000), tat;

	tat = 5;
	CHECK(rules_gcra(&tat, now, SCHEMA_INT_NONE, HOUR_MS).is_admitted);
	CHECK_INT(tat, 5);
	CHECK(!rules_gcra(&tat, now, 0, HOUR_MS).is_admitted);
	CHECK_INT(tat, 5);
	tat = now;
	CHECK(rules_gcra(&tat, now, INT64_MAX, HOUR_MS).is_admitted);
	/* The clock was a day ahead and is right again. */
	tat = now + INT64_C(86400000000000);
	CHECK(rules_gcra(&tat, now, 100, HOUR_MS).is_admitted);
}

TEST(rules_meter_rolls_by_calendar_month)
{
	struct meter meter;
	int64_t start, end;

	schema_clear(&meter_schema, &meter);
	calendar_window(WINDOW_MONTH, INT64_C(1700000000000), "Europe/Rome",
			&start, &end);
	rules_meter_roll(&meter, INT64_C(1700000000000), "Europe/Rome");
	CHECK_INT(meter.month_start, start);
	CHECK_INT(meter.month_end, end);
	CHECK_INT(meter.month_used, 0);
	meter.month_used = 3;
	meter.month_reserved = 2;
	rules_meter_roll(&meter, end - 1, "Europe/Rome");
	CHECK_INT(meter.month_used, 3);
	/* A clock set back a little does not give the month anew. */
	rules_meter_roll(&meter, start - 1000, "Europe/Rome");
	CHECK_INT(meter.month_used, 3);
	rules_meter_roll(&meter, end, "Europe/Rome");
	CHECK_INT(meter.month_start, end);
	CHECK_INT(meter.month_used, 0);
	CHECK_INT(meter.month_reserved, 0);
}
