/*
 * http: one listener: HTTP/1.1 on a socket, as requests and answers. The only
 * includer of libmicrohttpd, which runs without threads inside our loop. Every
 * request passes the audit first. Everything runs in the loop's thread.
 *
 * A request lives from `begin` to `end`. `handle` answers at once or later from
 * the loop; until then its connection rests. It is answered exactly once, with
 * http_reply or with http_stream ... http_stream_end.
 */
#ifndef EDGE_HTTP_H
#define EDGE_HTTP_H

#include "edge/audit.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"

#define HTTP_REPLY_HEADERS_MAX 32
#define HTTP_STREAM_BYTES_MAX (1u << 20) /* that wait for the client */
#define HTTP_ARENA_BYTES_MAX (4u << 20)
#define HTTP_BODY_BYTES_MAX (8u << 20)
#define HTTP_OUT_BYTES_MAX (24u << 20)
#define HTTP_ID_BYTES 72

struct http;
struct http_connection;
struct route;
struct bus_answer;

struct http_reply_header {
	const char *name;
	const char *value; /* lives until the request ends */
};

struct http_request {
	/* What was asked. */
	const char *method;
	struct str path; /* unescaped, without its query */
	struct audit head;
	struct buf body; /* complete when `handle` runs */
	int64_t began_ns;

	/* What `begin` may set. */
	size_t body_limit_bytes;
	const struct route *route;
	unsigned shape; /* enum route_shape: how errors are written */
	struct str id;
	char id_text[HTTP_ID_BYTES];

	/* For whoever handles it; emptied when the request ends. */
	void *ctx; /* the listener's */
	struct arena arena;
	struct buf out; /* the answer's bytes: they must last to its end */
	struct buf scratch;
	struct str key;	       /* the licence key, when the route takes one */
	struct str domain;     /* the site; absent = not said */
	struct {	       /* edge/ask.c */
		bool is_asked; /* a worker has it: id is the bus's */
		bool takes_errors; /* on_answer also hears of failures */
		bool is_repeatable;
		bool was_repeated;
		bool is_waiting; /* for a worker to come */
		unsigned pool;
		uint16_t type;
		uint32_t deadline_ms; /* from began_ns */
		int64_t began_ns;
		uint64_t id;
		struct http_request *previous; /* among those that wait */
		struct http_request *next;
	} ask;
	void (*on_answer)(struct http_request *request,
			  const struct bus_answer *answer);
	void (*on_end)(struct http_request *request); /* NULL: none */
	void *state;		 /* of a handler, in the arena */
	struct loop_timer timer; /* cleared by `end` */
	struct {
		bool has_head;
		bool is_sse;
		char tail[2];	   /* the last bytes sent */
		size_t uncredited; /* bytes of our own in out */
		int64_t last_part_ns;
	} stream;
	/* A client that leaves while this waits ends it (it may take long). */
	bool is_watched;

	/* http's own. */
	struct http_connection *connection;
	struct http_request *next_free;
	int status;
	struct str reply;
	struct http_reply_header headers[HTTP_REPLY_HEADERS_MAX];
	size_t header_count;
	size_t stream_at; /* bytes of out that the client has */
	size_t held_bytes;
	size_t swallowed_bytes;
	bool is_read; /* to its end */
	bool is_handled;
	bool is_replied;
	bool is_stream;
	bool is_stream_over;
	bool is_stream_whole;
	bool is_suspended;
	bool has_rested; /* was suspended at least once */
	bool is_lingering;
	bool is_refused; /* its answer went out before its body was read */
	bool is_gone;	 /* the client left, or must be cut off */
};

struct http_calls {
	/* The head is there. err: ERR_OK, or it is refused and to be answered
	 * at once: ERR_BAD_REQUEST, ERR_HEAD_TOO_LARGE, ERR_BODY_TOO_LARGE or
	 * ERR_VERSION_UNKNOWN; fault says why, and the method may be empty, the
	 * path a beginning as it came. May answer others too: then nothing more
	 * is read than fits. */
	void (*begin)(struct http_request *request, enum err err,
		      const char *fault);
	/* The body is there too. */
	void (*handle)(struct http_request *request);
	/* The body is over its limit (is_full false), or there is no room for
	 * bodies at all: answer. */
	void (*overflow)(struct http_request *request, bool is_full);
	/* What comes is no body: answer. */
	void (*broken)(struct http_request *request, const char *fault);
	/* So many bytes of a stream went to the client. */
	void (*consumed)(struct http_request *request, size_t bytes);
	/* Answered, or the connection was lost. The last call. */
	void (*end)(struct http_request *request);
};

struct http_options {
	struct loop *loop;
	const struct http_calls *calls;
	void *ctx;     /* each request's ctx */
	int listen_fd; /* is http's from here on, also when opening fails */
	unsigned connections;
	unsigned connections_per_ip;
	int64_t head_ms, body_ms, write_ms, idle_ms;
	size_t *bodies_held; /* shared by listeners: bytes of all bodies */
	size_t bodies_held_max;
};

enum err http_open(struct http **out, const struct http_options *options,
		   struct why *why);
/* Ends every connection, answered or not, and frees. Not from a callback. */
void http_close(struct http *http);
/* Accepts no more, closes connections as they are answered and idle ones
 * after a moment. The socket itself is not shut down: whoever else holds it
 * goes on accepting. */
void http_drain(struct http *http);
int http_listen_fd(const struct http *http);
/* Connections that are open. */
unsigned http_connections(const struct http *http);

/* At most HTTP_REPLY_HEADERS_MAX, before the reply or stream begins. */
void http_header(struct http_request *request, const char *name,
		 const char *value);
/* body must live until the request ends (literals, out, arena). */
void http_reply(struct http_request *request, int status,
		const char *content_type, struct str body);
/* The body is not needed any more: its memory may go before the answer does. */
void http_body_done(struct http_request *request);
/* An answer of unknown length; its parts follow, copied into out. */
void http_stream(struct http_request *request, int status,
		 const char *content_type);
/* False: more than HTTP_STREAM_BYTES_MAX wait, the stream is to be ended. */
bool http_stream_write(struct http_request *request, struct str part);
/* is_whole: ends it properly. Else what waits is sent, then the connection is
 * cut, so that nobody takes it for complete. */
void http_stream_end(struct http_request *request, bool is_whole);

#endif
