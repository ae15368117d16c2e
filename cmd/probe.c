/*
 * probe: see probe.h.
 */
#include "cmd/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_BYTES 64
#define READ_BYTES 4096

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool
read_address(const char *host_port, union address *out)
{
	const char *colon = strrchr(host_port, ':');
	size_t n = colon ? (size_t)(colon - host_port) : 0;
	char host[HOST_BYTES];
	long port;

	*out = (union address){0};
	if (n < 2 || n >= sizeof(host))
		return false;
	port = strtol(colon + 1, NULL, 10);
	if (port <= 0 || port > UINT16_MAX)
		return false;
	memcpy(host, host_port, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &out->v6.sin6_addr) == 1;
	}
	out->v4.sin_family = AF_INET;
	out->v4.sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
}

void
probe_stop(struct probe *probe)
{
	if (probe->loop == NULL)
		return;
	loop_timer_clear(probe->loop, &probe->deadline);
	loop_fd_remove(probe->loop, probe->watch);
	probe->watch = NULL;
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = -1;
	buf_fini(&probe->in);
	probe->loop = NULL;
}

/* "HTTP/1.1 200 ..." -> 200, and what stands behind the head. */
static void
report(struct probe *probe)
{
	struct str in = buf_str(&probe->in), body = STR_NONE;
	probe_fn *fn = probe->fn;
	struct buf kept = probe->in;
	const char *end;
	int status = 0;

	end = in.n ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;
	if (end && in.n > 12 && memcmp(in.p, "HTTP/1.1 ", 9) == 0) {
		status = (int)strtol(in.p + 9, NULL, 10);
		body = str_bytes(end + 4, (size_t)(in.p + in.n - end - 4));
	}
	probe->in = (struct buf){.limit_bytes = PROBE_BYTES_MAX};
	probe_stop(probe);
	fn(probe->ctx, status, body);
	buf_fini(&kept);
}

static void
on_deadline(void *ctx)
{
	report(ctx);
}

static void
send_request(struct probe *probe)
{
	size_t n = strlen(probe->request);

	probe->is_sent = true;
	if (send(probe->fd, probe->request, n, MSG_NOSIGNAL) != (ssize_t)n ||
	    loop_fd_change(probe->loop, probe->watch, EPOLLIN) != ERR_OK)
		report(probe);
}

static void
on_event(void *ctx, int fd, uint32_t events)
{
	struct probe *probe = ctx;
	char bytes[READ_BYTES];
	ssize_t n;

	if (!probe->is_sent && !(events & (EPOLLERR | EPOLLHUP))) {
		send_request(probe);
		return;
	}
	n = recv(fd, bytes, sizeof(bytes), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_add(&probe->in, bytes, (size_t)n);
	if (n <= 0 || probe->in.is_failed)
		report(probe);
}

void
probe_start(struct probe *probe, struct loop *loop, const char *host_port,
	    const char *request, int deadline_ms, probe_fn *fn, void *ctx)
{
	union address address;
	bool is_known = read_address(host_port, &address);

	*probe = (struct probe){
	    .loop = loop, .fd = -1, .request = request, .fn = fn, .ctx = ctx};
	buf_init(&probe->in, PROBE_BYTES_MAX);
	if (is_known)
		probe->fd =
		    socket(address.any.sa_family,
			   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd >= 0 &&
	    (connect(probe->fd, &address.any, sizeof(address)) == 0 ||
	     errno == EINPROGRESS) &&
	    loop_fd_add(loop, probe->fd, EPOLLOUT, on_event, probe,
			&probe->watch) == ERR_OK)
		loop_timer_set(loop, &probe->deadline, deadline_ms, on_deadline,
			       probe);
	else /* reported from the loop all the same */
		loop_timer_set(loop, &probe->deadline, 0, on_deadline, probe);
}
