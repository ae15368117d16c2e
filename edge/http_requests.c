/*
 * http_requests: requests and connections as libmicrohttpd tells of them. It
 * closes a connection whose answer is queued before the body was read;
 * therefore refusals wait for the end of a body that is small enough. Always
 * holds: a request goes back to the free list only when libmicrohttpd says that
 * it is over.
 */
#include "edge/http_internal.h"
#include "edge/raw.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SWALLOW_BYTES_MAX (256u << 10) /* of a refused body */
/* Of it, its answer being out: who says all before listening, and no absurd
 * amount, shall read why. */
#define DRAIN_BYTES_MAX (4 * HTTP_BODY_BYTES_MAX)

static struct http_connection *
connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void *
http_on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
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

static void
refuse_early(struct http_request *r)
{
	http_refuse_early(r, MHD_get_reason_phrase_for((unsigned)r->status));
}

/* A body of which the library shall not see the rest: it hears of the end when
 * the client has closed. An answer that waited for the rest goes out now. */
static void
refuse_body(struct http_request *r, const char *fault)
{
	if (r->is_refused)
		return;
	if (!r->is_replied)
		r->connection->http->options.calls->broken(r, fault);
	refuse_early(r);
}

/* A head that the library shall not see: answered past it, counted as any
 * other request. */
static void
on_refuse(void *ctx, const struct head *head)
{
	struct http_connection *connection = ctx;
	struct http *http = connection->http;
	struct http_request *r = connection->request;

	if (r) {
		refuse_body(r, head->fault);
		return;
	}
	r = requests_take(&http->requests);
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
	refuse_early(r);
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
	/* What is refused for its framing is answered at once, which closes
	 * the connection. */
	if (fault || r->head.is_chunked)
		return http_reply_queue(r);
	if (r->head.content_length > (int64_t)SWALLOW_BYTES_MAX)
		refuse_early(r);
	return MHD_YES;
}

static enum MHD_Result
swallow(struct http_request *r, size_t bytes)
{
	r->swallowed_bytes += bytes;
	if (r->swallowed_bytes > SWALLOW_BYTES_MAX && !r->is_refused)
		refuse_early(r);
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

enum MHD_Result
http_on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
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
		return http_reply_queue(r);
	if (!http_linger(r))
		http_rest(r);
	return MHD_YES;
}

/* As far as our side knows. In HTTP/1.0 a stream ends with its connection. */
static bool
keeps(const struct http_request *r)
{
	return r->is_read && !r->is_refused &&
	       !r->connection->http->is_draining &&
	       !(r->is_stream && r->head.is_1_0);
}

void
http_on_completed(void *ctx, struct MHD_Connection *mhd, void **request,
		  enum MHD_RequestTerminationCode why)
{
	struct http *http = ctx;
	struct http_request *r = *request;
	struct http_connection *connection = connection_of(mhd);
	bool is_kept =
	    why == MHD_REQUEST_TERMINATED_COMPLETED_OK && r && keeps(r);

	*request = NULL;
	if (connection == NULL)
		return;
	connection->request = NULL;
	deadlines_enter(&http->deadlines, &connection->deadline, DEADLINE_IDLE);
	if (r) {
		read_whole(http, r);
		http_linger_end(r);
		http->options.calls->end(r);
		*http->options.bodies_held -= r->held_bytes;
		requests_give(&http->requests, r);
	}
	raw_next(connection->deadline.fd, is_kept);
}

void
http_on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
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
