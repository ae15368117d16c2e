/*
 * upstream_internal: what the files of workers/upstream share: the process's
 * multi handle, the targets, their calls.
 */
#ifndef WORKERS_UPSTREAM_INTERNAL_H
#define WORKERS_UPSTREAM_INTERNAL_H

#include "workers/upstream.h"

#include <curl/curl.h>

struct upstream {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	int64_t connect_ms;
	const char *ca_file; /* NULL: the system's */
	bool is_reporting;
};

struct upstream_target {
	struct upstream *upstream;
	CURLU *url;
	bool is_loopback_only; /* http: */
	struct curl_slist *headers;
	struct upstream_call *free_calls;
	unsigned free_count;
	unsigned open_count; /* calls that are out */
	bool is_closed;	     /* freed behind the last of them */
};

struct upstream_call {
	struct upstream_target *target;
	struct upstream_call *next_free;
	CURL *easy;
	const struct upstream_handler *handler;
	void *ctx;
	struct curl_slist *extra; /* in front of target->headers */
	struct curl_slist *auth;  /* one node, in front of all others */
	unsigned sends;
	bool is_sending; /* on the connection that it has now */
	bool is_refused; /* curl would have sent it once more */
	size_t body_bytes;
	size_t head_bytes;
	struct upstream_head head;
	char content_type[128];
	bool is_paused;
};

/* curl is done with the call: tells the handler. The call is gone. */
void upstream_call_end(struct upstream_call *call, CURLcode code);
/* One that is not under way. */
void upstream_call_free(struct upstream_call *call);
/* It is closed, and its last call is over. */
void upstream_target_free(struct upstream_target *target);

#endif
