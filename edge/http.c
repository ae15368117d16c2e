/*
 * http: see http.h. libmicrohttpd 0.9.75 with epoll and no thread of its own:
 * its epoll descriptor is watched by our loop, MHD_run is called once a turn in
 * a hook before the bus sends, so that what a turn's requests ask goes out in
 * that turn. It closes a connection whose answer is queued before the body was
 * read; therefore refusals wait for the end of a body that is small enough.
 * Always holds: a suspended connection is resumed exactly once; a request goes
 * back to the free list only when libmicrohttpd says that it is over.
 */
#include "edge/http_internal.h"
#include "edge/raw.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(MHD_VERSION >= 0x00097500,
	       "libmicrohttpd 0.9.75 or newer is needed");

/* A connection's pool: a request's head, and then the answer's head, which
 * must find its room: the answer of what was done would be lost. It is cleared
 * for each request: no larger than that. */
#define ANSWER_HEAD_BYTES 1024u
#define CONNECTION_BYTES (HEAD_COST_MAX + ANSWER_HEAD_BYTES)
#define RUNS_A_TURN_MAX 8
#define SWALLOW_BYTES_MAX (256u << 10) /* of a refused body */
#define DRAIN_BYTES_MAX (8u << 20)     /* of it, its answer being out */
#define LINGER_MS 20		       /* see linger() */
#define LINGERING_MAX 512u
#define DRAIN_IDLE_MS 1000
#define CLOSE_RUNS_MAX 64

/* --- waking and resting -------------------------------------------------- */

void
http_mark_dirty(struct http *http)
{
	http->is_dirty = true;
	loop_wake(http->options.loop);
}

static void
linger_end(struct http_request *r)
{
	if (r->is_lingering)
		r->connection->http->lingering--;
	r->is_lingering = false;
}

void
http_wake(struct http_request *r)
{
	if (r->is_lingering)
		http_mark_dirty(r->connection->http);
	if (!r->is_suspended)
		return;
	r->is_suspended = false;
	MHD_resume_connection(r->connection->mhd);
	http_mark_dirty(r->connection->http);
}

/* The other side closed, or half-closed, which counts as gone: nobody who still
 * wants an answer does that. When none is awaited, libmicrohttpd sees it; the
 * next rest() watches again, and is told at once. */
static void
on_hangup(void *ctx, int fd, uint32_t events)
{
	struct http_connection *connection = ctx;
	struct http_request *r = connection->request;

	(void)events;
	loop_fd_remove(connection->http->options.loop, connection->hangup);
	connection->hangup = NULL;
	if (r == NULL || !r->is_watched || !r->has_rested)
		return;
	r->is_gone = true;
	shutdown(fd, SHUT_RDWR); /* also when its answer is being written */
	http_wake(r);
}

/* Only from a callback of libmicrohttpd. */
static void
rest(struct http_request *r)
{
	struct http_connection *connection = r->connection;
	struct http *http = connection->http;

	r->is_suspended = true;
	r->has_rested = true;
	MHD_suspend_connection(connection->mhd);
	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_WORK);
	if (!r->is_watched || connection->hangup)
		return;
	/* Without a watch it would be noticed at the next write. It stays for
	 * the connection's further requests. */
	loop_fd_add(http->options.loop, connection->deadline.fd, EPOLLRDHUP,
		    on_hangup, connection, &connection->hangup);
}

/* Answers of the hot path come soon, also under load. Meanwhile a connection is
 * not suspended, which would cost two epoll_ctl(2) and a recv(2), but left to
 * be called again, as libmicrohttpd does at each run. False: it has to rest. */
static bool
linger(struct http_request *r)
{
	struct http *http = r->connection->http;
	int64_t age_ns = loop_now_ns(http->options.loop) - r->began_ns;

	if (!r->is_lingering) {
		if (r->is_watched || http->lingering >= LINGERING_MAX)
			return false;
		r->is_lingering = true;
		http->lingering++;
		deadlines_enter(&http->deadlines, &r->connection->deadline,
				DEADLINE_WORK);
		return true;
	}
	if (age_ns < LINGER_MS * NS_PER_MS)
		return true;
	linger_end(r);
	return false;
}

/* --- answers ------------------------------------------------------------- */

/* MHD_CONTENT_READER_END_WITH_ERROR would leave a connection that has rested
 * closed inside, and open outside, for ever. So its next write fails instead:
 * the byte never leaves. What was written before still arrives. */
static ssize_t
stream_cut(const struct http_request *r, char *to)
{
	shutdown(r->connection->deadline.fd, SHUT_RDWR);
	*to = '\n';
	return 1;
}

static ssize_t
stream_read(void *ctx, uint64_t position, char *to, size_t room)
{
	struct http_request *r = ctx;
	struct http_connection *connection = r->connection;
	size_t n = r->out.n - r->stream_at;

	(void)position;
	if (r->is_gone)
		return stream_cut(r, to);
	if (n == 0 && r->is_stream_over)
		return r->is_stream_whole ? MHD_CONTENT_READER_END_OF_STREAM
					  : stream_cut(r, to);
	if (n == 0) {
		rest(r);
		return 0;
	}
	if (connection->deadline.state != DEADLINE_WRITE)
		deadlines_enter(&connection->http->deadlines,
				&connection->deadline, DEADLINE_WRITE);
	connection->http->has_queued = true;
	if (n > room)
		n = room;
	memcpy(to, r->out.p + r->stream_at, n);
	r->stream_at += n;
	if (r->stream_at == r->out.n) {
		buf_reset(&r->out);
		r->stream_at = 0;
	}
	connection->http->options.calls->consumed(r, n);
	return (ssize_t)n;
}

static struct MHD_Response *
response_make(struct http_request *r)
{
	/* libmicrohttpd only reads a persistent buffer. */
	union {
		const char *in;
		void *out;
	} body = {.in = r->reply.p};

	if (r->is_stream)
		return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
							 CONNECTION_BYTES / 2,
							 stream_read, r, NULL);
	return MHD_create_response_from_buffer(r->reply.n, body.out,
					       MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result
reply_queue(struct http_request *r)
{
	struct http_connection *connection = r->connection;
	struct http *http = connection->http;
	struct MHD_Response *response = response_make(r);
	enum MHD_Result ok;
	size_t i;

	linger_end(r);
	http->has_queued = true;
	if (response == NULL)
		return MHD_NO;
	ok = MHD_add_response_header(response, "Date", http_date(http));
	for (i = 0; i < r->header_count && ok == MHD_YES; i++)
		ok = MHD_add_response_header(response, r->headers[i].name,
					     r->headers[i].value);
	if (ok == MHD_YES && http->is_draining)
		ok = MHD_add_response_header(response, "Connection", "close");
	if (ok == MHD_YES)
		ok = MHD_queue_response(connection->mhd, (unsigned)r->status,
					response);
	MHD_destroy_response(response);
	deadlines_enter(&http->deadlines, &connection->deadline,
			DEADLINE_WRITE);
	return ok;
}

/* --- requests as libmicrohttpd tells of them ----------------------------- */

static struct http_connection *
connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* The raw target: later it is unescaped in place. */
static void *
on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
{
	struct http_connection *connection = connection_of(mhd);

	(void)ctx;
	if (connection == NULL)
		return NULL;
	connection->target_fault = audit_target(str_of(target));
	if (connection->deadline.state == DEADLINE_IDLE)
		deadlines_enter(&connection->http->deadlines,
				&connection->deadline, DEADLINE_HEAD);
	return NULL;
}

static enum MHD_Result
on_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n,
	  const char *value, size_t value_n)
{
	(void)kind;
	audit_add(ctx, str_bytes(name, name_n),
		  str_bytes(value ? value : "", value ? value_n : 0));
	return MHD_YES;
}

/* A head that the library shall not see: answered past it, counted as any
 * other request. */
static void
on_refuse(void *ctx, const struct head *head)
{
	struct http_connection *connection = ctx;
	struct http *http = connection->http;
	struct http_request *r = requests_take(&http->requests);

	/* It was idle, or its head was awaited: so is the end now. */
	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_HEAD);
	if (r == NULL) {
		shutdown(connection->deadline.fd, SHUT_RDWR);
		return;
	}
	r->connection = connection;
	r->ctx = http->options.ctx;
	r->method = "";
	r->path = str_bytes(head->target, head->target_n);
	r->began_ns = loop_now_ns(http->options.loop);
	audit_begin(&r->head);
	http->options.calls->begin(r, head->err, head->fault);
	assert(r->is_replied);
	http_refuse_early(r, MHD_get_reason_phrase_for((unsigned)r->status));
	http->options.calls->end(r);
	requests_give(&http->requests, r);
}

/* The head as the library read it is the one that was read before it. */
static const char *
head_fault(const struct http_connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return raw_fault(connection->deadline.fd, info ? info->header_size : 0);
}

static enum MHD_Result
request_begin(struct http_connection *connection, const char *url,
	      const char *method, const char *version)
{
	struct http *http = connection->http;
	struct http_request *r;
	const char *fault;

	if (raw_is_refused(connection->deadline.fd))
		return MHD_NO;
	r = requests_take(&http->requests);
	if (r == NULL)
		return MHD_NO;
	connection->request = r;
	http->unread++;
	r->connection = connection;
	r->ctx = http->options.ctx;
	r->method = method;
	r->path = str_of(url);
	r->began_ns = loop_now_ns(http->options.loop);
	audit_begin(&r->head);
	MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, on_header,
				    &r->head);
	fault = audit_end(&r->head, str_of(version));
	if (connection->target_fault)
		fault = connection->target_fault;
	if (fault == NULL)
		fault = head_fault(connection);
	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_BODY);
	http->options.calls->begin(r, fault ? ERR_BAD_REQUEST : ERR_OK, fault);
	if (!r->is_replied)
		return MHD_YES;
	/* What is refused for its framing, or is too much to read away, is
	 * answered at once, which closes the connection. */
	if (fault || r->head.is_chunked ||
	    r->head.content_length > (int64_t)SWALLOW_BYTES_MAX)
		return reply_queue(r);
	return MHD_YES;
}

static enum MHD_Result
swallow(struct http_request *r, size_t bytes)
{
	r->swallowed_bytes += bytes;
	if (r->swallowed_bytes > SWALLOW_BYTES_MAX && !r->is_refused)
		http_refuse_early(
		    r, MHD_get_reason_phrase_for((unsigned)r->status));
	return r->swallowed_bytes > DRAIN_BYTES_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result
take_body(struct http_request *r, struct str part)
{
	struct http *http = r->connection->http;
	const struct http_options *options = &http->options;
	size_t held = r->body.room;

	if (!r->is_replied && part.n > r->body_limit_bytes - r->body.n)
		options->calls->overflow(r, false);
	if (!r->is_replied &&
	    *options->bodies_held + part.n > options->bodies_held_max)
		options->calls->overflow(r, true);
	if (r->is_replied)
		return swallow(r, part.n);
	buf_add_str(&r->body, part);
	if (r->body.is_failed)
		options->calls->overflow(r, true);
	r->held_bytes += r->body.room - held;
	*options->bodies_held += r->body.room - held;
	return MHD_YES;
}

static void
read_whole(struct http *http, struct http_request *r)
{
	http->unread -= !r->is_read;
	r->is_read = true;
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_n, void **request)
{
	struct http_connection *connection;
	struct http_request *r = *request;
	struct http *http = ctx;
	enum MHD_Result ok;

	if (r == NULL) {
		http->has_moved = true;
		connection = connection_of(mhd);
		if (connection == NULL)
			return MHD_NO;
		ok = request_begin(connection, url, method, version);
		*request = connection->request;
		return ok;
	}
	if (r->is_gone)
		return MHD_NO;
	if (*upload_n > 0) {
		struct str part = str_bytes(upload, *upload_n);

		*upload_n = 0;
		http->has_moved = true;
		return take_body(r, part);
	}
	read_whole(http, r);
	if (r->is_refused)
		return MHD_NO;
	if (!r->is_handled && !r->is_replied) {
		r->is_handled = true;
		http->options.calls->handle(r);
	}
	if (r->is_replied)
		return reply_queue(r);
	if (!linger(r))
		rest(r);
	return MHD_YES;
}

static void
on_completed(void *ctx, struct MHD_Connection *mhd, void **request,
	     enum MHD_RequestTerminationCode why)
{
	struct http *http = ctx;
	struct http_request *r = *request;
	struct http_connection *connection = connection_of(mhd);
	bool is_kept = why == MHD_REQUEST_TERMINATED_COMPLETED_OK && r &&
		       r->is_read && !r->is_refused && !http->is_draining;

	*request = NULL;
	if (connection == NULL)
		return;
	connection->request = NULL;
	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_IDLE);
	if (r) {
		read_whole(http, r);
		linger_end(r);
		http->options.calls->end(r);
		*http->options.bodies_held -= r->held_bytes;
		requests_give(&http->requests, r);
	}
	raw_next(connection->deadline.fd, is_kept);
}

static void
on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
	      enum MHD_ConnectionNotificationCode code)
{
	struct http *http = ctx;
	struct http_connection *connection = *socket_context;
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (connection == NULL)
			return;
		loop_fd_remove(http->options.loop, connection->hangup);
		deadlines_remove(&http->deadlines, &connection->deadline);
		raw_forget(connection->deadline.fd);
		http->connection_count--;
		free(connection);
		*socket_context = NULL;
		return;
	}
	connection = calloc(1, sizeof(*connection));
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	*socket_context = connection;
	if (connection == NULL || info == NULL)
		return; /* its first request is refused */
	connection->http = http;
	connection->mhd = mhd;
	http->connection_count++;
	deadlines_add(&http->deadlines, &connection->deadline,
		      info->connect_fd);
	raw_watch(info->connect_fd, on_refuse, connection);
}

/* --- the daemon in our loop ---------------------------------------------- */

static void
on_readable(void *ctx, int fd, uint32_t events)
{
	struct http *http = ctx;

	(void)fd;
	(void)events;
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
	    NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, o->listen_fd,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
	    MHD_OPTION_CONNECTION_LIMIT, o->connections,
	    MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->connections_per_ip,
	    MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_STRICT_FOR_CLIENT, 0,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_URI_LOG_CALLBACK,
	    on_target, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
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
	deadlines_fini(&http->deadlines);
	requests_fini(&http->requests);
	free(http);
}
