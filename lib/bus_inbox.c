/*
 * bus_inbox: where everybody's batches come in. A listening socket and its
 * connections in the loop; each speaks as an nng PUSH to our PULL. A batch is
 * handled where it was read, without a copy; who stops reading us is stopped by
 * the socket's buffer. Bytes that are no greeting and no head end the
 * connection, never the process.
 */
#include "lib/bus_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX (2 * BUS_PEERS_MAX)
#define ROOM_BYTES 65536u /* of a connection; more while a batch needs it */
#define GREET_MS 5000
#define ACCEPTS_A_TURN_MAX 64
#define ACCEPT_REST_MS 100 /* without a descriptor or memory to spare */

struct connection {
	struct bus_inbox *inbox;
	struct connection *prev;
	struct connection *next;
	struct loop_fd *watch;
	struct loop_timer greet; /* runs until the greeting has come */
	struct buf buf;		 /* read, not handled yet */
	int fd;
	uint32_t pipe;
	bool is_greeted;
};

struct bus_inbox {
	struct bus *bus;
	int fd;
	struct loop_fd *watch;
	struct loop_timer rest; /* set: nobody is accepted until then */
	struct connection *connections;
	unsigned count;
	uint32_t last_pipe;
};

/* The listening socket stays readable while somebody waits: it is left alone
 * until a connection closes, or for a moment. */
static void
accept_again(void *ctx)
{
	struct bus_inbox *inbox = ctx;

	loop_timer_clear(inbox->bus->loop, &inbox->rest);
	loop_fd_change(inbox->bus->loop, inbox->watch, EPOLLIN);
}

static void
accept_rest(struct bus_inbox *inbox)
{
	if (loop_fd_change(inbox->bus->loop, inbox->watch, 0) == ERR_OK)
		loop_timer_set(inbox->bus->loop, &inbox->rest, ACCEPT_REST_MS,
			       accept_again, inbox);
}

static void
connection_close(struct connection *c)
{
	struct bus_inbox *inbox = c->inbox;
	struct loop *loop = inbox->bus->loop;

	*(c->prev ? &c->prev->next : &inbox->connections) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	inbox->count--;
	loop_timer_clear(loop, &c->greet);
	loop_fd_remove(loop, c->watch);
	close(c->fd);
	buf_fini(&c->buf);
	free(c);
	if (inbox->rest.heap_index)
		accept_again(inbox);
}

static void
connection_gone(struct connection *c)
{
	struct bus *bus = c->inbox->bus;
	uint32_t pipe = c->pipe;

	connection_close(c);
	peers_pipe_gone(bus, pipe);
}

static void
on_no_greeting(void *ctx)
{
	connection_close(ctx);
}

/* --- reading -------------------------------------------------------------- */

/* Room for the rest of the batch that has begun, or for some more. */
static bool
make_room(struct connection *c)
{
	size_t body, need = ROOM_BYTES;

	if (c->is_greeted && c->buf.n >= SP_HEAD_BYTES &&
	    sp_head_read(c->buf.p, &body) && SP_HEAD_BYTES + body > need)
		need = SP_HEAD_BYTES + body;
	if (c->buf.n == 0 && c->buf.room > need)
		buf_fini(&c->buf); /* it was a large one */
	return c->buf.n < need && buf_reserve(&c->buf, need - c->buf.n);
}

static void
skip(struct str *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* Takes what is whole off the front of in; false: these bytes are no batches.
 */
static bool
take_batches(struct connection *c, struct str *in)
{
	size_t body;

	while (in->n >= SP_HEAD_BYTES) {
		if (!sp_head_read(in->p, &body))
			return false;
		if (in->n - SP_HEAD_BYTES < body)
			break;
		bus_batch(c->inbox->bus, str_bytes(in->p + SP_HEAD_BYTES, body),
			  c->pipe);
		skip(in, SP_HEAD_BYTES + body);
	}
	return true;
}

static bool
take(struct connection *c)
{
	struct str in = buf_str(&c->buf);
	bool is_good = true;

	if (!c->is_greeted && in.n >= SP_GREETING_BYTES) {
		is_good = sp_greeting_is(SP_PUSH, in.p);
		skip(&in, SP_GREETING_BYTES);
		c->is_greeted = true;
		loop_timer_clear(c->inbox->bus->loop, &c->greet);
	}
	if (is_good && c->is_greeted)
		is_good = take_batches(c, &in);
	buf_drop(&c->buf, c->buf.n - in.n);
	return is_good;
}

static void
on_readable(void *ctx, int fd, uint32_t events)
{
	struct connection *c = ctx;
	ssize_t n;

	(void)events;
	if (!make_room(c)) {
		connection_gone(c); /* no memory: its sender tries again */
		return;
	}
	n = recv(fd, c->buf.p + c->buf.n, c->buf.room - c->buf.n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->buf.n += (size_t)n;
	if (n <= 0 || !take(c))
		connection_gone(c);
}

/* --- accepting ------------------------------------------------------------ */

static bool
is_ours(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	       bus_is_ours(peer.uid, peer.gid);
}

static bool
greet(int fd)
{
	char greeting[SP_GREETING_BYTES];

	sp_greeting_put(SP_PULL, greeting);
	return send(fd, greeting, sizeof(greeting),
		    MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(greeting);
}

static void
connection_open(struct bus_inbox *inbox, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct loop *loop = inbox->bus->loop;

	if (c == NULL || loop_fd_add(loop, fd, EPOLLIN, on_readable, c,
				     &c->watch) != ERR_OK) {
		free(c);
		close(fd);
		return;
	}
	c->inbox = inbox;
	c->fd = fd;
	buf_init(&c->buf, BUS_BATCH_BYTES_MAX + SP_HEAD_BYTES);
	c->pipe = ++inbox->last_pipe ? inbox->last_pipe : ++inbox->last_pipe;
	c->next = inbox->connections;
	if (c->next)
		c->next->prev = c;
	inbox->connections = c;
	inbox->count++;
	loop_timer_set(loop, &c->greet, GREET_MS, on_no_greeting, c);
}

static bool
is_short_of_room(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == ENOBUFS;
}

static void
on_connection(void *ctx, int listener, uint32_t events)
{
	struct bus_inbox *inbox = ctx;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_TURN_MAX; i++) {
		int fd =
		    accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (is_short_of_room(errno))
				accept_rest(inbox);
			return;
		}
		if (inbox->count < CONNECTIONS_MAX && is_ours(fd) && greet(fd))
			connection_open(inbox, fd);
		else
			close(fd);
	}
}

/* --- opening -------------------------------------------------------------- */

static enum err
listen_at(const char *path, int *out, struct why *why)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	unlink(path); /* left behind by a killed process: we hold the lock */
	if (fd >= 0 &&
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
	    chmod(path, BUS_SOCKET_MODE) == 0 && listen(fd, SOMAXCONN) == 0) {
		*out = fd;
		return ERR_OK;
	}
	why_set(why, ERR_IO, "cannot listen on %s: %s", path,
		err_of_file(errno));
	if (fd >= 0)
		close(fd);
	return ERR_IO;
}

enum err
inbox_open(struct bus *bus, const char *path, struct why *why)
{
	struct bus_inbox *inbox = calloc(1, sizeof(*inbox));
	enum err e;

	if (inbox == NULL)
		return ERR_NO_MEMORY;
	inbox->bus = bus;
	e = listen_at(path, &inbox->fd, why);
	if (e != ERR_OK) {
		free(inbox);
		return e;
	}
	bus->inbox = inbox;
	return loop_fd_add(bus->loop, inbox->fd, EPOLLIN, on_connection, inbox,
			   &inbox->watch);
}

void
inbox_close(struct bus *bus)
{
	struct bus_inbox *inbox = bus->inbox;
	struct connection *c, *next;

	if (inbox == NULL)
		return;
	for (c = inbox->connections; c; c = next) {
		next = c->next;
		connection_close(c);
	}
	loop_timer_clear(bus->loop, &inbox->rest);
	loop_fd_remove(bus->loop, inbox->watch);
	close(inbox->fd);
	free(inbox);
	bus->inbox = NULL;
}
