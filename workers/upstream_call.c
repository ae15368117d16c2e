/*
 * upstream_call: one request and its answer over a connection: what is sent,
 * what of the answer goes to the handler, how it ends, and when it is sent once
 * more.
 */
#include "workers/upstream_internal.h"

#include <stdlib.h>

#define JOIN_BYTES_MAX 16384u	 /* a body that goes out with its head */
#define REQUEST_BYTES_MAX 65536u /* head and such a body */
#define HEAD_MORE_BYTES 128u	 /* method, version, length, line ends */
#define ROUNDS_MAX 16u		 /* receives in a row; others wait */

/* --- the request ----------------------------------------------------- */

/* Made of one piece, so that no copy with the key is left anywhere. */
static bool
request_write(struct upstream_call *call, const struct upstream_ask *ask)
{
	const struct upstream_target *target = call->target;
	struct buf *out = &call->request;
	size_t auth_bytes = ask->auth ? strlen(ask->auth) : 0;
	bool is_joined = ask->body.n <= JOIN_BYTES_MAX;
	/* A line end for each NUL of extra, at least a blank apart. */
	size_t room = strlen(target->path) + target->headers.n + auth_bytes +
		      2 * ask->extra.n + HEAD_MORE_BYTES +
		      (is_joined ? ask->body.n : 0);

	if (!buf_reserve(out, room))
		return false;
	buf_add_z(out, ask->body.p ? "POST " : "GET ");
	buf_add_z(out, target->path);
	buf_add_z(out, " HTTP/1.1\r\n");
	buf_add_str(out, buf_str(&target->headers));
	if (ask->auth) {
		buf_add_z(out, ask->auth);
		buf_add_z(out, "\r\n");
	}
	for (size_t at = 0; at < ask->extra.n;
	     at += strlen(ask->extra.p + at) + 1) {
		buf_add_z(out, ask->extra.p + at);
		buf_add_z(out, "\r\n");
	}
	if (ask->body.p) {
		buf_add_z(out, "Content-Length: ");
		buf_add_int(out, (int64_t)ask->body.n);
		buf_add_z(out, "\r\n");
	}
	buf_add_z(out, "\r\n");
	if (is_joined)
		buf_add_str(out, ask->body);
	else
		call->body = ask->body;
	return !out->is_failed;
}

/* The key does not stay in memory. */
static void
request_wipe(struct upstream_call *call)
{
	if (call->request.p)
		explicit_bzero(call->request.p, call->request.room);
	buf_fini(&call->request);
}

/* What is still to be sent; the same bytes until they are. */
static struct str
request_rest(const struct upstream_call *call)
{
	size_t head = call->request.n;

	if (call->sent < head)
		return str_bytes(call->request.p + call->sent,
				 head - call->sent);
	return str_bytes(call->body.p + (call->sent - head),
			 call->body.n - (call->sent - head));
}

/* --- the end --------------------------------------------------------- */

static void
call_free(struct upstream_call *call)
{
	struct upstream_target *target = call->target;

	loop_timer_clear(target->upstream->loop, &call->again);
	request_wipe(call);
	upstream_answer_fini(&call->answer);
	buf_fini(&call->held);
	free(call);
	target->open_count--;
	if (target->is_closed && target->open_count == 0)
		upstream_target_free(target);
}

void
upstream_call_end(struct upstream_call *call, enum err err, const char *text)
{
	const struct upstream_handler *handler = call->handler;
	struct upstream_end end = {
	    .err = err,
	    .sends = call->sends,
	    .is_sent = call->is_sent,
	    .text = text,
	};
	void *ctx = call->ctx;

	if (call->connection)
		upstream_connection_close(call->connection);
	call_free(call);
	handler->end(ctx, &end);
}

/* The answer is whole. */
static void
call_done(struct upstream_call *call, bool is_clean)
{
	if (is_clean && call->answer.is_kept && call->is_sent) {
		upstream_connection_keep(call->connection);
		call->connection = NULL;
	}
	upstream_call_end(call, ERR_OK, "done");
}

/* Ends it from the loop: its handler is not called from where this is. */
static void
on_fault(void *ctx)
{
	upstream_call_end(ctx, ERR_UPSTREAM_FAILED, "out of memory");
}

/* --- sending --------------------------------------------------------- */

static void
call_watch(struct upstream_call *call)
{
	uint32_t events = EPOLLIN;

	if (call->is_paused)
		events = 0;
	else if (!call->is_sent && !call->is_unsent)
		events |= EPOLLOUT;
	if (upstream_connection_watch(call->connection, events) != ERR_OK)
		loop_timer_set(call->target->upstream->loop, &call->again, 0,
			       on_fault, call);
}

static void
call_send(struct upstream_call *call)
{
	size_t n;

	while (!call->is_sent && !call->is_unsent) {
		enum io io = upstream_connection_send(call->connection,
						      request_rest(call), &n);

		if (io == IO_BLOCKED)
			break;
		/* Broken: why, what comes from there may say. */
		call->is_unsent = io == IO_BROKEN;
		call->sent += n;
		call->is_sent = call->sent == call->request.n + call->body.n;
	}
	call_watch(call);
}

void
upstream_call_connected(struct upstream_call *call)
{
	call->sends++;
	call_send(call);
}

/* A kept connection was closed without a byte of an answer: perhaps when the
 * request was on its way. Once more, on one that is new: whoever closes that
 * one too has perhaps read it. */
static void
call_again(struct upstream_call *call)
{
	upstream_connection_close(call->connection);
	call->sent = 0;
	call->is_sent = false;
	call->is_unsent = false;
	call->connection = upstream_connection_take(call, true);
	if (call->connection == NULL)
		upstream_call_end(call, ERR_UPSTREAM_FAILED, "out of memory");
}

/* --- the answer ------------------------------------------------------ */

static void
answer_head(struct upstream_call *call)
{
	/* No other answer will come, so whoever refuses it gets no more. */
	if (call->is_sent) {
		call->sent = 0;
		call->body = STR_NONE;
		request_wipe(call);
	} else if (call->answer.head.status >= 400) {
		call->is_unsent = true;
		call_watch(call);
	}
	call->handler->head(call->ctx, &call->answer.head);
}

/* Kept until upstream_resume: a piece of the body that was not taken, and what
 * came behind it. */
static bool
answer_hold(struct upstream_call *call, struct str body, struct str rest)
{
	call->is_paused = true;
	call->held_body = body.n;
	buf_add_str(&call->held, body);
	buf_add_str(&call->held, rest);
	if (call->held.is_failed) {
		upstream_call_end(call, ERR_UPSTREAM_FAILED, "out of memory");
		return false;
	}
	call_watch(call);
	return false;
}

/* False: the call is paused or gone. */
static bool
answer_body(struct upstream_call *call, struct str body, struct str rest)
{
	switch (call->handler->body(call->ctx, body)) {
	case UPSTREAM_TAKEN:
		return true;
	case UPSTREAM_PAUSE:
		return answer_hold(call, body, rest);
	case UPSTREAM_STOP:
		break;
	}
	upstream_call_end(call, ERR_UPSTREAM_FAILED, "its answer was refused");
	return false;
}

/* False: the call is paused or gone. */
static bool
answer_take(struct upstream_call *call, struct str in)
{
	struct str body;

	for (;;) {
		switch (upstream_answer_take(&call->answer, &in, &body)) {
		case ANSWER_MORE:
			return true;
		case ANSWER_HEAD:
			answer_head(call);
			break;
		case ANSWER_BODY:
			if (!answer_body(call, body, in))
				return false;
			break;
		case ANSWER_END:
			call_done(call, in.n == 0);
			return false;
		case ANSWER_WRONG:
			upstream_call_end(call, ERR_UPSTREAM_FAILED,
					  call->answer.fault);
			return false;
		}
	}
}

/* is_clean: ended, not broken. */
static void
answer_close(struct upstream_call *call, bool is_clean)
{
	if (call->is_kept && upstream_answer_is_empty(&call->answer))
		call_again(call);
	else if (!is_clean)
		upstream_call_end(call, ERR_UPSTREAM_FAILED,
				  "the connection broke");
	else if (upstream_answer_close(&call->answer) == ANSWER_END)
		upstream_call_end(call, ERR_OK, "done");
	else
		upstream_call_end(call, ERR_UPSTREAM_FAILED,
				  call->answer.fault);
}

static void on_again(void *ctx);

static void
answer_read(struct upstream_call *call)
{
	const struct upstream_origin *origin = call->target->origin;
	struct upstream *upstream = origin->upstream;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		size_t n;
		enum io io = upstream_connection_receive(call->connection, &n);

		if (io == IO_BLOCKED)
			return;
		if (io == IO_BROKEN || n == 0) {
			answer_close(call, io == IO_DONE);
			return;
		}
		if (!answer_take(call, str_bytes(upstream->in, n)))
			return;
		/* TLS may have read more than it gave. */
		if (origin->is_plain && n < UPSTREAM_RECEIVE_BYTES)
			return;
	}
	loop_timer_set(upstream->loop, &call->again, 0, on_again, call);
}

static void
on_again(void *ctx)
{
	struct upstream_call *call = ctx;

	if (!call->is_paused)
		answer_read(call);
}

void
upstream_call_ready(struct upstream_call *call, uint32_t events)
{
	if (events & EPOLLOUT)
		call_send(call);
	if (events & ~(uint32_t)EPOLLOUT)
		answer_read(call);
}

/* --- calls ----------------------------------------------------------- */

enum err
upstream_call(struct upstream_target *target, const struct upstream_ask *ask,
	      struct upstream_call **out)
{
	struct upstream_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return ERR_NO_MEMORY;
	target->open_count++;
	call->target = target;
	call->handler = ask->handler;
	call->ctx = ask->ctx;
	buf_init(&call->request, REQUEST_BYTES_MAX);
	upstream_answer_begin(&call->answer);
	buf_init(&call->held, UPSTREAM_RECEIVE_BYTES);
	if (request_write(call, ask))
		call->connection = upstream_connection_take(call, false);
	if (call->connection == NULL) {
		call_free(call);
		return ERR_NO_MEMORY;
	}
	if (call->is_kept)
		upstream_call_connected(call);
	*out = call;
	return ERR_OK;
}

void
upstream_resume(struct upstream_call *call)
{
	struct buf held = call->held;
	struct str in = buf_str(&held), body;

	if (!call->is_paused)
		return;
	call->is_paused = false;
	buf_init(&call->held, UPSTREAM_RECEIVE_BYTES);
	body = str_bytes(in.p, call->held_body);
	in = str_bytes(in.p + body.n, in.n - body.n);
	if (answer_body(call, body, in) && answer_take(call, in)) {
		call_watch(call);
		/* What TLS has read already shows in no event. */
		answer_read(call);
	}
	buf_fini(&held);
}

void
upstream_abort(struct upstream_call *call)
{
	upstream_connection_close(call->connection);
	call_free(call);
}

unsigned
upstream_call_sends(const struct upstream_call *call)
{
	return call->sends;
}

bool
upstream_call_is_sent(const struct upstream_call *call)
{
	return call->is_sent;
}
