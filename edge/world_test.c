/*
 * world_test: see world_test.h.
 */
#include "edge/world_test.h"

#include "lib/log.h"
#include "lib/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct edge edge;
/* --- workers ------------------------------------------------------------- */

struct worker workers[EDGE_POOLS];

static void
note(char *to, size_t room, struct str text)
{
	snprintf(to, room, "%.*s", STR_ARG(text));
}

static void
answer(struct worker *worker, struct bus_from *from, enum err err,
       const struct schema *schema, const void *in)
{
	struct buf out;

	buf_init(&out, 1u << 20);
	schema_encode(schema, in, &out);
	CHECK(!out.is_failed);
	bus_answer(worker->bus, from, err, buf_str(&out));
	buf_fini(&out);
}

void
world_answer_failure(struct worker *worker, struct bus_from *from, enum err err)
{
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	failure.message = STR("because");
	if (err == ERR_RATE_LIMITED) {
		failure.retry_after_ms = 2500;
		failure.rate_limit = 100;
		failure.rate_remaining = 0;
		failure.rate_reset_ms = 36000;
	}
	if (err == ERR_LIMIT_REACHED)
		failure.retry_after_ms = 86400000;
	failure.may_be_billed = err == ERR_UPSTREAM_TIMEOUT;
	answer(worker, from, err, &failure_schema, &failure);
}

static void
on_validate(struct worker *worker, const struct bus_request *request,
	    struct arena *arena)
{
	struct validate_license in;
	struct validate_answer out;

	CHECK_OK(schema_decode(&validate_license_schema, request->body, &in,
			       arena, NULL));
	note(worker->key, sizeof(worker->key), in.key);
	note(worker->domain, sizeof(worker->domain), in.domain);
	if (str_eq(in.key, STR("CHA-DOWN"))) {
		world_answer_failure(worker, request->from, ERR_STORE_FULL);
		return;
	}
	schema_clear(&validate_answer_schema, &out);
	out.valid = str_eq(in.key, STR("CHA-1"));
	out.err = out.valid ? ERR_OK : ERR_NOT_FOUND;
	if (str_eq(in.key, STR("CHA-FAST"))) {
		out.err = ERR_RATE_LIMITED;
		out.retry_after_ms = 1500;
		out.rate_limit = 1000;
		out.rate_remaining = 0;
		out.rate_reset_ms = 3599001;
	}
	out.code =
	    out.valid ? STR("VALID") : str_of(err_code((enum err)out.err));
	answer(worker, request->from, ERR_OK, &validate_answer_schema, &out);
}

static void
on_reads(void *ctx, const struct bus_request *request)
{
	struct worker *worker = ctx;
	struct store_status status;
	struct usage_report report;
	struct metrics_answer metrics;
	struct arena arena;

	worker->asked++;
	arena_init(&arena, 1u << 20);
	switch (request->type) {
	case MSG_validate_license:
		on_validate(worker, request, &arena);
		break;
	case MSG_store_status_get:
		schema_clear(&store_status_schema, &status);
		status.head_seq = 7;
		answer(worker, request->from, ERR_OK, &store_status_schema,
		       &status);
		break;
	case MSG_usage_get:
		schema_clear(&usage_report_schema, &report);
		report.currency = STR("EUR");
		answer(worker, request->from, ERR_OK, &usage_report_schema,
		       &report);
		break;
	case MSG_metrics_ask:
		metrics.text =
		    STR("# HELP chatello_events_seq newest\n"
			"# TYPE chatello_events_seq gauge\n"
			"chatello_events_seq{process=\"validate-0\"} 7\n");
		answer(worker, request->from, ERR_OK, &metrics_answer_schema,
		       &metrics);
		break;
	default:
		test_fail(__FILE__, __LINE__, "type %d", request->type);
	}
	arena_fini(&arena);
}

static void
on_writes(void *ctx, const struct bus_request *request)
{
	struct worker *worker = ctx;
	struct activation_answer out;

	worker->asked++;
	if (request->type == MSG_metrics_ask) {
		worker->held = request->from; /* never answered */
		return;
	}
	schema_clear(&activation_answer_schema, &out);
	out.success = request->type == MSG_activate;
	out.activations = 1;
	answer(worker, request->from, ERR_OK, &activation_answer_schema, &out);
}

void
world_answer_head(struct worker *worker, struct bus_from *from,
		  const char *body, bool is_stream)
{
	struct ai_head head;
	struct buf out;

	schema_clear(&ai_head_schema, &head);
	head.status = 200;
	head.content_type =
	    is_stream ? STR("text/event-stream") : STR("application/json");
	head.is_stream = is_stream;
	head.provider = STR("openai");
	head.upstream_us = 250000; /* more than it can have taken here */
	head.rate_limit = 100;
	head.rate_remaining = 99;
	head.rate_reset_ms = 36000;
	head.tokens_limit = 9000;
	head.tokens_remaining = 8000;
	head.tokens_reset_ms = 61001;
	if (worker->places > 0) {
		head.concurrent_limit = worker->places;
		head.concurrent_remaining = worker->places - 1;
	}
	head.month_limit = 1000;
	head.month_remaining = 41;
	head.spend_limit = INT64_C(9000000000000000000);
	head.spend_remaining = INT64_C(8999999999999999999);
	head.body = str_of(body);
	if (!is_stream) {
		answer(worker, from, ERR_OK, &ai_head_schema, &head);
		return;
	}
	buf_init(&out, 65536);
	schema_encode(&ai_head_schema, &head, &out);
	bus_answer_part(worker->bus, from, buf_str(&out));
	buf_fini(&out);
	worker->held = from;
}

static void
on_ai(void *ctx, const struct bus_request *request)
{
	struct worker *worker = ctx;
	struct models_answer models;
	struct priced_model listed[2];
	struct ai_request in;
	struct arena arena;

	worker->asked++;
	if (request->type == MSG_metrics_ask) {
		world_answer_failure(worker, request->from, ERR_INTERNAL);
		return;
	}
	if (request->type == MSG_models_list) {
		schema_clear(&priced_model_schema, &listed[0]);
		listed[0].id = STR("gpt-x");
		listed[0].provider = STR("openai");
		listed[0].created_at = 5000;
		listed[1] = listed[0];
		listed[1].id = STR("some/model");
		models.models = listed;
		models.models_count = 2;
		answer(worker, request->from, ERR_OK, &models_answer_schema,
		       &models);
		return;
	}
	arena_init(&arena, 1u << 20);
	CHECK_OK(schema_decode(&ai_request_schema, request->body, &in, &arena,
			       NULL));
	note(worker->request_id, sizeof(worker->request_id), in.request_id);
	note(worker->shape, sizeof(worker->shape), in.shape);
	note(worker->domain, sizeof(worker->domain), in.domain);
	note(worker->anthropic_version, sizeof(worker->anthropic_version),
	     in.anthropic_version);
	note(worker->anthropic_beta, sizeof(worker->anthropic_beta),
	     in.anthropic_beta);
	note(worker->traceparent, sizeof(worker->traceparent), in.traceparent);
	note(worker->tracestate, sizeof(worker->tracestate), in.tracestate);
	if (memmem(in.body.p, in.body.n, "rate", 4))
		world_answer_failure(worker, request->from, ERR_RATE_LIMITED);
	else if (memmem(in.body.p, in.body.n, "month", 5))
		world_answer_failure(worker, request->from, ERR_LIMIT_REACHED);
	else if (memmem(in.body.p, in.body.n, "billed", 6))
		world_answer_failure(worker, request->from,
				     ERR_UPSTREAM_TIMEOUT);
	else if (memmem(in.body.p, in.body.n, "broken", 6))
		world_answer_failure(worker, request->from,
				     ERR_UPSTREAM_FAILED);
	else if (memmem(in.body.p, in.body.n, "hold", 4))
		worker->held = request->from;
	else
		world_answer_head(worker, request->from, "{\"id\":\"x\"}",
				  memmem(in.body.p, in.body.n, "stream", 6) !=
				      NULL);
	arena_fini(&arena);
}

static void
on_cancelled(void *ctx, struct bus_from *from)
{
	struct worker *worker = ctx;

	worker->cancelled++;
	if (worker->held == from)
		worker->held = NULL;
	bus_answer(worker->bus, from, ERR_CANCELLED_BY_CALLER, STR_NONE);
}

static void
on_credit(void *ctx, struct bus_from *from)
{
	(void)ctx;
	(void)from;
}

/* --- the world ----------------------------------------------------------- */

static void
worker_open(enum edge_pool pool, bus_request_fn *fn)
{
	struct worker *worker = &workers[pool];
	char name[BUS_NAME_BYTES];
	struct why why;

	snprintf(name, sizeof(name), "%s-0", edge_pool_names[pool]);
	CHECK_OK(bus_open(&worker->bus, edge.loop, "run", name, &why));
	CHECK_OK(bus_serve_kind(worker->bus, "edge", 1));
	bus_serve(worker->bus, fn, on_cancelled, on_credit, worker);
}

bool
world_is_alive(void)
{
	struct bus_peer_state state;
	unsigned i;

	for (i = 0; i < EDGE_POOLS; i++) {
		bus_pool_state(edge.pools[i], 0, &state);
		if (!state.is_alive)
			return false;
	}
	return true;
}

void
world_begin(void)
{
	char program[] = "chatello-edge", flag[] = "--data=.";
	char *argv[] = {program, flag, NULL};
	struct why why = {"", ""};
	unsigned i;
	int argc = 2;

	CHECK(mkdir("run", 0750) == 0);
	setenv("CHATELLO_PUBLIC", "127.0.0.1:0", 1);
	setenv("CHATELLO_ADMIN", "127.0.0.1:0", 1);
	setenv("CHATELLO_INTERNAL", "127.0.0.1:0", 1);
	CHECK_OK(conf_load(&edge.conf, &argc, argv, &why));
	edge.conf.run_dir = "run";
	snprintf(edge.name, sizeof(edge.name), "edge-0");
	log_open("edge-0", LOG_ERROR, LOG_TEXT);
	CHECK_OK(edge_open(&edge, &why));
	for (i = 0; i < EDGE_POOLS; i++)
		world_worker_open((enum edge_pool)i);
	UNTIL(world_is_alive());
}

void
world_end(void)
{
	unsigned i;

	for (i = 0; i < EDGE_POOLS; i++)
		if (workers[i].bus)
			bus_close(workers[i].bus);
	edge_close(&edge);
	CHECK_INT(edge.bodies_held, 0);
}

int
world_client(enum edge_listener listener)
{
	return talk_connect(http_listen_fd(edge.listeners[listener].http));
}

/* One request on a connection of its own; to its end. */
void
world_get(enum edge_listener listener, const char *request)
{
	int fd = world_client(listener);

	talk_say(fd, request);
	CHECK(talk_hear(edge.loop, fd, NULL));
	close(fd);
}

void
world_post(const char *path, const char *headers, const char *body)
{
	char request[4096];

	snprintf(request, sizeof(request),
		 "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s"
		 "Content-Length: %zu\r\n\r\n%s",
		 path, headers, strlen(body), body);
	world_get(LISTENER_PUBLIC, request);
}

bool
world_has(const char *text)
{
	return strstr(talk_got, text) != NULL;
}

void
world_worker_close(enum edge_pool pool)
{
	bus_close(workers[pool].bus);
	workers[pool].bus = NULL;
}

void
world_worker_open(enum edge_pool pool)
{
	static bus_request_fn *const handlers[EDGE_POOLS] = {
	    [POOL_VALIDATE] = on_reads,
	    [POOL_PROXY] = on_ai,
	    [POOL_USAGE] = on_writes,
	};

	worker_open(pool, handlers[pool]);
}
