/*
 * bus_outbox: our connection to one peer's inbox, dialled again for ever. It
 * speaks as an nng PUSH. One batch is under way at a time: what the socket does
 * not take at once waits here, and the next batch is refused until it is gone.
 */
#include "lib/bus_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define RECONNECT_MIN_MS 10
#define RECONNECT_MAX_MS 100 /* a restarted peer is found so soon */
#define PARTS_MAX 3

struct bus_outbox {
	struct peer *peer;
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer dial;
	int64_t dial_ms; /* until the next try */
	struct buf rest; /* of the batch under way */
	size_t rest_at;
	char greeting[SP_GREETING_BYTES];
	size_t greeting_n; /* received */
	int fd;		   /* -1: not connected */
	bool is_up;	   /* both have greeted */
	uint32_t drops;
	char path[BUS_PATH_BYTES];
};

static void on_dial(void *ctx);

static void
disconnect(struct bus_outbox *outbox)
{
	loop_fd_remove(outbox->loop, outbox->watch);
	outbox->watch = NULL;
	if (outbox->fd >= 0)
		close(outbox->fd);
	outbox->fd = -1;
	buf_fini(&outbox->rest);
	outbox->rest_at = 0;
	outbox->greeting_n = 0;
}

static void
dial_later(struct bus_outbox *outbox)
{
	loop_timer_set(outbox->loop, &outbox->dial, outbox->dial_ms, on_dial,
		       outbox);
	outbox->dial_ms *= 2;
	if (outbox->dial_ms > RECONNECT_MAX_MS)
		outbox->dial_ms = RECONNECT_MAX_MS;
}

static void
broken(struct bus_outbox *outbox)
{
	bool was_up = outbox->is_up;

	disconnect(outbox);
	outbox->is_up = false;
	outbox->drops += was_up;
	dial_later(outbox);
	if (was_up)
		peer_look(outbox->peer);
}

/* --- sending -------------------------------------------------------------- */

/* The rest goes on; false: the connection is broken. */
static bool
send_rest(struct bus_outbox *outbox)
{
	struct buf *rest = &outbox->rest;
	ssize_t n =
	    send(outbox->fd, rest->p + outbox->rest_at,
		 rest->n - outbox->rest_at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	outbox->rest_at += (size_t)n;
	if (outbox->rest_at < rest->n)
		return true;
	buf_fini(rest);
	outbox->rest_at = 0;
	if (loop_fd_change(outbox->loop, outbox->watch, EPOLLIN) != ERR_OK)
		return false;
	peer_look(outbox->peer); /* there is room for the next batch */
	return true;
}

/* What the socket did not take of the first n bytes of the parts. */
static enum err
keep_rest(struct bus_outbox *outbox, const struct iovec *parts, size_t count,
	  size_t sent)
{
	for (size_t i = 0; i < count; i++) {
		size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;

		buf_add(&outbox->rest, (const char *)parts[i].iov_base + skip,
			parts[i].iov_len - skip);
		sent -= skip;
	}
	if (outbox->rest.is_failed)
		return ERR_NO_MEMORY;
	return loop_fd_change(outbox->loop, outbox->watch, EPOLLIN | EPOLLOUT);
}

bool
outbox_is_free(const struct bus_outbox *outbox)
{
	return outbox->is_up && outbox->rest.n == 0;
}

void
outbox_send(struct bus_outbox *outbox, const struct str *parts, size_t count)
{
	struct iovec iov[1 + PARTS_MAX];
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1 + count};
	char head[SP_HEAD_BYTES];
	size_t total = 0;
	ssize_t n;

	assert(outbox_is_free(outbox) && count <= PARTS_MAX);
	for (size_t i = 0; i < count; i++) {
		iov[1 + i].iov_base = (void *)(uintptr_t)parts[i].p;
		iov[1 + i].iov_len = parts[i].n;
		total += parts[i].n;
	}
	sp_head_put(total, head);
	iov[0] = (struct iovec){head, sizeof(head)};
	n = sendmsg(outbox->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* Broken, or without memory: its end is told. */
		shutdown(outbox->fd, SHUT_RDWR);
		return;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n == total + sizeof(head))
		return;
	if (keep_rest(outbox, iov, 1 + count, (size_t)n) != ERR_OK)
		shutdown(outbox->fd, SHUT_RDWR); /* half a batch is none */
}

/* --- connecting ----------------------------------------------------------- */

/* False: the connection is broken, or speaks something else. */
static bool
read_greeting(struct bus_outbox *outbox)
{
	ssize_t n = recv(outbox->fd, outbox->greeting + outbox->greeting_n,
			 SP_GREETING_BYTES - outbox->greeting_n, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) /* a PULL says nothing more: no room to read it into */
		return false;
	outbox->greeting_n += (size_t)n;
	if (outbox->greeting_n < SP_GREETING_BYTES)
		return true;
	if (!sp_greeting_is(SP_PULL, outbox->greeting))
		return false;
	outbox->is_up = true;
	outbox->dial_ms = RECONNECT_MIN_MS;
	peer_look(outbox->peer);
	return true;
}

static void
on_event(void *ctx, int fd, uint32_t events)
{
	struct bus_outbox *outbox = ctx;
	bool is_good = true;

	(void)fd;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		is_good = read_greeting(outbox);
	if (is_good && (events & EPOLLOUT) && outbox->rest.n > 0)
		is_good = send_rest(outbox);
	if (!is_good)
		broken(outbox);
}

static bool
dial(struct bus_outbox *outbox)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char greeting[SP_GREETING_BYTES];

	memcpy(to.sun_path, outbox->path, strlen(outbox->path));
	sp_greeting_put(SP_PUSH, greeting);
	outbox->fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return outbox->fd >= 0 &&
	       connect(outbox->fd, (const struct sockaddr *)&to, sizeof(to)) ==
		   0 &&
	       send(outbox->fd, greeting, sizeof(greeting),
		    MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(greeting) &&
	       loop_fd_add(outbox->loop, outbox->fd, EPOLLIN, on_event, outbox,
			   &outbox->watch) == ERR_OK;
}

static void
on_dial(void *ctx)
{
	struct bus_outbox *outbox = ctx;

	if (dial(outbox))
		return;
	disconnect(outbox);
	dial_later(outbox);
}

/* --- opening -------------------------------------------------------------- */

enum err
outbox_open(struct peer *peer, const char *path)
{
	struct bus_outbox *outbox = calloc(1, sizeof(*outbox));

	if (outbox == NULL)
		return ERR_NO_MEMORY;
	outbox->peer = peer;
	outbox->loop = peer->bus->loop;
	outbox->fd = -1;
	outbox->dial_ms = RECONNECT_MIN_MS;
	buf_init(&outbox->rest, BUS_BATCH_BYTES_MAX + SP_HEAD_BYTES);
	memcpy(outbox->path, path, strlen(path));
	peer->outbox = outbox;
	loop_timer_set(outbox->loop, &outbox->dial, 0, on_dial, outbox);
	return ERR_OK;
}

void
outbox_close(struct bus_outbox *outbox)
{
	if (outbox == NULL)
		return;
	loop_timer_clear(outbox->loop, &outbox->dial);
	disconnect(outbox);
	free(outbox);
}

void
outbox_state(const struct bus_outbox *outbox, bool *is_up, uint32_t *drops)
{
	*is_up = outbox->is_up;
	*drops = outbox->drops;
}
