/*
 * observe: /metrics of the internal listener: this edge's own numbers and those
 * of every worker that answers in time, as one page for Prometheus. Each edge
 * shows itself only; scrape each of them.
 */
#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/metrics.h"
#include "lib/proc.h"

struct gather;

struct share {
	struct gather *gather;
	uint64_t ask_id;
	bool is_asked;
	struct str text;
};

/* Lives in the request's arena. */
struct gather {
	struct http_request *request;
	struct share *shares; /* the first is our own */
	unsigned count;
	unsigned waiting;
};

static void
finish(struct gather *gather)
{
	struct http_request *r = gather->request;
	struct str *prints =
	    arena_array(&r->arena, gather->count, sizeof(*prints));
	size_t count = 0;
	unsigned i;

	if (prints == NULL) {
		reply_error(r, ERR_NO_MEMORY, NULL);
		return;
	}
	for (i = 0; i < gather->count; i++)
		if (gather->shares[i].text.n > 0)
			prints[count++] = gather->shares[i].text;
	metrics_join(&r->out, prints, count);
	reply_headers(r);
	if (r->out.is_failed)
		http_reply(r, 503, "text/plain", STR("out of memory\n"));
	else
		http_reply(r, 200, "text/plain; version=0.0.4",
			   buf_str(&r->out));
}

static void
on_share(void *ctx, const struct bus_answer *answer)
{
	struct share *share = ctx;
	struct http_request *r = share->gather->request;
	struct metrics_answer metrics;

	share->is_asked = false;
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
print_own(struct http_request *r, struct share *share)
{
	struct edge *edge = edge_of(r);
	unsigned connections = 0;
	unsigned i;

	for (i = 0; i < EDGE_LISTENERS; i++)
		if (edge->listeners[i].http)
			connections +=
			    http_connections(edge->listeners[i].http);
	metrics_set(METRIC_HTTP_CONNECTIONS, connections);
	metrics_set(METRIC_RESIDENT, proc_resident_bytes());
	metrics_print(&r->scratch, edge->name);
	share->text = arena_str(&r->arena, buf_str(&r->scratch));
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

	buf_reset(&r->scratch);
	schema_encode(&metrics_ask_schema, &question, &r->scratch);
	ask.body = buf_str(&r->scratch);
	if (bus_ask_peer(pool, index, &ask, &share->ask_id) != ERR_OK)
		return;
	share->is_asked = true;
	share->gather->waiting++;
}

void
serve_metrics(struct http_request *r)
{
	struct edge *edge = edge_of(r);
	struct gather *gather = arena_alloc(&r->arena, sizeof(*gather));
	unsigned pool, i, at = 1;

	if (gather == NULL) {
		reply_error(r, ERR_NO_MEMORY, NULL);
		return;
	}
	gather->request = r;
	gather->count = 1;
	for (pool = 0; pool < EDGE_POOLS; pool++)
		gather->count += bus_pool_size(edge->pools[pool]);
	gather->shares =
	    arena_array(&r->arena, gather->count, sizeof(*gather->shares));
	if (gather->shares == NULL) {
		reply_error(r, ERR_NO_MEMORY, NULL);
		return;
	}
	for (i = 0; i < gather->count; i++)
		gather->shares[i].gather = gather;
	r->state = gather;
	r->on_end = on_end;
	print_own(r, &gather->shares[0]);
	for (pool = 0; pool < EDGE_POOLS; pool++)
		for (i = 0; i < bus_pool_size(edge->pools[pool]); i++)
			ask_peer(edge->pools[pool], i, routes_deadline_ms(r),
				 &gather->shares[at++]);
	if (gather->waiting == 0)
		finish(gather);
}
