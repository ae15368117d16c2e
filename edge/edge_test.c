/*
 * edge_test: what a whole edge answers on its listeners, and how it stops.
 */
#include "edge/world_test.h"

#include "lib/metrics.h"
#include "lib/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(edge_says_what_it_is)
{
	world_begin();
	world_get(LISTENER_PUBLIC,
		  "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\"name\":\"Chatello\"");
	CHECK_HAS("x-request-id: 0");
	CHECK(!world_has("Access-Control"));
	world_get(LISTENER_PUBLIC,
		  "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK(!world_has("Chatello"));
	world_end();
}

TEST(edge_knows_its_routes)
{
	world_begin();
	world_get(
	    LISTENER_PUBLIC,
	    "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"code\":\"ROUTE_UNKNOWN\"");
	CHECK_HAS("\"request_id\":\"0");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"type\":\"invalid_request_error\"");
	world_get(
	    LISTENER_PUBLIC,
	    "GET /api/chat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("405");
	CHECK_HAS("Allow: POST, OPTIONS\r\n");
	world_get(LISTENER_PUBLIC,
		  "OPTIONS /api/chat HTTP/1.1\r\nHost: a\r\n"
		  "Origin: https://shop.example\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("204");
	CHECK_HAS("Access-Control-Allow-Origin: *\r\n");
	CHECK_HAS("Access-Control-Allow-Methods: POST, OPTIONS\r\n");
	CHECK_HAS("X-License-Key");
	CHECK_HAS("Access-Control-Max-Age: 600\r\n");
	CHECK(!world_has("Allow-Credentials"));
	world_get(
	    LISTENER_PUBLIC,
	    "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("404");
	world_end();
}

/* Nothing of such a head is known but the beginning of its path. */
TEST(edge_refuses_heads_in_the_shape_of_their_path)
{
	world_begin();
	world_get(LISTENER_PUBLIC, "POST /v1/chat/completions HTTP/1.1\r\n"
				   "Content-Length: many\r\n\r\n");
	CHECK_STATUS("400");
	CHECK_HAS("\"type\":\"invalid_request_error\"");
	CHECK_HAS("Content-Length is not a number");
	CHECK_HAS("x-request-id: 0");
	world_get(LISTENER_PUBLIC, "PRI * HTTP/2.0\r\n\r\n");
	CHECK_STATUS("505");
	CHECK_HAS("\"code\":\"VERSION_UNKNOWN\"");
	CHECK_HAS("\"request_id\":\"0");
	world_end();
}

static void
preflight(const char *wanted)
{
	char text[2048];

	snprintf(text, sizeof(text),
		 "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
		 "Origin: https://shop.example\r\n"
		 "Access-Control-Request-Headers: %s\r\n"
		 "Connection: close\r\n\r\n",
		 wanted);
	world_get(LISTENER_PUBLIC, text);
	CHECK_STATUS("204");
}

/* Official clients in a browser send headers of their own. */
TEST(edge_lets_a_page_send_its_headers)
{
	static const char fixed[] =
	    "Access-Control-Allow-Headers: Authorization, Content-Type, "
	    "X-License-Key, X-Site-Url, Idempotency-Key, x-api-key, "
	    "traceparent\r\n";
	char many[514];

	world_begin();
	preflight("authorization,content-type,x-stainless-os");
	CHECK_HAS("Access-Control-Allow-Headers: "
		  "authorization,content-type,x-stainless-os\r\n");
	CHECK(!world_has(fixed));
	preflight("");
	CHECK_HAS(fixed);
	preflight("x-a, b c");
	CHECK_HAS(fixed);
	CHECK(!world_has("b c"));
	memset(many, 'x', sizeof(many));
	many[512] = '\0';
	preflight(many);
	CHECK_HAS(many);
	memset(many, 'x', 513);
	many[513] = '\0';
	preflight(many);
	CHECK_HAS(fixed);
	CHECK(!world_has("xxxx"));
	world_end();
}

TEST(edge_refuses_a_missing_host_once)
{
	const char *first;

	world_begin();
	world_get(LISTENER_PUBLIC, "GET / HTTP/1.1\r\n\r\n");
	CHECK_STATUS("400");
	CHECK_HAS("\"message\":\"not exactly one Host\"");
	CHECK_HAS("Connection: close\r\n");
	first = strstr(talk_got, "HTTP/1.1 400");
	CHECK(first != NULL && strstr(first + 1, "HTTP/1.1 400") == NULL);
	world_end();
}

TEST(edge_validates)
{
	struct worker *validate = &workers[POOL_VALIDATE];

	world_begin();
	world_post("/api/validate/", KEY,
		   "{\"domain\":\"https://shop.example/x\"}");
	CHECK_STATUS("200");
	CHECK_HAS("\"valid\":true");
	CHECK(strcmp(validate->key, "CHA-1") == 0);
	CHECK(strcmp(validate->domain, "shop.example") == 0);
	world_post("/api/validate", "Origin: https://shop.example\r\n",
		   "{\"license_key\":\"CHA-2\"}");
	CHECK_STATUS("401");
	CHECK_HAS("\"code\":\"NOT_FOUND\"");
	CHECK_HAS("Access-Control-Allow-Origin: *\r\n");
	CHECK_HAS("WWW-Authenticate: Bearer\r\n");
	world_post("/api/validate", "x-api-key: CHA-FAST\r\n", "");
	CHECK_STATUS("429");
	CHECK_HAS("Retry-After: 2\r\n");
	CHECK_HAS("RateLimit-Limit: 1000\r\n");
	CHECK_HAS("RateLimit-Remaining: 0\r\n");
	CHECK_HAS("RateLimit-Reset: 3600\r\n");
	CHECK_HAS("\"valid\":false");
	CHECK(!world_has("rate_"));
	world_end();
}

TEST(edge_refuses_validations_itself)
{
	world_begin();
	world_post("/api/validate", "", "{}");
	CHECK_STATUS("401");
	CHECK_HAS("{\"valid\":false,\"code\":\"KEY_MISSING\"");
	world_post("/api/validate", "", "{");
	CHECK_STATUS("400");
	CHECK_HAS("{\"error\":{\"code\":\"BAD_REQUEST\"");
	world_post("/api/validate", "", "{\"key\":5}");
	CHECK_STATUS("400");
	CHECK_HAS("\"field\":\"key\"");
	CHECK_INT(workers[POOL_VALIDATE].asked, 0);
	world_post("/api/validate", "X-License-Key: CHA-DOWN\r\n", "");
	CHECK_STATUS("503");
	CHECK_HAS(
	    "{\"error\":{\"code\":\"STORE_FULL\",\"message\":\"because\"");
	CHECK_HAS("Retry-After: 1\r\n");
	world_worker_close(POOL_VALIDATE); /* waits for another, in vain */
	world_post("/api/validate", KEY, "");
	CHECK_STATUS("503");
	CHECK(!world_has("valid\":false"));
	CHECK_INT(edge.waiting.count, 0);
	CHECK_INT(edge.waiting.bytes, 0);
	world_end();
}

/* A restart of a worker fails nobody. */
TEST(edge_waits_for_a_worker)
{
	int first, second;

	world_begin();
	world_worker_close(POOL_VALIDATE);
	UNTIL(!world_is_alive());
	first = world_client(LISTENER_PUBLIC);
	second = world_client(LISTENER_PUBLIC);
	talk_say(first,
		 "POST /api/validate HTTP/1.1\r\nHost: a\r\n" KEY "\r\n");
	talk_say(second,
		 "POST /api/validate HTTP/1.1\r\nHost: a\r\n" KEY "\r\n");
	UNTIL(edge.waiting.count == 2);
	close(second);
	UNTIL(http_connections(edge.listeners[LISTENER_PUBLIC].http) == 2);
	world_worker_open(POOL_VALIDATE);
	CHECK(talk_hear(edge.loop, first, "\"valid\":true"));
	CHECK_INT(edge.waiting.count, 0);
	close(first);
	world_end();
}

TEST(edge_activates)
{
	world_begin();
	world_post("/api/activate", KEY, "{\"domain\":\"shop.example\"}");
	CHECK_STATUS("200");
	CHECK_HAS("\"success\":true");
	world_post("/api/deactivate",
		   KEY "X-Site-Url: https://shop.example\r\n", "");
	CHECK_STATUS("200");
	CHECK_INT(workers[POOL_USAGE].asked, 2);
	world_post("/api/activate", KEY, "{}");
	CHECK_STATUS("400");
	CHECK_HAS("\"field\":\"domain\"");
	CHECK_INT(workers[POOL_USAGE].asked, 2);
	world_end();
}

TEST(edge_reports_usage_and_models)
{
	world_begin();
	world_get(LISTENER_PUBLIC, "GET /api/usage HTTP/1.1\r\nHost: a\r\n" KEY
				   "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\"currency\":\"EUR\"");
	world_get(
	    LISTENER_PUBLIC,
	    "GET /api/usage HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STATUS("401");
	CHECK_HAS("{\"error\":{\"code\":\"KEY_MISSING\"");
	world_get(LISTENER_PUBLIC, "GET /v1/models HTTP/1.1\r\nHost: a\r\n"
				   "Authorization: Bearer CHA-1\r\n"
				   "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-x\","
		  "\"object\":\"model\",\"created\":5,"
		  "\"owned_by\":\"openai\"},{\"id\":\"some/model\",");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models/gpt-x HTTP/1.1\r\n"
		  "Host: a\r\n" KEY "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\r\n\r\n{\"id\":\"gpt-x\",\"object\":\"model\",");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models/gpt HTTP/1.1\r\n"
		  "Host: a\r\n" KEY "Connection: close\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"code\":\"MODEL_UNKNOWN\"");
	world_end();
}

/* The official clients escape the slash of a name, others do not. */
TEST(edge_finds_models_with_a_slash_in_their_names)
{
	static const struct {
		const char *id, *status, *says;
	} rows[] = {
	    {"some/model", "HTTP/1.1 200 ", "\r\n\r\n{\"id\":\"some/model\","},
	    {"some%2Fmodel", "HTTP/1.1 200 ",
	     "\r\n\r\n{\"id\":\"some/model\","},
	    {"some%2fmodel", "HTTP/1.1 200 ",
	     "\r\n\r\n{\"id\":\"some/model\","},
	    {"some", "HTTP/1.1 404 ", "\"code\":\"MODEL_UNKNOWN\""},
	    {"some/", "HTTP/1.1 404 ", "\"code\":\"MODEL_UNKNOWN\""},
	    {"some/model/x", "HTTP/1.1 404 ", "\"code\":\"MODEL_UNKNOWN\""},
	    {"some%252Fmodel", "HTTP/1.1 404 ", "\"code\":\"MODEL_UNKNOWN\""},
	};

	world_begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char request[256];

		snprintf(request, sizeof(request),
			 "GET /v1/models/%s HTTP/1.1\r\nHost: a\r\n" KEY
			 "Connection: close\r\n\r\n",
			 rows[i].id);
		world_get(LISTENER_PUBLIC, request);
		CHECK_HAS(rows[i].status);
		CHECK_HAS(rows[i].says);
	}
	world_end();
}

TEST(edge_is_well_or_not)
{
	world_begin();
	world_get(LISTENER_PUBLIC, "GET /api/health HTTP/1.1\r\nHost: a\r\n"
				   "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("{\"status\":\"ok\",\"pools\":{\"validate\":{\"alive\":1,"
		  "\"of\":1},\"proxy\":{\"alive\":1,\"of\":1},\"usage\":"
		  "{\"alive\":1,\"of\":1}},\"store\":{\"head_seq\":7,");
	world_worker_close(POOL_PROXY);
	UNTIL(!world_is_alive());
	world_get(LISTENER_INTERNAL, "GET /api/health HTTP/1.1\r\nHost: a\r\n"
				     "Connection: close\r\n\r\n");
	CHECK_STATUS("503");
	CHECK_HAS("\"status\":\"degraded\"");
	CHECK_HAS("\"proxy\":{\"alive\":0,\"of\":1}");
	CHECK_HAS("Retry-After: ");
	world_end();
}

/* One worker refuses, which is an answer; one never answers. */
TEST(edge_joins_metrics)
{
	world_begin();
	world_get(LISTENER_INTERNAL, "GET /metrics HTTP/1.1\r\nHost: a\r\n"
				     "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("text/plain; version=0.0.4");
	CHECK_HAS("chatello_events_seq{process=\"validate-0\"} 7\n");
	CHECK_HAS("chatello_http_connections{process=\"edge-0\"} 1\n");
	CHECK_HAS("chatello_up{process=\"edge-0\"} 1\n");
	CHECK_HAS("chatello_up{process=\"proxy-0\"} 1\n");
	CHECK_HAS("chatello_up{process=\"usage-0\"} 0\n");
	CHECK(!world_has("{process=\"usage-0\"} 1\n"));
	world_end();
}

#define MANY 5 /* validate processes: too much for one page */
static struct bus *many[MANY];

/* As much as may be, of which the page takes one family. */
static void
on_ask_much(void *ctx, const struct bus_request *request)
{
	static const char head[] = "# HELP chatello_events_seq newest\n"
				   "# TYPE chatello_events_seq gauge\n";
	struct bus *bus = *(struct bus **)ctx;
	struct metrics_answer metrics;
	struct buf text, body;

	buf_init(&text, METRICS_TEXT_BYTES_MAX);
	buf_init(&body, 2 * METRICS_TEXT_BYTES_MAX);
	buf_printf(&text, "%schatello_events_seq{process=\"validate-%d\"} 7\n",
		   head, (int)((struct bus **)ctx - many));
	buf_add_z(&text, "# HELP x ");
	while (text.n < METRICS_TEXT_BYTES_MAX)
		buf_add_char(&text, 'x');
	metrics.text = buf_str(&text);
	schema_encode(&metrics_answer_schema, &metrics, &body);
	bus_answer(bus, request->from, ERR_OK, buf_str(&body));
	buf_fini(&text);
	buf_fini(&body);
}

static bool
are_many_alive(void)
{
	struct bus_peer_state state;

	for (unsigned i = 0; i < MANY; i++) {
		bus_pool_state(edge.pools[POOL_VALIDATE], i, &state);
		if (!state.is_alive)
			return false;
	}
	return true;
}

/* Who has answered is up, also when there is no room for its numbers. */
TEST(edge_takes_no_process_for_down_whose_metrics_do_not_fit)
{
	unsigned shown = 0;

	setenv("CHATELLO_VALIDATORS", "5", 1);
	world_begin();
	world_worker_close(POOL_VALIDATE);
	for (int i = 0; i < MANY; i++) {
		char name[BUS_NAME_BYTES];
		struct why why;

		snprintf(name, sizeof(name), "validate-%d", i);
		CHECK_OK(bus_open(&many[i], edge.loop, "run", name, &why));
		CHECK_OK(bus_serve_kind(many[i], "edge", 1));
		bus_serve(many[i], on_ask_much, NULL, NULL, &many[i]);
	}
	UNTIL(are_many_alive());
	world_get(LISTENER_INTERNAL, "GET /metrics HTTP/1.1\r\nHost: a\r\n"
				     "Connection: close\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("chatello_up{process=\"edge-0\"} 1\n");
	CHECK_HAS("chatello_up{process=\"usage-0\"} 0\n");
	for (int i = 0; i < MANY; i++) {
		char line[128];

		snprintf(line, sizeof(line),
			 "chatello_events_seq{process=\"validate-%d\"} 7\n", i);
		if (world_has(line)) {
			shown++;
			continue;
		}
		snprintf(line, sizeof(line),
			 "chatello_up{process=\"validate-%d\"} 1\n", i);
		CHECK_HAS(line);
	}
	CHECK_INT(shown, 3);
	for (int i = 0; i < MANY; i++)
		bus_close(many[i]);
	world_end();
}

/* Sends all of a body before it reads, as the official clients do. */
static void
say_body(int fd, size_t bytes)
{
	char part[1024];

	memset(part, 'a', sizeof(part));
	for (size_t said = 0; said < bytes; said += sizeof(part)) {
		CHECK_INT(send(fd, part, sizeof(part), MSG_NOSIGNAL),
			  (int64_t)sizeof(part));
		loop_turn(edge.loop, 0);
	}
}

TEST(edge_answers_who_says_too_much_before_it_listens)
{
	static const struct {
		const char *head;
		const char *status;
	} rows[] = {
	    {"POST /api/validate HTTP/1.1\r\n", "HTTP/1.1 413 "},
	    {"POST /nowhere HTTP/1.1\r\n", "HTTP/1.1 404 "},
	    {"PUT /api/validate HTTP/1.1\r\n", "HTTP/1.1 405 "},
	};
	int fd;

	world_begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = world_client(LISTENER_PUBLIC);
		talk_say(fd, rows[i].head);
		talk_say(fd, "Host: a\r\nContent-Length: 2097152\r\n\r\n");
		say_body(fd, 2097152);
		CHECK(talk_hear(edge.loop, fd, "\"request_id\":"));
		CHECK(world_has(rows[i].status));
		close(fd);
	}
	world_end();
}

TEST(edge_drains_and_stops)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	world_begin();
	fd = world_client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 8\r\n\r\n{\"hold\":");
	UNTIL(proxy->held != NULL);
	edge_drain(&edge);
	world_answer_head(proxy, proxy->held, "{}", false);
	CHECK(talk_hear(edge.loop, fd, NULL));
	CHECK_HAS("Connection: close\r\n");
	CHECK_OK(loop_run(edge.loop)); /* stops by itself */
	CHECK_INT(http_connections(edge.listeners[0].http), 0);
	close(fd);
	world_end();
}
