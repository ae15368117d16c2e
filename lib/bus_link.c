/*
 * bus_link: the inbox (PULL), the outboxes (PUSH), and the one mutex between
 * nng's threads and the loop. nng's callbacks only leave news here and ring an
 * eventfd; they never run anything else of ours. nng's timeouts are not used:
 * they run on the wall clock.
 */
#include "lib/bus_internal.h"

#include "lib/clock.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

_Static_assert(NNG_MAJOR_VERSION == 1, "lib/bus is written for nng 1");

#define NS_PER_S 1000000000
#define CLOSE_NS_MAX NS_PER_S
#define RECONNECT_MIN_MS 10
#define RECONNECT_MAX_MS 100 /* a restarted peer is found so soon */

struct bus_link {
	int event_fd;
	nng_socket inbox;
	nng_aio *recv_aio;
	pthread_mutex_t lock; /* for all below, and the outboxes' flags */
	nng_msg *queue[BUS_INBOX_BATCHES_MAX];
	unsigned queue_count;
	size_t queue_bytes;
	bool is_stalled; /* no receive is posted */
	bool is_closing;
	bool is_signalled; /* the eventfd has been written */
	bool is_changed;
	uint32_t gone[LINK_GONE_MAX];
	unsigned gone_count;
};

struct bus_outbox {
	struct bus_link *link;
	nng_socket socket;
	nng_aio *aio;
	bool is_busy;
	bool is_wanted; /* the loop has more to send */
	bool is_up;
	uint32_t pipe;
	uint32_t drops;
};

enum err
link_err(int nng_error)
{
	switch (nng_error) {
	case 0:
		return ERR_OK;
	case NNG_ENOMEM:
		return ERR_NO_MEMORY;
	case NNG_ETIMEDOUT:
		return ERR_DEADLINE;
	case NNG_EADDRINUSE:
		return ERR_EXISTS;
	case NNG_ECONNREFUSED:
	case NNG_ENOENT:
		return ERR_UNAVAILABLE;
	case NNG_ECONNRESET:
	case NNG_ECONNSHUT:
	case NNG_ECONNABORTED:
	case NNG_ECLOSED:
		return ERR_WORKER_LOST;
	case NNG_EMSGSIZE:
		return ERR_TOO_LARGE;
	default:
		return ERR_IO;
	}
}

enum err
link_path(char out[BUS_PATH_BYTES], const char *run_dir, const char *name,
	  const char *suffix, struct why *why)
{
	int n =
	    snprintf(out, BUS_PATH_BYTES, "%s/%s.%s", run_dir, name, suffix);

	if (n > 0 && n < BUS_PATH_BYTES)
		return ERR_OK;
	return why_set(why, ERR_CONFIG,
		       "%.180s is too long for the names of sockets (%d bytes "
		       "at most with the name): choose a shorter data folder",
		       run_dir, BUS_PATH_BYTES - 1);
}

/* --- the loop's bell -------------------------------------------------------
 */

/* Under the lock: whether the caller has to write the eventfd. */
static bool
mark_signalled(struct bus_link *link)
{
	bool is_first = !link->is_signalled;

	link->is_signalled = true;
	return is_first;
}

static void
ring(const struct bus_link *link)
{
	uint64_t one = 1;

	/* It cannot be full: it is written once between two reads. */
	while (write(link->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void
leave_change(struct bus_link *link)
{
	bool must_ring;

	pthread_mutex_lock(&link->lock);
	link->is_changed = true;
	must_ring = mark_signalled(link);
	pthread_mutex_unlock(&link->lock);
	if (must_ring)
		ring(link);
}

void
link_signal(struct bus_link *link)
{
	leave_change(link);
}

/* --- inbox -----------------------------------------------------------------
 */

static void
on_received(void *ctx)
{
	struct bus_link *link = ctx;
	int error = nng_aio_result(link->recv_aio);
	nng_msg *msg = error ? NULL : nng_aio_get_msg(link->recv_aio);
	bool must_ring, may_receive;

	pthread_mutex_lock(&link->lock);
	if (msg) {
		link->queue[link->queue_count++] = msg;
		link->queue_bytes += nng_msg_len(msg);
	}
	may_receive = !link->is_closing && !error &&
		      link->queue_count < BUS_INBOX_BATCHES_MAX &&
		      link->queue_bytes < BUS_INBOX_BYTES_MAX;
	link->is_stalled = !may_receive;
	must_ring = mark_signalled(link);
	pthread_mutex_unlock(&link->lock);
	if (must_ring)
		ring(link);
	if (may_receive)
		nng_recv_aio(link->inbox, link->recv_aio);
}

void
link_resume(struct bus_link *link)
{
	bool must_receive;

	pthread_mutex_lock(&link->lock);
	must_receive =
	    link->is_stalled && !link->is_closing && link->queue_count == 0;
	if (must_receive)
		link->is_stalled = false;
	pthread_mutex_unlock(&link->lock);
	if (must_receive)
		nng_recv_aio(link->inbox, link->recv_aio);
}

static void
on_inbox_pipe_gone(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
	struct bus_link *link = ctx;

	(void)event;
	pthread_mutex_lock(&link->lock);
	/* When there is no room, the peer's silence will tell. */
	if (link->gone_count < LINK_GONE_MAX)
		link->gone[link->gone_count++] = (uint32_t)nng_pipe_id(pipe);
	pthread_mutex_unlock(&link->lock);
	leave_change(link);
}

void
link_take(struct bus_link *link, struct link_news *news)
{
	uint64_t count;

	while (read(link->event_fd, &count, sizeof(count)) < 0 &&
	       errno == EINTR)
		;
	pthread_mutex_lock(&link->lock);
	news->batch_count = link->queue_count;
	for (unsigned i = 0; i < link->queue_count; i++)
		news->batches[i].msg = link->queue[i];
	news->gone_count = link->gone_count;
	memcpy(news->gone, link->gone, link->gone_count * sizeof(uint32_t));
	news->is_changed = link->is_changed;
	link->queue_count = 0;
	link->queue_bytes = 0;
	link->gone_count = 0;
	link->is_changed = false;
	link->is_signalled = false;
	pthread_mutex_unlock(&link->lock);
	for (unsigned i = 0; i < news->batch_count; i++) {
		nng_msg *msg = news->batches[i].msg;

		news->batches[i].bytes =
		    str_bytes(nng_msg_body(msg), nng_msg_len(msg));
		news->batches[i].pipe =
		    (uint32_t)nng_pipe_id(nng_msg_get_pipe(msg));
	}
}

void
link_batch_free(struct link_batch *batch)
{
	nng_msg_free(batch->msg);
}

/* A process of another user and another group has no business here. */
static void
check_pipe(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
	uint64_t uid, gid;

	(void)event;
	(void)ctx;
	if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
	    nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_GID, &gid) != 0 ||
	    (uid != 0 && uid != geteuid() && gid != getegid()))
		nng_pipe_close(pipe);
}

enum err
link_listen(uint32_t socket_id, const char *path, struct why *why)
{
	nng_socket socket = {.id = socket_id};
	char url[BUS_PATH_BYTES + 8];
	int error;

	unlink(path); /* left behind by a killed process: we hold the lock */
	snprintf(url, sizeof(url), "ipc://%s", path);
	error = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, check_pipe, NULL);
	if (error == 0)
		error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ,
					    BUS_BATCH_BYTES_MAX);
	if (error == 0)
		error = nng_listen(socket, url, NULL, 0);
	if (error == 0)
		return ERR_OK;
	return why_set(why, ERR_IO, "cannot listen on %s: %s", path,
		       nng_strerror(error));
}

static enum err
inbox_open(struct bus_link *link, const char *path, struct why *why)
{
	int error = nng_pull0_open(&link->inbox);
	enum err e;

	if (error == 0)
		error = nng_aio_alloc(&link->recv_aio, on_received, link);
	if (error == 0)
		error = nng_pipe_notify(link->inbox, NNG_PIPE_EV_REM_POST,
					on_inbox_pipe_gone, link);
	if (error)
		return why_set(why, link_err(error), "cannot open a socket: %s",
			       nng_strerror(error));
	e = link_listen(link->inbox.id, path, why);
	if (e == ERR_OK)
		nng_recv_aio(link->inbox, link->recv_aio);
	return e;
}

enum err
link_open(struct bus_link **out, const char *path, struct why *why)
{
	struct bus_link *link = calloc(1, sizeof(*link));
	enum err e;

	if (link == NULL)
		return ERR_NO_MEMORY;
	pthread_mutex_init(&link->lock, NULL);
	link->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (link->event_fd < 0)
		e = why_set(why, ERR_IO, "cannot make an eventfd: %s",
			    strerror(errno));
	else
		e = inbox_open(link, path, why);
	if (e != ERR_OK) {
		link_close(link);
		return e;
	}
	*out = link;
	return ERR_OK;
}

void
link_close(struct bus_link *link)
{
	if (link == NULL)
		return;
	pthread_mutex_lock(&link->lock);
	link->is_closing = true;
	pthread_mutex_unlock(&link->lock);
	nng_close(link->inbox);
	if (link->recv_aio) {
		nng_aio_stop(link->recv_aio);
		nng_aio_free(link->recv_aio);
	}
	for (unsigned i = 0; i < link->queue_count; i++)
		nng_msg_free(link->queue[i]);
	if (link->event_fd >= 0)
		close(link->event_fd);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

/* --- closing ---------------------------------------------------------------
 */

void
gate_init(struct gate *gate)
{
	pthread_condattr_t monotonic;

	gate->is_open = false;
	pthread_mutex_init(&gate->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void
gate_fini(struct gate *gate)
{
	pthread_cond_destroy(&gate->cond);
	pthread_mutex_destroy(&gate->lock);
}

void
gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->is_open = true;
	pthread_cond_signal(&gate->cond);
	pthread_mutex_unlock(&gate->lock);
}

bool
gate_wait(struct gate *gate, int64_t deadline_ns)
{
	const struct timespec until = {deadline_ns / NS_PER_S,
				       deadline_ns % NS_PER_S};
	bool is_open;

	pthread_mutex_lock(&gate->lock);
	while (!gate->is_open &&
	       pthread_cond_timedwait(&gate->cond, &gate->lock, &until) == 0)
		;
	is_open = gate->is_open;
	gate->is_open = false;
	pthread_mutex_unlock(&gate->lock);
	return is_open;
}

struct finish {
	void (*fn)(void *ctx);
	void *ctx;
	struct gate gate;
};

static void *
finish_run(void *ctx)
{
	struct finish *finish = ctx;

	finish->fn(finish->ctx);
	gate_open(&finish->gate);
	return NULL;
}

bool
link_finish(void (*fn)(void *ctx), void *ctx)
{
	struct finish *finish = calloc(1, sizeof(*finish));
	pthread_t thread;

	if (finish == NULL)
		return false;
	finish->fn = fn;
	finish->ctx = ctx;
	gate_init(&finish->gate);
	if (pthread_create(&thread, NULL, finish_run, finish) != 0)
		return false;
	if (!gate_wait(&finish->gate, clock_mono_ns() + CLOSE_NS_MAX)) {
		pthread_detach(thread);
		return false;
	}
	pthread_join(thread, NULL);
	gate_fini(&finish->gate);
	free(finish);
	return true;
}

int
link_fd(const struct bus_link *link)
{
	return link->event_fd;
}

/* --- outboxes --------------------------------------------------------------
 */

static void
on_sent(void *ctx)
{
	struct bus_outbox *outbox = ctx;
	bool is_wanted;

	if (nng_aio_result(outbox->aio) != 0)
		nng_msg_free(nng_aio_get_msg(outbox->aio));
	pthread_mutex_lock(&outbox->link->lock);
	is_wanted = outbox->is_wanted;
	outbox->is_busy = false;
	outbox->is_wanted = false;
	pthread_mutex_unlock(&outbox->link->lock);
	if (is_wanted)
		leave_change(outbox->link);
}

static void
on_outbox_pipe(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
	struct bus_outbox *outbox = ctx;
	uint32_t id = (uint32_t)nng_pipe_id(pipe);

	pthread_mutex_lock(&outbox->link->lock);
	if (event == NNG_PIPE_EV_ADD_POST) {
		outbox->is_up = true;
		outbox->pipe = id;
	} else if (outbox->is_up && outbox->pipe == id) {
		outbox->is_up = false;
		outbox->drops++;
	}
	pthread_mutex_unlock(&outbox->link->lock);
	leave_change(outbox->link);
}

static int
outbox_dial(struct bus_outbox *outbox, const char *path)
{
	char url[BUS_PATH_BYTES + 8];
	int error = nng_push0_open(&outbox->socket);

	snprintf(url, sizeof(url), "ipc://%s", path);
	if (error == 0)
		error = nng_aio_alloc(&outbox->aio, on_sent, outbox);
	if (error == 0)
		error = nng_socket_set_ms(outbox->socket, NNG_OPT_RECONNMINT,
					  RECONNECT_MIN_MS);
	if (error == 0)
		error = nng_socket_set_ms(outbox->socket, NNG_OPT_RECONNMAXT,
					  RECONNECT_MAX_MS);
	if (error == 0)
		error = nng_pipe_notify(outbox->socket, NNG_PIPE_EV_ADD_POST,
					on_outbox_pipe, outbox);
	if (error == 0)
		error = nng_pipe_notify(outbox->socket, NNG_PIPE_EV_REM_POST,
					on_outbox_pipe, outbox);
	if (error == 0)
		error = nng_dial(outbox->socket, url, NULL, NNG_FLAG_NONBLOCK);
	return error;
}

enum err
link_outbox_open(struct bus_link *link, const char *path,
		 struct bus_outbox **out)
{
	struct bus_outbox *outbox = calloc(1, sizeof(*outbox));
	int error;

	if (outbox == NULL)
		return ERR_NO_MEMORY;
	outbox->link = link;
	error = outbox_dial(outbox, path);
	if (error) {
		link_outbox_close(outbox);
		return link_err(error);
	}
	*out = outbox;
	return ERR_OK;
}

void
link_outbox_close(struct bus_outbox *outbox)
{
	if (outbox == NULL)
		return;
	nng_close(outbox->socket);
	if (outbox->aio) {
		nng_aio_stop(outbox->aio);
		nng_aio_free(outbox->aio);
	}
	free(outbox);
}

void
link_outbox_state(struct bus_outbox *outbox, bool *is_up, uint32_t *drops)
{
	pthread_mutex_lock(&outbox->link->lock);
	*is_up = outbox->is_up;
	*drops = outbox->drops;
	pthread_mutex_unlock(&outbox->link->lock);
}

static bool
take_turn(struct bus_outbox *outbox)
{
	bool is_free;

	pthread_mutex_lock(&outbox->link->lock);
	is_free = !outbox->is_busy;
	outbox->is_busy = true;
	outbox->is_wanted = !is_free;
	pthread_mutex_unlock(&outbox->link->lock);
	return is_free;
}

enum err
link_outbox_send(struct bus_outbox *outbox, const struct str *parts,
		 size_t count)
{
	size_t n = 0;
	nng_msg *msg;
	char *at;

	if (!take_turn(outbox))
		return ERR_AGAIN;
	for (size_t i = 0; i < count; i++)
		n += parts[i].n;
	if (nng_msg_alloc(&msg, n) != 0) {
		pthread_mutex_lock(&outbox->link->lock);
		outbox->is_busy = false;
		pthread_mutex_unlock(&outbox->link->lock);
		return ERR_NO_MEMORY;
	}
	at = nng_msg_body(msg);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	nng_aio_set_msg(outbox->aio, msg);
	nng_send_aio(outbox->socket, outbox->aio);
	return ERR_OK;
}

void
link_outbox_abort(struct bus_outbox *outbox)
{
	nng_aio_cancel(outbox->aio);
}
