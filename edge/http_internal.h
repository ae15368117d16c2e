/*
 * http_internal: what the files of edge/http share of a listener.
 */
#ifndef EDGE_HTTP_INTERNAL_H
#define EDGE_HTTP_INTERNAL_H

#include "edge/deadlines.h"
#include "edge/head.h"
#include "edge/http.h"
#include "edge/requests.h"
#include "lib/clock.h"

#include <microhttpd.h>
#include <time.h>

/* A connection's pool: a request's head, and then the answer's head, which
 * must find its room: the answer of what was done would be lost. It is cleared
 * for each request: no larger than that. */
#define ANSWER_HEAD_BYTES 2304u
#define CONNECTION_BYTES (HEAD_COST_MAX + ANSWER_HEAD_BYTES)

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
	struct loop_timer rest;	 /* set: the daemon is left alone until then */
	struct deadlines deadlines;
	struct requests requests;
	unsigned connection_count;
	time_t date_s; /* that date says */
	char date[sizeof("Sun, 06 Nov 1994 08:49:37 GMT")];
	unsigned lingering;
	int64_t watched_ms_sum; /* of the last few watched, see http_linger */
	unsigned unread;	/* requests whose body is not all here */
	bool has_moved;		/* this run brought parts of requests */
	bool has_queued; /* it made parts of answers, for the next to send */
	bool is_dirty;	 /* MHD_run has something to do */
	bool is_draining;
	bool has_hook;
};

/* --- http.c --------------------------------------------------------------- */

/* There is something to do for the listener at the end of this turn. */
void http_mark_dirty(struct http *http);

/* --- http_requests.c: called by libmicrohttpd ----------------------------- */

/* The raw target: later it is unescaped in place. */
void *http_on_target(void *http, const char *target,
		     struct MHD_Connection *connection);
/* First with the head, then with each part of the body, then behind it. */
enum MHD_Result http_on_request(void *http, struct MHD_Connection *connection,
				const char *url, const char *method,
				const char *version, const char *upload,
				size_t *upload_n, void **request);
void http_on_completed(void *http, struct MHD_Connection *connection,
		       void **request, enum MHD_RequestTerminationCode why);
void http_on_connection(void *http, struct MHD_Connection *connection,
			void **socket_context,
			enum MHD_ConnectionNotificationCode code);

/* --- http_send.c ---------------------------------------------------------- */

/* The request was answered, or there is more of its stream, or it is gone:
 * libmicrohttpd is to call again. */
void http_wake(struct http_request *request);
/* Suspends the connection until http_wake. Only from a callback of
 * libmicrohttpd. */
void http_rest(struct http_request *request);
/* Leaves it to be called again at each run, for a moment; false: it has to
 * rest. */
bool http_linger(struct http_request *request);
void http_linger_end(struct http_request *request);
/* Hands the answer over. Only from a callback of libmicrohttpd. */
enum MHD_Result http_reply_queue(struct http_request *request);

/* --- http_answer.c -------------------------------------------------------- */

/* Answers while the body is still coming, with Connection: close. What comes
 * from then on is to be read away for a while. RFC 9112, sections 4 and 9.6. */
void http_refuse_early(struct http_request *request, const char *reason);
/* The value of the Date header. RFC 9110, section 6.6.1. */
const char *http_date(struct http *http);

#endif
