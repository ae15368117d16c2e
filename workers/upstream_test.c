/*
 * Tests of the upstream calls against a scripted server on loopback.
 */
#include "workers/upstream.h"

#include "lib/test.h"
#include "workers/scripted_test.h"
#include "workers/upstream_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BIG_BYTES (3u << 20)
#define BIG_BODY_BYTES (16u << 20)

struct seen {
	struct upstream_call *call;
	int status;
	int64_t retry_after_ms;
	char type[64];
	size_t body_bytes;
	char body[256];
	unsigned heads;
	unsigned ends;
	struct upstream_end end;
	unsigned pause_at; /* pause once after so many body calls; 0 = never */
	unsigned bodies;
	bool is_paused;
	bool is_stopping;
};

static void
on_head(void *ctx, const struct upstream_head *head)
{
	struct seen *seen = ctx;

	CHECK_INT(seen->bodies, 0);
	seen->heads++;
	seen->status = head->status;
	seen->retry_after_ms = head->retry_after_ms;
	snprintf(seen->type, sizeof(seen->type), "%.*s",
		 STR_ARG(head->content_type));
}

static enum upstream_take
on_body(void *ctx, struct str bytes)
{
	struct seen *seen = ctx;

	CHECK(!seen->is_paused);
	if (seen->is_stopping)
		return UPSTREAM_STOP;
	seen->bodies++;
	if (seen->bodies == seen->pause_at) {
		seen->is_paused = true;
		return UPSTREAM_PAUSE;
	}
	if (seen->body_bytes + bytes.n < sizeof(seen->body))
		memcpy(seen->body + seen->body_bytes, bytes.p, bytes.n);
	seen->body_bytes += bytes.n;
	return UPSTREAM_TAKEN;
}

static void
on_end(void *ctx, const struct upstream_end *end)
{
	struct seen *seen = ctx;

	seen->ends++;
	seen->end = *end;
	seen->call = NULL;
}

static const struct upstream_handler handler = {on_head, on_body, on_end};

struct setup {
	struct scripted scripted;
	struct loop *loop;
	struct upstream *upstream;
	struct upstream_target *target;
};

static void
target_at(struct setup *setup, const char *base)
{
	static const char *const headers[] = {"Authorization: Bearer test-key",
					      "Content-Type: application/json",
					      NULL};
	struct why why;

	CHECK_OK(upstream_target_open(&setup->target, setup->upstream, base,
				      "/chat/completions", headers, &why));
}

static void
setup_open(struct setup *setup, scripted_fn *fn)
{
	struct why why;

	memset(setup, 0, sizeof(*setup));
	scripted_start(&setup->scripted, fn);
	CHECK_OK(loop_open(&setup->loop));
	CHECK_OK(upstream_open(&setup->upstream, setup->loop, 2000, &why));
	target_at(setup, setup->scripted.base);
}

static void
setup_close(struct setup *setup)
{
	upstream_target_close(setup->target);
	upstream_close(setup->upstream);
	loop_close(setup->loop);
	scripted_stop(&setup->scripted);
}

static void
call_begin(struct setup *setup, struct seen *seen, struct str body,
	   struct str extra)
{
	struct upstream_ask ask = {body, extra, &handler, seen, NULL};

	memset(seen, 0, sizeof(*seen));
	CHECK_OK(upstream_call(setup->target, &ask, &seen->call));
	CHECK_INT(seen->ends, 0);
}

static void
call_finish(struct setup *setup, struct seen *seen)
{
	while (seen->ends == 0)
		CHECK_OK(loop_turn(setup->loop, 1000));
	CHECK_INT(seen->ends, 1);
}

static bool
answer_echo(int fd, struct str request, unsigned nth)
{
	char body[32];
	int n = snprintf(body, sizeof(body), "{\"nth\":%u}", nth);

	(void)request;
	scripted_answer(fd, 200, "application/json", "",
			str_bytes(body, (size_t)n));
	return true;
}

static bool
answer_never_at_all(int fd, struct str request, unsigned nth)
{
	(void)fd;
	(void)request;
	(void)nth;
	return false;
}

TEST(upstream_calls_and_keeps_its_connection)
{
	struct setup setup;
	struct seen seen;
	struct str last;

	setup_open(&setup, answer_echo);
	for (unsigned i = 1; i <= 3; i++) {
		call_begin(&setup, &seen, STR("{\"a\":1}"), STR_NONE);
		call_finish(&setup, &seen);
		CHECK_OK(seen.end.err);
		CHECK_INT(seen.end.sends, 1);
		CHECK_INT(seen.status, 200);
		CHECK_INT(seen.retry_after_ms, -1);
		CHECK_STR(str_of(seen.type), STR("application/json"));
		CHECK_INT(seen.body[7], '0' + (int)i);
	}
	CHECK_INT(setup.scripted.shared->connections, 1);
	CHECK_STR(scripted_last_body(&setup.scripted), STR("{\"a\":1}"));
	last = scripted_last(&setup.scripted);
	CHECK(str_starts(last, STR("POST /v1/chat/completions HTTP/1.1\r\n")));
	CHECK(scripted_last_has(&setup.scripted,
				"Authorization: Bearer test-key\r\n"));
	CHECK(!scripted_last_has(&setup.scripted, "Expect"));
	CHECK(scripted_last_has(&setup.scripted,
				"Accept-Encoding: identity\r\n"));
	setup_close(&setup);
}

static bool
answer_once(int fd, struct str request, unsigned nth)
{
	if (nth == 2)
		return false;
	return answer_echo(fd, request, nth);
}

TEST(upstream_finds_a_kept_connection_closed)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_once);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_OK(seen.end.err);
	CHECK_INT(seen.end.sends, 2);
	CHECK_INT(setup.scripted.shared->connections, 2);
	/* And nobody listens any more: nothing was worked on. */
	scripted_stop(&setup.scripted);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK(!seen.end.is_sent);
	upstream_target_close(setup.target);
	upstream_close(setup.upstream);
	loop_close(setup.loop);
}

#define KEPT 4

static bool
answer_four(int fd, struct str request, unsigned nth)
{
	return nth <= KEPT && answer_echo(fd, request, nth);
}

/* Whoever reads requests and closes may work on them all. */
TEST(upstream_sends_twice_at_most)
{
	struct seen kept[KEPT], seen;
	struct setup setup;

	setup_open(&setup, answer_four);
	for (int i = 0; i < KEPT; i++)
		call_begin(&setup, &kept[i], STR("{}"), STR_NONE);
	for (int i = 0; i < KEPT; i++)
		call_finish(&setup, &kept[i]);
	CHECK_INT(setup.scripted.shared->connections, KEPT);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.end.sends, 2);
	CHECK_INT(setup.scripted.shared->requests, KEPT + 2);
	CHECK(seen.end.is_sent);
	setup_close(&setup);
}

TEST(upstream_target_is_closed_behind_its_last_call)
{
	struct setup setup;
	struct seen first, second;

	setup_open(&setup, answer_echo);
	call_begin(&setup, &first, STR("{}"), STR_NONE);
	call_begin(&setup, &second, STR("{}"), STR_NONE);
	upstream_target_close(setup.target);
	upstream_abort(second.call);
	call_finish(&setup, &first);
	CHECK_OK(first.end.err);
	CHECK_INT(first.status, 200);
	target_at(&setup, setup.scripted.base);
	setup_close(&setup);
}

static void
big_body(struct buf *body)
{
	buf_init(body, 32u << 20);
	while (body->n < BIG_BODY_BYTES)
		buf_add_z(body, "0123456789abcdef");
}

/* The server takes no more of it than it has room for. */
TEST(upstream_knows_what_was_sent)
{
	struct buf body;
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_never_at_all);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK(seen.end.is_sent);
	big_body(&body);
	call_begin(&setup, &seen, buf_str(&body), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.end.sends, 1);
	CHECK(!seen.end.is_sent);
	buf_fini(&body);
	setup_close(&setup);
}

static bool
answer_too_large(int fd, struct str request, unsigned nth)
{
	(void)request;
	scripted_answer(fd, nth == 1 ? 413 : 200, "application/json", "",
			STR("{}"));
	return true;
}

/* Refused while most of it is still here: the refusal counts, and nobody is
 * asked over that connection any more. */
TEST(upstream_is_refused_before_it_has_sent_all)
{
	struct buf body;
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_too_large);
	big_body(&body);
	call_begin(&setup, &seen, buf_str(&body), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_OK(seen.end.err);
	CHECK_INT(seen.status, 413);
	CHECK_INT(seen.body_bytes, 2);
	CHECK(!seen.end.is_sent);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_OK(seen.end.err);
	CHECK_INT(seen.status, 200);
	CHECK_INT(seen.end.sends, 1);
	CHECK_INT(setup.scripted.shared->connections, 2);
	buf_fini(&body);
	setup_close(&setup);
}

/* In memory that the server shares: answers that were taken, and those behind
 * them that were sent. */
static atomic_uint *taken, *said;

/* A whole answer, and behind it one that nobody asked for. */
static bool
answer_twice(int fd, struct str request, unsigned nth)
{
	answer_echo(fd, request, nth);
	while (*taken < nth)
		;
	scripted_answer(fd, 200, "application/json", "", STR("{\"nth\":X}"));
	++*said;
	return true;
}

TEST(upstream_takes_no_answer_that_was_there_before)
{
	struct setup setup;
	struct seen seen;

	taken = mmap(NULL, 2 * sizeof(*taken), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(taken != MAP_FAILED);
	said = taken + 1;
	setup_open(&setup, answer_twice);
	for (unsigned i = 1; i <= 5; i++) {
		call_begin(&setup, &seen, STR("{}"), STR_NONE);
		call_finish(&setup, &seen);
		CHECK_OK(seen.end.err);
		CHECK_INT(seen.body[7], '0' + (int)i);
		++*taken;
		/* It comes, and the loop does not see it. */
		while (*said < i)
			;
	}
	CHECK_INT(setup.scripted.shared->connections, 5);
	setup_close(&setup);
}

static bool
answer_length(int fd, struct str request, unsigned nth)
{
	char body[32];
	int n;

	(void)nth;
	n = snprintf(body, sizeof(body), "%zu", request.n);
	scripted_answer(fd, 200, "text/plain", "", str_bytes(body, (size_t)n));
	return true;
}

/* The body goes out with the head, behind it, and in pieces. */
TEST(upstream_sends_bodies_of_all_sizes)
{
	static const size_t sizes[] = {0,     1,     16383, 16384,
				       16385, 65536, 200000};
	char *body = malloc(200000);
	struct setup setup;
	struct seen seen;

	for (size_t i = 0; i < 200000; i++)
		body[i] = (char)('a' + i % 23);
	setup_open(&setup, answer_length);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		call_begin(&setup, &seen, str_bytes(body, sizes[i]), STR_NONE);
		call_finish(&setup, &seen);
		CHECK_OK(seen.end.err);
		CHECK(seen.end.is_sent);
		CHECK_STR(scripted_last_body(&setup.scripted),
			  str_bytes(body, sizes[i]));
	}
	CHECK_INT(setup.scripted.shared->connections, 1);
	free(body);
	setup_close(&setup);
}

#define MANY 150 /* more than one of curl's handles holds */

TEST(upstream_keeps_many_connections)
{
	struct seen *seen = calloc(MANY, sizeof(*seen));
	struct setup setup;

	setup_open(&setup, answer_echo);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++)
			call_begin(&setup, &seen[i], STR("{}"), STR_NONE);
		for (int i = 0; i < MANY; i++) {
			call_finish(&setup, &seen[i]);
			CHECK_OK(seen[i].end.err);
			CHECK_INT(seen[i].end.sends, 1);
		}
		CHECK_INT(setup.scripted.shared->connections, MANY);
	}
	CHECK_INT(setup.scripted.shared->requests, 3 * MANY);
	free(seen);
	setup_close(&setup);
}

/* One answer a connection, each for another reason. */
static bool
answer_last(int fd, struct str request, unsigned nth)
{
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n"
	    "\r\nok",
	    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	};

	(void)request;
	scripted_send(fd, str_of(answers[nth - 1]));
	return nth != 4; /* closed without a word */
}

TEST(upstream_does_not_keep_what_ends)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_last);
	for (unsigned i = 1; i <= 4; i++) {
		call_begin(&setup, &seen, STR("{}"), STR_NONE);
		call_finish(&setup, &seen);
		CHECK_OK(seen.end.err);
		CHECK_INT(seen.body_bytes, 2);
		CHECK_INT(seen.end.sends, 1);
		CHECK_INT(setup.scripted.shared->connections, i);
	}
	setup_close(&setup);
}

TEST(upstream_extra_headers)
{
	static const char lines[] = "traceparent: 00-1-2-01\0x-more: a";
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_echo);
	call_begin(&setup, &seen, STR("{}"), str_bytes(lines, sizeof(lines)));
	call_finish(&setup, &seen);
	CHECK(scripted_last_has(&setup.scripted, "traceparent: 00-1-2-01\r\n"));
	CHECK(scripted_last_has(&setup.scripted, "x-more: a\r\n"));
	CHECK(scripted_last_has(&setup.scripted,
				"Authorization: Bearer test-key\r\n"));
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK(!scripted_last_has(&setup.scripted, "traceparent"));
	CHECK(!scripted_last_has(&setup.scripted, "x-more"));
	CHECK(scripted_last_has(&setup.scripted,
				"Authorization: Bearer test-key\r\n"));
	setup_close(&setup);
}

TEST(upstream_nobody_listens)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_echo);
	upstream_target_close(setup.target);
	target_at(&setup, "http://127.0.0.1:1/v1/");
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.end.sends, 0);
	CHECK_INT(seen.heads, 0);
	setup_close(&setup);
}

static bool
answer_limits(int fd, struct str request, unsigned nth)
{
	(void)request;
	if (nth == 1)
		scripted_answer(fd, 429, "application/json",
				"Retry-After: 7\r\nretry-after-ms: 1500\r\n",
				STR("{}"));
	else if (nth == 2)
		scripted_answer(fd, 503, "text/plain", "Retry-After: 7\r\n",
				STR("no"));
	else if (nth == 3)
		scripted_answer(fd, 307, "text/plain",
				"Location: http://127.0.0.1:1/\r\n", STR("x"));
	else if (nth == 4)
		scripted_answer(
		    fd, 503, "text/plain",
		    "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n",
		    STR("no"));
	else
		scripted_send(fd, STR("HTTP/1.1 103 Early Hints\r\n"
				      "Retry-After: 3\r\n\r\n"
				      "HTTP/1.1 200 OK\r\n"
				      "Content-Length: 2\r\n\r\nok"));
	return true;
}

TEST(upstream_heads_are_understood)
{
	static const struct {
		int status;
		int64_t retry_after_ms;
	} want[] = {{429, 1500}, {503, 7000}, {307, -1}, {503, 0}, {200, -1}};
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_limits);
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		call_begin(&setup, &seen, STR("{}"), STR_NONE);
		call_finish(&setup, &seen);
		CHECK_OK(seen.end.err);
		CHECK_INT(seen.heads, 1);
		CHECK_INT(seen.status, want[i].status);
		CHECK_INT(seen.retry_after_ms, want[i].retry_after_ms);
	}
	CHECK_INT(setup.scripted.shared->requests, 5);
	setup_close(&setup);
}

static bool
answer_cut(int fd, struct str request, unsigned nth)
{
	(void)request;
	if (nth == 1)
		return false;
	scripted_send(fd, STR("HTTP/1.1 200 OK\r\n"
			      "Content-Length: 100\r\n\r\nhalf"));
	return false;
}

TEST(upstream_cut_answers)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_cut);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.end.sends, 1);
	CHECK_INT(seen.heads, 0);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.heads, 1);
	CHECK_INT(seen.body_bytes, 4);
	setup_close(&setup);
}

static bool
answer_big(int fd, struct str request, unsigned nth)
{
	char *body = calloc(1, BIG_BYTES);

	(void)request;
	(void)nth;
	scripted_answer(fd, 200, "application/json", "",
			str_bytes(body, BIG_BYTES));
	free(body);
	return true;
}

TEST(upstream_pauses_and_resumes)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_big);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	seen.pause_at = 5;
	while (!seen.is_paused)
		CHECK_OK(loop_turn(setup.loop, 1000));
	for (unsigned i = 0; i < 20; i++)
		CHECK_OK(loop_turn(setup.loop, 5));
	CHECK_INT(seen.bodies, 5);
	CHECK_INT(seen.ends, 0);
	seen.is_paused = false;
	upstream_resume(seen.call);
	call_finish(&setup, &seen);
	CHECK_OK(seen.end.err);
	CHECK_INT(seen.body_bytes, BIG_BYTES);
	/* Refused in mid-answer, also out of a pause. */
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	seen.pause_at = 2;
	while (!seen.is_paused)
		CHECK_OK(loop_turn(setup.loop, 1000));
	seen.is_paused = false;
	seen.is_stopping = true;
	upstream_resume(seen.call);
	call_finish(&setup, &seen);
	CHECK_ERR(seen.end.err, ERR_UPSTREAM_FAILED);
	setup_close(&setup);
}

static bool
answer_never(int fd, struct str request, unsigned nth)
{
	(void)request;
	if (nth == 2) {
		scripted_answer(fd, 200, "application/json", "", STR("{}"));
		return true;
	}
	scripted_sse_head(fd);
	scripted_chunk(fd, STR("data: 1\n\n"));
	scripted_wait_gone(fd);
	return false;
}

TEST(upstream_abort_closes_at_once)
{
	struct setup setup;
	struct seen seen;

	setup_open(&setup, answer_never);
	/* Given up before anything happened. */
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	CHECK(!upstream_call_is_sent(seen.call));
	upstream_abort(seen.call);
	CHECK_INT(setup.scripted.shared->requests, 0);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	while (seen.bodies == 0)
		CHECK_OK(loop_turn(setup.loop, 1000));
	upstream_abort(seen.call);
	while (setup.scripted.shared->gone == 0)
		CHECK_OK(loop_turn(setup.loop, 1));
	CHECK_INT(seen.ends, 0);
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	call_finish(&setup, &seen);
	CHECK_OK(seen.end.err);
	/* Over a connection that waits it is sent at once. */
	call_begin(&setup, &seen, STR("{}"), STR_NONE);
	CHECK(upstream_call_is_sent(seen.call));
	upstream_abort(seen.call);
	CHECK_INT(seen.ends, 0);
	setup_close(&setup);
}

TEST(upstream_base_urls)
{
	static const char *const good[] = {
	    "https://api.openai.com/v1", "https://127.0.0.1:8443",
	    "http://127.0.0.1:8080/v1",	 "http://127.9.9.9",
	    "http://localhost:99/",	 "http://[::1]:80/x",
	    "https://a.example:65535",	 "https://a.example:1/v1"};
	static const char *const bad[] = {"",
					  "api.openai.com",
					  "ftp://127.0.0.1/",
					  "file:///etc/passwd",
					  "http://api.openai.com/v1",
					  "http://10.0.0.1/",
					  "http://127.0.0.1@evil.example/",
					  "http://localhost.evil.example/",
					  "http://127.0.0.1.evil.example/",
					  "https://",
					  "https:///v1",
					  "https://a b/",
					  "https://a/\r\nX: y",
					  "https://a/?x=1",
					  "https://a/#f",
					  "http://[::2]/",
					  "https://a:0/v1",
					  "https://a:65536",
					  "https://a:99999/v1",
					  "https://a:abc/v1",
					  "https://a:/v1",
					  "https://a:80x",
					  "https://a:-1",
					  "https://a:99999999999999999999",
					  "https://[::1]x/"};
	struct why why;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK_OK(upstream_base_check(good[i], &why));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why.text[0] = '\0';
		CHECK_ERR(upstream_base_check(bad[i], &why), ERR_CONFIG);
		CHECK(why.text[0]);
	}
}

TEST(upstream_refuses_headers_that_break)
{
	static const char *const headers[] = {
	    "Authorization: Bearer a\r\nX-Evil: 1", NULL};
	struct upstream_target *target;
	struct setup setup;
	struct why why = {"", ""};

	setup_open(&setup, answer_echo);
	CHECK_ERR(upstream_target_open(&target, setup.upstream,
				       "https://a.example", "/x", headers,
				       &why),
		  ERR_CONFIG);
	CHECK(strstr(why.text, "Evil") == NULL);
	setup_close(&setup);
}
