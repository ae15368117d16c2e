/*
 * routes: see routes.h.
 */
#include "edge/routes.h"

#include "edge/ask.h"
#include "edge/auth.h"
#include "lib/clock.h"
#include "lib/id.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/trace.h"

#include <stdio.h>

#define PUBLIC (1u << LISTENER_PUBLIC)
#define ADMIN (1u << LISTENER_ADMIN)
#define INTERNAL (1u << LISTENER_INTERNAL)
#define ANY (PUBLIC | ADMIN | INTERNAL)

#define NO_BODY 0u
#define SMALL (16u << 10)
#define LARGE HTTP_BODY_BYTES_MAX

#define AI_DEADLINE_MARGIN_MS 5000 /* the proxy's own comes first */
#define NS_PER_US 1000
#define PREFLIGHT_AGE_S "600"
#define CORS_HEADERS_BYTES_MAX 512u

/* clang-format off */
const struct route routes[] = {
/*method  path                    listeners auth              shape           body     ms     pool           handler */
{"GET",  "/",                     ANY,      AUTH_NONE,        SHAPE_API,      NO_BODY, 1000,  EDGE_POOLS,    serve_root},
{"GET",  "/api/health",           ANY,      AUTH_NONE,        SHAPE_API,      NO_BODY, 1000,  POOL_VALIDATE, serve_health},
{"GET",  "/metrics",              INTERNAL, AUTH_NONE,        SHAPE_API,      NO_BODY, 500,   EDGE_POOLS,    serve_metrics},
{"POST", "/api/validate",         PUBLIC,   AUTH_KEY_OR_BODY, SHAPE_VALIDATE, SMALL,   2000,  POOL_VALIDATE, serve_validate},
{"POST", "/api/activate",         PUBLIC,   AUTH_KEY_OR_BODY, SHAPE_API,      SMALL,   5000,  POOL_USAGE,    serve_activate},
{"POST", "/api/deactivate",       PUBLIC,   AUTH_KEY_OR_BODY, SHAPE_API,      SMALL,   5000,  POOL_USAGE,    serve_deactivate},
{"GET",  "/api/usage",            PUBLIC,   AUTH_KEY,         SHAPE_API,      NO_BODY, 3000,  POOL_VALIDATE, serve_usage},
{"GET",  "/api/keys",             PUBLIC,   AUTH_KEY,         SHAPE_API,      NO_BODY, 3000,  POOL_USAGE,    serve_keys},
{"GET",  "/api/keys/{provider}",  PUBLIC,   AUTH_KEY,         SHAPE_API,      NO_BODY, 3000,  POOL_USAGE,    serve_key},
{"PUT",  "/api/keys/{provider}",  PUBLIC,   AUTH_KEY,         SHAPE_API,      SMALL,   5000,  POOL_USAGE,    serve_key_set},
{"DELETE", "/api/keys/{provider}", PUBLIC,  AUTH_KEY,         SHAPE_API,      NO_BODY, 5000,  POOL_USAGE,    serve_key_remove},
{"POST", "/api/chat",             PUBLIC,   AUTH_KEY,         SHAPE_API,      LARGE,   ROUTE_DEADLINE_AI, POOL_PROXY, serve_chat},
{"POST", "/v1/chat/completions",  PUBLIC,   AUTH_KEY,         SHAPE_OPENAI,   LARGE,   ROUTE_DEADLINE_AI, POOL_PROXY, serve_chat},
{"POST", "/v1/messages",          PUBLIC,   AUTH_KEY,         SHAPE_ANTHROPIC, LARGE,  ROUTE_DEADLINE_AI, POOL_PROXY, serve_chat},
{"POST", "/v1/messages/count_tokens", PUBLIC, AUTH_KEY,       SHAPE_ANTHROPIC, LARGE,  ROUTE_DEADLINE_AI, POOL_PROXY, serve_count_tokens},
{"GET",  "/v1/models",            PUBLIC,   AUTH_KEY,         SHAPE_OPENAI,   NO_BODY, 5000,  POOL_PROXY,    serve_models},
{"GET",  "/v1/models/{model...}", PUBLIC,   AUTH_KEY,         SHAPE_OPENAI,   NO_BODY, 5000,  POOL_PROXY,    serve_models},
};
/* clang-format on */
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);

/* --- the table ----------------------------------------------------------- */

static struct str
without_slash(struct str path)
{
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

/* What stands behind the route's fixed part, when it ends in {a part}. */
static struct str
tail_of(const struct route *route, struct str path)
{
	const char *open = strchr(route->path, '{');
	size_t n = open ? (size_t)(open - route->path) : 0;

	path = without_slash(path);
	if (n == 0 || path.n <= n || memcmp(path.p, route->path, n) != 0)
		return STR_NONE;
	return str_bytes(path.p + n, path.n - n);
}

static bool
is_at(const struct route *route, enum edge_listener listener, struct str path)
{
	struct str tail;

	if ((route->listeners & 1u << listener) == 0)
		return false;
	if (str_eq(str_of(route->path), path))
		return true;
	tail = tail_of(route, path);
	return tail.p &&
	       (strstr(route->path, "...}") || !memchr(tail.p, '/', tail.n));
}

struct str
routes_tail(const struct http_request *r)
{
	return tail_of(r->route, r->path);
}

const struct route *
routes_find(enum edge_listener listener, struct str method, struct str path,
	    bool *is_path)
{
	size_t i;

	*is_path = false;
	path = without_slash(path);
	if (str_eq(method, STR("HEAD")))
		method = STR("GET");
	for (i = 0; i < routes_count; i++) {
		if (!is_at(&routes[i], listener, path))
			continue;
		*is_path = true;
		if (str_eq(str_of(routes[i].method), method))
			return &routes[i];
	}
	return NULL;
}

void
routes_allow(enum edge_listener listener, struct str path, struct buf *out)
{
	size_t i;

	path = without_slash(path);
	for (i = 0; i < routes_count; i++) {
		if (!is_at(&routes[i], listener, path))
			continue;
		buf_add_z(out, routes[i].method);
		buf_add_z(out, ", ");
		if (strcmp(routes[i].method, "GET") == 0)
			buf_add_z(out, "HEAD, ");
	}
	buf_add_z(out, "OPTIONS");
}

uint32_t
routes_deadline_ms(const struct http_request *r)
{
	if (r->route->deadline_ms != ROUTE_DEADLINE_AI)
		return r->route->deadline_ms;
	return (uint32_t)(edge_of(r)->conf.upstream_total_ms +
			  AI_DEADLINE_MARGIN_MS);
}

/* --- a request's way ----------------------------------------------------- */

static const char *
allow_header(struct http_request *r)
{
	struct str text;

	buf_reset(&r->scratch);
	routes_allow(listener_of(r)->which, r->path, &r->scratch);
	text = arena_str(&r->arena, buf_str(&r->scratch));
	return text.p ? text.p : "OPTIONS";
}

/* What the page's script wants to send: nothing of it is trusted more for
 * that, and clients of the providers send names of their own. */
static const char *
allowed_headers(struct http_request *r)
{
	struct str wanted = r->head.header[AUDIT_CORS_HEADERS];
	struct str text = STR_NONE;

	if (wanted.n <= CORS_HEADERS_BYTES_MAX && audit_is_token_list(wanted))
		text = arena_str(&r->arena, wanted);
	return text.p ? text.p
		      : "Authorization, Content-Type, X-License-Key, "
			"X-Site-Url, Idempotency-Key, x-api-key, traceparent";
}

static void
reply_options(struct http_request *r)
{
	const char *allow = allow_header(r);

	reply_headers(r);
	http_header(r, "Allow", allow);
	if (r->head.header[AUDIT_ORIGIN].p &&
	    listener_of(r)->which == LISTENER_PUBLIC) {
		http_header(r, "Access-Control-Allow-Methods", allow);
		http_header(r, "Access-Control-Allow-Headers",
			    allowed_headers(r));
		http_header(r, "Access-Control-Max-Age", PREFLIGHT_AGE_S);
	}
	http_reply(r, 204, NULL, STR(""));
}

static void
reply_no_route(struct http_request *r, bool is_path)
{
	if (!is_path) {
		reply_error(r, ERR_ROUTE_UNKNOWN, NULL);
		return;
	}
	if (strcmp(r->method, "OPTIONS") == 0) {
		reply_options(r);
		return;
	}
	http_header(r, "Allow", allow_header(r));
	reply_error(r, ERR_METHOD_NOT_ALLOWED, NULL);
}

static bool
is_ai(const struct http_request *r)
{
	return r->route && r->route->handle == serve_chat;
}

/* Ours, unless an AI request brings its own: then a repeat is recognised. False
 * when that one is no valid id. */
static bool
id_take(struct http_request *r)
{
	struct str key = r->head.header[AUDIT_IDEMPOTENCY_KEY];

	if (!is_ai(r) || key.p == NULL || !id_is_valid_request_id(key)) {
		r->id = id_new("", clock_wall_ms(), r->id_text);
		return !is_ai(r) || key.p == NULL;
	}
	memcpy(r->id_text, key.p, key.n);
	r->id_text[key.n] = '\0';
	r->id = str_bytes(r->id_text, key.n);
	return true;
}

static enum route_shape
shape_of(const struct http_request *r)
{
	/* Routes for both: who asks says so. */
	if (str_starts(r->path, STR("/v1/models")) &&
	    r->head.header[AUDIT_ANTHROPIC_VERSION].p)
		return SHAPE_ANTHROPIC;
	if (r->route)
		return r->route->shape;
	if (str_starts(r->path, STR("/v1/messages")))
		return SHAPE_ANTHROPIC;
	return str_starts(r->path, STR("/v1/")) ? SHAPE_OPENAI : SHAPE_API;
}

static void
on_begin(struct http_request *r, enum err err, const char *fault)
{
	enum edge_listener listener = listener_of(r)->which;
	bool is_path;
	bool has_id;

	r->route = routes_find(listener, str_of(r->method), r->path, &is_path);
	r->shape = shape_of(r);
	has_id = id_take(r);
	if (err != ERR_OK) {
		metrics_add(METRIC_HTTP_REFUSED, 1);
		reply_error(r, err, fault);
		return;
	}
	if (r->route == NULL) {
		reply_no_route(r, is_path);
		return;
	}
	r->is_watched = r->route->deadline_ms == ROUTE_DEADLINE_AI;
	r->body_limit_bytes = r->route->body_limit_bytes;
	if (!has_id)
		reply_error(r, ERR_BAD_REQUEST,
			    "Idempotency-Key is no request id: 1 to 64 "
			    "characters of A-Z a-z 0-9 . _ : -");
	else if (r->head.content_length > (int64_t)r->body_limit_bytes)
		reply_error(r, ERR_BODY_TOO_LARGE, NULL);
}

static void
on_handle(struct http_request *r)
{
	bool in_body = r->route->auth == AUTH_KEY_OR_BODY;
	struct why why = {"", ""};
	enum err e;

	if (r->route->auth == AUTH_NONE) {
		r->route->handle(r);
		return;
	}
	e = auth_read(&r->head, in_body ? buf_str(&r->body) : STR_NONE, &r->key,
		      &r->domain, &r->arena, &why);
	if (e != ERR_OK)
		reply_why(r, e, &why);
	else if (r->key.n == 0)
		reply_error(r, ERR_KEY_MISSING, NULL);
	else
		r->route->handle(r);
}

static void
on_overflow(struct http_request *r, bool is_full)
{
	reply_error(r, is_full ? ERR_OVERLOADED : ERR_BODY_TOO_LARGE, NULL);
}

static void
on_broken(struct http_request *r, const char *fault)
{
	metrics_add(METRIC_HTTP_REFUSED, 1);
	reply_error(r, ERR_BAD_REQUEST, fault);
}

static void
count(const struct http_request *r)
{
	if (!r->is_replied)
		return;
	metrics_add(METRIC_HTTP_REQUESTS, 1);
	if (r->status >= 500)
		metrics_add(METRIC_HTTP_5XX, 1);
	else if (r->status >= 400)
		metrics_add(METRIC_HTTP_4XX, 1);
	else
		metrics_add(METRIC_HTTP_2XX, 1);
}

/* Paths of no route are the client's text: they stay out of the log. */
static void
on_end(struct http_request *r)
{
	struct str traceparent = r->head.header[AUDIT_TRACEPARENT];
	struct edge *edge = edge_of(r);
	int64_t us = (loop_now_ns(edge->loop) - r->began_ns) / NS_PER_US;

	ask_end(r);
	if (r->on_end)
		r->on_end(r);
	loop_timer_clear(edge->loop, &r->timer);
	count(r);
	log_request(r->id);
	if (trace_is_valid(traceparent))
		log_trace(trace_id(traceparent));
	if (r->status >= 500)
		log_warn("edge-request", "route=%s status=%d us=%lld",
			 r->route ? r->route->path : "-", r->status,
			 (long long)us);
	else
		log_debug("edge-request", "route=%s status=%d us=%lld",
			  r->route ? r->route->path : "-",
			  r->is_replied ? r->status : 0, (long long)us);
	log_request(STR_NONE);
	log_trace(STR_NONE);
}

const struct http_calls routes_calls = {
    .begin = on_begin,
    .handle = on_handle,
    .overflow = on_overflow,
    .broken = on_broken,
    .consumed = ai_consumed,
    .end = on_end,
};
