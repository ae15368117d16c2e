/* id: shape, order, independence of forked processes, request ids. */
#include "lib/id.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/test.h"

TEST(id_has_prefix_and_time)
{
	char a[ID_TEXT_BYTES], b[ID_TEXT_BYTES];
	struct str s = id_new("lic_", 1469918176385, a);

	CHECK_INT(s.n, 30);
	CHECK(str_starts(s, STR("lic_01ARYZ6S41")));
	CHECK(a[30] == '\0');
	s = id_new("", 1469918176385, b);
	CHECK_INT(s.n, 26);
	CHECK(memcmp(a + 4, b, 10) == 0);
	CHECK(memcmp(a + 14, b + 10, 16) != 0);
}

TEST(id_sorts_by_time)
{
	char a[ID_TEXT_BYTES], b[ID_TEXT_BYTES];

	for (int64_t ms = 1; ms < (INT64_C(1) << 47); ms *= 3) {
		struct str first = id_new("", ms, a);
		struct str second = id_new("", ms + 1, b);

		CHECK(str_cmp(first, second) < 0);
	}
}

TEST(id_differs_in_a_forked_child)
{
	char mine[16], child[16];
	int fds[2];
	pid_t pid;

	id_random(mine, 1); /* something is gathered before the fork */
	CHECK(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		id_random(child, sizeof(child));
		_exit(write(fds[1], child, sizeof(child)) != sizeof(child));
	}
	CHECK(read(fds[0], child, sizeof(child)) == sizeof(child));
	waitpid(pid, NULL, 0);
	id_random(mine, sizeof(mine));
	CHECK(memcmp(mine, child, sizeof(mine)) != 0);
}

TEST(id_random_fills_any_size)
{
	static unsigned char big[100000];
	unsigned zeros = 0;

	id_random(big, sizeof(big));
	for (size_t i = 0; i < sizeof(big); i++)
		zeros += big[i] == 0;
	CHECK(zeros > 200 && zeros < 700); /* 390 expected */
}

TEST(id_request_ids)
{
	char long_id[65];

	memset(long_id, 'a', sizeof(long_id));
	CHECK(id_is_valid_request_id(STR("a")));
	CHECK(id_is_valid_request_id(STR("018f-AZ.az_0:9")));
	CHECK(id_is_valid_request_id(str_bytes(long_id, 64)));
	CHECK(!id_is_valid_request_id(str_bytes(long_id, 65)));
	CHECK(!id_is_valid_request_id(STR("")));
	CHECK(!id_is_valid_request_id(STR_NONE));
	CHECK(!id_is_valid_request_id(STR("a b")));
	CHECK(!id_is_valid_request_id(STR("a\n")));
	CHECK(!id_is_valid_request_id(STR("\xc3\xa9")));
	CHECK(!id_is_valid_request_id(STR("a\0b")));
}
