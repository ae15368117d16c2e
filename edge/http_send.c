/*
 * http_send: how a request waits for its answer, and how the answer goes to
 * libmicrohttpd: whole, or as the parts of a stream. Always holds: a suspended
 * connection is resumed exactly once.
 */
#include "edge/http_internal.h"

#include <microhttpd.h>
#include <sys/socket.h>

#define LINGER_MS 20 /* see http_linger */
#define LINGERING_MAX 512u
#define ANSWERS_OF_LATE 8
/* An answer that is later counts as that late. */
#define LATE_MS_MAX (8 * LINGER_MS)

/* --- waking and resting -------------------------------------------------- */

void
http_linger_end(struct http_request *r)
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
 * next http_rest watches again, and is told at once. */
static void
on_hangup(void *ctx, int fd, uint32_t events)
{
	struct http_connection *connection = ctx;
	struct http_request *r = connection->request;

	(void)events;
	loop_fd_remove(connection->http->options.loop, connection->hangup);
	connection->hangup = NULL;
	if (r == NULL || !r->is_watched || !(r->has_rested || r->is_lingering))
		return;
	r->is_gone = true;
	shutdown(fd, SHUT_RDWR); /* also when its answer is being written */
	http_wake(r);
}

/* Its answer is awaited from here on. Without a watch a client that leaves
 * would be noticed at the next write. The watch stays for the connection's
 * further requests. */
static void
await(struct http_request *r)
{
	struct http_connection *connection = r->connection;
	struct http *http = connection->http;

	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_WORK);
	if (r->is_watched && connection->hangup == NULL)
		loop_fd_add(http->options.loop, connection->deadline.fd,
			    EPOLLRDHUP, on_hangup, connection,
			    &connection->hangup);
}

void
http_rest(struct http_request *r)
{
	r->is_suspended = true;
	r->has_rested = true;
	MHD_suspend_connection(r->connection->mhd);
	await(r);
}

static int64_t
age_ms(const struct http_request *r)
{
	struct loop *loop = r->connection->http->options.loop;

	return (loop_now_ns(loop) - r->began_ns) / NS_PER_MS;
}

/* Those that are watched may take long: they linger while the last few of them
 * were answered soon (a provider nearby, refusals). */
static bool
is_expected_soon(const struct http_request *r)
{
	const struct http *http = r->connection->http;

	return !r->is_watched ||
	       http->watched_ms_sum < LINGER_MS * ANSWERS_OF_LATE;
}

/* A moving average, kept as its sum. */
static void
count_age(struct http_request *r)
{
	struct http *http = r->connection->http;
	int64_t ms = age_ms(r);

	if (!r->is_watched)
		return;
	http->watched_ms_sum -= http->watched_ms_sum / ANSWERS_OF_LATE;
	http->watched_ms_sum += ms < LATE_MS_MAX ? ms : LATE_MS_MAX;
}

/* Answers of the hot path come soon, also under load. Meanwhile a connection is
 * not suspended, which would cost two epoll_ctl(2) and a recv(2), but left to
 * be called again, as libmicrohttpd does at each run. False: it has to rest. */
bool
http_linger(struct http_request *r)
{
	struct http *http = r->connection->http;

	if (!r->is_lingering) {
		if (!is_expected_soon(r) || http->lingering >= LINGERING_MAX)
			return false;
		r->is_lingering = true;
		http->lingering++;
		await(r);
		return true;
	}
	if (age_ms(r) < LINGER_MS)
		return true;
	http_linger_end(r);
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
		http_rest(r);
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

enum MHD_Result
http_reply_queue(struct http_request *r)
{
	struct http_connection *connection = r->connection;
	struct http *http = connection->http;
	struct MHD_Response *response = response_make(r);
	enum MHD_Result ok;
	size_t i;

	http_linger_end(r);
	count_age(r);
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
