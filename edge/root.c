/*
 * root: what this server is, and whether it is well. Asked by people, load
 * balancers and container health checks.
 */
#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/version.h"

void
serve_root(struct http_request *r)
{
	static const char body[] =
	    "{\"name\":\"Chatello\",\"version\":\"" CHATELLO_VERSION "\","
	    "\"links\":{\"health\":\"/api/health\","
	    "\"validate\":\"/api/validate\",\"chat\":\"/api/chat\","
	    "\"openai\":\"/v1\",\"usage\":\"/api/usage\"}}";

	reply_headers(r);
	http_reply(r, 200, "application/json", str_of(body));
}

/* True: each pool has somebody alive. */
static bool
print_pools(struct http_request *r)
{
	struct edge *edge = edge_of(r);
	struct bus_peer_state state;
	bool is_well = true;
	unsigned pool, i;

	for (pool = 0; pool < EDGE_POOLS; pool++) {
		unsigned size = bus_pool_size(edge->pools[pool]), alive = 0;

		for (i = 0; i < size; i++) {
			bus_pool_state(edge->pools[pool], i, &state);
			alive += state.is_alive;
		}
		is_well = is_well && alive > 0;
		buf_printf(&r->out, "%s\"%s\":{\"alive\":%u,\"of\":%u}",
			   pool ? "," : "", edge_pool_names[pool], alive, size);
	}
	return is_well;
}

static void
on_store_status(struct http_request *r, const struct bus_answer *answer)
{
	struct store_status status;
	bool has_store;
	bool is_well;
	struct buf pools;

	has_store = answer->err == ERR_OK &&
		    schema_decode(&store_status_schema, answer->body, &status,
				  &r->arena, NULL) == ERR_OK;
	buf_reset(&r->out);
	is_well = print_pools(r) && has_store;
	pools = r->out;
	r->out = r->scratch;
	r->scratch = pools;
	buf_reset(&r->out);
	buf_printf(&r->out, "{\"status\":\"%s\",\"pools\":{",
		   is_well ? "ok" : "degraded");
	buf_add_str(&r->out, buf_str(&pools));
	buf_add_z(&r->out, "},\"store\":");
	if (has_store)
		schema_print_json(&store_status_schema, &status, &r->out);
	else
		buf_printf(&r->out, "{\"error\":\"%s\"}",
			   err_code(answer->err == ERR_OK ? ERR_MALFORMED
							  : answer->err));
	buf_add_char(&r->out, '}');
	http_header(r, "Cache-Control", "no-store");
	if (!is_well)
		reply_retry_after(r, 0);
	reply_json(r, is_well ? 200 : err_row(ERR_UNAVAILABLE)->http_status);
}

void
serve_health(struct http_request *r)
{
	struct store_status_get question = {0};

	ask(r, &(struct ask){
		   .schema = &store_status_get_schema,
		   .in = &question,
		   .is_repeatable = true,
		   .takes_errors = true,
		   .is_impatient = true,
		   .fn = on_store_status,
	       });
}
