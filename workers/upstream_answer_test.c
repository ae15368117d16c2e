/*
 * Tests of the reader of HTTP answers: each row whole, cut in two at every
 * point, and byte by byte.
 */
#include "workers/upstream_answer.h"

#include "lib/test.h"

#include <stdlib.h>

#define HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

struct read {
	enum answer_step end; /* END, WRONG or MORE */
	unsigned heads;
	int status;
	char body[128];
	size_t body_bytes;
	size_t left;
	bool is_kept;
	const char *fault;
};

/* What stands in one piece; false: there is no more to take. */
static bool
read_piece(struct upstream_answer *answer, struct str in, struct read *read)
{
	struct str body;

	for (;;) {
		read->end = upstream_answer_take(answer, &in, &body);
		switch (read->end) {
		case ANSWER_MORE:
			CHECK_INT(in.n, 0);
			return true;
		case ANSWER_HEAD:
			CHECK_INT(read->body_bytes, 0);
			read->heads++;
			read->status = answer->head.status;
			break;
		case ANSWER_BODY:
			CHECK(body.n > 0);
			CHECK(read->body_bytes + body.n < sizeof(read->body));
			memcpy(read->body + read->body_bytes, body.p, body.n);
			read->body_bytes += body.n;
			break;
		case ANSWER_END:
		case ANSWER_WRONG:
			read->left += in.n;
			read->fault = answer->fault;
			return false;
		}
	}
}

/* Cut at `cut`, or into pieces of a byte (0). Every piece has memory of its
 * own, so that nothing may be kept of it. */
static struct read
read_cut(struct str text, size_t cut, bool is_closed)
{
	struct upstream_answer answer;
	struct read read = {.end = ANSWER_MORE};
	bool goes_on = true;

	upstream_answer_begin(&answer);
	CHECK(upstream_answer_is_empty(&answer));
	for (size_t at = 0, n; at < text.n; at += n) {
		char *piece;

		n = text.n - at;
		if (cut == 0)
			n = 1;
		else if (at < cut && cut < text.n)
			n = cut - at;
		if (!goes_on) {
			read.left += n;
			continue;
		}
		piece = malloc(n);
		memcpy(piece, text.p + at, n);
		goes_on = read_piece(&answer, str_bytes(piece, n), &read);
		free(piece);
	}
	if (is_closed && goes_on) {
		read.end = upstream_answer_close(&answer);
		read.fault = answer.fault;
	}
	read.is_kept = answer.is_kept;
	upstream_answer_fini(&answer);
	return read;
}

struct row {
	const char *text;
	enum answer_step end; /* when the connection is closed behind it */
	int status;	      /* 0: its head is not whole */
	const char *body;     /* what came of it */
	size_t left;	      /* bytes behind its end */
	bool is_kept;	      /* of one that ended */
	const char *fault;    /* of one that is wrong: has this */
};

static const struct row rows[] = {
    {HEAD "Content-Length: 2\r\n\r\nok", ANSWER_END, 200, "ok", 0, true, 0},
    {"HTTP/1.1 200\ncontent-length:2\n\nok", ANSWER_END, 200, "ok", 0, true, 0},
    {HEAD "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok!!", ANSWER_END, 200,
     "ok", 2, true, 0},
    {HEAD "Content-Length: 0\r\n\r\n", ANSWER_END, 200, "", 0, true, 0},
    {"HTTP/1.1 204 No\r\n\r\n", ANSWER_END, 204, "", 0, true, 0},
    {"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", ANSWER_END, 304, "", 0,
     true, 0},
    {"HTTP/1.1 100 Go\r\nConnection: close\r\n\r\nHTTP/1.1 103 X\r\n"
     "Content-Length: 7\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx",
     ANSWER_END, 500, "x", 0, true, 0},
    {HEAD "Connection: close\r\nContent-Length: 1\r\n\r\nx", ANSWER_END, 200,
     "x", 0, false, 0},
    {HEAD "Connection: a , Close\r\nContent-Length: 1\r\n\r\nx", ANSWER_END,
     200, "x", 0, false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", ANSWER_END, 200, "x", 0,
     false, 0},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
     ANSWER_END, 200, "x", 0, true, 0},
    {HEAD "\r\nup to the end", ANSWER_END, 200, "up to the end", 0, false, 0},
    {HEAD "\r\n", ANSWER_END, 200, "", 0, false, 0},
    {CHUNKED "3\r\nabc\r\n0a;x=\"\xc3\xa9\"\r\n0123456789\r\n0\r\n\r\n",
     ANSWER_END, 200, "abc0123456789", 0, true, 0},
    {CHUNKED "1 \nx\n0\nA-Trailer: 1\n\nmore", ANSWER_END, 200, "x", 4, true,
     0},
    {HEAD "Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n"
	  "0\r\n\r\n",
     ANSWER_END, 200, "x", 0, false, 0},
    {HEAD "no colon\r\n folded: 1\r\n: 2\r\nContent-Length: 1\r\n\r\nx",
     ANSWER_END, 200, "x", 0, true, 0},
    /* --- cut off */
    {"", ANSWER_WRONG, 0, "", 0, false, "without an answer"},
    {"HTTP/1.1 200 OK", ANSWER_WRONG, 0, "", 0, false, "mid-answer"},
    {HEAD "Content-Length: 2\r\n", ANSWER_WRONG, 0, "", 0, false, "mid-answer"},
    {HEAD "Content-Length: 3\r\n\r\nok", ANSWER_WRONG, 200, "ok", 0, false,
     "mid-answer"},
    {CHUNKED "3\r\nabc\r\n", ANSWER_WRONG, 200, "abc", 0, false, "mid-answer"},
    {CHUNKED "3\r\nabc\r\n0\r\n", ANSWER_WRONG, 200, "abc", 0, false,
     "mid-answer"},
    {"HTTP/1.1 100 Go\r\n\r\n", ANSWER_WRONG, 0, "", 0, false, "mid-answer"},
    /* --- no HTTP, or lengths that say two things */
    {"<html>\r\n", ANSWER_WRONG, 0, "", 0, false, "not HTTP/1"},
    {"\r\n" HEAD, ANSWER_WRONG, 0, "", 17, false, "not HTTP/1"},
    {"HTTP/2 200 OK\r\n", ANSWER_WRONG, 0, "", 0, false, "not HTTP/1"},
    {"HTTP/1.1 20 OK\r\n", ANSWER_WRONG, 0, "", 0, false, "not HTTP/1"},
    {"HTTP/1.1 2000\r\n", ANSWER_WRONG, 0, "", 0, false, "not HTTP/1"},
    {"HTTP/1.1 099 X\r\n", ANSWER_WRONG, 0, "", 0, false, "not asked for"},
    {"HTTP/1.1 101 X\r\n", ANSWER_WRONG, 0, "", 0, false, "not asked for"},
    {HEAD "Content-Length: -1\r\n", ANSWER_WRONG, 0, "", 0, false,
     "Content-Length"},
    {HEAD "Content-Length:\r\n", ANSWER_WRONG, 0, "", 0, false,
     "Content-Length"},
    {HEAD "Content-Length: 1, 1\r\n", ANSWER_WRONG, 0, "", 0, false,
     "Content-Length"},
    {HEAD "Content-Length: 18446744073709551617\r\n", ANSWER_WRONG, 0, "", 0,
     false, "Content-Length"},
    {HEAD "Content-Length: 1\r\nContent-Length: 2\r\n", ANSWER_WRONG, 0, "", 0,
     false, "Content-Length"},
    {HEAD "Transfer-Encoding: gzip, chunked\r\n", ANSWER_WRONG, 0, "", 0, false,
     "Transfer-Encoding"},
    {HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
     ANSWER_WRONG, 0, "", 0, false, "Transfer-Encoding"},
    {CHUNKED "x\r\n", ANSWER_WRONG, 200, "", 0, false, "chunk's size"},
    {CHUNKED "1x\r\n", ANSWER_WRONG, 200, "", 0, false, "chunk's size"},
    {CHUNKED "-1\r\n", ANSWER_WRONG, 200, "", 0, false, "chunk's size"},
    {CHUNKED "0000000000000001\r\n", ANSWER_WRONG, 200, "", 0, false,
     "chunk's size"},
    {CHUNKED "1\r\nxy\r\n", ANSWER_WRONG, 200, "x", 0, false, "longer"},
};

static void
check_row(const struct row *row, size_t cut)
{
	struct read read = read_cut(str_of(row->text), cut, true);
	struct str body = str_bytes(read.body, read.body_bytes);

	if (read.end != row->end || read.status != row->status ||
	    read.heads != (row->status != 0) || read.left != row->left ||
	    !str_eq(body, str_of(row->body)) ||
	    (row->end == ANSWER_END && read.is_kept != row->is_kept) ||
	    (read.fault != NULL) != (row->fault != NULL) ||
	    (row->fault && !strstr(read.fault, row->fault)))
		test_fail(__FILE__, __LINE__,
			  "cut at %zu: step %d status %d body %.*s left %zu "
			  "kept %d fault %s: %s",
			  cut, (int)read.end, read.status, STR_ARG(body),
			  read.left, read.is_kept,
			  read.fault ? read.fault : "none", row->text);
}

TEST(upstream_answer_is_the_same_in_any_pieces)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].text);

		for (size_t cut = 0; cut <= n; cut++)
			check_row(&rows[i], cut);
	}
}

TEST(upstream_answer_has_no_nul_in_its_head)
{
	static const char text[] = HEAD "A: \0\r\n";
	struct read read = read_cut(str_bytes(text, sizeof(text) - 1), 3, true);

	CHECK_INT(read.end, ANSWER_WRONG);
	CHECK(strstr(read.fault, "NUL"));
}

/* A line of n bytes, or lines of ten bytes up to n, behind this text. */
static struct read
read_long(const char *text, size_t n, bool is_one, size_t cut)
{
	struct buf buf;
	struct read read;
	size_t from;

	buf_init(&buf, 1u << 20);
	buf_add_z(&buf, text);
	from = buf.n;
	while (buf.n - from < n)
		buf_add_z(&buf, is_one ? "a" : "abcd: ef\r\n");
	read = read_cut(buf_str(&buf), cut, false);
	buf_fini(&buf);
	return read;
}

TEST(upstream_answer_is_bounded)
{
	static const size_t cuts[] = {0, 7, 1000, UPSTREAM_HEAD_BYTES_MAX};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct read read;

		read = read_long(HEAD, UPSTREAM_HEAD_BYTES_MAX - 17, true,
				 cuts[i]);
		CHECK_INT(read.end, ANSWER_MORE);
		read = read_long(HEAD, UPSTREAM_HEAD_BYTES_MAX - 16, true,
				 cuts[i]);
		CHECK_INT(read.end, ANSWER_WRONG);
		CHECK(strstr(read.fault, "too long"));
		read = read_long(HEAD, UPSTREAM_HEAD_BYTES_MAX - 27, false,
				 cuts[i]);
		CHECK_INT(read.end, ANSWER_MORE);
		read = read_long(HEAD, UPSTREAM_HEAD_BYTES_MAX - 17, false,
				 cuts[i]);
		CHECK_INT(read.end, ANSWER_WRONG);
		read = read_long(CHUNKED "0\r\n", UPSTREAM_HEAD_BYTES_MAX,
				 false, cuts[i]);
		CHECK_INT(read.end, ANSWER_WRONG);
		read = read_long(CHUNKED "1;", UPSTREAM_CHUNK_LINE_MAX - 2,
				 true, cuts[i]);
		CHECK_INT(read.end, ANSWER_MORE);
		read = read_long(CHUNKED "1;", UPSTREAM_CHUNK_LINE_MAX - 1,
				 true, cuts[i]);
		CHECK_INT(read.end, ANSWER_WRONG);
	}
}

/* Chunks without end are no long head. */
TEST(upstream_answer_has_as_many_chunks_as_it_likes)
{
	struct upstream_answer answer;
	struct read read = {.end = ANSWER_MORE};

	upstream_answer_begin(&answer);
	CHECK(read_piece(&answer, STR(CHUNKED), &read));
	for (unsigned i = 0; i < 100000; i++) {
		read.body_bytes = 0;
		CHECK(read_piece(&answer, STR("1;abc\r\nx\r\n"), &read));
		CHECK_INT(read.body_bytes, 1);
	}
	read.body_bytes = 0;
	CHECK(!read_piece(&answer, STR("0\r\n\r\n"), &read));
	CHECK_INT(read.end, ANSWER_END);
	upstream_answer_fini(&answer);
}
