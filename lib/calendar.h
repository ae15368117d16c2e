/*
 * calendar: RFC 3339, time zones, windows. Times are milliseconds since
 * 1970-01-01T00:00:00Z; a zone is an IANA name ("Europe/Rome"). Called from one
 * thread of a process (it switches TZ for glibc; see calendar.c).
 */
#ifndef LIB_CALENDAR_H
#define LIB_CALENDAR_H

#include "lib/str.h"

enum calendar_window {
	WINDOW_NONE, /* a gauge */
	WINDOW_HOUR,
	WINDOW_DAY,
	WINDOW_MONTH,
};

#define CALENDAR_TEXT_BYTES 40

/* True when the zone is known to this system. */
bool calendar_zone_is_known(const char *zone);

/* "2026-11-22T07:04:00Z" (or ".123Z" when not on a second). Returns length. */
size_t calendar_print_utc(int64_t ms, char out[CALENDAR_TEXT_BYTES]);
/* "2026-12-01T00:00:00+01:00" in the zone. Returns the length. */
size_t calendar_print_zoned(int64_t ms, const char *zone,
			    char out[CALENDAR_TEXT_BYTES]);
/* "2026-12-01", the zone's day that holds ms. Returns the length. */
size_t calendar_print_day(int64_t ms, const char *zone,
			  char out[CALENDAR_TEXT_BYTES]);
/* RFC 3339 date-time, or a bare date = its first instant in the zone. False
 * when it is neither or does not exist. */
bool calendar_parse(struct str text, const char *zone, int64_t *ms);

/* First instant of the window that holds ms, and of the next one, in the zone;
 * a day may have 23 or 25 hours. WINDOW_NONE: 0 and INT64_MAX. */
void calendar_window(enum calendar_window window, int64_t ms, const char *zone,
		     int64_t *start_ms, int64_t *end_ms);
/* The window that a limit's name asks for by its suffix: requests_month. */
enum calendar_window calendar_window_of(struct str limit_name);
/* ms plus n months in the zone, same wall time; 31 January + 1 month is the
 * last day of February. */
int64_t calendar_add_months(int64_t ms, int months, const char *zone);
/* The zone's day of ms as days since 1970-01-01, and back to first instant. */
int64_t calendar_day_number(int64_t ms, const char *zone);
int64_t calendar_day_start(int64_t day_number, const char *zone);

#endif
