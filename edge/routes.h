/*
 * routes: the one table of what may be asked over HTTP, and the way of every
 * request through it: route, method, body limit, request id, key, handler. A
 * path matches with or without one trailing slash. HEAD goes wherever GET does;
 * OPTIONS, 404 and 405 come from the table.
 */
#ifndef EDGE_ROUTES_H
#define EDGE_ROUTES_H

#include "edge/edge.h"
#include "edge/reply.h"

enum route_auth {
	AUTH_NONE,
	AUTH_KEY,	  /* a licence key in a header */
	AUTH_KEY_OR_BODY, /* the same, or in the JSON body */
};

#define ROUTE_DEADLINE_AI 0 /* that of the settings */

struct route {
	const char *method;
	/* "/api/keys/{provider}": the last part is any; with "{model...}" it
	 * may have slashes, as they came or as %2F. */
	const char *path;
	unsigned listeners; /* 1 << enum edge_listener */
	enum route_auth auth;
	enum route_shape shape; /* of its errors */
	size_t body_limit_bytes;
	uint32_t deadline_ms; /* of the pool's answer */
	enum edge_pool pool;  /* EDGE_POOLS: none */
	void (*handle)(struct http_request *request);
};

extern const struct route routes[];
extern const size_t routes_count;

/* The route, or NULL; *is_path says whether another method would have one. */
const struct route *routes_find(enum edge_listener listener, struct str method,
				struct str path, bool *is_path);
/* What stands for the route's {part}; STR_NONE when it has none. */
struct str routes_tail(const struct http_request *request);
/* "GET, HEAD, POST, OPTIONS": what the path takes. */
void routes_allow(enum edge_listener listener, struct str path,
		  struct buf *out);

extern const struct http_calls routes_calls;

/* Deadline of the request's question in ms. */
uint32_t routes_deadline_ms(const struct http_request *request);

/* The handlers, a small file a group. */
void serve_root(struct http_request *request);
void serve_health(struct http_request *request);
void serve_metrics(struct http_request *request);
/* Whom /metrics asks beside the pools: analytics and the other edges. */
enum err observe_open(struct edge *edge);
void serve_validate(struct http_request *request);
void serve_activate(struct http_request *request);
void serve_deactivate(struct http_request *request);
void serve_usage(struct http_request *request);
void serve_keys(struct http_request *request);
void serve_key(struct http_request *request);
void serve_key_set(struct http_request *request);
void serve_key_remove(struct http_request *request);
void serve_chat(struct http_request *request);
void serve_count_tokens(struct http_request *request);
void serve_models(struct http_request *request);
/* ai: bytes of its stream were taken. */
void ai_consumed(struct http_request *request, size_t bytes);

#endif
