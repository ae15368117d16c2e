/*
 * calendar: see calendar.h. UTC is plain arithmetic; a zone's offset comes
 * from glibc, by TZ, which is set only when the zone differs from the last one
 * asked for. All else is built from one question: what is the offset at this
 * instant?
 */
#include "lib/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ZONEINFO "/usr/share/zoneinfo/"
#define ZONE_BYTES 64
#define SECOND_MS 1000
#define DAY_S 86400
/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z: what RFC 3339 can say. */
#define FIRST_MS INT64_C(-62167219200000)
#define LAST_MS INT64_C(253402300799999)
/* No zone was ever further from UTC than this. */
#define OFFSET_MAX_S (16 * 3600)

struct civil {
	int64_t year;
	int month; /* 1..12 */
	int day;   /* 1..31 */
};

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, counting years
 * from March so that the leap day is a year's last. */
static int64_t
days_of(struct civil c)
{
	int64_t y = c.year - (c.month <= 2);
	int64_t era = floor_div(y, 400);
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year =
	    (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 -
	       year_of_era / 100 + day_of_year - 719468;
}

static struct civil
civil_of(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	int64_t day = z - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t in_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153; /* 0 = March */
	struct civil c = {
	    .year = year + era * 400 + (month >= 10),
	    .month = (int)(month < 10 ? month + 3 : month - 9),
	    .day = (int)(in_year - (153 * month + 2) / 5 + 1),
	};

	return c;
}

static int
month_days(int64_t year, int month)
{
	struct civil this = {year, month, 1};
	struct civil next = {month == 12 ? year + 1 : year, month % 12 + 1, 1};

	return (int)(days_of(next) - days_of(this));
}

static int64_t
clamp(int64_t ms)
{
	return ms < FIRST_MS ? FIRST_MS : ms > LAST_MS ? LAST_MS : ms;
}

static void
use_zone(const char *zone)
{
	static char current[ZONE_BYTES];

	if (zone == NULL || zone[0] == '\0')
		zone = "UTC";
	if (strcmp(zone, current) == 0)
		return;
	snprintf(current, sizeof(current), "%s", zone);
	setenv("TZ", current, 1);
	tzset();
}

/* Seconds east of UTC at that instant. */
static int64_t
offset_at(int64_t unix_s, const char *zone)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	use_zone(zone);
	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/* The zone's wall clock, as if it were UTC. */
static int64_t
local_s(int64_t unix_s, const char *zone)
{
	return unix_s + offset_at(unix_s, zone);
}

/* The instant of a wall time. Of two the first; one that a spring change
 * leaves out is read with the offset before it. */
static int64_t
instant_of(int64_t wall_s, const char *zone)
{
	int64_t before = offset_at(wall_s - DAY_S, zone);
	int64_t after = offset_at(wall_s + DAY_S, zone);

	if (offset_at(wall_s - before, zone) == before)
		return wall_s - before;
	if (offset_at(wall_s - after, zone) == after)
		return wall_s - after;
	return wall_s - before;
}

bool
calendar_zone_is_known(const char *zone)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789_+-/";
	char path[sizeof(ZONEINFO) + ZONE_BYTES];
	char magic[4];
	size_t n = zone ? strlen(zone) : 0;
	bool is_known;
	FILE *file;

	if (n == 0 || n >= ZONE_BYTES || zone[0] == '/' ||
	    strspn(zone, allowed) != n)
		return false;
	snprintf(path, sizeof(path), "%s%s", ZONEINFO, zone);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	is_known = fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
		   memcmp(magic, "TZif", sizeof(magic)) == 0;
	fclose(file);
	return is_known;
}

/* By hand: a time is printed several times for each answer of the hot path. */
static char *
put_digits(char *at, int64_t value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

static char *
put_date(char *at, struct civil c)
{
	at = put_digits(at, c.year, 4);
	*at++ = '-';
	at = put_digits(at, c.month, 2);
	*at++ = '-';
	return put_digits(at, c.day, 2);
}

/* wall_ms: a wall clock as if it were UTC; without its zone. */
static char *
put_wall(char *at, int64_t wall_ms)
{
	int64_t seconds = floor_div(wall_ms, SECOND_MS);
	int64_t days = floor_div(seconds, DAY_S);
	int in_day = (int)(seconds - days * DAY_S);
	int ms = (int)(wall_ms - seconds * SECOND_MS);

	at = put_date(at, civil_of(days));
	*at++ = 'T';
	at = put_digits(at, in_day / 3600, 2);
	*at++ = ':';
	at = put_digits(at, in_day / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, in_day % 60, 2);
	if (ms == 0)
		return at;
	*at++ = '.';
	return put_digits(at, ms, 3);
}

static size_t
finish(const char *out, char *at)
{
	*at = '\0';
	return (size_t)(at - out);
}

size_t
calendar_print_utc(int64_t ms, char out[CALENDAR_TEXT_BYTES])
{
	char *at = put_wall(out, clamp(ms));

	*at++ = 'Z';
	return finish(out, at);
}

size_t
calendar_print_zoned(int64_t ms, const char *zone,
		     char out[CALENDAR_TEXT_BYTES])
{
	int64_t at = clamp(ms);
	int64_t offset = offset_at(floor_div(at, SECOND_MS), zone);
	/* Offsets of before the railways have seconds; RFC 3339 has none. */
	int64_t minutes = floor_div(offset, 60);
	int absolute = (int)(minutes < 0 ? -minutes : minutes);
	char *end = put_wall(out, clamp(at + minutes * 60 * SECOND_MS));

	*end++ = minutes < 0 ? '-' : '+';
	end = put_digits(end, absolute / 60, 2);
	*end++ = ':';
	return finish(out, put_digits(end, absolute % 60, 2));
}

size_t
calendar_print_day(int64_t ms, const char *zone, char out[CALENDAR_TEXT_BYTES])
{
	struct civil c = civil_of(calendar_day_number(ms, zone));

	return finish(out, put_date(out, c));
}

struct scan {
	const char *p;
	size_t n;
};

static bool
scan_number(struct scan *scan, size_t digits, int *out)
{
	int value = 0;

	if (scan->n < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (scan->p[i] < '0' || scan->p[i] > '9')
			return false;
		value = value * 10 + (scan->p[i] - '0');
	}
	scan->p += digits;
	scan->n -= digits;
	*out = value;
	return true;
}

static bool
scan_char(struct scan *scan, const char *any_of)
{
	if (scan->n == 0 || scan->p[0] == '\0' ||
	    strchr(any_of, scan->p[0]) == NULL)
		return false;
	scan->p++;
	scan->n--;
	return true;
}

static bool
scan_date(struct scan *scan, int64_t *days)
{
	int year, month, day;

	if (!scan_number(scan, 4, &year) || !scan_char(scan, "-") ||
	    !scan_number(scan, 2, &month) || !scan_char(scan, "-") ||
	    !scan_number(scan, 2, &day) || month < 1 || month > 12 || day < 1 ||
	    day > month_days(year, month))
		return false;
	*days = days_of((struct civil){year, month, day});
	return true;
}

/* Digits beyond the millisecond are passed over. */
static bool
scan_fraction(struct scan *scan, int64_t *ms)
{
	int weight = 100, digit;

	*ms = 0;
	if (!scan_char(scan, "."))
		return true;
	if (!scan_number(scan, 1, &digit))
		return false;
	do {
		*ms += digit * weight;
		weight /= 10;
	} while (scan_number(scan, 1, &digit));
	return true;
}

static bool
scan_offset(struct scan *scan, int64_t *seconds)
{
	int hours, minutes, sign;

	*seconds = 0;
	if (scan_char(scan, "Zz"))
		return true;
	sign = scan->n && scan->p[0] == '-' ? -1 : 1;
	if (!scan_char(scan, "+-") || !scan_number(scan, 2, &hours) ||
	    !scan_char(scan, ":") || !scan_number(scan, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool
calendar_parse(struct str text, const char *zone, int64_t *ms)
{
	struct scan scan = {text.p, text.n};
	int64_t days, fraction_ms, offset;
	int hour, minute, second;

	if (!scan_date(&scan, &days))
		return false;
	if (scan.n == 0) {
		*ms = calendar_day_start(days, zone);
		return true;
	}
	/* No second 60: Unix time has none. */
	if (!scan_char(&scan, "Tt") || !scan_number(&scan, 2, &hour) ||
	    !scan_char(&scan, ":") || !scan_number(&scan, 2, &minute) ||
	    !scan_char(&scan, ":") || !scan_number(&scan, 2, &second) ||
	    hour > 23 || minute > 59 || second > 59 ||
	    !scan_fraction(&scan, &fraction_ms) ||
	    !scan_offset(&scan, &offset) || scan.n)
		return false;
	*ms = (days * DAY_S + hour * 3600 + minute * 60 + second - offset) *
		  SECOND_MS +
	      fraction_ms;
	return true;
}

int64_t
calendar_day_number(int64_t ms, const char *zone)
{
	return floor_div(local_s(floor_div(clamp(ms), SECOND_MS), zone), DAY_S);
}

/* By bisection: also right where midnight is left out or comes twice. */
int64_t
calendar_day_start(int64_t day_number, const char *zone)
{
	int64_t low = day_number * DAY_S - OFFSET_MAX_S;  /* before it */
	int64_t high = day_number * DAY_S + OFFSET_MAX_S; /* in or behind it */

	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (floor_div(local_s(middle, zone), DAY_S) < day_number)
			low = middle;
		else
			high = middle;
	}
	return high * SECOND_MS;
}

/* The month that holds ms, and `months` further: its first instant. */
static int64_t
month_start(int64_t ms, int months, const char *zone)
{
	struct civil c = civil_of(calendar_day_number(ms, zone));
	int64_t month = c.year * 12 + c.month - 1 + months;

	c.year = floor_div(month, 12);
	c.month = (int)(month - c.year * 12) + 1;
	c.day = 1;
	return calendar_day_start(days_of(c), zone);
}

static void
find_window(enum calendar_window window, int64_t ms, const char *zone,
	    int64_t *start_ms, int64_t *end_ms)
{
	int64_t at = clamp(ms), seconds, offset, day;

	switch (window) {
	case WINDOW_HOUR:
		seconds = floor_div(at, SECOND_MS);
		offset = offset_at(seconds, zone);
		seconds = floor_div(seconds + offset, 3600) * 3600 - offset;
		*start_ms = seconds * SECOND_MS;
		*end_ms = (seconds + 3600) * SECOND_MS;
		break;
	case WINDOW_DAY:
		day = calendar_day_number(at, zone);
		*start_ms = calendar_day_start(day, zone);
		*end_ms = calendar_day_start(day + 1, zone);
		break;
	case WINDOW_MONTH:
		*start_ms = month_start(at, 0, zone);
		*end_ms = month_start(at, 1, zone);
		break;
	case WINDOW_NONE:
		*start_ms = 0;
		*end_ms = INT64_MAX;
		break;
	}
}

/* The last window of each kind is kept: the ledger asks for the same ones
 * tens of thousands of times a second. */
void
calendar_window(enum calendar_window window, int64_t ms, const char *zone,
		int64_t *start_ms, int64_t *end_ms)
{
	static struct {
		char zone[ZONE_BYTES];
		int64_t start_ms, end_ms;
	} last[WINDOW_MONTH + 1];
	const char *name = zone ? zone : "";

	if (ms < last[window].start_ms || ms >= last[window].end_ms ||
	    strcmp(name, last[window].zone) != 0) {
		find_window(window, ms, zone, &last[window].start_ms,
			    &last[window].end_ms);
		snprintf(last[window].zone, ZONE_BYTES, "%s", name);
	}
	*start_ms = last[window].start_ms;
	*end_ms = last[window].end_ms;
}

enum calendar_window
calendar_window_of(struct str limit_name)
{
	if (str_ends(limit_name, STR("_hour")))
		return WINDOW_HOUR;
	if (str_ends(limit_name, STR("_day")))
		return WINDOW_DAY;
	if (str_ends(limit_name, STR("_month")))
		return WINDOW_MONTH;
	return WINDOW_NONE;
}

int64_t
calendar_add_months(int64_t ms, int months, const char *zone)
{
	int64_t at = clamp(ms);
	int64_t seconds = floor_div(at, SECOND_MS);
	int64_t wall = local_s(seconds, zone);
	int64_t days = floor_div(wall, DAY_S);
	struct civil c = civil_of(days);
	int64_t month = c.year * 12 + c.month - 1 + months;

	c.year = floor_div(month, 12);
	c.month = (int)(month - c.year * 12) + 1;
	if (c.day > month_days(c.year, c.month))
		c.day = month_days(c.year, c.month);
	wall = days_of(c) * DAY_S + (wall - days * DAY_S);
	return clamp(instant_of(wall, zone) * SECOND_MS +
		     (at - seconds * SECOND_MS));
}
