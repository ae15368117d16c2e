/*
 * sse: an incremental reader of server-sent events, called by the proxy with
 * whatever a provider's connection gave. Source: WHATWG HTML, "Server-sent
 * events", section "Parsing an event stream"; one difference: an event whose
 * blank line is missing at the end of the stream still counts (sse_end).
 * Lines end in LF, CRLF or CR, and bytes may be split anywhere. The raw texts
 * of all events, joined, are exactly the bytes that were fed.
 */
#ifndef WORKERS_SSE_H
#define WORKERS_SSE_H

#include "lib/buf.h"
#include "lib/err.h"

#define SSE_EVENT_BYTES_MAX (1u << 20) /* one event with its comments */

struct sse_event {
	struct str name; /* of `event:`; absent = none */
	struct str data; /* data lines joined with LF; absent: only comments,
			    blank lines or other fields */
	struct str raw;	 /* the bytes as they came, blank line included */
};
/* The strings live until it returns. False: stop reading (sse_feed returns
 * ERR_CANCELLED_BY_CALLER). */
typedef bool sse_event_fn(void *ctx, const struct sse_event *event);

struct sse {
	struct buf raw;	   /* bytes of the event that is not complete yet */
	struct buf joined; /* its data, once it has two lines or more */
	size_t line_at;	   /* in raw: where the current line begins */
	size_t scan_at;	   /* in raw: what is before was searched */
	size_t data_at;	   /* in raw: its data while it is one line */
	size_t data_n;
	size_t name_at;
	size_t name_n;
	unsigned data_lines;
	bool has_name;
	bool is_past_cr;    /* an LF that comes next belongs to a CR */
	bool is_past_start; /* the first line was read (BOM) */
};

/* Takes no memory yet. */
void sse_init(struct sse *sse);
void sse_fini(struct sse *sse);
/* As after init; memory is kept. */
void sse_reset(struct sse *sse);
/* Calls fn for each event that is complete. ERR_TOO_LARGE: an event of more
 * than SSE_EVENT_BYTES_MAX; ERR_NO_MEMORY; after an error only reset and fini
 * are allowed. */
enum err sse_feed(struct sse *sse, struct str bytes, sse_event_fn *fn,
		  void *ctx);
/* The stream is over: reports what is left as the last event, if anything is.
 */
enum err sse_end(struct sse *sse, sse_event_fn *fn, void *ctx);

#endif
