/*
 * requests: where http takes its requests from: a free list, last in first
 * out, so that their buffers and arenas are warm and no request allocates.
 */
#ifndef EDGE_REQUESTS_H
#define EDGE_REQUESTS_H

#include "edge/http.h"

struct requests {
	struct http_request *free;
	unsigned free_count;
};

/* Empty, zeroed; NULL: no memory. */
struct http_request *requests_take(struct requests *requests);
/* Keeps what memory is worth keeping. */
void requests_give(struct requests *requests, struct http_request *request);
void requests_fini(struct requests *requests);

#endif
