/*
 * http_internal: what edge/http.c and edge/http_answer.c share of a listener.
 */
#ifndef EDGE_HTTP_INTERNAL_H
#define EDGE_HTTP_INTERNAL_H

#include "edge/deadlines.h"
#include "edge/http.h"
#include "edge/requests.h"

#include <time.h>

#define NS_PER_MS INT64_C(1000000)

struct MHD_Connection;
struct MHD_Daemon;

struct http_connection {
	struct deadline deadline;
	struct http *http;
	struct MHD_Connection *mhd;
	const char *target_fault;
	struct http_request *request; /* NULL between requests */
	struct loop_fd *hangup;
};

struct http {
	struct http_options options;
	struct MHD_Daemon *daemon;
	struct loop_fd *watch;
	struct loop_timer again; /* work is left that no descriptor tells of */
	struct deadlines deadlines;
	struct requests requests;
	unsigned connection_count;
	time_t date_s; /* that date says */
	char date[sizeof("Sun, 06 Nov 1994 08:49:37 GMT")];
	unsigned lingering;
	unsigned unread; /* requests whose body is not all here */
	bool has_moved;	 /* this run brought parts of requests */
	bool has_queued; /* it made parts of answers, for the next to send */
	bool is_dirty;	 /* MHD_run has something to do */
	bool is_draining;
	bool has_hook;
};

/* There is something to do for the listener at the end of this turn. */
void http_mark_dirty(struct http *http);
/* The request was answered, or there is more of its stream, or it is gone:
 * libmicrohttpd is to call again. */
void http_wake(struct http_request *request);
/* Answers while the body is still coming, with Connection: close. What comes
 * from then on is to be read away for a while. RFC 9112, sections 4 and 9.6. */
void http_refuse_early(struct http_request *request, const char *reason);
/* The value of the Date header. RFC 9110, section 6.6.1. */
const char *http_date(struct http *http);

#endif
