/*
 * scripted: see scripted_test.h. A process listens, one more for each
 * connection; they die with the test.
 */
#include "workers/scripted_test.h"

#include "lib/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct scripted_shared *shared;

static size_t
content_length(struct str head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = memmem(head.p, head.n, name, sizeof(name) - 1);

	return at ? (size_t)strtoul(at + sizeof(name) - 1, NULL, 10) : 0;
}

/* Bytes of the whole request that p begins with, 0 when it is not all there.
 */
static size_t
request_bytes(const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	size_t head, whole;

	if (end == NULL)
		return 0;
	head = (size_t)(end - p) + 4;
	whole = head + content_length(str_bytes(p, head));
	return whole <= n ? whole : 0;
}

static void
serve_connection(int fd, scripted_fn *fn)
{
	static char in[SCRIPTED_REQUEST_BYTES_MAX];
	size_t have = 0;

	for (;;) {
		size_t n = request_bytes(in, have);
		ssize_t got;
		unsigned nth;

		if (n == 0) {
			got = read(fd, in + have, sizeof(in) - have);
			if (have == sizeof(in) &&
			    !fn(fd, str_bytes(in, have), ++shared->requests))
				return;
			if (have == sizeof(in))
				scripted_wait_gone(fd);
			if (got <= 0)
				break;
			have += (size_t)got;
			continue;
		}
		memcpy(shared->last, in, n);
		shared->last_bytes = n;
		nth = ++shared->requests;
		if (!fn(fd, str_bytes(in, n), nth))
			return;
		memmove(in, in + n, have - n);
		have -= n;
	}
	shared->gone++;
}

static _Noreturn void
serve(int listener, scripted_fn *fn)
{
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		int one = 1;

		if (fd < 0)
			continue;
		shared->connections++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(listener);
			serve_connection(fd, fn);
			_exit(0);
		}
		close(fd);
	}
}

void
scripted_start(struct scripted *scripted, scripted_fn *fn)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t at_bytes = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(listener >= 0);
	CHECK(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(listen(listener, 128) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&at, &at_bytes) == 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	scripted->shared = shared;
	scripted->port = ntohs(at.sin_port);
	snprintf(scripted->base, sizeof(scripted->base),
		 "http://127.0.0.1:%d/v1", scripted->port);
	scripted->pid = fork();
	CHECK(scripted->pid >= 0);
	if (scripted->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener, fn);
	}
	close(listener);
}

void
scripted_stop(struct scripted *scripted)
{
	kill(scripted->pid, SIGKILL);
	waitpid(scripted->pid, NULL, 0);
}

struct str
scripted_last(const struct scripted *scripted)
{
	return str_bytes(scripted->shared->last, scripted->shared->last_bytes);
}

struct str
scripted_last_body(const struct scripted *scripted)
{
	struct str all = scripted_last(scripted);
	const char *end = memmem(all.p, all.n, "\r\n\r\n", 4);

	if (end == NULL)
		return STR_NONE;
	return str_bytes(end + 4, all.n - (size_t)(end + 4 - all.p));
}

bool
scripted_last_has(const struct scripted *scripted, const char *text)
{
	return memmem(scripted->shared->last, scripted->shared->last_bytes,
		      text, strlen(text)) != NULL;
}

void
scripted_wait_gone(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0)
		continue;
	shared->gone++;
}

void
scripted_send(int fd, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n <= 0)
			return;
		bytes = str_bytes(bytes.p + n, bytes.n - (size_t)n);
	}
}

void
scripted_answer(int fd, int status, const char *type, const char *extra,
		struct str body)
{
	char head[1024];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d Status\r\nContent-Type: %s\r\n%s"
			 "Content-Length: %zu\r\n\r\n",
			 status, type, extra, body.n);

	scripted_send(fd, str_bytes(head, (size_t)n));
	scripted_send(fd, body);
}

void
scripted_sse_head(int fd)
{
	scripted_send(fd, STR("HTTP/1.1 200 OK\r\n"
			      "Content-Type: text/event-stream; charset=utf-8"
			      "\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

void
scripted_chunk(int fd, struct str bytes)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%zx\r\n", bytes.n);

	scripted_send(fd, str_bytes(head, (size_t)n));
	scripted_send(fd, bytes);
	scripted_send(fd, STR("\r\n"));
}

void
scripted_chunk_end(int fd)
{
	scripted_send(fd, STR("0\r\n\r\n"));
}
