/*
 * upstream: HTTPS calls to the AI providers (this is the only includer of
 * curl). curl makes the connections, on the process's loop; HTTP/1.1 is spoken
 * over them here, and they are kept for the next call. TLS 1.2 or later with
 * the peer verified, answers asked for uncoded, no redirects, no proxy or netrc
 * from the environment, `http:` for loopback addresses only, which is checked
 * on the address that is connected to. Loop thread only; nothing blocks.
 * Deadlines beyond connecting are the caller's (a paused call has no silence of
 * its own).
 */
#ifndef WORKERS_UPSTREAM_H
#define WORKERS_UPSTREAM_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"

#define UPSTREAM_HEAD_BYTES_MAX 65536u /* all header lines of an answer */
#define UPSTREAM_IDLE_MAX 1024	       /* connections that are kept */

struct upstream;
struct upstream_target;
struct upstream_call;

enum err upstream_open(struct upstream **out, struct loop *loop,
		       int64_t connect_ms, struct why *why);
/* Providers' certificates must lead to one in this file (PEM), and to no other;
 * "": to one of the system's. Before the first call; the string must live.
 * ERR_CONFIG: the file cannot be read or has none, why says so. */
enum err upstream_trust(struct upstream *upstream, const char *ca_file,
			struct why *why);
/* Every call is to be over or aborted, every target closed. NULL allowed. */
void upstream_close(struct upstream *upstream);

/* One URL with its constant headers (the key is each call's). base:
 * "https://host[:port][/path]", no trailing slash needed; path is appended.
 * headers: "Name: value" lines, ended by NULL. Strings are copied; headers that
 * hold control characters and an http: base that is not loopback are
 * ERR_CONFIG, why says what to do. */
enum err upstream_target_open(struct upstream_target **out,
			      struct upstream *upstream, const char *base,
			      const char *path, const char *const *headers,
			      struct why *why);
/* Calls that are out go on. NULL allowed. */
void upstream_target_close(struct upstream_target *target);

struct upstream_head {
	int status;
	struct str content_type; /* absent when it sent none */
	int64_t retry_after_ms;	 /* -1 = it did not say */
	bool is_coded;		 /* Content-Encoding, beside `identity` */
};

enum upstream_take { UPSTREAM_TAKEN, UPSTREAM_PAUSE, UPSTREAM_STOP };

struct upstream_end {
	enum err err;	  /* OK, UPSTREAM_FAILED or UPSTREAM_TIMEOUT */
	unsigned sends;	  /* requests that went onto a connection; 0: nothing
			     left this machine; 2 at most */
	bool is_sent;	  /* all of the request left: it may be worked on. A
			     kept connection that was found closed has
			     carried nothing */
	const char *text; /* what failed, for the log; no secrets */
};

struct upstream_handler {
	/* The final status and headers; before the first byte of the body. */
	void (*head)(void *ctx, const struct upstream_head *head);
	/* Bytes of the body. PAUSE: not taken, come again after
	 * upstream_resume. STOP: the call ends with UPSTREAM_FAILED. No call
	 * of this file may be made from it. */
	enum upstream_take (*body)(void *ctx, struct str bytes);
	/* It is over; the call is gone. */
	void (*end)(void *ctx, const struct upstream_end *end);
};

struct upstream_ask {
	struct str body;  /* lives until the end or the abort; absent: a GET */
	struct str extra; /* more "Name: value" headers, a NUL behind each */
	const struct upstream_handler *handler;
	void *ctx;
	const char *auth; /* the header with the key, wiped when the call is
			     over; NULL = none */
};

/* POSTs the body, or GETs without one. Never calls the handler before it
 * returns. ERR_NO_MEMORY. */
enum err upstream_call(struct upstream_target *target,
		       const struct upstream_ask *ask,
		       struct upstream_call **out);
/* Goes on after a PAUSE; nothing when it is not paused. May call body, and may
 * call end: the call can be gone when it returns. */
void upstream_resume(struct upstream_call *call);
/* Closes the connection at once; the handler is not called again. */
void upstream_abort(struct upstream_call *call);
/* Requests that went onto a connection so far. */
unsigned upstream_call_sends(const struct upstream_call *call);
/* As in upstream_end, so far. */
bool upstream_call_is_sent(const struct upstream_call *call);

#endif
