/*
 * log: lines on standard error. A line starts with a stable event id, then
 * key=value pairs: `edge-listen listener=public port=5010`. No prompt, no key,
 * no personal data. Library code never logs; processes do. Any thread.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* process: "edge-0", on every line. Call once, before threads. */
void log_open(const char *process, enum log_level level,
	      enum log_format format);
/* The request id that is put on this thread's lines until reset with NONE. */
void log_request(struct str request_id);
/* Likewise, the W3C trace that the request belongs to: `trace_id`. */
void log_trace(struct str id);
/* LOG_*(): id, then a printf of key=value pairs. Values with blanks are to be
 * written in double quotes by the caller. */
void log_line(enum log_level level, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_error(id, ...) log_line(LOG_ERROR, id, __VA_ARGS__)
#define log_warn(id, ...) log_line(LOG_WARN, id, __VA_ARGS__)
#define log_info(id, ...) log_line(LOG_INFO, id, __VA_ARGS__)
#define log_debug(id, ...) log_line(LOG_DEBUG, id, __VA_ARGS__)
/* A bug: says where and aborts. */
_Noreturn void log_die(const char *id, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
