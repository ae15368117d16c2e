/*
 * observe: /metrics of the internal listener: this edge's own numbers and those
 * of every worker and every other edge that answers in time, as one page for
 * Prometheus. Edges share their listeners: whichever takes the question asks
 * the others.
 */
#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/proc.h"

struct gather;

struct share {
	struct gather *gather;
	struct bus_peer_state peer;
	uint64_t ask_id;
	bool is_asked;
	bool has_answered;
	struct str text; /* absent: no answer, a refusal, or no room for it */
};

/* Lives in the request's arena. */
struct gather {
	struct http_request *request;
	struct share *shares; /* the first is our own */
	struct str *prints;   /* room for the text of each, and one more */
	unsigned count;
	unsigned waiting;
};

/* Of those whose numbers are not there. Who has answered is not down. */
static struct str
print_bare(const struct gather *gather)
{
	struct buf *out = &gather->request->scratch;

	buf_reset(out);
	for (unsigned i = 0; i < gather->count; i++) {
		const struct share *share = &gather->shares[i];

		if (share->text.p)
			continue;
		metrics_print_up(out, share->peer.name, share->has_answered);
		if (share->has_answered)
			log_warn("edge-metrics",
				 "peer=%s its numbers are not on the page",
				 share->peer.name);
	}
	return buf_str(out);
}

static void
finish(struct gather *gather)
{
	struct http_request *r = gather->request;
	size_t count = 0;

	for (unsigned i = 0; i < gather->count; i++)
		if (gather->shares[i].text.p)
			gather->prints[count++] = gather->shares[i].text;
	gather->prints[count++] = print_bare(gather);
	metrics_join(&r->out, gather->prints, count);
	reply_headers(r);
	if (r->out.is_failed || r->scratch.is_failed)
		http_reply(r, 503, "text/plain", STR("out of memory\n"));
	else
		http_reply(r, 200, "text/plain; version=0.0.4",
			   buf_str(&r->out));
}

/* Else the error is the bus's own. */
static bool
is_answer(enum err err)
{
	return err != ERR_WORKER_LOST && err != ERR_DEADLINE &&
	       err != ERR_OVERLOADED && err != ERR_CANCELLED_BY_CALLER;
}

static void
on_share(void *ctx, const struct bus_answer *answer)
{
	struct share *share = ctx;
	struct http_request *r = share->gather->request;
	struct metrics_answer metrics;

	share->is_asked = false;
	share->has_answered = is_answer(answer->err);
	if (answer->err == ERR_OK &&
	    schema_decode(&metrics_answer_schema, answer->body, &metrics,
			  &r->arena, NULL) == ERR_OK)
		share->text = arena_str(&r->arena, metrics.text);
	if (--share->gather->waiting == 0)
		finish(share->gather);
}

static void
on_end(struct http_request *r)
{
	struct gather *gather = r->state;
	unsigned i;

	for (i = 0; i < gather->count; i++)
		if (gather->shares[i].is_asked)
			bus_cancel(edge_of(r)->bus, gather->shares[i].ask_id);
}

static void
print_own(const struct edge *edge, struct buf *out)
{
	unsigned connections = 0;
	unsigned i;

	for (i = 0; i < EDGE_LISTENERS; i++)
		if (edge->listeners[i].http)
			connections +=
			    http_connections(edge->listeners[i].http);
	metrics_set(METRIC_HTTP_CONNECTIONS, connections);
	metrics_set(METRIC_RESIDENT, proc_resident_bytes());
	buf_reset(out);
	metrics_print(out, edge->name);
}

static void
ask_peer(struct bus_pool *pool, unsigned index, uint32_t deadline_ms,
	 struct share *share)
{
	struct bus_ask ask = {
	    .type = MSG_metrics_ask,
	    .deadline_ms = deadline_ms,
	    .fn = on_share,
	    .ctx = share,
	};
	struct http_request *r = share->gather->request;
	struct metrics_ask question = {0};

	bus_pool_state(pool, index, &share->peer);
	buf_reset(&r->scratch);
	schema_encode(&metrics_ask_schema, &question, &r->scratch);
	ask.body = buf_str(&r->scratch);
	if (bus_ask_peer(pool, index, &ask, &share->ask_id) != ERR_OK)
		return;
	share->is_asked = true;
	share->gather->waiting++;
}

static void
ask_all(struct gather *gather, struct bus_pool *pool, bool with_own)
{
	struct edge *edge = edge_of(gather->request);
	unsigned i;

	for (i = 0; pool && i < bus_pool_size(pool); i++)
		if (with_own || i != (unsigned)edge->conf.index)
			ask_peer(pool, i, routes_deadline_ms(gather->request),
				 &gather->shares[gather->count++]);
}

static void
add_own(struct gather *gather)
{
	struct http_request *r = gather->request;
	struct share *own = &gather->shares[gather->count++];

	memcpy(own->peer.name, edge_of(r)->name, sizeof(own->peer.name));
	own->has_answered = true;
	print_own(edge_of(r), &r->scratch);
	own->text = arena_str(&r->arena, buf_str(&r->scratch));
}

void
serve_metrics(struct http_request *r)
{
	struct edge *edge = edge_of(r);
	struct gather *gather = arena_alloc(&r->arena, sizeof(*gather));
	unsigned pool, i, most = 2 + (unsigned)edge->conf.edges;

	if (gather == NULL) {
		reply_error(r, ERR_NO_MEMORY, NULL);
		return;
	}
	for (pool = 0; pool < EDGE_POOLS; pool++)
		most += bus_pool_size(edge->pools[pool]);
	gather->request = r;
	gather->shares = arena_array(&r->arena, most, sizeof(*gather->shares));
	gather->prints =
	    arena_array(&r->arena, most + 1, sizeof(*gather->prints));
	if (gather->shares == NULL || gather->prints == NULL) {
		reply_error(r, ERR_NO_MEMORY, NULL);
		return;
	}
	for (i = 0; i < most; i++)
		gather->shares[i].gather = gather;
	r->state = gather;
	r->on_end = on_end;
	add_own(gather);
	ask_all(gather, edge->siblings, false);
	ask_all(gather, edge->analytics, true);
	for (pool = 0; pool < EDGE_POOLS; pool++)
		ask_all(gather, edge->pools[pool], true);
	if (gather->waiting == 0)
		finish(gather);
}

/* --- the other edges -------------------------------------------------------
 */

static void
on_sibling(void *ctx, const struct bus_request *request)
{
	const struct edge *edge = ctx;
	struct metrics_answer answer;
	struct buf text, body;
	enum err e = ERR_OK;

	buf_init(&text, METRICS_TEXT_BYTES_MAX);
	buf_init(&body, 2 * METRICS_TEXT_BYTES_MAX);
	if (request->type == MSG_metrics_ask)
		print_own(edge, &text);
	else
		e = ERR_MALFORMED;
	answer.text = buf_str(&text);
	schema_encode(&metrics_answer_schema, &answer, &body);
	if (e == ERR_OK && (text.is_failed || body.is_failed))
		e = ERR_NO_MEMORY;
	bus_answer(edge->bus, request->from, e,
		   e == ERR_OK ? buf_str(&body) : STR_NONE);
	buf_fini(&text);
	buf_fini(&body);
}

enum err
observe_open(struct edge *edge)
{
	unsigned count = (unsigned)edge->conf.edges;
	enum err e;

	e = bus_pool_open(edge->bus, "analytics", 1, 0, &edge->analytics);
	if (e != ERR_OK || count < 2)
		return e;
	e = bus_serve_kind(edge->bus, "edge", count);
	if (e == ERR_OK)
		e = bus_pool_open(edge->bus, "edge", count, 0, &edge->siblings);
	if (e == ERR_OK) /* Nothing is kept: none can be cancelled or wait. */
		bus_serve(edge->bus, on_sibling, NULL, NULL, edge);
	return e;
}
