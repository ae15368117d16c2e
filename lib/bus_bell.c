/*
 * bus_bell: the doorbell (PUB/SUB). A ring carries nothing and may be lost; the
 * listener looks at the log. SUB is read through RECVFD and without waiting: a
 * receive with a timeout can crash in nng 1.5.2 (#1682).
 */
#include "lib/bus_internal.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <stdio.h>
#include <stdlib.h>

#define LISTENS_MAX 4
#define RINGS_A_TURN_MAX 64
#define PAUSE_MS 20 /* between two rings; the listener reads all there is */
#define RECONNECT_MIN_MS 10
#define RECONNECT_MAX_MS 100

struct listen {
	struct bus *bus;
	nng_socket socket;
	struct loop_fd *watch;
	bus_doorbell_fn *fn;
	void *ctx;
};

struct bus_bell {
	struct loop *loop;
	nng_socket pub;
	bool is_open;
	bool is_rung;
	struct loop_timer pause;
	struct listen listens[LISTENS_MAX];
	unsigned listen_count;
};

static enum err
bell_of(struct bus *bus, struct bus_bell **out)
{
	if (bus->bell == NULL)
		bus->bell = calloc(1, sizeof(*bus->bell));
	if (bus->bell == NULL)
		return ERR_NO_MEMORY;
	bus->bell->loop = bus->loop;
	*out = bus->bell;
	return ERR_OK;
}

enum err
bus_doorbell_open(struct bus *bus, struct why *why)
{
	char path[BUS_PATH_BYTES];
	struct bus_bell *bell;
	enum err e = bus_path(path, bus->run_dir, bus->name, "bell", why);

	if (e == ERR_OK)
		e = bell_of(bus, &bell);
	if (e != ERR_OK)
		return e;
	e = bus_nng_err(nng_pub0_open(&bell->pub));
	if (e != ERR_OK)
		return why_set(why, e, "cannot open a socket: %s", err_text(e));
	bell->is_open = true;
	return bus_nng_listen(bell->pub.id, path, why);
}

void
bus_doorbell_ring(struct bus *bus)
{
	if (bus->bell == NULL || !bus->bell->is_open)
		return;
	bus->bell->is_rung = true;
	loop_wake(bus->loop);
}

static void
ring(void *ctx)
{
	struct bus_bell *bell = ctx;
	nng_msg *msg;

	if (!bell->is_rung)
		return; /* nothing came during the pause: it is over */
	bell->is_rung = false;
	loop_timer_set(bell->loop, &bell->pause, PAUSE_MS, ring, bell);
	if (nng_msg_alloc(&msg, 0) != 0)
		return;
	if (nng_sendmsg(bell->pub, msg, NNG_FLAG_NONBLOCK) != 0)
		nng_msg_free(msg);
}

void
bell_flush(struct bus *bus)
{
	if (bus->bell && bus->bell->pause.heap_index == 0)
		ring(bus->bell);
}

static void
on_rung(void *ctx, int fd, uint32_t events)
{
	struct listen *listen = ctx;
	unsigned rings = 0;
	nng_msg *msg;

	(void)fd;
	(void)events;
	while (rings < RINGS_A_TURN_MAX &&
	       nng_recvmsg(listen->socket, &msg, NNG_FLAG_NONBLOCK) == 0) {
		nng_msg_free(msg);
		rings++;
	}
	if (rings > 0)
		listen->fn(listen->ctx);
}

static int
listen_dial(nng_socket socket, const char *path, int *fd)
{
	char url[BUS_PATH_BYTES + 8];
	int error = nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, "", 0);

	snprintf(url, sizeof(url), "ipc://%s", path);
	if (error == 0)
		error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 1);
	if (error == 0)
		error = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT,
					  RECONNECT_MIN_MS);
	if (error == 0)
		error = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT,
					  RECONNECT_MAX_MS);
	if (error == 0)
		error = nng_socket_get_int(socket, NNG_OPT_RECVFD, fd);
	if (error == 0)
		error = nng_dial(socket, url, NULL, NNG_FLAG_NONBLOCK);
	return error;
}

enum err
bus_doorbell_listen(struct bus *bus, const char *name, bus_doorbell_fn *fn,
		    void *ctx)
{
	char path[BUS_PATH_BYTES];
	struct bus_bell *bell;
	struct listen *listen;
	enum err e = bus_path(path, bus->run_dir, name, "bell", NULL);
	int fd = -1;

	if (e == ERR_OK)
		e = bell_of(bus, &bell);
	if (e != ERR_OK)
		return e;
	if (bell->listen_count == LISTENS_MAX)
		return ERR_OVERLOADED;
	listen = &bell->listens[bell->listen_count];
	*listen = (struct listen){.bus = bus, .fn = fn, .ctx = ctx};
	e = bus_nng_err(nng_sub0_open(&listen->socket));
	if (e != ERR_OK)
		return e;
	bell->listen_count++;
	e = bus_nng_err(listen_dial(listen->socket, path, &fd));
	if (e == ERR_OK)
		e = loop_fd_add(bus->loop, fd, EPOLLIN, on_rung, listen,
				&listen->watch);
	return e;
}

void
bell_stop(struct bus *bus)
{
	struct bus_bell *bell = bus->bell;

	if (bell == NULL)
		return;
	loop_timer_clear(bell->loop, &bell->pause);
	for (unsigned i = 0; i < bell->listen_count; i++)
		loop_fd_remove(bus->loop, bell->listens[i].watch);
}

void
bell_close(struct bus *bus)
{
	struct bus_bell *bell = bus->bell;

	if (bell == NULL)
		return;
	for (unsigned i = 0; i < bell->listen_count; i++)
		nng_close(bell->listens[i].socket);
	if (bell->is_open)
		nng_close(bell->pub);
	free(bell);
	bus->bell = NULL;
}
