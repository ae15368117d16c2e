/* calendar: printing, strict reading, days of 23 and 25 hours, months. */
#include "lib/calendar.h"

#include "lib/test.h"

#define HOUR_MS INT64_C(3600000)

static int64_t
at(const char *text)
{
	int64_t ms = -1;

	if (!calendar_parse(str_of(text), "UTC", &ms))
		test_fail(__FILE__, __LINE__, "cannot read %s", text);
	return ms;
}

static void
check_zoned(int64_t ms, const char *zone, const char *want)
{
	char text[CALENDAR_TEXT_BYTES];
	size_t n = calendar_print_zoned(ms, zone, text);

	CHECK_STR(str_bytes(text, n), str_of(want));
	CHECK_INT(strlen(text), n);
}

TEST(calendar_prints_utc)
{
	static const struct {
		int64_t ms;
		const char *want;
	} rows[] = {
	    {0, "1970-01-01T00:00:00Z"},
	    {1, "1970-01-01T00:00:00.001Z"},
	    {-1, "1969-12-31T23:59:59.999Z"},
	    {INT64_C(951782400000), "2000-02-29T00:00:00Z"},
	    {INT64_C(1795331040000), "2026-11-22T07:04:00Z"},
	    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
	    {INT64_MIN, "0000-01-01T00:00:00Z"},
	};
	char text[CALENDAR_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = calendar_print_utc(rows[i].ms, text);

		CHECK_STR(str_bytes(text, n), str_of(rows[i].want));
	}
}

TEST(calendar_reads_back_what_it_prints)
{
	char text[CALENDAR_TEXT_BYTES];

	for (int64_t ms = INT64_C(-60000000000000);
	     ms < INT64_C(250000000000000); ms += INT64_C(98765432109)) {
		int64_t again = 0;
		size_t n = calendar_print_utc(ms, text);

		CHECK(calendar_parse(str_bytes(text, n), "UTC", &again));
		CHECK_INT(again, ms);
	}
}

TEST(calendar_reads_rfc_3339_and_nothing_else)
{
	static const char *bad[] = {
	    "",
	    "2026-11-22T07:04:00",
	    "2026-11-22 07:04:00Z",
	    "2026-11-22T07:04Z",
	    "2026-11-22T24:00:00Z",
	    "2026-11-22T07:60:00Z",
	    "2026-11-22T23:59:60Z",
	    "2026-11-22T07:04:00.Z",
	    "2026-11-22T07:04:00+0100",
	    "2026-11-22T07:04:00+24:00",
	    "2026-11-22T07:04:00Zx",
	    "2026-11-22T07:04:00ZZ",
	    "2026-02-29",
	    "1900-02-29",
	    "2026-13-01",
	    "2026-00-10",
	    "2026-01-00",
	    "2026-1-1",
	    "26-01-01",
	    "2026-01-01T",
	    " 2026-01-01",
	    "+2026-01-01",
	    "now",
	};
	int64_t ms = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (calendar_parse(str_of(bad[i]), "UTC", &ms))
			test_fail(__FILE__, __LINE__, "took %s", bad[i]);
	CHECK(!calendar_parse(STR("2026-01-01\0"), "UTC", &ms));
	CHECK_INT(ms, 77);
	CHECK_INT(at("2026-11-22T07:04:00Z"), INT64_C(1795331040000));
	CHECK_INT(at("2026-11-22t08:04:00.25+01:00"), INT64_C(1795331040250));
	CHECK_INT(at("2026-11-22T01:34:00.123456789-05:30"),
		  INT64_C(1795331040123));
	CHECK_INT(at("2000-02-29"), INT64_C(951782400000));
}

TEST(calendar_bare_date_is_the_zones_first_instant)
{
	int64_t ms;

	CHECK(calendar_parse(STR("2026-12-01"), "Europe/Rome", &ms));
	CHECK_INT(ms, at("2026-11-30T23:00:00Z"));
	check_zoned(ms, "Europe/Rome", "2026-12-01T00:00:00+01:00");
	check_zoned(ms, "America/New_York", "2026-11-30T18:00:00-05:00");
	check_zoned(ms, "Asia/Kolkata", "2026-12-01T04:30:00+05:30");
	check_zoned(ms, "UTC", "2026-11-30T23:00:00+00:00");
}

static void
check_day(const char *noon, const char *zone, int hours)
{
	int64_t start, end;

	calendar_window(WINDOW_DAY, at(noon), zone, &start, &end);
	CHECK(start <= at(noon) && at(noon) < end);
	CHECK_INT((end - start) / HOUR_MS, hours);
	CHECK_INT((end - start) % HOUR_MS, 0);
	/* Both ends belong where they should, and no other window differs. */
	CHECK_INT(calendar_day_number(start, zone),
		  calendar_day_number(end - 1, zone));
	CHECK_INT(calendar_day_number(start - 1, zone) + 1,
		  calendar_day_number(start, zone));
	CHECK_INT(calendar_day_start(calendar_day_number(start, zone), zone),
		  start);
}

TEST(calendar_days_of_23_and_25_hours)
{
	check_day("2026-03-29T12:00:00Z", "Europe/Rome", 23);
	check_day("2026-03-28T12:00:00Z", "Europe/Rome", 24);
	check_day("2026-10-25T12:00:00Z", "Europe/Rome", 25);
	check_day("2026-10-26T12:00:00Z", "Europe/Rome", 24);
	check_day("2026-03-08T12:00:00Z", "America/New_York", 23);
	check_day("2026-11-01T12:00:00Z", "America/New_York", 25);
	check_day("2026-11-01T12:00:00Z", "UTC", 24);
	/* Midnight itself is left out, or comes twice. */
	check_day("2018-11-04T15:00:00Z", "America/Sao_Paulo", 23);
	check_day("2026-11-01T15:00:00Z", "America/Havana", 25);
}

TEST(calendar_hours_and_gauges)
{
	int64_t start, end;

	calendar_window(WINDOW_HOUR, at("2026-11-21T10:20:30Z"), "Asia/Kolkata",
			&start, &end);
	CHECK_INT(start, at("2026-11-21T09:30:00Z"));
	CHECK_INT(end, at("2026-11-21T10:30:00Z"));
	calendar_window(WINDOW_HOUR, at("2026-11-21T10:20:30Z"), "Europe/Rome",
			&start, &end);
	CHECK_INT(start, at("2026-11-21T10:00:00Z"));
	calendar_window(WINDOW_NONE, 5, "Europe/Rome", &start, &end);
	CHECK_INT(start, 0);
	CHECK_INT(end, INT64_MAX);
}

TEST(calendar_months)
{
	int64_t start, end;

	calendar_window(WINDOW_MONTH, at("2026-10-31T23:30:00Z"), "Europe/Rome",
			&start, &end);
	CHECK_INT(start, at("2026-10-31T23:00:00Z"));
	CHECK_INT(end, at("2026-11-30T23:00:00Z"));
	calendar_window(WINDOW_MONTH, at("2026-12-31T22:59:59.999Z"),
			"Europe/Rome", &start, &end);
	CHECK_INT(start, at("2026-11-30T23:00:00Z"));
	CHECK_INT(end, at("2026-12-31T23:00:00Z"));
	/* The same kind, another zone, asked at once: no stale answer. */
	calendar_window(WINDOW_MONTH, at("2026-12-31T22:59:59.999Z"),
			"America/New_York", &start, &end);
	CHECK_INT(start, at("2026-12-01T05:00:00Z"));
	calendar_window(WINDOW_MONTH, at("2027-01-01T04:59:00Z"),
			"America/New_York", &start, &end);
	CHECK_INT(start, at("2026-12-01T05:00:00Z"));
}

TEST(calendar_windows_tile_time)
{
	static const char *zones[] = {"Europe/Rome", "America/New_York",
				      "Australia/Lord_Howe", "UTC"};

	for (size_t z = 0; z < 4; z++) {
		int64_t ms = at("2026-01-01T00:00:00Z");
		int64_t start, end, last_end = 0;

		for (int i = 0; i < 400; i++, ms = last_end) {
			calendar_window(WINDOW_DAY, ms, zones[z], &start, &end);
			CHECK(start <= ms && ms < end);
			CHECK(last_end == 0 || start == last_end);
			last_end = end;
		}
	}
}

TEST(calendar_adds_months_at_the_same_wall_time)
{
	static const struct {
		const char *from;
		int months;
		const char *zone, *want;
	} rows[] = {
	    {"2026-01-31T11:00:00Z", 1, "UTC", "2026-02-28T11:00:00Z"},
	    {"2028-01-31T11:00:00Z", 1, "UTC", "2028-02-29T11:00:00Z"},
	    {"2026-11-21T11:00:00Z", 12, "UTC", "2027-11-21T11:00:00Z"},
	    {"2026-11-21T11:00:00.5Z", 2, "UTC", "2027-01-21T11:00:00.5Z"},
	    {"2026-03-31T11:00:00Z", -1, "UTC", "2026-02-28T11:00:00Z"},
	    {"2026-01-15T11:00:00Z", -1, "UTC", "2025-12-15T11:00:00Z"},
	    /* 12:00 in winter, 12:00 in summer */
	    {"2026-01-15T11:00:00Z", 6, "Europe/Rome", "2026-07-15T10:00:00Z"},
	    /* 02:30 does not exist on 29 March: half past three */
	    {"2026-02-28T01:30:00Z", 1, "Europe/Rome", "2026-03-28T01:30:00Z"},
	    {"2026-01-29T01:30:00Z", 2, "Europe/Rome", "2026-03-29T01:30:00Z"},
	    /* 02:30 comes twice on 25 October: the first */
	    {"2026-09-25T00:30:00Z", 1, "Europe/Rome", "2026-10-25T00:30:00Z"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[CALENDAR_TEXT_BYTES], want[CALENDAR_TEXT_BYTES];
		int64_t ms = calendar_add_months(at(rows[i].from),
						 rows[i].months, rows[i].zone);

		calendar_print_utc(ms, text);
		calendar_print_utc(at(rows[i].want), want);
		CHECK_STR(str_of(text), str_of(want));
	}
}

TEST(calendar_day_text_and_number)
{
	char text[CALENDAR_TEXT_BYTES];

	calendar_print_day(at("2026-11-30T23:30:00Z"), "Europe/Rome", text);
	CHECK_STR(str_of(text), STR("2026-12-01"));
	calendar_print_day(at("2026-11-30T23:30:00Z"), "UTC", text);
	CHECK_STR(str_of(text), STR("2026-11-30"));
	CHECK_INT(calendar_day_number(0, "UTC"), 0);
	CHECK_INT(calendar_day_number(-1, "UTC"), -1);
	CHECK_INT(calendar_day_number(0, "America/New_York"), -1);
}

TEST(calendar_zones)
{
	static const char *bad[] = {"",
				    "Europe",
				    "Rome",
				    "/etc/passwd",
				    "../../etc/hostname",
				    "Europe/../Europe/Rome",
				    "tzdata.zi",
				    "Europe/Rome ",
				    "zone.tab",
				    "CET-1CEST"};

	CHECK(calendar_zone_is_known("Europe/Rome"));
	CHECK(calendar_zone_is_known("America/New_York"));
	CHECK(calendar_zone_is_known("America/Argentina/Buenos_Aires"));
	CHECK(calendar_zone_is_known("Etc/GMT+5"));
	CHECK(calendar_zone_is_known("UTC"));
	CHECK(!calendar_zone_is_known(NULL));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!calendar_zone_is_known(bad[i]));
}

TEST(calendar_window_names)
{
	CHECK_INT(calendar_window_of(STR("requests_month")), WINDOW_MONTH);
	CHECK_INT(calendar_window_of(STR("requests_hour")), WINDOW_HOUR);
	CHECK_INT(calendar_window_of(STR("api_calls_day")), WINDOW_DAY);
	CHECK_INT(calendar_window_of(STR("rooms")), WINDOW_NONE);
	CHECK_INT(calendar_window_of(STR_NONE), WINDOW_NONE);
}
