/*
 * edge_test: a whole edge with three small workers behind it on the same loop.
 * The workers' answers hang on the key or the model of the request.
 */
#include "edge/edge.h"

#include "edge/talk_test.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNTIL(expr) TALK_UNTIL(edge.loop, expr)
#define KEY "X-License-Key: CHA-1\r\n"
#define CHAT "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" KEY

static struct edge edge;

/* --- workers ------------------------------------------------------------- */

struct worker {
	struct bus *bus;
	unsigned asked;
	unsigned cancelled;
	struct bus_from *held; /* a question that waits for the test */
	char key[64];
	char domain[64];
	char request_id[72];
	char shape[16];
	size_t streamed;
};

static struct worker workers[EDGE_POOLS];

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

static void
answer_failure(struct worker *worker, struct bus_from *from, enum err err)
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
		answer_failure(worker, request->from, ERR_STORE_FULL);
		return;
	}
	schema_clear(&validate_answer_schema, &out);
	out.valid = str_eq(in.key, STR("CHA-1"));
	out.err = out.valid ? ERR_OK : ERR_NOT_FOUND;
	if (str_eq(in.key, STR("CHA-FAST"))) {
		out.err = ERR_RATE_LIMITED;
		out.retry_after_ms = 1500;
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

static void
head_send(struct worker *worker, struct bus_from *from, const char *body,
	  bool is_stream)
{
	struct ai_head head;
	struct buf out;

	schema_clear(&ai_head_schema, &head);
	head.status = 200;
	head.content_type =
	    is_stream ? STR("text/event-stream") : STR("application/json");
	head.is_stream = is_stream;
	head.rate_limit = 100;
	head.rate_remaining = 99;
	head.rate_reset_ms = 36000;
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
	struct priced_model model;
	struct ai_request in;
	struct arena arena;

	worker->asked++;
	if (request->type == MSG_metrics_ask) {
		answer_failure(worker, request->from, ERR_INTERNAL);
		return;
	}
	if (request->type == MSG_models_list) {
		schema_clear(&priced_model_schema, &model);
		model.id = STR("gpt-x");
		model.provider = STR("openai");
		model.created_at = 5000;
		models.models = &model;
		models.models_count = 1;
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
	if (memmem(in.body.p, in.body.n, "rate", 4))
		answer_failure(worker, request->from, ERR_RATE_LIMITED);
	else if (memmem(in.body.p, in.body.n, "hold", 4))
		worker->held = request->from;
	else
		head_send(worker, request->from, "{\"id\":\"x\"}",
			  memmem(in.body.p, in.body.n, "stream", 6) != NULL);
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

static bool
is_everybody_alive(void)
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

static void
begin(void)
{
	char program[] = "chatello-edge", flag[] = "--data=.";
	char *argv[] = {program, flag, NULL};
	struct why why = {"", ""};
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
	worker_open(POOL_VALIDATE, on_reads);
	worker_open(POOL_PROXY, on_ai);
	worker_open(POOL_USAGE, on_writes);
	UNTIL(is_everybody_alive());
}

static void
finish(void)
{
	unsigned i;

	for (i = 0; i < EDGE_POOLS; i++)
		if (workers[i].bus)
			bus_close(workers[i].bus);
	edge_close(&edge);
	CHECK_INT(edge.bodies_held, 0);
}

static int
client(enum edge_listener listener)
{
	return talk_connect(http_listen_fd(edge.listeners[listener].http));
}

/* One request on a connection of its own; to its end. */
static void
get(enum edge_listener listener, const char *request)
{
	int fd = client(listener);

	talk_say(fd, request);
	CHECK(talk_hear(edge.loop, fd, NULL));
	close(fd);
}

static void
post(const char *path, const char *headers, const char *body)
{
	char request[4096];

	snprintf(request, sizeof(request),
		 "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s"
		 "Content-Length: %zu\r\n\r\n%s",
		 path, headers, strlen(body), body);
	get(LISTENER_PUBLIC, request);
}

static bool
has(const char *text)
{
	return strstr(talk_got, text) != NULL;
}

#define CHECK_HAS(text)                                                        \
	do {                                                                   \
		if (!has(text))                                                \
			test_fail(__FILE__, __LINE__, "no %s in %s", text,     \
				  talk_got);                                   \
	} while (0)
#define CHECK_STATUS(status) CHECK_HAS("HTTP/1.1 " status " ")

/* --- tests --------------------------------------------------------------- */

TEST(edge_says_what_it_is)
{
	begin();
	get(LISTENER_PUBLIC,
	    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\"name\":\"Chatello\"");
	CHECK_HAS("x-request-id: 0");
	CHECK(!has("Access-Control"));
	get(LISTENER_PUBLIC,
	    "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK(!has("Chatello"));
	finish();
}

TEST(edge_knows_its_routes)
{
	begin();
	get(LISTENER_PUBLIC,
	    "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"code\":\"ROUTE_UNKNOWN\"");
	CHECK_HAS("\"request_id\":\"0");
	get(LISTENER_PUBLIC,
	    "GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"type\":\"invalid_request_error\"");
	get(LISTENER_PUBLIC,
	    "GET /api/chat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("405");
	CHECK_HAS("Allow: POST, OPTIONS\r\n");
	get(LISTENER_PUBLIC,
	    "OPTIONS /api/chat HTTP/1.1\r\nHost: a\r\n"
	    "Origin: https://shop.example\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("204");
	CHECK_HAS("Access-Control-Allow-Origin: *\r\n");
	CHECK_HAS("Access-Control-Allow-Methods: POST, OPTIONS\r\n");
	CHECK_HAS("X-License-Key");
	CHECK_HAS("Access-Control-Max-Age: 600\r\n");
	CHECK(!has("Allow-Credentials"));
	get(LISTENER_PUBLIC,
	    "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	finish();
}

TEST(edge_validates)
{
	struct worker *validate = &workers[POOL_VALIDATE];

	begin();
	post("/api/validate/", KEY, "{\"domain\":\"https://shop.example/x\"}");
	CHECK_STATUS("200");
	CHECK_HAS("\"valid\":true");
	CHECK(strcmp(validate->key, "CHA-1") == 0);
	CHECK(strcmp(validate->domain, "shop.example") == 0);
	post("/api/validate", "Origin: https://shop.example\r\n",
	     "{\"license_key\":\"CHA-2\"}");
	CHECK_STATUS("401");
	CHECK_HAS("\"code\":\"NOT_FOUND\"");
	CHECK_HAS("Access-Control-Allow-Origin: *\r\n");
	CHECK_HAS("WWW-Authenticate: Bearer\r\n");
	post("/api/validate", "x-api-key: CHA-FAST\r\n", "");
	CHECK_STATUS("429");
	CHECK_HAS("Retry-After: 2\r\n");
	CHECK_HAS("\"valid\":false");
	finish();
}

TEST(edge_refuses_validations_itself)
{
	begin();
	post("/api/validate", "", "{}");
	CHECK_STATUS("401");
	CHECK_HAS("{\"valid\":false,\"code\":\"KEY_MISSING\"");
	post("/api/validate", "", "{");
	CHECK_STATUS("400");
	CHECK_HAS("{\"error\":{\"code\":\"BAD_REQUEST\"");
	post("/api/validate", "", "{\"key\":5}");
	CHECK_STATUS("400");
	CHECK_HAS("\"field\":\"key\"");
	CHECK_INT(workers[POOL_VALIDATE].asked, 0);
	post("/api/validate", "X-License-Key: CHA-DOWN\r\n", "");
	CHECK_STATUS("503");
	CHECK_HAS(
	    "{\"error\":{\"code\":\"STORE_FULL\",\"message\":\"because\"");
	CHECK_HAS("Retry-After: 1\r\n");
	bus_close(workers[POOL_VALIDATE].bus);
	workers[POOL_VALIDATE].bus = NULL;
	post("/api/validate", KEY, "");
	CHECK_STATUS("503");
	CHECK(!has("valid\":false"));
	finish();
}

TEST(edge_activates)
{
	begin();
	post("/api/activate", KEY, "{\"domain\":\"shop.example\"}");
	CHECK_STATUS("200");
	CHECK_HAS("\"success\":true");
	post("/api/deactivate", KEY "X-Site-Url: https://shop.example\r\n", "");
	CHECK_STATUS("200");
	CHECK_INT(workers[POOL_USAGE].asked, 2);
	post("/api/activate", KEY, "{}");
	CHECK_STATUS("400");
	CHECK_HAS("\"field\":\"domain\"");
	CHECK_INT(workers[POOL_USAGE].asked, 2);
	finish();
}

TEST(edge_reports_usage_and_models)
{
	begin();
	get(LISTENER_PUBLIC, "GET /api/usage HTTP/1.1\r\nHost: a\r\n" KEY
			     "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\"currency\":\"EUR\"");
	get(LISTENER_PUBLIC,
	    "GET /api/usage HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("401");
	CHECK_HAS("{\"error\":{\"code\":\"KEY_MISSING\"");
	get(LISTENER_PUBLIC, "GET /v1/models HTTP/1.1\r\nHost: a\r\n"
			     "Authorization: Bearer CHA-1\r\n"
			     "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-x\","
		  "\"object\":\"model\",\"created\":5,"
		  "\"owned_by\":\"openai\"}]}");
	finish();
}

TEST(edge_is_well_or_not)
{
	begin();
	get(LISTENER_PUBLIC, "GET /api/health HTTP/1.1\r\nHost: a\r\n"
			     "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("{\"status\":\"ok\",\"pools\":{\"validate\":{\"alive\":1,"
		  "\"of\":1},\"proxy\":{\"alive\":1,\"of\":1},\"usage\":"
		  "{\"alive\":1,\"of\":1}},\"store\":{\"head_seq\":7,");
	bus_close(workers[POOL_PROXY].bus);
	workers[POOL_PROXY].bus = NULL;
	UNTIL(!is_everybody_alive());
	get(LISTENER_INTERNAL, "GET /api/health HTTP/1.1\r\nHost: a\r\n"
			       "Connection: close\r\n\r\n");
	CHECK_STATUS("503");
	CHECK_HAS("\"status\":\"degraded\"");
	CHECK_HAS("\"proxy\":{\"alive\":0,\"of\":1}");
	CHECK_HAS("Retry-After: ");
	finish();
}

/* One worker fails, one never answers: the page comes without them. */
TEST(edge_joins_metrics)
{
	begin();
	get(LISTENER_INTERNAL, "GET /metrics HTTP/1.1\r\nHost: a\r\n"
			       "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("text/plain; version=0.0.4");
	CHECK_HAS("chatello_events_seq{process=\"validate-0\"} 7\n");
	CHECK_HAS("chatello_http_connections{process=\"edge-0\"} 1\n");
	CHECK(!has("usage-0"));
	finish();
}

TEST(edge_answers_ai_in_one_piece)
{
	struct worker *proxy = &workers[POOL_PROXY];

	begin();
	post("/v1/chat/completions", KEY, "{}");
	CHECK_STATUS("200");
	CHECK_HAS("Content-Length: 10\r\n");
	CHECK_HAS("\r\n\r\n{\"id\":\"x\"}");
	CHECK_HAS("RateLimit-Limit: 100\r\n");
	CHECK_HAS("RateLimit-Remaining: 99\r\n");
	CHECK_HAS("RateLimit-Reset: 36\r\n");
	CHECK(strcmp(proxy->shape, "openai") == 0);
	CHECK_INT(strlen(proxy->request_id), 26);
	CHECK_HAS(proxy->request_id);
	post("/api/chat", KEY "Idempotency-Key: mine-1\r\n",
	     "{\"domain\":\"shop.example\"}");
	CHECK_STATUS("200");
	CHECK_HAS("x-request-id: mine-1\r\n");
	CHECK(strcmp(proxy->request_id, "mine-1") == 0);
	CHECK(strcmp(proxy->shape, "chat") == 0);
	CHECK(strcmp(proxy->domain, "shop.example") == 0);
	finish();
}

TEST(edge_refuses_ai)
{
	begin();
	post("/v1/chat/completions", KEY, "{\"rate\":1}");
	CHECK_STATUS("429");
	CHECK_HAS("Retry-After: 3\r\n");
	CHECK_HAS("RateLimit-Remaining: 0\r\n");
	CHECK_HAS("{\"error\":{\"message\":\"because\",\"type\":\"requests\","
		  "\"param\":null,\"code\":\"RATE_LIMITED\"}}");
	post("/api/chat", KEY, "{\"rate\":1}");
	CHECK_STATUS("429");
	CHECK_HAS("{\"error\":{\"code\":\"RATE_LIMITED\"");
	CHECK_INT(workers[POOL_PROXY].asked, 2);
	post("/v1/chat/completions", KEY "Idempotency-Key: a b\r\n", "{}");
	CHECK_STATUS("400");
	CHECK_HAS("Idempotency-Key");
	post("/v1/chat/completions", "", "{}");
	CHECK_STATUS("401");
	CHECK_HAS("\"code\":\"KEY_MISSING\"");
	post("/api/chat", KEY, "");
	CHECK_STATUS("400");
	CHECK_INT(workers[POOL_PROXY].asked, 2);
	finish();
}

TEST(edge_streams)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	begin();
	fd = client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	CHECK_HAS("Content-Type: text/event-stream\r\n");
	CHECK_HAS("Cache-Control: no-cache\r\n");
	CHECK_HAS("X-Accel-Buffering: no\r\n");
	CHECK_HAS("RateLimit-Remaining: 99\r\n");
	bus_answer_part(proxy->bus, proxy->held, STR("data: 1\n\n"));
	CHECK(talk_hear(edge.loop, fd, "data: 1\n\n"));
	bus_answer(proxy->bus, proxy->held, ERR_OK, STR("data: [DONE]\n\n"));
	CHECK(talk_hear(edge.loop, fd, "0\r\n\r\n"));
	CHECK_HAS("data: [DONE]\n\n");
	talk_say(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(talk_hear(edge.loop, fd, "Chatello"));
	close(fd);
	finish();
}

TEST(edge_says_that_a_stream_broke)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	begin();
	fd = client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	bus_answer_part(proxy->bus, proxy->held, STR("data: ha"));
	answer_failure(proxy, proxy->held, ERR_UPSTREAM_FAILED);
	CHECK(talk_hear(edge.loop, fd, NULL));
	CHECK_HAS("data: ha");
	CHECK_HAS("\n\ndata: {\"error\":{\"message\":\"because\",\"type\":"
		  "\"server_error\",\"param\":null,\"code\":"
		  "\"UPSTREAM_FAILED\"}}\n\n");
	CHECK(!has("\r\n0\r\n\r\n"));
	close(fd);
	finish();
}

TEST(edge_cancels_for_who_left)
{
	static const char *const bodies[] = {"{\"hold\":1", "{\"stream\":1"};
	struct worker *proxy = &workers[POOL_PROXY];
	char request[512];
	unsigned i;

	begin();
	for (i = 0; i < 2; i++) {
		int fd = client(LISTENER_PUBLIC);

		snprintf(request, sizeof(request),
			 CHAT "Content-Length: %zu\r\n\r\n%s",
			 strlen(bodies[i]), bodies[i]);
		talk_say(fd, request);
		UNTIL(proxy->held != NULL);
		close(fd);
		UNTIL(proxy->cancelled == i + 1);
	}
	finish();
}

/* More than the credit flows while the client reads; it stops when it does
 * not. */
TEST(edge_gives_credit)
{
	static char part[8192];
	struct worker *proxy = &workers[POOL_PROXY];
	size_t sent = 0, total = 0;
	int fd;

	begin();
	memset(part, 'x', sizeof(part));
	fd = client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	while (total < 4u << 20) {
		ssize_t n;

		if (bus_from_credit(proxy->held) > 0) {
			bus_answer_part(proxy->bus, proxy->held,
					str_bytes(part, sizeof(part)));
			sent += sizeof(part);
		}
		CHECK_OK(loop_turn(edge.loop, 1));
		n = recv(fd, talk_got, sizeof(talk_got), MSG_DONTWAIT);
		total += n > 0 ? (size_t)n : 0;
	}
	CHECK(sent >= 3u << 20);
	sent = 0;
	while (bus_from_credit(proxy->held) > 0) {
		bus_answer_part(proxy->bus, proxy->held,
				str_bytes(part, sizeof(part)));
		sent += sizeof(part);
		CHECK(sent < 32u << 20);
		CHECK_OK(loop_turn(edge.loop, 1));
	}
	close(fd);
	UNTIL(proxy->cancelled == 1);
	finish();
}

TEST(edge_drains_and_stops)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	begin();
	fd = client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 8\r\n\r\n{\"hold\":");
	UNTIL(proxy->held != NULL);
	edge_drain(&edge);
	head_send(proxy, proxy->held, "{}", false);
	CHECK(talk_hear(edge.loop, fd, NULL));
	CHECK_HAS("Connection: close\r\n");
	CHECK_OK(loop_run(edge.loop)); /* stops by itself */
	CHECK_INT(http_connections(edge.listeners[0].http), 0);
	close(fd);
	finish();
}
