/* raw: heads that libmicrohttpd would take, and the bytes that give them away.
 */
#include "edge/raw.h"

#include <sys/socket.h>
#include <unistd.h>

#include "lib/test.h"

static int ends[2];

static void
begin(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	raw_watch(ends[0]);
}

/* Sends text in pieces of `step` bytes and receives each. */
static void
pass(struct str text, size_t step)
{
	char bytes[4096];

	for (size_t at = 0; at < text.n; at += step) {
		size_t n = text.n - at < step ? text.n - at : step;

		CHECK(write(ends[1], text.p + at, n) == (ssize_t)n);
		CHECK(recv(ends[0], bytes, sizeof(bytes), 0) == (ssize_t)n);
		CHECK(memcmp(bytes, text.p + at, n) == 0);
	}
}

#define GOOD "GET / HTTP/1.1\r\nHost: a\r\nX-A:\tb c\r\n\r\n"

TEST(raw_takes_what_is_framed_well)
{
	const struct str rows[] = {
	    STR(GOOD), STR("\r\n" GOOD), STR("GET / HTTP/1.0\r\n\r\n"),
	    STR("GET / HTTP/1.1\r\nX: \x01\x7f\xff\r\n\r\n")};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= rows[i].n; step++) {
			begin();
			pass(rows[i], step);
			CHECK(raw_fault(ends[0], rows[i].n) == NULL);
			close(ends[0]);
			close(ends[1]);
		}
}

TEST(raw_finds_what_the_library_hides)
{
	const struct {
		struct str text;
		const char *says;
	} rows[] = {
	    {STR("GET / HTTP/1.1\nHost: a\r\n\r\n"), "LF alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\n\r\n"), "LF alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\r\n\n"), "LF alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"), "CR alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), "CR alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n"), "CR alone"},
	    {STR("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"), "NUL"},
	    {STR("GET / HTTP/1.1\r\n\0\r\n\r\n"), "NUL"},
	    {STR("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"), "folded"},
	    {STR("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"), "folded"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= rows[i].text.n; step += 5) {
			const char *fault;

			begin();
			pass(rows[i].text, step);
			fault = raw_fault(ends[0], rows[i].text.n);
			if (fault == NULL || !strstr(fault, rows[i].says))
				test_fail(__FILE__, __LINE__, "row %zu: %s", i,
					  fault ? fault : "none");
			close(ends[0]);
			close(ends[1]);
		}
}

/* What came before its turn was never looked at. */
TEST(raw_refuses_pipelined_heads)
{
	struct str two = STR(GOOD "GET / HTTP/1.1\nX: a\r\n\r\n");

	begin();
	pass(two, two.n);
	CHECK(raw_fault(ends[0], sizeof(GOOD) - 1) == NULL);
	raw_next(ends[0]);
	CHECK(raw_fault(ends[0], 24) != NULL); /* all of it was there */
	begin();
	pass(two, two.n - 10);
	CHECK(raw_fault(ends[0], sizeof(GOOD) - 1) == NULL);
	raw_next(ends[0]);
	pass(str_bytes(two.p + two.n - 10, 10), 10);
	CHECK(raw_fault(ends[0], 24) != NULL); /* its first part was */
}

TEST(raw_looks_at_heads_of_watched_connections_only)
{
	begin();
	pass(STR(GOOD "body\nwith\0all\r\n \n"), 64);
	CHECK(raw_fault(ends[0], sizeof(GOOD) - 1) == NULL);
	raw_next(ends[0]);
	pass(STR(GOOD), 3);
	CHECK(raw_fault(ends[0], sizeof(GOOD) - 1) == NULL);
	raw_forget(ends[0]);
	pass(STR("a\nb"), 3);
	CHECK(raw_fault(ends[0], 3) != NULL); /* nobody looked */
}
