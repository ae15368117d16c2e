/*
 * log: one line, one write(2). See log.h. Whatever the pairs hold, a line
 * stays one line: control bytes never reach the output as they are.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/calendar.h"
#include "lib/clock.h"

#define PAIRS_BYTES 2048u
#define LINE_BYTES (6 * PAIRS_BYTES + 512) /* each byte may become \u00XX */
#define REQUEST_BYTES 65u
#define TRACE_BYTES 33u

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static char process_name[33] = "chatello";
static enum log_level level_max = LOG_INFO;
static enum log_format line_format = LOG_TEXT;
static _Thread_local char request[REQUEST_BYTES];
static _Thread_local char trace[TRACE_BYTES];

struct line {
	char text[LINE_BYTES];
	size_t n;
};

void
log_open(const char *process, enum log_level level, enum log_format format)
{
	snprintf(process_name, sizeof(process_name), "%s", process);
	level_max = level;
	line_format = format;
}

static void
keep(char *to, size_t room, struct str s)
{
	size_t n = s.n < room ? s.n : room - 1;

	if (n)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

void
log_request(struct str request_id)
{
	keep(request, sizeof(request), request_id);
}

void
log_trace(struct str id)
{
	keep(trace, sizeof(trace), id);
}

static void
add(struct line *line, const char *p, size_t n)
{
	size_t room = sizeof(line->text) - 1 - line->n; /* 1 for the LF */

	if (n > room)
		n = room;
	memcpy(line->text + line->n, p, n);
	line->n += n;
}

static void
add_z(struct line *line, const char *z)
{
	add(line, z, strlen(z));
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), 0 if none. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
	size_t length = p[0] < 0x80		? 1
			: (p[0] & 0xe0) == 0xc0 ? 2
			: (p[0] & 0xf0) == 0xe0 ? 3
			: (p[0] & 0xf8) == 0xf0 ? 4
						: 0;

	if (length == 0 || length > n || p[0] == 0xc0 || p[0] == 0xc1 ||
	    p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return length;
}

/* A JSON string (RFC 8259); what is no UTF-8 becomes U+FFFD. */
static void
add_json_string(struct line *line, const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	add_z(line, "\"");
	for (size_t i = 0; i < n;) {
		size_t length = utf8_length(u + i, n - i);
		char escape[8];

		if (u[i] == '"' || u[i] == '\\')
			add_z(line, "\\");
		if (u[i] < 0x20 || u[i] == 0x7f) {
			snprintf(escape, sizeof(escape), "\\u%04x", u[i]);
			add_z(line, escape);
		} else if (length == 0) {
			add_z(line, "\\ufffd");
		} else {
			add(line, p + i, length);
		}
		i += length ? length : 1;
	}
	add_z(line, "\"");
}

static void
add_json_member(struct line *line, const char *key, size_t key_n,
		const char *value, size_t value_n)
{
	if (line->n > 1)
		add_z(line, ",");
	add_json_string(line, key, key_n);
	add_z(line, ":");
	add_json_string(line, value, value_n);
}

static void
add_json_member_z(struct line *line, const char *key, const char *value)
{
	add_json_member(line, key, strlen(key), value, strlen(value));
}

/* key=value and key="value with blanks"; a word without = is "note". */
static void
add_json_pairs(struct line *line, const char *p)
{
	while (*(p += strspn(p, " ")) != '\0') {
		size_t key_n = strcspn(p, "= ");
		const char *value = p + key_n + 1;
		size_t value_n;

		if (p[key_n] != '=') {
			add_json_member(line, "note", 4, p, key_n);
			p += key_n;
			continue;
		}
		if (*value == '"') {
			value++;
			value_n = strcspn(value, "\"");
		} else {
			value_n = strcspn(value, " ");
		}
		add_json_member(line, p, key_n, value, value_n);
		p = value + value_n;
		p += *p == '"';
	}
}

static void
print_json(struct line *line, const char *level, const char *id,
	   const char *pairs)
{
	char time[CALENDAR_TEXT_BYTES];

	calendar_print_utc(clock_wall_ms(), time);
	add_z(line, "{");
	add_json_member_z(line, "event", id);
	add_json_member_z(line, "time", time);
	add_json_member_z(line, "level", level);
	add_json_member_z(line, "process", process_name);
	if (request[0])
		add_json_member_z(line, "request_id", request);
	if (trace[0])
		add_json_member_z(line, "trace_id", trace);
	add_json_pairs(line, pairs);
	add_z(line, "}");
}

static void
print_text(struct line *line, const char *level, const char *id,
	   const char *pairs)
{
	char time[CALENDAR_TEXT_BYTES];

	calendar_print_utc(clock_wall_ms(), time);
	add_z(line, id);
	add_z(line, " time=");
	add_z(line, time);
	add_z(line, " level=");
	add_z(line, level);
	add_z(line, " process=");
	add_z(line, process_name);
	if (request[0]) {
		add_z(line, " request_id=");
		add_z(line, request);
	}
	if (trace[0]) {
		add_z(line, " trace_id=");
		add_z(line, trace);
	}
	if (pairs[0])
		add_z(line, " ");
	add_z(line, pairs);
	for (size_t i = 0; i < line->n; i++)
		if ((unsigned char)line->text[i] < 0x20 ||
		    line->text[i] == 0x7f)
			line->text[i] = '?';
}

static void
put(enum log_level level, const char *id, const char *format, va_list args)
{
	char pairs[PAIRS_BYTES];
	struct line line;
	ssize_t ignored;

	line.n = 0;
	vsnprintf(pairs, sizeof(pairs), format, args);
	if (line_format == LOG_JSON)
		print_json(&line, level_names[level], id, pairs);
	else
		print_text(&line, level_names[level], id, pairs);
	line.text[line.n++] = '\n';
	/* A log that cannot be written must not stop the work. */
	ignored = write(STDERR_FILENO, line.text, line.n);
	(void)ignored;
}

void
log_line(enum log_level level, const char *id, const char *format, ...)
{
	va_list args;

	if (level > level_max)
		return;
	va_start(args, format);
	put(level, id, format, args);
	va_end(args);
}

void
log_die(const char *id, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put(LOG_ERROR, id, format, args);
	va_end(args);
	abort();
}
