/*
 * http_answer: the answering half of edge/http.h, as far as it is ours: what is
 * to be said is put down in the request, and its connection is woken. Always
 * holds: a request is answered once.
 */
#include "edge/http_internal.h"

#include "lib/clock.h"

#include <assert.h>
#include <sys/socket.h>

#define BODY_KEPT_BYTES (64u << 10)

void
http_header(struct http_request *r, const char *name, const char *value)
{
	assert(r->header_count < HTTP_REPLY_HEADERS_MAX);
	r->headers[r->header_count++] = (struct http_reply_header){name, value};
}

static void
reply_begin(struct http_request *r, int status, const char *content_type)
{
	assert(!r->is_replied);
	r->is_replied = true;
	r->status = status;
	if (content_type)
		http_header(r, "Content-Type", content_type);
	http_wake(r);
}

void
http_reply(struct http_request *r, int status, const char *content_type,
	   struct str body)
{
	r->reply = body;
	reply_begin(r, status, content_type);
}

void
http_stream(struct http_request *r, int status, const char *content_type)
{
	r->is_stream = true;
	buf_reset(&r->out);
	reply_begin(r, status, content_type);
}

bool
http_stream_write(struct http_request *r, struct str part)
{
	assert(r->is_stream && !r->is_stream_over);
	if (r->is_gone)
		return true;
	if (r->out.n - r->stream_at + part.n > HTTP_STREAM_BYTES_MAX)
		return false;
	if (r->stream_at > 0) {
		buf_drop(&r->out, r->stream_at);
		r->stream_at = 0;
	}
	buf_add_str(&r->out, part);
	http_wake(r);
	return !r->out.is_failed;
}

void
http_stream_end(struct http_request *r, bool is_whole)
{
	assert(r->is_stream && !r->is_stream_over);
	r->is_stream_over = true;
	r->is_stream_whole = is_whole;
	http_wake(r);
}

void
http_body_done(struct http_request *r)
{
	if (r->body.room <= BODY_KEPT_BYTES)
		return;
	buf_fini(&r->body);
	*r->connection->http->options.bodies_held -= r->held_bytes;
	r->held_bytes = 0;
}

static void
print_reply(const struct http_request *r, const char *reason, struct buf *out)
{
	size_t i;

	buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status, reason,
		   http_date(r->connection->http));
	for (i = 0; i < r->header_count; i++)
		buf_printf(out, "%s: %s\r\n", r->headers[i].name,
			   r->headers[i].value);
	buf_printf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		   r->reply.n);
	buf_add_str(out, r->reply);
}

/* libmicrohttpd answers only behind the body, or closes in the middle of it:
 * the reset that follows takes an answer with it that the client has not read.
 * So it is sent past the library. It fits into the socket, which holds nothing
 * else. */
void
http_refuse_early(struct http_request *r, const char *reason)
{
	int fd = r->connection->deadline.fd;

	r->is_refused = true;
	buf_reset(&r->scratch);
	print_reply(r, reason, &r->scratch);
	if (!r->scratch.is_failed)
		send(fd, r->scratch.p, r->scratch.n,
		     MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
}

/* libmicrohttpd would print it for each answer. */
const char *
http_date(struct http *http)
{
	time_t now_s = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	if (now_s != http->date_s && gmtime_r(&now_s, &tm) != NULL) {
		strftime(http->date, sizeof(http->date),
			 "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http->date_s = now_s;
	}
	return http->date;
}
