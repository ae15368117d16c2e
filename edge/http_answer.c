/*
 * http_answer: the answering half of edge/http.h, as far as it is ours: what is
 * to be said is put down in the request, and its connection is woken. Always
 * holds: a request is answered once.
 */
#include "edge/http_internal.h"

#include "lib/clock.h"

#include <assert.h>

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
