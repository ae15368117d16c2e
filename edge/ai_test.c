/*
 * ai_test: AI requests through a whole edge: in one piece, streamed, refused,
 * broken, left.
 */
#include "edge/world_test.h"

#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRACE_REST "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
#define TRACE "0" TRACE_REST

TEST(edge_answers_ai_in_one_piece)
{
	struct worker *proxy = &workers[POOL_PROXY];

	world_begin();
	world_post("/v1/chat/completions", KEY, "{}");
	CHECK_STATUS("200");
	CHECK_HAS("Content-Length: 10\r\n");
	CHECK_HAS("\r\n\r\n{\"id\":\"x\"}");
	CHECK_HAS("RateLimit-Limit: 100\r\n");
	CHECK_HAS("RateLimit-Remaining: 99\r\n");
	CHECK_HAS("RateLimit-Reset: 36\r\n");
	CHECK(strcmp(proxy->shape, "openai") == 0);
	CHECK_INT(strlen(proxy->request_id), 26);
	CHECK_HAS(proxy->request_id);
	world_post("/api/chat", KEY "Idempotency-Key: mine-1\r\n",
		   "{\"domain\":\"shop.example\"}");
	CHECK_STATUS("200");
	CHECK_HAS("x-request-id: mine-1\r\n");
	CHECK(strcmp(proxy->request_id, "mine-1") == 0);
	CHECK(strcmp(proxy->shape, "chat") == 0);
	CHECK(strcmp(proxy->domain, "shop.example") == 0);
	world_end();
}

TEST(edge_says_who_answered_and_what_it_took)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	world_begin();
	world_post("/v1/chat/completions", KEY "Origin: https://a.example\r\n",
		   "{}");
	CHECK_STATUS("200");
	CHECK_HAS("x-chatello-provider: openai\r\n");
	CHECK_HAS("x-chatello-overhead-ms: 0.000\r\n");
	CHECK(strcmp(proxy->traceparent, "") == 0);
	fd = world_client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 10\r\n\r\n{\"stream\":");
	CHECK(talk_hear(edge.loop, fd, "\r\n\r\n"));
	CHECK_HAS("x-chatello-provider: openai\r\n");
	close(fd);
	world_get(LISTENER_INTERNAL, "GET /metrics HTTP/1.1\r\nHost: a\r\n"
				     "Connection: close\r\n\r\n");
	CHECK_HAS("chatello_ai_overhead_seconds_count{process=\"edge-0\","
		  "provider=\"openai\"} 2\n");
	world_end();
}

/* --- what a page may read ------------------------------------------------ */

#define NAMES_MAX 32
#define EXPOSE "Access-Control-Expose-Headers"

struct names {
	char text[NAMES_MAX][64];
	int count;
};

static bool
has_name(const struct names *names, const char *name)
{
	for (int i = 0; i < names->count; i++)
		if (strcasecmp(names->text[i], name) == 0)
			return true;
	return false;
}

static void
add_name(struct names *names, const char *p, size_t n)
{
	char *to = names->text[names->count];

	CHECK(names->count < NAMES_MAX && n > 0 && n < 64);
	snprintf(to, 64, "%.*s", (int)n, p);
	names->count += !has_name(names, to);
}

/* Those that every page may read, those of the browser, and those for whoever
 * stands between. */
static bool
is_for_nobody(const char *name)
{
	static const char *const all[] = {
	    "Cache-Control", "Content-Length",	  "Content-Type",
	    "Connection",    "Transfer-Encoding", "Date",
	    "Allow",	     "WWW-Authenticate",  "X-Accel-Buffering",
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcasecmp(all[i], name) == 0)
			return true;
	return strncasecmp(name, "Access-Control-", 15) == 0;
}

/* The headers of the answer that came last, and those that it exposes. */
static void
read_names(struct names *sent, struct names *exposed)
{
	const char *line = strstr(talk_got, "\r\n") + 2;
	const char *list = strstr(talk_got, EXPOSE ": ");

	for (; *line != '\r'; line = strstr(line, "\r\n") + 2) {
		struct names one = {.count = 0};

		add_name(&one, line, strcspn(line, ":"));
		if (!is_for_nobody(one.text[0]))
			add_name(sent, one.text[0], strlen(one.text[0]));
	}
	CHECK(list != NULL);
	for (list += sizeof(EXPOSE ":"); *list != '\r';
	     list += strspn(list, ", ")) {
		size_t n = strcspn(list, ",\r");

		add_name(exposed, list, n);
		list += n;
	}
}

/* What the shape's routes send and what they expose is the same. */
TEST(edge_exposes_exactly_what_it_sends)
{
	static const struct {
		const char *path, *headers;
	} shapes[] = {
	    {"/v1/chat/completions", KEY},
	    {"/v1/messages", KEY},
	    {"/api/chat", KEY},
	    {"/api/validate", "X-License-Key: CHA-FAST\r\n"},
	};
	static const char *const bodies[] = {"{}", "{\"rate\":1}",
					     "{\"month\":1}"};

	workers[POOL_PROXY].places = 5;
	world_begin();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct names sent = {.count = 0}, exposed = {.count = 0};
		char headers[128];

		snprintf(headers, sizeof(headers), "Origin: https://a.b\r\n%s",
			 shapes[i].headers);
		for (size_t j = 0; j < sizeof(bodies) / sizeof(bodies[0]);
		     j++) {
			world_post(shapes[i].path, headers, bodies[j]);
			read_names(&sent, &exposed);
		}
		for (int j = 0; j < sent.count; j++)
			if (!has_name(&exposed, sent.text[j]))
				test_fail(__FILE__, __LINE__, "%s hides %s",
					  shapes[i].path, sent.text[j]);
		for (int j = 0; j < exposed.count; j++)
			if (!has_name(&sent, exposed.text[j]) && i < 3)
				test_fail(__FILE__, __LINE__, "%s sends no %s",
					  shapes[i].path, exposed.text[j]);
	}
	world_end();
}

/* However long the request's head is, the answer's finds its room. */
TEST(edge_answers_a_page_whose_head_is_as_long_as_may_be)
{
	char request[9000], filler[8000];
	int answered = 0, refused = 0;

	workers[POOL_PROXY].places = 5;
	world_begin();
	for (size_t n = 6000; n < 7200; n += 7) {
		memset(filler, 'x', n);
		filler[n] = '\0';
		snprintf(request, sizeof(request),
			 "POST /v1/messages HTTP/1.1\r\nHost: a\r\n" KEY
			 "Origin: https://a.b\r\nConnection: close\r\n"
			 "Idempotency-Key: %.64s\r\nX: %s\r\n"
			 "Content-Length: 2\r\n\r\n{}",
			 filler, filler);
		world_get(LISTENER_PUBLIC, request);
		if (world_has("HTTP/1.1 431 "))
			refused++;
		else if (world_has("HTTP/1.1 200 ") &&
			 world_has("\r\n\r\n{\"id\":\"x\"}"))
			answered++;
		else
			test_fail(__FILE__, __LINE__, "%zu: %s", n, talk_got);
	}
	CHECK(answered > 10 && refused > 10);
	world_end();
}

TEST(edge_says_what_remains_as_each_shape_does)
{
	world_begin();
	world_post("/v1/chat/completions", KEY, "{}");
	CHECK_HAS("RateLimit-Limit: 100\r\n");
	CHECK_HAS("RateLimit-Remaining: 99\r\n");
	CHECK_HAS("RateLimit-Reset: 36\r\n");
	CHECK_HAS("x-ratelimit-limit-requests: 100\r\n");
	CHECK_HAS("x-ratelimit-remaining-requests: 99\r\n");
	CHECK_HAS("x-ratelimit-reset-requests: 36s\r\n");
	CHECK_HAS("x-ratelimit-limit-tokens: 9000\r\n");
	CHECK_HAS("x-ratelimit-remaining-tokens: 8000\r\n");
	CHECK_HAS("x-ratelimit-reset-tokens: 1m2s\r\n");
	world_post("/v1/messages", KEY, "{}");
	CHECK_HAS("RateLimit-Limit: 100\r\n");
	CHECK_HAS("anthropic-ratelimit-requests-limit: 100\r\n");
	CHECK_HAS("anthropic-ratelimit-requests-remaining: 99\r\n");
	CHECK_HAS("anthropic-ratelimit-requests-reset: 2");
	CHECK_HAS("anthropic-ratelimit-tokens-limit: 9000\r\n");
	CHECK_HAS("anthropic-ratelimit-tokens-remaining: 8000\r\n");
	CHECK_HAS("anthropic-ratelimit-tokens-reset: 2");
	world_post("/api/chat", KEY, "{}");
	CHECK_HAS("RateLimit-Limit: 100\r\n");
	CHECK(!world_has("ratelimit-limit-requests:"));
	world_end();
}

/* Under one name in all shapes, streamed or not; of what has no limit there is
 * nothing to say. */
TEST(edge_says_what_remains_of_month_money_and_places)
{
	static const char *const paths[] = {"/v1/chat/completions",
					    "/v1/messages", "/api/chat"};
	int fd;

	world_begin();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		world_post(paths[i], KEY "Origin: https://a.example\r\n", "{}");
		CHECK_STATUS("200");
		CHECK_HAS("\r\nx-ratelimit-limit-requests-month: 1000\r\n");
		CHECK_HAS("\r\nx-ratelimit-remaining-requests-month: 41\r\n");
		CHECK_HAS("\r\nx-ratelimit-limit-spend-month: "
			  "9000000000000000000\r\n");
		CHECK_HAS("\r\nx-ratelimit-remaining-spend-month: "
			  "8999999999999999999\r\n");
		CHECK(!world_has("x-ratelimit-limit-concurrent:"));
		CHECK(!world_has("x-ratelimit-remaining-concurrent:"));
		/* A page may read them. */
		CHECK_HAS(", x-ratelimit-remaining-requests-month, ");
		CHECK_HAS(", x-ratelimit-remaining-spend-month, ");
		CHECK_HAS(", x-ratelimit-remaining-concurrent");
	}
	fd = world_client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	CHECK_HAS("\r\nx-ratelimit-remaining-requests-month: 41\r\n");
	close(fd);
	world_end();
}

TEST(edge_passes_on_traces)
{
	struct worker *proxy = &workers[POOL_PROXY];

	world_begin();
	world_post("/api/chat", KEY "traceparent: " TRACE "-01\r\n", "{}");
	CHECK_STATUS("200");
	CHECK(strcmp(proxy->traceparent, TRACE "-01") == 0);
	CHECK(strcmp(proxy->tracestate, "") == 0);
	world_post("/api/chat",
		   KEY "tracestate: a=1, b=2\r\ntraceparent: " TRACE "-01\r\n",
		   "{}");
	CHECK_STATUS("200");
	CHECK(strcmp(proxy->tracestate, "a=1, b=2") == 0);
	world_post("/api/chat",
		   KEY "tracestate: a\r\ntraceparent: " TRACE "-01\r\n", "{}");
	CHECK_STATUS("200");
	CHECK(strcmp(proxy->traceparent, TRACE "-01") == 0);
	CHECK(strcmp(proxy->tracestate, "") == 0);
	/* A version that comes later. */
	world_post("/api/chat",
		   KEY "traceparent: 5" TRACE_REST "-03-what.ever\r\n", "{}");
	CHECK(strcmp(proxy->traceparent, "5" TRACE_REST "-03") == 0);
	/* What is none is no reason to refuse. */
	world_post("/api/chat",
		   KEY "traceparent: " TRACE "-0\r\ntracestate: a=1\r\n", "{}");
	CHECK_STATUS("200");
	CHECK(strcmp(proxy->traceparent, "") == 0);
	CHECK(strcmp(proxy->tracestate, "") == 0);
	world_end();
}

/* The longest head of an answer finds its room behind the longest of a
 * request. */
TEST(edge_finds_room_for_its_heads)
{
	char request[8192], filler[7000];
	int fd, n;

	world_begin();
	for (n = 6000; n < (int)sizeof(filler); n++) {
		memset(filler, 'f', (size_t)n);
		filler[n] = '\0';
		snprintf(request, sizeof(request),
			 "POST /v1/messages HTTP/1.1\r\nHost: a\r\n" KEY
			 "Origin: https://a.example\r\nIdempotency-Key: "
			 "%.64s\r\nContent-Length: 10\r\nx-filler: %s\r\n\r\n"
			 "{\"stream\":",
			 filler, filler);
		fd = world_client(LISTENER_PUBLIC);
		talk_say(fd, request);
		CHECK(talk_hear(edge.loop, fd, "\r\n\r\n"));
		close(fd);
		if (world_has("HTTP/1.1 431 "))
			break;
		CHECK_STATUS("200");
		CHECK_HAS("\r\nrequest-id: ffff");
		CHECK_HAS("\r\nx-chatello-overhead-ms: 0.");
		CHECK_HAS("\r\n\r\n");
	}
	CHECK(n > 6000 && n < (int)sizeof(filler));
	world_end();
}

TEST(edge_refuses_ai)
{
	world_begin();
	world_post("/v1/chat/completions", KEY, "{\"rate\":1}");
	CHECK_STATUS("429");
	CHECK_HAS("Retry-After: 3\r\n");
	CHECK_HAS("RateLimit-Remaining: 0\r\n");
	CHECK_HAS("{\"error\":{\"message\":\"because\",\"type\":\"requests\","
		  "\"param\":null,\"code\":\"RATE_LIMITED\"}}");
	world_post("/api/chat", KEY, "{\"rate\":1}");
	CHECK_STATUS("429");
	CHECK_HAS("{\"error\":{\"code\":\"RATE_LIMITED\"");
	CHECK_INT(workers[POOL_PROXY].asked, 2);
	world_post("/v1/chat/completions", KEY "Idempotency-Key: a b\r\n",
		   "{}");
	CHECK_STATUS("400");
	CHECK_HAS("Idempotency-Key");
	world_post("/v1/chat/completions", "", "{}");
	CHECK_STATUS("401");
	CHECK_HAS("\"code\":\"KEY_MISSING\"");
	world_post("/api/chat", KEY, "");
	CHECK_STATUS("400");
	CHECK_INT(workers[POOL_PROXY].asked, 2);
	world_end();
}

TEST(edge_tells_ai_clients_when_not_to_ask_again)
{
	static const struct {
		const char *path;
		const char *body;
		bool is_told;
	} rows[] = {
	    {"/v1/chat/completions", "{\"rate\":1}", false}, /* 2.5 s */
	    {"/v1/chat/completions", "{\"broken\":1}", false},
	    {"/v1/chat/completions", "{\"month\":1}", true},
	    {"/v1/chat/completions", "{\"billed\":1}", true},
	    {"/v1/chat/completions", "", true}, /* it will fail again */
	    {"/v1/messages", "{\"broken\":1}", false},
	    {"/v1/messages", "{\"month\":1}", true},
	    {"/v1/messages", "{\"billed\":1}", true},
	    {"/api/chat", "{\"month\":1}", false}, /* no such clients */
	};

	world_begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_post(rows[i].path, KEY, rows[i].body);
		CHECK(!world_has("HTTP/1.1 200"));
		CHECK_INT(world_has("x-should-retry: false\r\n"),
			  rows[i].is_told);
	}
	world_end();
}

TEST(edge_lists_models_for_anthropic_clients)
{
	world_begin();
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "x-api-key: CHA-1\r\nanthropic-version: 2023-06-01\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("{\"data\":[{\"type\":\"model\",\"id\":\"gpt-x\","
		  "\"display_name\":\"gpt-x\",\"created_at\":"
		  "\"1970-01-01T00:00:05Z\"},{\"type\":\"model\",\"id\":"
		  "\"some/model\",");
	CHECK_HAS("}],\"has_more\":false,"
		  "\"first_id\":\"gpt-x\",\"last_id\":\"some/model\"}");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "anthropic-version: 2023-06-01\r\n\r\n");
	CHECK_STATUS("401");
	CHECK_HAS("\"type\":\"authentication_error\"");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models/gpt-x HTTP/1.1\r\nHost: a\r\n" KEY
		  "Connection: close\r\nanthropic-version: 1\r\n\r\n");
	CHECK_STATUS("200");
	CHECK_HAS("\r\n\r\n{\"type\":\"model\",\"id\":\"gpt-x\",");
	world_get(LISTENER_PUBLIC,
		  "GET /v1/models/gpt HTTP/1.1\r\nHost: a\r\n" KEY
		  "Connection: close\r\nanthropic-version: 1\r\n\r\n");
	CHECK_STATUS("404");
	CHECK_HAS("\"type\":\"not_found_error\"");
	world_post("/v1/messages/count_tokens", KEY, "{}");
	CHECK_STATUS("200");
	CHECK(strcmp(workers[POOL_PROXY].shape, "count") == 0);
	world_end();
}

TEST(edge_speaks_anthropic)
{
	struct worker *proxy = &workers[POOL_PROXY];
	char version[120];
	int fd;

	world_begin();
	world_post("/v1/messages",
		   "x-api-key: CHA-1\r\nanthropic-version: 2023-06-01\r\n"
		   "anthropic-beta: a-1,b-2\r\n",
		   "{}");
	CHECK_STATUS("200");
	CHECK_HAS("request-id: ");
	CHECK(strcmp(proxy->shape, "anthropic") == 0);
	CHECK(strcmp(proxy->anthropic_version, "2023-06-01") == 0);
	CHECK(strcmp(proxy->anthropic_beta, "a-1,b-2") == 0);
	world_post("/v1/messages", KEY, "{\"rate\":1}");
	CHECK_STATUS("429");
	CHECK_HAS("Retry-After: 3\r\n");
	CHECK_HAS("{\"type\":\"error\",\"error\":{\"type\":"
		  "\"rate_limit_error\",\"message\":\"because\"},"
		  "\"request_id\":\"");
	world_post("/v1/messages", "", "{}");
	CHECK_STATUS("401");
	CHECK_HAS("\"type\":\"authentication_error\"");
	world_post("/v1/messages/nowhere", KEY, "{}");
	CHECK_STATUS("404");
	CHECK_HAS("\"type\":\"not_found_error\"");
	CHECK_INT(proxy->asked, 2);
	snprintf(version, sizeof(version), KEY "anthropic-version: %065d\r\n",
		 0);
	world_post("/v1/messages", version, "{}");
	CHECK_STATUS("400");
	CHECK_HAS("anthropic-version");
	CHECK_INT(proxy->asked, 2);
	/* A stream that breaks ends with an event that its clients know. */
	fd = world_client(LISTENER_PUBLIC);
	talk_say(fd, "POST /v1/messages HTTP/1.1\r\nHost: a\r\n" KEY
		     "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	bus_answer_part(proxy->bus, proxy->held, STR("data: 1\n\n"));
	CHECK(talk_hear(edge.loop, fd, "data: 1\n\n"));
	world_answer_failure(proxy, proxy->held, ERR_UPSTREAM_FAILED);
	CHECK(talk_hear(edge.loop, fd, NULL));
	CHECK_HAS("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
		  "\"api_error\",\"message\":\"because\"}");
	close(fd);
	world_end();
}

TEST(edge_streams)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	world_begin();
	fd = world_client(LISTENER_PUBLIC);
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
	world_end();
}

TEST(edge_says_that_a_stream_broke)
{
	struct worker *proxy = &workers[POOL_PROXY];
	int fd;

	world_begin();
	fd = world_client(LISTENER_PUBLIC);
	talk_say(fd, CHAT "Content-Length: 12\r\n\r\n{\"stream\":1}");
	CHECK(talk_hear(edge.loop, fd, "{\"id\":\"x\"}"));
	bus_answer_part(proxy->bus, proxy->held, STR("data: ha"));
	world_answer_failure(proxy, proxy->held, ERR_UPSTREAM_FAILED);
	CHECK(talk_hear(edge.loop, fd, NULL));
	CHECK_HAS("data: ha");
	CHECK_HAS("\n\ndata: {\"error\":{\"message\":\"because\",\"type\":"
		  "\"server_error\",\"param\":null,\"code\":"
		  "\"UPSTREAM_FAILED\"}}\n\n");
	CHECK(!world_has("\r\n0\r\n\r\n"));
	close(fd);
	world_end();
}

TEST(edge_cancels_for_who_left)
{
	static const char *const bodies[] = {"{\"hold\":1", "{\"stream\":1"};
	struct worker *proxy = &workers[POOL_PROXY];
	char request[512];
	unsigned i;

	world_begin();
	for (i = 0; i < 2; i++) {
		int fd = world_client(LISTENER_PUBLIC);

		snprintf(request, sizeof(request),
			 CHAT "Content-Length: %zu\r\n\r\n%s",
			 strlen(bodies[i]), bodies[i]);
		talk_say(fd, request);
		UNTIL(proxy->held != NULL);
		close(fd);
		UNTIL(proxy->cancelled == i + 1);
	}
	world_end();
}

/* More than the credit flows while the client reads; it stops when it does
 * not. */
TEST(edge_gives_credit)
{
	static char part[8192];
	struct worker *proxy = &workers[POOL_PROXY];
	size_t sent = 0, total = 0;
	int fd;

	world_begin();
	memset(part, 'x', sizeof(part));
	fd = world_client(LISTENER_PUBLIC);
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
	world_end();
}
