/* keys: what is left of a provider key when its request is over. */
#include "edge/world_test.h"

#include "edge/http_internal.h"

#include <malloc.h>

/* Escaped, so that what it means is a copy of its own. */
#define SAID "\\u0073k-CANARY-0123456789"
#define CANARY "k-CANARY-0123456789"

static bool
holds(const void *p, size_t n)
{
	return p && memmem(p, n, CANARY, sizeof(CANARY) - 1);
}

TEST(keys_leave_nothing_in_a_request_that_is_over)
{
	const struct http_request *r;

	world_begin();
	world_get(LISTENER_PUBLIC,
		  "PUT /api/keys/openai HTTP/1.1\r\nHost: a\r\n" KEY
		  "Connection: close\r\nContent-Length: 39\r\n\r\n"
		  "{\"api_key\":\"" SAID "\"}");
	CHECK_INT(workers[POOL_USAGE].asked, 1);
	r = edge.listeners[LISTENER_PUBLIC].http->requests.free;
	CHECK(r && r->body.room > 0 && r->scratch.room > 0 && r->arena.first);
	CHECK(!holds(r->body.p, r->body.room));
	CHECK(!holds(r->scratch.p, r->scratch.room));
	CHECK(!holds(r->out.p, r->out.room));
	CHECK(
	    !holds(r->arena.first, malloc_usable_size((void *)r->arena.first)));
	world_end();
}
