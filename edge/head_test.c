/*
 * head_test: tables of heads, each in pieces of every size.
 */
#include "edge/head.h"

#include "lib/buf.h"
#include "lib/test.h"

static size_t
take(struct head *head, struct str text, size_t step)
{
	size_t used = 0;

	head_begin(head);
	CHECK_INT(head->bytes, 0);
	for (size_t at = 0; at < text.n; at += step)
		used += head_take(head, text.p + at,
				  text.n - at < step ? text.n - at : step);
	return used;
}

#define LINE "GET / HTTP/1.1\r\n"

TEST(head_takes_what_is_framed_well)
{
	const struct {
		struct str text;
		int64_t body_bytes;
		bool closes;
	} rows[] = {
	    {STR(LINE "\r\n"), 0, false},
	    {STR(LINE "Host: a\r\nX-A:\tb c\r\n\r\n"), 0, false},
	    {STR("\r\n\r\n" LINE "Host:a\r\n\r\n"), 0, false},
	    {STR("GET /a?b=c&d HTTP/1.0\r\n\r\n"), 0, true},
	    {STR("PROPFIND * HTTP/1.1\r\n\r\n"), 0, false},
	    {STR(LINE "X: \x01\x7f\xff\r\n\r\n"), 0, false},
	    {STR(LINE "content-LENGTH:17\r\n\r\n"), 17, false},
	    {STR(LINE "Content-Length: \t007 \t\r\n\r\n"), 7, false},
	    {STR(LINE "Content-Length: 9223372036854775807\r\n\r\n"), INT64_MAX,
	     false},
	    {STR(LINE "Content-Lengths: x\r\nContent-Lengt: x\r\n\r\n"), 0,
	     false},
	    {STR(LINE "Transfer-Encoding: chunked\r\n\r\n"), HEAD_BODY_UNKNOWN,
	     false},
	    {STR(LINE "Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n"),
	     HEAD_BODY_UNKNOWN, false},
	    {STR(LINE "Connection: close\r\n\r\n"), 0, true},
	    {STR(LINE "Connection:CLOSE\r\n\r\n"), 0, true},
	    {STR(LINE "Connection: TE ,\tclose \t, x\r\n\r\n"), 0, true},
	    {STR(LINE "Connection: , ,close,\r\n\r\n"), 0, true},
	    {STR(LINE "Connection: te\r\nconnection: close\r\n\r\n"), 0, true},
	    {STR(LINE "Connection: keep-alive, close\r\n\r\n"), 0, true},
	    {STR(LINE "Connection: close\r\nConnection: keep-alive\r\n\r\n"), 0,
	     true},
	    {STR(LINE "Connection: keep-alive\r\n\r\n"), 0, false},
	    {STR(LINE "Connection:\r\n\r\n"), 0, false},
	    {STR(LINE "Connection: closed, clos, lose, -close\r\n\r\n"), 0,
	     false},
	    {STR(LINE
		 "Connection: close x, x close, \"close\", =close\r\n\r\n"),
	     0, false},
	    {STR(LINE "Connection: clo se, \" close, close\"\r\n\r\n"), 0,
	     false},
	    {STR(LINE "Connections: close\r\nX: close\r\n\r\n"), 0, false},
	    {STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0, false},
	    {STR("GET / HTTP/1.0\r\nConnection: TE\r\n\r\n"), 0, true},
	    {STR("GET / HTTP/1.0\r\nConnection: keep-alive,close\r\n\r\n"), 0,
	     true},
	    {STR(LINE "Cookie: a=b; c=d\r\n\r\n"), 0, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= rows[i].text.n; step++) {
			struct head head;

			CHECK_INT(take(&head, rows[i].text, step),
				  rows[i].text.n);
			if (!head_is_done(&head))
				test_fail(__FILE__, __LINE__, "row %zu: %s", i,
					  head.fault ? head.fault : "-");
			CHECK(!head_is_wrong(&head) && head.bytes > 0);
			CHECK_INT(head.body_bytes, rows[i].body_bytes);
			CHECK_INT(head_closes(&head), rows[i].closes);
			CHECK_INT(head_take(&head, "GET", 3), 0);
		}
}

TEST(head_refuses_what_is_not)
{
	const struct {
		struct str text;
		enum err err;
		const char *says;
	} rows[] = {
	    {STR("GET / HTTP/1.1\nHost: a\r\n\r\n"), ERR_BAD_REQUEST,
	     "LF alone"},
	    {STR("\nGET / HTTP/1.1\r\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR("GET\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR("GET /\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR(LINE "Host: a\n\r\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR(LINE "Host: a\r\n\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR(LINE "Content-Length: 1\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR(LINE "Host: a\rX: b\r\n\r\n"), ERR_BAD_REQUEST, "CR alone"},
	    {STR(LINE "Host: a\r\r\n\r\n"), ERR_BAD_REQUEST, "CR alone"},
	    {STR(LINE "Host: a\r\n\rX\r\n\r\n"), ERR_BAD_REQUEST, "CR alone"},
	    {STR(LINE "Host: a\0b\r\n\r\n"), ERR_BAD_REQUEST, "NUL"},
	    {STR(LINE "Connection: a\0\r\n\r\n"), ERR_BAD_REQUEST, "NUL"},
	    {STR(LINE "Connection: a\n\r\n"), ERR_BAD_REQUEST, "LF alone"},
	    {STR(LINE "Connection: a \rb\r\n"), ERR_BAD_REQUEST, "CR alone"},
	    {STR(LINE "\0\r\n\r\n"), ERR_BAD_REQUEST, "NUL"},
	    {STR(LINE "Host: a\r\n b\r\n\r\n"), ERR_BAD_REQUEST, "folded"},
	    {STR(LINE "\tHost: a\r\n\r\n"), ERR_BAD_REQUEST, "folded"},
	    {STR(LINE "Host : a\r\n"), ERR_BAD_REQUEST, "no token"},
	    {STR(LINE "X(Y): a\r\n"), ERR_BAD_REQUEST, "no token"},
	    {STR(LINE ": a\r\n"), ERR_BAD_REQUEST, "without a name"},
	    {STR(LINE "no-colon\r\n"), ERR_BAD_REQUEST, "without a colon"},
	    {STR("hello\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("\x16\x03\x01\x02\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR(" GET / HTTP/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET\t/ HTTP/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET  / HTTP/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET /  HTTP/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET /a b HTTP/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET / HTTP/1.1 \r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET / HTTP/1.10\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET / HTTP/1.x\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET / http/1.1\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET /\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("GET\r\n"), ERR_BAD_REQUEST, "first line"},
	    {STR("PRI * HTTP/2.0\r\n"), ERR_VERSION_UNKNOWN, "HTTP/1.1"},
	    {STR("GET / HTTP/0.9\r\n"), ERR_VERSION_UNKNOWN, "HTTP/1.1"},
	    {STR(LINE "Content-Length: 2x\r\n"), ERR_BAD_REQUEST, "Content-L"},
	    {STR(LINE "Content-Length: \r\n"), ERR_BAD_REQUEST, "Content-L"},
	    {STR(LINE "Content-Length: +2\r\n"), ERR_BAD_REQUEST, "Content-L"},
	    {STR(LINE "Content-Length: -2\r\n"), ERR_BAD_REQUEST, "Content-L"},
	    {STR(LINE "Content-Length: 2, 2\r\n"), ERR_BAD_REQUEST,
	     "Content-L"},
	    {STR(LINE "Content-Length: 2 2\r\n"), ERR_BAD_REQUEST, "Content-L"},
	    {STR(LINE "Content-Length: 9223372036854775808\r\n"),
	     ERR_BODY_TOO_LARGE, "too large"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= rows[i].text.n; step++) {
			struct head head;

			take(&head, rows[i].text, step);
			if (!head_is_wrong(&head) || head.err != rows[i].err ||
			    !strstr(head.fault, rows[i].says))
				test_fail(__FILE__, __LINE__, "row %zu: %s", i,
					  head.fault ? head.fault : "none");
			CHECK(!head_is_done(&head));
		}
}

/* What it may take of the library's memory, to the byte. */
TEST(head_bounds_its_cost)
{
	const struct {
		const char *first;
		const char *again;
		unsigned cost; /* of each */
	} rows[] = {
	    {"GET /", "aaaaaaaa", 8},
	    {"GET /?", "a&", 2 + HEAD_VALUE_COST},
	    {LINE "X: ", "aaaa", 4},
	    {LINE, "x: y\r\n", 6 + HEAD_VALUE_COST},
	    {LINE "Cookie: ", "a=b;", 8 + HEAD_VALUE_COST},
	};
	struct head head;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned times = 0, fit;

		head_begin(&head);
		head_take(&head, rows[i].first, strlen(rows[i].first));
		fit = (HEAD_COST_MAX - head.cost) / rows[i].cost;
		for (; times < fit; times++)
			head_take(&head, rows[i].again, strlen(rows[i].again));
		CHECK(!head_is_wrong(&head));
		head_take(&head, rows[i].again, strlen(rows[i].again));
		CHECK(head_is_wrong(&head));
		CHECK_INT(head.err, ERR_HEAD_TOO_LARGE);
	}
}

TEST(head_keeps_the_beginning_of_the_target)
{
	struct head head;

	take(&head, STR("POST /v1/chat/completions HTTP/1.1\r\nA B\r\n"), 3);
	CHECK(head_is_wrong(&head));
	CHECK(str_eq(str_bytes(head.target, head.target_n),
		     STR("/v1/chat/completions")));
	take(&head, STR("POST /0123456789012345678901234567890123456789 H"), 3);
	CHECK_INT(head.target_n, HEAD_TARGET_BYTES);
}
