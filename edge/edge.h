/*
 * edge: the process that speaks HTTP. Three listeners in front, three pools of
 * workers behind; no store, no key, no outbound network, and no state that a
 * restart could lose.
 */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "edge/http.h"
#include "lib/bus.h"
#include "lib/conf.h"

enum edge_pool { POOL_VALIDATE, POOL_PROXY, POOL_USAGE, EDGE_POOLS };

enum edge_listener {
	LISTENER_PUBLIC,
	LISTENER_ADMIN,
	LISTENER_INTERNAL,
	EDGE_LISTENERS
};

struct edge;

struct listener {
	struct edge *edge;
	enum edge_listener which;
	struct http *http; /* NULL: not open */
};

struct edge {
	struct conf conf;
	char name[BUS_NAME_BYTES]; /* "edge-0" */
	struct loop *loop;
	struct bus *bus;
	struct bus_pool *pools[EDGE_POOLS];
	/* For /metrics. */
	struct bus_pool *analytics;
	struct bus_pool *siblings; /* all edges; NULL: there is only us */
	struct listener listeners[EDGE_LISTENERS];
	size_t bodies_held; /* bytes of request bodies in memory */
	struct {	    /* edge/ask.c: questions without a worker */
		struct http_request *first; /* the oldest */
		struct http_request *last;
		unsigned count;
		size_t bytes;
		struct loop_timer timer;
	} waiting;
	struct loop_timer watchdog;
	struct loop_timer drain;
	int64_t drain_until_ns; /* 0 = serving */
};

extern const char *const edge_pool_names[EDGE_POOLS];
extern const char *const edge_listener_names[EDGE_LISTENERS];

/* The whole of main(): returns its exit code. */
int edge_main(int argc, char **argv);

/* Opens loop, pools and listeners; conf and name are set. Tests do it too. */
enum err edge_open(struct edge *edge, struct why *why);
void edge_close(struct edge *edge);
/* Stops accepting; the loop stops when what is in flight is answered, or
 * drain_ms later. */
void edge_drain(struct edge *edge);

static inline struct listener *
listener_of(const struct http_request *request)
{
	return request->ctx;
}

static inline struct edge *
edge_of(const struct http_request *request)
{
	return listener_of(request)->edge;
}

#endif
