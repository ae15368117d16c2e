/*
 * scripted: an HTTP server for tests, in processes of its own: one function of
 * the test answers each request. What happened is counted in shared memory.
 */
#ifndef WORKERS_SCRIPTED_TEST_H
#define WORKERS_SCRIPTED_TEST_H

#include "lib/str.h"

#include <stdatomic.h>
#include <sys/types.h>

#define SCRIPTED_REQUEST_BYTES_MAX 262144u

struct scripted_shared {
	atomic_uint connections;
	atomic_uint requests;
	atomic_uint gone; /* connections that the client closed */
	atomic_size_t last_bytes;
	char last[SCRIPTED_REQUEST_BYTES_MAX]; /* head and body */
};

/* Runs in the connection's process. nth counts all requests from 1. A request
 * that is too long comes as far as there is room, and no more of it is read.
 * False: the connection is closed behind the answer. */
typedef bool scripted_fn(int fd, struct str request, unsigned nth);

struct scripted {
	int port;
	pid_t pid;
	char base[64]; /* http://127.0.0.1:PORT/v1 */
	struct scripted_shared *shared;
};

/* Call before any thread starts. */
void scripted_start(struct scripted *scripted, scripted_fn *fn);
void scripted_stop(struct scripted *scripted);
/* The last request whole, and its body. */
struct str scripted_last(const struct scripted *scripted);
struct str scripted_last_body(const struct scripted *scripted);
bool scripted_last_has(const struct scripted *scripted, const char *text);
/* Waits in the connection's process until the client has closed. */
void scripted_wait_gone(int fd);

void scripted_send(int fd, struct str bytes);
/* A whole answer with a Content-Length. extra: header lines with CRLF or "" */
void scripted_answer(int fd, int status, const char *type, const char *extra,
		     struct str body);
/* The head of a chunked event stream; a chunk of it; its end. */
void scripted_sse_head(int fd);
void scripted_chunk(int fd, struct str bytes);
void scripted_chunk_end(int fd);

#endif
