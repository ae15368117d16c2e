/*
 * requests: see requests.h. What is kept is bounded: so many requests, so many
 * bytes of each buffer.
 */
#include "edge/requests.h"

#include <stdlib.h>

#define FREE_MAX 512u
#define KEPT_BYTES_MAX (64u << 10) /* of a free request's buffer */

struct http_request *
requests_take(struct requests *requests)
{
	struct http_request *request = requests->free;

	if (request) {
		requests->free = request->next_free;
		requests->free_count--;
		request->next_free = NULL;
		return request;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	arena_init(&request->arena, HTTP_ARENA_BYTES_MAX);
	buf_init(&request->body, HTTP_BODY_BYTES_MAX);
	buf_init(&request->out, HTTP_OUT_BYTES_MAX);
	buf_init(&request->scratch, HTTP_OUT_BYTES_MAX);
	return request;
}

static void delete (struct http_request *request)
{
	arena_fini(&request->arena);
	buf_fini(&request->body);
	buf_fini(&request->out);
	buf_fini(&request->scratch);
	free(request);
}

static void
recycle(struct buf *buf)
{
	buf_reset(buf);
	if (buf->room > KEPT_BYTES_MAX)
		buf_fini(buf);
}

void
requests_give(struct requests *requests, struct http_request *request)
{
	struct http_request clean = {.next_free = requests->free};

	if (requests->free_count >= FREE_MAX) {
		delete (request);
		return;
	}
	recycle(&request->body);
	recycle(&request->out);
	recycle(&request->scratch);
	arena_reset(&request->arena);
	clean.arena = request->arena;
	clean.body = request->body;
	clean.out = request->out;
	clean.scratch = request->scratch;
	*request = clean;
	requests->free = request;
	requests->free_count++;
}

void
requests_fini(struct requests *requests)
{
	while (requests->free) {
		struct http_request *request = requests->free;

		requests->free = request->next_free;
		delete (request);
	}
	requests->free_count = 0;
}
