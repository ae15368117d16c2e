/* chunks: where a chunked body ends, and what is none. */
#include "edge/chunks.h"

#include "lib/test.h"

static void
check(const char *text, bool is_done, size_t taken, const char *fault)
{
	size_t all = strlen(text);

	for (size_t step = 1; step <= all; step++) {
		struct chunks chunks;
		size_t used = 0;

		chunks_begin(&chunks);
		for (size_t at = 0; at < all; at += step)
			used += chunks_take(&chunks, text + at,
					    all - at < step ? all - at : step);
		if (chunks_is_done(&chunks) != is_done ||
		    (chunks.fault != NULL) != (fault != NULL) ||
		    (fault && !strstr(chunks.fault, fault)) ||
		    (is_done && used != taken))
			test_fail(__FILE__, __LINE__, "%s by %zu: %zu %s", text,
				  step, used,
				  chunks.fault ? chunks.fault : "no fault");
	}
}

TEST(chunks_end_where_they_say)
{
	check("0\r\n\r\n", true, 5, NULL);
	check("1;a=\"\xc3\xa9\"\r\nx\r\n0\r\n\r\n", true, 18, NULL);
	check("0\r\n\r\nGET / HTTP/1.1\r\n", true, 5, NULL);
	check("1\r\n{\r\n1\r\n}\r\n0\r\n\r\nmore", true, 17, NULL);
	check("A\r\n0123456789\r\n0a\r\n\r\n\r\n\r\n\r\n\r\n\r\n00\r\n\r\n",
	      true, 37, NULL);
	check("2;a=b\r\n\r\n\r\n0;x\r\n\r\n", true, 18, NULL);
	check("2\r\nxy\r\n0\r\n\r", false, 0, NULL);
	check("ffff\r\nxy", false, 0, NULL);
	check("", false, 0, NULL);
}

TEST(chunks_that_are_none)
{
	check("zz\r\n{}\r\n0\r\n\r\n", false, 0, "in hexadecimal");
	check("\r\n0\r\n\r\n", false, 0, "in hexadecimal");
	check("-1\r\n", false, 0, "in hexadecimal");
	check(" 1\r\n", false, 0, "in hexadecimal");
	check("1\nx", false, 0, "comes CRLF");
	check("1 \r\nx", false, 0, "comes CRLF");
	check("0x1\r\nx", false, 0, "comes CRLF");
	check("1\rx", false, 0, "does not end with CRLF");
	check("1\r\nxy\r\n", false, 0, "does not end with CRLF");
	check("1\r\nx\n0\r\n\r\n", false, 0, "does not end with CRLF");
	check("0\r\n\rx", false, 0, "does not end with CRLF");
	check("0\r\nx-a: b\r\n\r\n", false, 0, "trailers");
	check("00000000000000001\r\nx", false, 0, "16 digits");
	check("1;a\nb\r\nx", false, 0, "control byte");
	check("1;0123456789012345678901234567890123456789012345678901234567890"
	      "12345\r\nx",
	      false, 0, "64 bytes");
}
