/* raw: what is received on its way to the library, and what it may not see. */
#include "edge/raw.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/test.h"

static int ends[2];
static unsigned refused;
static char says[128];

static void
on_refuse(void *ctx, const struct head *head)
{
	CHECK(ctx == ends);
	refused++;
	snprintf(says, sizeof(says), "%s", head->fault);
	CHECK(write(ends[0], "no", 2) == 2);
}

static void
begin(void)
{
	refused = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	raw_watch(ends[0], on_refuse, ends);
}

static void
end(void)
{
	raw_forget(ends[0]);
	close(ends[0]);
	close(ends[1]);
}

/* Sends text in pieces of `step` bytes and receives each; how many came. */
static size_t
pass(struct str text, size_t step)
{
	char bytes[4096];
	size_t all = 0;

	for (size_t at = 0; at < text.n; at += step) {
		size_t n = text.n - at < step ? text.n - at : step;
		ssize_t got;

		CHECK(write(ends[1], text.p + at, n) == (ssize_t)n);
		got = recv(ends[0], bytes, sizeof(bytes), 0);
		if (got < 0) {
			CHECK(refused == 1 && errno == EAGAIN);
			continue;
		}
		CHECK(got == (ssize_t)n && memcmp(bytes, text.p + at, n) == 0);
		all += n;
	}
	return all;
}

#define GOOD "GET / HTTP/1.1\r\nHost: a\r\nX-A:\tb c\r\n\r\n"
#define GOOD_N (sizeof(GOOD) - 1)
#define POST "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
#define POST_N (sizeof(POST) - 1)
#define CHUNKED "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
#define BAD "GET / HTTP/1.1\nX: a\r\n\r\n"

TEST(raw_passes_what_is_framed_well)
{
	for (size_t step = 1; step <= GOOD_N + 2; step++) {
		begin();
		CHECK_INT(pass(STR("\r\n" GOOD), step), GOOD_N + 2);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		CHECK(raw_fault(ends[0], GOOD_N - 1) != NULL);
		CHECK_INT(refused, 0);
		end();
	}
}

/* The library never has it whole; what comes then is read away. */
TEST(raw_refuses_once_and_reads_the_rest_away)
{
	char answer[8];

	for (size_t step = 1; step <= sizeof(BAD) + 7; step++) {
		begin();
		CHECK(pass(STR(BAD GOOD), step) <= 15);
		CHECK_INT(refused, 1);
		CHECK(strstr(says, "LF alone"));
		CHECK(raw_is_refused(ends[0]));
		CHECK(raw_fault(ends[0], sizeof(BAD) - 1) != NULL);
		CHECK(read(ends[1], answer, sizeof(answer)) == 2);
		raw_next(ends[0], true);
		CHECK_INT(pass(STR(GOOD), 9), 0);
		CHECK(shutdown(ends[1], SHUT_WR) == 0);
		CHECK(recv(ends[0], answer, sizeof(answer), 0) == 0);
		end();
	}
}

TEST(raw_drains_no_more_than_its_bound)
{
	static char bytes[65536];
	ssize_t got = -1;
	size_t said = 0;

	begin();
	pass(STR(BAD), 100);
	while (said <= 2 * RAW_DRAIN_BYTES_MAX && got < 0) {
		ssize_t n = write(ends[1], bytes, sizeof(bytes));

		CHECK(n > 0);
		said += (size_t)n;
		got = recv(ends[0], bytes, sizeof(bytes), 0);
	}
	CHECK_INT(got, 0); /* as if the client had closed */
	CHECK(said > RAW_DRAIN_BYTES_MAX);
	end();
}

/* They were received before their turn, in whole or in part. */
TEST(raw_reads_pipelined_heads_when_their_turn_comes)
{
	const struct str all = STR(POST "\n\n\n\n" GOOD POST "body" GOOD);

	for (size_t step = 1; step <= all.n; step++) {
		begin();
		CHECK_INT(pass(all, step), all.n);
		CHECK(raw_fault(ends[0], POST_N) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], POST_N) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], GOOD_N) != NULL);
		pass(STR(GOOD), step);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		CHECK_INT(refused, 0);
		end();
	}
}

TEST(raw_refuses_a_pipelined_head_in_its_turn)
{
	begin();
	pass(STR(GOOD BAD), 4096);
	CHECK_INT(refused, 0);
	raw_next(ends[0], true);
	CHECK_INT(refused, 1);
	end();
	begin();
	pass(STR(GOOD BAD), 4096);
	raw_next(ends[0], false); /* closed: nobody is answered */
	CHECK_INT(refused, 0);
	CHECK(raw_fault(ends[0], sizeof(BAD) - 1) != NULL);
	end();
	begin();
	pass(STR("GET / HTTP/1.1\r\nConnection: close\r\n\r\n" BAD), 4096);
	raw_next(ends[0], true);
	CHECK_INT(refused, 0);
	end();
	begin();
	pass(STR("GET / HTTP/1.1\r\nConnection: TE\r\n\r\n" BAD), 4096);
	raw_next(ends[0], true);
	CHECK_INT(refused, 1);
	end();
}

TEST(raw_reads_heads_behind_chunks)
{
	const struct str all =
	    STR(CHUNKED "3\r\nabc\r\n0\r\n\r\n" GOOD CHUNKED "0\r\n\r\n" GOOD);

	for (size_t step = 1; step <= all.n; step++) {
		begin();
		CHECK_INT(pass(all, step), all.n);
		CHECK(raw_fault(ends[0], sizeof(CHUNKED) - 1) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], sizeof(CHUNKED) - 1) == NULL);
		raw_next(ends[0], true);
		CHECK(raw_fault(ends[0], GOOD_N) == NULL);
		CHECK_INT(refused, 0);
		end();
	}
}

TEST(raw_refuses_chunks_that_are_none)
{
	for (size_t step = 1; step <= 80; step++) {
		begin();
		pass(STR(CHUNKED "1\r\nab\r\n" GOOD), step);
		CHECK_INT(refused, 1);
		CHECK(strstr(says, "CRLF"));
		CHECK(raw_is_refused(ends[0]));
		end();
	}
}

/* More of it waits than is kept. */
TEST(raw_takes_no_head_that_it_did_not_read)
{
	char many[RAW_PENDING_BYTES_MAX + 64];

	begin();
	memset(many, 'x', sizeof(many));
	memcpy(many, POST "body", POST_N + 4);
	for (size_t at = 0; at < sizeof(many); at += 4096)
		pass(str_bytes(many + at, sizeof(many) - at < 4096
					      ? sizeof(many) - at
					      : 4096),
		     4096);
	CHECK(raw_fault(ends[0], POST_N) != NULL);
	raw_forget(ends[0]);
	CHECK(raw_fault(ends[0], 3) != NULL); /* nobody looks */
	CHECK_INT(pass(STR("a\nb"), 3), 3);
	raw_watch(ends[0], on_refuse, ends);
	CHECK_INT(pass(STR(GOOD), 3), GOOD_N);
	CHECK(raw_fault(ends[0], GOOD_N) == NULL);
	end();
}
