/*
 * upstream_internal: what the files of workers/upstream share. curl resolves,
 * connects and encrypts (upstream.c, upstream_connection.c); what is said over
 * a connection is ours (upstream_call.c, upstream_answer.c). A connection
 * carries one call at a time and waits for the next one at its origin.
 */
#ifndef WORKERS_UPSTREAM_INTERNAL_H
#define WORKERS_UPSTREAM_INTERNAL_H

#include "workers/upstream.h"
#include "workers/upstream_answer.h"

#include <curl/curl.h>

#define UPSTREAM_RECEIVE_BYTES 16384u
/* Connections of one multi handle: curl looks for one among all of its own each
 * time that it sends or receives. */
#define UPSTREAM_MULTI_CONNECTIONS 16u

struct upstream_connection;

/* curl's handle of some connections; they stay with it to their end. */
struct upstream_multi {
	struct upstream *upstream;
	struct upstream_multi *next;
	CURLM *curl;
	struct loop_timer timer;
	unsigned count; /* of its connections */
	bool is_reporting;
};

/* Where connections lead: scheme, host and port. */
struct upstream_origin {
	struct upstream *upstream;
	struct upstream_origin *next;
	char *url;
	bool is_plain;			  /* http: to loopback */
	unsigned target_count;		  /* freed with the last of them */
	struct upstream_connection *idle; /* the one used last comes first */
};

struct upstream {
	struct loop *loop;
	CURLSH *share; /* of all multi handles: names, TLS sessions */
	struct upstream_multi *multis;
	struct upstream_origin *origins;
	unsigned idle_count;
	int64_t connect_ms;
	const char *ca_file; /* NULL: the system's */
	char in[UPSTREAM_RECEIVE_BYTES];
};

struct upstream_target {
	struct upstream *upstream;
	struct upstream_origin *origin;
	char *path;
	struct buf headers;  /* lines with their ends, the same for all calls */
	unsigned open_count; /* calls that are out */
	bool is_closed;	     /* freed behind the last of them */
};

/* --- upstream_target.c ----------------------------------------------- */

/* It is closed, and its last call is over. */
void upstream_target_free(struct upstream_target *target);

/* --- upstream.c ------------------------------------------------------ */

/* One with room for another connection; NULL: no memory. */
struct upstream_multi *upstream_multi_take(struct upstream *upstream);

/* --- upstream_connection.c ------------------------------------------- */

/* For a call: one that waits, or else (or always: is_new) one that is begun.
 * One that waited is connected, and call->is_kept. NULL: no memory. */
struct upstream_connection *upstream_connection_take(struct upstream_call *call,
						     bool is_new);
/* Its call is over: it waits for another one, or is closed. */
void upstream_connection_keep(struct upstream_connection *connection);
void upstream_connection_close(struct upstream_connection *connection);
/* Closes those that wait. */
void upstream_origin_drain(struct upstream_origin *origin);
/* curl is done with connecting: tells the call. */
void upstream_connection_made(struct upstream_connection *connection,
			      CURLcode code);
/* What the call wants to hear of: EPOLLIN, EPOLLOUT, 0 = nothing at all.
 * ERR_NO_MEMORY. */
enum err upstream_connection_watch(struct upstream_connection *connection,
				   uint32_t events);

enum io { IO_DONE, IO_BLOCKED, IO_BROKEN };
/* *done: the bytes that went; the same ones are to come again behind
 * IO_BLOCKED. */
enum io upstream_connection_send(struct upstream_connection *connection,
				 struct str bytes, size_t *done);
/* Up to UPSTREAM_RECEIVE_BYTES into upstream->in; n == 0: the other side has
 * ended. */
enum io upstream_connection_receive(struct upstream_connection *connection,
				    size_t *n);

/* --- upstream_call.c ------------------------------------------------- */

struct upstream_call {
	struct upstream_target *target;
	struct upstream_connection *connection;
	const struct upstream_handler *handler;
	void *ctx;
	struct str body;
	struct buf request; /* the head and a short body; wiped */
	size_t sent;	    /* bytes of request and body */
	unsigned sends;
	bool is_sent;	/* all of it, over this connection */
	bool is_kept;	/* the connection carried another call before */
	bool is_unsent; /* the rest is not sent any more */
	bool is_paused;
	struct upstream_answer answer;
	struct buf held;  /* bytes that came and were not taken, */
	size_t held_body; /* these first of them a piece of the body */
	struct loop_timer again;
};

/* Connected: the request goes out. */
void upstream_call_connected(struct upstream_call *call);
/* It is over: tells the handler. The call is gone, and its connection closed.
 */
void upstream_call_end(struct upstream_call *call, enum err err,
		       const char *text);
/* What the connection's socket can do. */
void upstream_call_ready(struct upstream_call *call, uint32_t events);

#endif
