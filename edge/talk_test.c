/*
 * talk_test: see talk_test.h.
 */
#include "edge/talk_test.h"

#include "lib/clock.h"
#include "lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

char talk_got[TALK_BYTES_MAX];
size_t talk_got_n;

int
talk_connect(int listen_fd)
{
	struct sockaddr_in address;
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK(getsockname(listen_fd, (void *)&address, &n) == 0);
	CHECK(connect(fd, (void *)&address, n) == 0);
	return fd;
}

void
talk_say(int fd, const char *text)
{
	size_t n = strlen(text);

	CHECK_INT(send(fd, text, n, MSG_NOSIGNAL), n);
}

bool
talk_hear(struct loop *loop, int fd, const char *text)
{
	int64_t end_ms = clock_mono_ms() + TALK_WAIT_MS;

	talk_got_n = 0;
	talk_got[0] = '\0';
	while (clock_mono_ms() < end_ms) {
		ssize_t n =
		    recv(fd, talk_got + talk_got_n,
			 sizeof(talk_got) - 1 - talk_got_n, MSG_DONTWAIT);

		if (n > 0) {
			talk_got_n += (size_t)n;
			talk_got[talk_got_n] = '\0';
		}
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return text == NULL;
		if (text && strstr(talk_got, text))
			return true;
		if (n < 0)
			loop_turn(loop, 5);
	}
	return false;
}
