/*
 * http: see http.h. libmicrohttpd 0.9.75 with epoll and no thread of its own:
 * its epoll descriptor is watched by our loop, MHD_run is called once a turn in
 * a hook before the bus sends, so that what a turn's requests ask goes out in
 * that turn. Here is the daemon; http_requests is what it tells of requests,
 * http_send how they wait and what goes out.
 */
#include "edge/http_internal.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(MHD_VERSION >= 0x00097500,
	       "libmicrohttpd 0.9.75 or newer is needed");

#define RUNS_A_TURN_MAX 8
#define DRAIN_IDLE_MS 1000
#define CLOSE_RUNS_MAX 64
#define ACCEPT_REST_MS 100

void
http_mark_dirty(struct http *http)
{
	http->is_dirty = true;
	loop_wake(http->options.loop);
}

/* --- the daemon in our loop ---------------------------------------------- */

static void
on_rested(void *ctx)
{
	struct http *http = ctx;

	loop_fd_change(http->options.loop, http->watch, EPOLLIN);
}

/* libmicrohttpd that finds no descriptor for a connection accepts none until
 * another of its own closes; while it has no other it would try at each turn,
 * without a pause. True: there is none, and it is left alone for a moment. */
static bool
is_short_of_room(struct http *http)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return false;
	}
	if (loop_fd_change(http->options.loop, http->watch, 0) == ERR_OK)
		loop_timer_set(http->options.loop, &http->rest, ACCEPT_REST_MS,
			       on_rested, http);
	return true;
}

static void
on_readable(void *ctx, int fd, uint32_t events)
{
	struct http *http = ctx;

	(void)fd;
	(void)events;
	if (http->connection_count > 0 || !is_short_of_room(http))
		http->is_dirty = true;
}

static void
on_again(void *ctx)
{
	struct http *http = ctx;

	http->is_dirty = true;
}

/* True: connections that linger apart, there is more to do at once. While any
 * lingers libmicrohttpd always says so; then what the callbacks saw decides,
 * and what they cannot see (a head that fills its buffer) waits for a
 * millisecond at most. */
static bool
has_more(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (MHD_get_timeout(http->daemon, &wait_ms) != MHD_YES || wait_ms > 0)
		return false;
	if (http->lingering == 0)
		return true;
	if (http->again.heap_index == 0)
		loop_timer_set(http->options.loop, &http->again, 1, on_again,
			       http);
	return http->has_queued || (http->has_moved && http->unread > 0);
}

/* Each run leaves what it made ready (a queued answer, a further read) for the
 * next one; a bounded number of them here, the rest in the next turn. */
static void
on_turn(void *ctx)
{
	struct http *http = ctx;
	unsigned runs = 0;

	while (http->is_dirty && runs++ < RUNS_A_TURN_MAX) {
		http->is_dirty = false;
		http->has_moved = false;
		http->has_queued = false;
		MHD_run(http->daemon);
		if (has_more(http))
			http->is_dirty = true;
	}
	if (http->is_dirty)
		loop_timer_set(http->options.loop, &http->again, 0, on_again,
			       http);
}

/* Not strict: it would answer a missing Host in HTML, twice, and cut off a
 * space in the target without a word. The audit refuses both. */
static struct MHD_Daemon *
daemon_start(struct http *http)
{
	const struct http_options *o = &http->options;

	return MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL,
	    NULL, http_on_request, http, MHD_OPTION_LISTEN_SOCKET, o->listen_fd,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
	    MHD_OPTION_CONNECTION_LIMIT, o->connections,
	    MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->connections_per_ip,
	    MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_STRICT_FOR_CLIENT, 0,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_URI_LOG_CALLBACK,
	    http_on_target, http, MHD_OPTION_NOTIFY_COMPLETED,
	    http_on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
	    http_on_connection, http, MHD_OPTION_END);
}

static enum err
daemon_watch(struct http *http)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	enum err e;

	if (info == NULL)
		return ERR_INTERNAL;
	e = loop_fd_add(http->options.loop, info->epoll_fd, EPOLLIN,
			on_readable, http, &http->watch);
	if (e != ERR_OK)
		return e;
	e = loop_turn_add(http->options.loop, on_turn, http);
	http->has_hook = e == ERR_OK;
	return e;
}

enum err
http_open(struct http **out, const struct http_options *options,
	  struct why *why)
{
	const int64_t limit_ms[DEADLINE_STATES] = {
	    [DEADLINE_HEAD] = options->head_ms,
	    [DEADLINE_BODY] = options->body_ms,
	    [DEADLINE_WRITE] = options->write_ms,
	    [DEADLINE_IDLE] = options->idle_ms,
	};
	struct http *http = calloc(1, sizeof(*http));
	enum err e = ERR_NO_MEMORY;

	if (http == NULL) {
		close(options->listen_fd);
		return why_set(why, e, "no memory for a listener");
	}
	http->options = *options;
	deadlines_init(&http->deadlines, options->loop, limit_ms);
	http->daemon = daemon_start(http);
	if (http->daemon)
		e = daemon_watch(http);
	if (e != ERR_OK) {
		http_close(http);
		return why_set(why, e, "the HTTP library did not start");
	}
	http_mark_dirty(http); /* the first run arms the listening socket */
	*out = http;
	return ERR_OK;
}

void
http_drain(struct http *http)
{
	if (http->is_draining)
		return;
	http->is_draining = true;
	MHD_quiesce_daemon(http->daemon);
	close(http->options.listen_fd); /* nobody waits behind it for us */
	http->options.listen_fd = -1;
	if (http->deadlines.limit_ms[DEADLINE_IDLE] > DRAIN_IDLE_MS)
		http->deadlines.limit_ms[DEADLINE_IDLE] = DRAIN_IDLE_MS;
	http_mark_dirty(http);
}

int
http_listen_fd(const struct http *http)
{
	return http->options.listen_fd;
}

unsigned
http_connections(const struct http *http)
{
	return http->connection_count;
}

/* Cuts every connection off; those that rest are resumed, as libmicrohttpd
 * demands before it stops. */
static void
cut_all(struct http *http)
{
	unsigned runs = 0;
	size_t i;

	for (i = 0; i < DEADLINE_STATES; i++) {
		struct deadline *at = http->deadlines.first[i];

		for (; at; at = at->next) {
			/* The deadline is its connection's first member. */
			struct http_connection *connection = (void *)at;

			shutdown(at->fd, SHUT_RDWR);
			if (connection->request == NULL)
				continue;
			connection->request->is_gone = true;
			http_wake(connection->request);
		}
	}
	while (http->connection_count > 0 && runs++ < CLOSE_RUNS_MAX)
		MHD_run(http->daemon);
}

void
http_close(struct http *http)
{
	if (http == NULL)
		return;
	if (http->daemon) {
		if (!http->is_draining)
			MHD_quiesce_daemon(http->daemon);
		cut_all(http);
		loop_fd_remove(http->options.loop, http->watch);
		MHD_stop_daemon(http->daemon);
	}
	if (http->options.listen_fd >= 0)
		close(http->options.listen_fd);
	if (http->has_hook)
		loop_turn_remove(http->options.loop, on_turn, http);
	loop_timer_clear(http->options.loop, &http->again);
	loop_timer_clear(http->options.loop, &http->rest);
	deadlines_fini(&http->deadlines);
	requests_fini(&http->requests);
	free(http);
}
