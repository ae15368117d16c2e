/*
 * http: what no client should send. Every malformed kind gets its 4xx and a
 * closed connection; floods of any sort leave the others served.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "integration-tests/ask.h"

#define H "Host: house.example\r\n"
#define SLOW_CONNECTIONS 2000
#define GOOD_REQUESTS 1000

/* Sends bytes as they are: the status of the one answer, an error of ours; 0
 * for anything else. */
static int
send_raw(const struct house *house, struct str bytes, bool *is_closed)
{
	struct client client;
	struct answer answer;
	int status;

	CHECK(client_open(&client, house->public));
	client_send(&client, bytes);
	client_answer(&client, &answer);
	status = answer.status;
	if (!str_starts(answer.body, STR("{\"error\":{\"code\":\"")))
		status = 0;
	*is_closed = client.is_ended || client_is_closed_within(&client, 2000);
	answer_free(&answer);
	client_close(&client);
	return status;
}

#define RAW(text)                                                              \
	{                                                                      \
#text, STR(text)                                               \
	}

static bool
is_refused(const struct house *house, const char *what, struct str bytes,
	   int wanted)
{
	bool is_closed;
	int status = send_raw(house, bytes, &is_closed);

	if (is_closed && status == wanted)
		return true;
	fprintf(stderr, "%s: %d%s\n", what, status,
		is_closed ? "" : ", not closed");
	return false;
}

TEST_LIMITED(http_malformed_kinds_are_refused_and_closed, 120)
{
#define POST "POST /api/validate HTTP/1.1\r\n"
#define GET "GET /api/health HTTP/1.1\r\n"
	const struct {
		const char *what;
		struct str bytes;
	} rows[] = {
	    {"CL and TE", STR(POST H "Content-Length: 2\r\nTransfer-Encoding: "
				     "chunked\r\n\r\n0\r\n\r\n")},
	    {"two CL", STR(POST H "Content-Length: 2\r\nContent-Length: "
				  "3\r\n\r\n{}x")},
	    {"two equal CL", STR(POST H "Content-Length: 2\r\nContent-Length: "
					"2\r\n\r\n{}")},
	    {"CL list", STR(POST H "Content-Length: 2, 2\r\n\r\n{}")},
	    {"CL sign", STR(POST H "Content-Length: +2\r\n\r\n{}")},
	    {"CL minus", STR(POST H "Content-Length: -2\r\n\r\n{}")},
	    {"CL text", STR(POST H "Content-Length: 2x\r\n\r\n{}")},
	    {"two TE", STR(POST H "Transfer-Encoding: chunked\r\nTransfer-"
				  "Encoding: chunked\r\n\r\n0\r\n\r\n")},
	    {"TE other", STR(POST H "Transfer-Encoding: gzip, chunked\r\n\r\n"
				    "0\r\n\r\n")},
	    {"TE identity", STR(POST H "Transfer-Encoding: identity\r\n\r\n")},
	    {"TE on 1.0", STR("POST /api/validate HTTP/1.0\r\n" H
			      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
	    {"no Host", STR("GET /api/health HTTP/1.1\r\n\r\n")},
	    {"two Hosts", STR(GET H H "\r\n")},
	    {"blank before colon", STR(GET H "X-A : b\r\n\r\n")},
	    {"no token name", STR(GET H "X(A): b\r\n\r\n")},
	    {"control in value", STR(GET H "X-A: b\x01\r\n\r\n")},
	    {"NUL in value", STR(GET H "X-A: b\0c\r\n\r\n")},
	    {"folded", STR(GET H "X-A: b\r\n c\r\n\r\n")},
	    {"bare LF", STR(GET H "X-A: b\nX-B: c\r\n\r\n")},
	    {"all LF", STR("GET /api/health HTTP/1.1\nHost: a\n\n")},
	    {"//", STR("GET //api/health HTTP/1.1\r\n" H "\r\n")},
	    {"/./", STR("GET /api/./health HTTP/1.1\r\n" H "\r\n")},
	    {"/../", STR("GET /api/../api/health HTTP/1.1\r\n" H "\r\n")},
	    {"backslash", STR("GET /api\\health HTTP/1.1\r\n" H "\r\n")},
	    {"%00", STR("GET /api/health%00 HTTP/1.1\r\n" H "\r\n")},
	    {"junk", STR("hello\r\n\r\n")},
	    {"no HTTP", STR("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"
			    "\r\n")},
	};
	struct house house;
	int bad = 0;

	house_init(&house);
	const char *key = house_license("pro");

	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		bad += !is_refused(&house, rows[i].what, rows[i].bytes, 400);
	CHECK(is_refused(&house, "CL huge",
			 STR(POST H "Content-Length: 99999999999999999999999"
				    "\r\n\r\n{}"),
			 413));
	CHECK(is_refused(&house, "version",
			 STR("GET /api/health HTTP/9.9\r\n" H "\r\n"), 505));
	CHECK(is_refused(&house, "HTTP/2",
			 STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505));
	CHECK_INT(bad, 0);
	CHECK_INT(validate(&house, key), 200);
	CHECK(house_pid(&house, "edge-0") > 0);
	CHECK_INT(house_down(&house), 0);
}

/* With the head or behind it, in the shape of the path. */
TEST_LIMITED(http_malformed_chunks_are_refused, 60)
{
	static const struct {
		const char *first, *rest, *says;
	} rows[] = {
	    {POST H "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"
		    "0\r\n\r\n",
	     "", "{\"error\":{\"code\":\"BAD_REQUEST\""},
	    {"POST /v1/messages HTTP/1.1\r\n" H
	     "Transfer-Encoding: chunked\r\n\r\n2\r\n{}",
	     "}\r\n",
	     "{\"type\":\"error\",\"error\":{\"type\":"
	     "\"invalid_request_error\""},
	};
	struct house house;
	struct client client;
	struct answer answer;

	house_init(&house);
	house_up(&house);
	for (int i = 0; i < 2; i++) {
		CHECK(client_open(&client, house.public));
		CHECK(client_send(&client, str_of(rows[i].first)));
		CHECK(client_send(&client, str_of(rows[i].rest)));
		client_answer(&client, &answer);
		CHECK_INT(answer.status, 400);
		CHECK(str_starts(answer.body, str_of(rows[i].says)));
		CHECK(answer_header(&answer, "x-request-id").n > 0);
		CHECK_STR(answer_header(&answer, "Connection"), STR("close"));
		answer_free(&answer);
		CHECK(client_is_closed_within(&client, 5000));
		client_close(&client);
	}
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(http_pipelined_requests_are_answered_in_order, 60)
{
	struct house house;
	struct client client;
	struct answer answer;
	int statuses[] = {200, 401, 401, 404, 200};

	house_init(&house);
	house_up(&house);
	CHECK(client_open(&client, house.public));
	CHECK(client_send(&client,
			  STR(GET H
			      "\r\n" POST H "X-License-Key: CHA-NONE-NONE\r\n"
			      "Content-Length: 2\r\n\r\n{}" POST H
			      "X-License-Key: CHA-NONE-NONE\r\n"
			      "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
			      "0\r\n\r\n"
			      "GET /none HTTP/1.1\r\n" H "\r\n" GET H "\r\n")));
	for (int i = 0; i < 5; i++) {
		client_answer(&client, &answer);
		CHECK_INT(answer.status, statuses[i]);
		answer_free(&answer);
	}
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(http_bombs, 120)
{
	struct house house;
	struct answer answer;
	struct buf bomb;
	char headers[256];
	bool is_closed;
	int status;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	buf_init(&bomb, 64u << 20);
	/* headers: one of 1 MiB, then 50,000 small ones */
	buf_add_z(&bomb, GET H "X-A: ");
	for (int i = 0; i < 1 << 20; i++)
		buf_add_char(&bomb, 'a');
	buf_add_z(&bomb, "\r\n\r\n");
	status = send_raw(&house, buf_str(&bomb), &is_closed);
	CHECK(is_closed && status == 431);
	buf_reset(&bomb);
	buf_add_z(&bomb, GET H);
	for (int i = 0; i < 50000; i++)
		buf_printf(&bomb, "X-%d: a\r\n", i);
	buf_add_z(&bomb, "\r\n");
	status = send_raw(&house, buf_str(&bomb), &is_closed);
	CHECK(is_closed && status == 431);
	/* a path of 1 MiB */
	buf_reset(&bomb);
	buf_add_z(&bomb, "GET /");
	for (int i = 0; i < 1 << 20; i++)
		buf_add_char(&bomb, 'a');
	buf_add_z(&bomb, " HTTP/1.1\r\n" H "\r\n");
	status = send_raw(&house, buf_str(&bomb), &is_closed);
	CHECK(is_closed && status == 431);

	/* JSON: depth, on both kinds of body */
	buf_reset(&bomb);
	for (int i = 0; i < 5000; i++)
		buf_add_z(&bomb, "{\"a\":[");
	snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n", key);
	http(&answer, house.public, "POST", "/api/validate", "",
	     str_bytes(bomb.p, 15000));
	CHECK_INT(answer.status, 400);
	answer_free(&answer);
	buf_reset(&bomb);
	buf_add_z(&bomb, "{\"model\":\"" MODEL "\",\"messages\":");
	for (int i = 0; i < 1000000; i++)
		buf_add_char(&bomb, '[');
	for (int i = 0; i < 1000000; i++)
		buf_add_char(&bomb, ']');
	buf_add_char(&bomb, '}');
	http(&answer, house.public, "POST", "/v1/chat/completions", headers,
	     buf_str(&bomb));
	CHECK_INT(answer.status, 400);
	answer_free(&answer);

	/* bodies beyond the route's limit, said and not said beforehand */
	http(&answer, house.public, "POST", "/api/validate", headers,
	     str_bytes(bomb.p, 100000));
	CHECK_INT(answer.status, 413);
	answer_free(&answer);
	buf_reset(&bomb);
	buf_printf(&bomb,
		   "POST /api/validate HTTP/1.1\r\n" H "%s"
		   "Transfer-Encoding: chunked\r\n\r\n",
		   headers);
	for (int i = 0; i < 1000; i++)
		buf_printf(&bomb, "400\r\n%01024d\r\n", 0);
	buf_add_z(&bomb, "0\r\n\r\n");
	status = send_raw(&house, buf_str(&bomb), &is_closed);
	CHECK_INT(status, 413);
	CHECK(is_closed);
	buf_fini(&bomb);
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(http_keep_alive_and_split_requests, 60)
{
	static const char request[] =
	    "POST /api/validate HTTP/1.1\r\nHost: house.example\r\n"
	    "X-License-Key: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
	struct house house;
	struct client client;
	struct answer answer;
	char text[512];
	size_t n;

	house_init(&house);
	snprintf(text, sizeof(text), request, house_license("pro"));
	n = strlen(text);
	house_up(&house);
	CHECK(client_open(&client, house.public));
	for (int i = 0; i < 5; i++) { /* byte by byte, on one connection */
		for (size_t at = 0; at < n; at++)
			CHECK(client_send(&client, str_bytes(text + at, 1)));
		client_answer(&client, &answer);
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(http_slow_heads_and_bodies_are_cut_off, 60)
{
	const struct str parts[] = {
	    STR("GET /api/hea"),
	    STR("POST /api/validate HTTP/1.1\r\n" H "X-"),
	    STR("POST /api/validate HTTP/1.1\r\n" H
		"Content-Length: 10\r\n\r\n{"),
	};
	struct house house;
	struct client client;

	house_set("CHATELLO_HEAD_MS", "300");
	house_set("CHATELLO_BODY_MS", "300");
	house_init(&house);
	house_up(&house);
	for (size_t i = 0; i < 3; i++) {
		long long began = now_ms();

		CHECK(client_open(&client, house.public));
		CHECK(client_send(&client, parts[i]));
		CHECK(client_is_closed_within(&client, 3000));
		CHECK(now_ms() - began >= 250);
		client_close(&client);
	}
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(http_slowloris_leaves_good_clients_served, 120)
{
	static struct client slow[SLOW_CONNECTIONS];
	struct rlimit limit;
	struct house house;
	long long began, worst = 0;
	int good = 0, sent = 0;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur < 2 * SLOW_CONNECTIONS)
		test_skip("not enough descriptors");
	house_init(&house);
	json_decref(tool("plan", "set", "pro", "--limit",
			 "validations_hour=1000000", NULL));
	const char *key = house_license("pro");

	house_up(&house);
	for (int i = 0; i < SLOW_CONNECTIONS; i++) {
		CHECK(client_open(&slow[i], house.public));
		client_send(&slow[i], STR("POST /api/validate HTTP/1.1\r\n" H));
	}
	for (int i = 0; i < GOOD_REQUESTS; i++) {
		began = now_ms();
		good += validate(&house, key) == 200;
		if (now_ms() - began > worst)
			worst = now_ms() - began;
		/* each of them goes on a little */
		for (int j = 0; j < 20; j++, sent++)
			client_send(&slow[sent % SLOW_CONNECTIONS],
				    STR("X-a: b\r\n"));
	}
	CHECK(good * 1000 >= GOOD_REQUESTS * 999);
	CHECK(worst < 1000);
	for (int i = 0; i < SLOW_CONNECTIONS; i++)
		client_close(&slow[i]);
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(house_down(&house), 0);
}
