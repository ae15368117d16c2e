/*
 * bus_tools: the command line's way in. A worker keeps a few REP contexts, each
 * with one question at a time; the messages are batches of one frame. The
 * asking end is a REQ socket for one blocking call, with a deadline of its own
 * on the monotonic clock, since nng's run on the wall clock.
 */
#include "lib/bus_internal.h"

#include "lib/clock.h"
#include "lib/id.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TOOLS_AT_ONCE 8

enum tool_step {
	TOOL_RECEIVING,
	TOOL_RECEIVED, /* the loop has not looked yet */
	TOOL_ASKED,    /* the answer is awaited */
	TOOL_SENDING,
	TOOL_CLOSED,
};

struct bus_tool {
	struct bus_tools *tools;
	nng_ctx ctx;
	nng_aio *aio;
	nng_msg *msg;	     /* the question, while RECEIVED */
	enum tool_step step; /* under the lock */
};

struct bus_tools {
	struct bus *bus;
	nng_socket socket;
	int event_fd; /* nng's threads wake the loop */
	struct loop_fd *watch;
	pthread_mutex_t lock;
	struct bus_tool tools[TOOLS_AT_ONCE];
};

/* --- the answering end -----------------------------------------------------
 */

static enum tool_step
step_set(struct bus_tool *tool, enum tool_step step)
{
	enum tool_step old;

	pthread_mutex_lock(&tool->tools->lock);
	old = tool->step;
	tool->step = step;
	pthread_mutex_unlock(&tool->tools->lock);
	return old;
}

static void
receive(struct bus_tool *tool)
{
	step_set(tool, TOOL_RECEIVING);
	nng_ctx_recv(tool->ctx, tool->aio);
}

static void
ring(const struct bus_tools *tools)
{
	uint64_t one = 1;

	/* It cannot be full: the loop takes all of it at once. */
	while (write(tools->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* In nng's thread. */
static void
on_tool(void *ctx)
{
	struct bus_tool *tool = ctx;
	int error = nng_aio_result(tool->aio);
	bool is_sent;

	pthread_mutex_lock(&tool->tools->lock);
	is_sent = tool->step == TOOL_SENDING;
	if (error == NNG_ECLOSED) {
		tool->step = TOOL_CLOSED;
	} else if (!is_sent && error == 0) {
		tool->msg = nng_aio_get_msg(tool->aio);
		tool->step = TOOL_RECEIVED;
	}
	pthread_mutex_unlock(&tool->tools->lock);
	if (is_sent && error)
		nng_msg_free(nng_aio_get_msg(tool->aio));
	if (error == NNG_ECLOSED)
		return;
	if (is_sent || error)
		receive(tool);
	else
		ring(tool->tools);
}

void
tools_stop(struct bus *bus)
{
	if (bus->tools)
		loop_fd_remove(bus->loop, bus->tools->watch);
}

void
tools_close(struct bus *bus)
{
	struct bus_tools *tools = bus->tools;

	if (tools == NULL)
		return;
	nng_close(tools->socket);
	for (unsigned i = 0; i < TOOLS_AT_ONCE; i++) {
		struct bus_tool *tool = &tools->tools[i];

		if (tool->aio == NULL)
			continue;
		nng_aio_stop(tool->aio);
		nng_aio_free(tool->aio);
		if (tool->msg)
			nng_msg_free(tool->msg);
	}
	if (tools->event_fd >= 0)
		close(tools->event_fd);
	pthread_mutex_destroy(&tools->lock);
	free(tools);
	bus->tools = NULL;
}

/* A batch with one request in it. */
static bool
question_read(struct str batch, struct wire_head *head,
	      struct wire_frame *frame)
{
	struct str frames;

	return wire_batch_read(batch, head, &frames) &&
	       wire_frame_next(&frames, frame) && frames.n == 0 &&
	       frame->kind == WIRE_REQUEST;
}

static void
question_handle(struct bus *bus, struct bus_tool *tool, nng_msg *msg)
{
	struct bus_from *from = NULL;
	struct wire_frame frame;
	struct wire_head head;

	if (bus->request_fn &&
	    question_read(str_bytes(nng_msg_body(msg), nng_msg_len(msg)), &head,
			  &frame))
		from = from_take(bus);
	if (from == NULL) {
		bus->dropped++;
		receive(tool); /* the question is forgotten */
		return;
	}
	from->tool = tool;
	from->id = frame.id;
	bus->request_fn(bus->serve_ctx,
			&(struct bus_request){
			    .type = frame.type,
			    .body = frame.body,
			    .deadline_ns = loop_now_ns(bus->loop) +
					   (int64_t)frame.extra * NS_PER_MS,
			    .peer = "tools",
			    .peer_incarnation = head.from_incarnation,
			    .from = from,
			});
}

static void
on_rung(void *ctx, int fd, uint32_t events)
{
	struct bus *bus = ctx;
	uint64_t count;

	(void)events;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	for (unsigned i = 0; i < TOOLS_AT_ONCE; i++) {
		struct bus_tool *tool = &bus->tools->tools[i];
		nng_msg *msg;

		pthread_mutex_lock(&bus->tools->lock);
		msg = tool->msg;
		tool->msg = NULL;
		if (msg)
			tool->step = TOOL_ASKED;
		pthread_mutex_unlock(&bus->tools->lock);
		if (msg == NULL)
			continue;
		question_handle(bus, tool, msg);
		nng_msg_free(msg);
	}
}

static enum err
tools_start(struct bus_tools *tools, const char *path, struct why *why)
{
	int error = nng_rep0_open(&tools->socket);
	enum err e;

	for (unsigned i = 0; i < TOOLS_AT_ONCE && error == 0; i++) {
		struct bus_tool *tool = &tools->tools[i];

		tool->tools = tools;
		error = nng_aio_alloc(&tool->aio, on_tool, tool);
		if (error == 0)
			error = nng_ctx_open(&tool->ctx, tools->socket);
	}
	if (error)
		return why_set(why, bus_nng_err(error),
			       "cannot open a socket: %s", nng_strerror(error));
	e = bus_nng_listen(tools->socket.id, path, why);
	for (unsigned i = 0; i < TOOLS_AT_ONCE && e == ERR_OK; i++)
		receive(&tools->tools[i]);
	return e;
}

enum err
bus_serve_tools(struct bus *bus, struct why *why)
{
	char path[BUS_PATH_BYTES];
	enum err e = bus_path(path, bus->run_dir, bus->name, "tools", why);

	if (e != ERR_OK)
		return e;
	bus->tools = calloc(1, sizeof(*bus->tools));
	if (bus->tools == NULL)
		return ERR_NO_MEMORY;
	bus->tools->bus = bus;
	pthread_mutex_init(&bus->tools->lock, NULL);
	bus->tools->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (bus->tools->event_fd < 0)
		return why_set(why, ERR_IO, "cannot make an eventfd: %s",
			       err_of_file(errno));
	e = loop_fd_add(bus->loop, bus->tools->event_fd, EPOLLIN, on_rung, bus,
			&bus->tools->watch);
	if (e == ERR_OK)
		e = tools_start(bus->tools, path, why);
	return e;
}

/* A message that is a batch of one frame; NULL without memory. */
static nng_msg *
message_of(const struct wire_head *head, const struct wire_frame *frame)
{
	char raw[WIRE_HEAD_BYTES];
	struct buf buf;
	nng_msg *msg = NULL;

	wire_head_put(head, raw);
	buf_init(&buf, BUS_BATCH_BYTES_MAX);
	buf_add(&buf, raw, sizeof(raw));
	if (wire_frame_put(&buf, BUS_BATCH_BYTES_MAX, frame) &&
	    nng_msg_alloc(&msg, buf.n) == 0)
		memcpy(nng_msg_body(msg), buf.p, buf.n);
	buf_fini(&buf);
	return msg;
}

void
tool_answer(struct bus *bus, struct bus_from *from, enum err err,
	    struct str body)
{
	const struct wire_head head = {bus->incarnation, 0, bus->name};
	struct wire_frame frame = {.kind = WIRE_ANSWER,
				   .err = (uint16_t)err,
				   .id = from->id,
				   .body = body};
	struct bus_tool *tool = from->tool;
	nng_msg *msg;

	if (body.n > WIRE_BODY_BYTES_MAX) {
		frame.err = ERR_TOO_LARGE;
		frame.body = STR("");
	}
	msg = message_of(&head, &frame);
	if (msg == NULL) {
		receive(tool); /* the tool's deadline ends it */
		return;
	}
	step_set(tool, TOOL_SENDING);
	nng_aio_set_msg(tool->aio, msg);
	nng_ctx_send(tool->ctx, tool->aio);
}

/* --- the asking end --------------------------------------------------------
 */

struct call {
	nng_socket socket;
	nng_aio *aio;
	struct gate gate;
	int64_t deadline_ns;
};

static void
on_call(void *ctx)
{
	gate_open(&((struct call *)ctx)->gate);
}

/* Waits for the operation that was just begun. */
static enum err
call_wait(struct call *call)
{
	bool is_done = gate_wait(&call->gate, call->deadline_ns);

	if (!is_done)
		nng_aio_cancel(call->aio);
	nng_aio_wait(call->aio);
	return is_done ? bus_nng_err(nng_aio_result(call->aio)) : ERR_DEADLINE;
}

static void
call_close(void *ctx)
{
	struct call *call = ctx;

	nng_close(call->socket);
	if (call->aio) {
		nng_aio_stop(call->aio);
		nng_aio_free(call->aio);
	}
}

/* Whether somebody listens at path: nng would go on dialling in silence. */
static enum err
probe(const char *path, const char *name, struct why *why)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	if (fd < 0)
		return why_set(why, ERR_IO, "cannot open a socket: %s",
			       err_of_file(errno));
	memcpy(to.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0 &&
	    errno != EAGAIN)
		error = errno;
	close(fd);
	if (error == 0)
		return ERR_OK;
	if (error == ENOENT || error == ECONNREFUSED)
		return why_set(why, ERR_UNAVAILABLE,
			       "%s is not running: start it with `chatello up`",
			       name);
	return why_set(why, ERR_IO, "cannot reach %s: %s", path,
		       err_of_file(error));
}

static enum err
call_dial(struct call *call, const char *path)
{
	char url[BUS_PATH_BYTES + 8];
	int error = nng_req0_open(&call->socket);

	snprintf(url, sizeof(url), "ipc://%s", path);
	if (error == 0)
		error = nng_aio_alloc(&call->aio, on_call, call);
	if (error == 0) /* never do the work twice */
		error =
		    nng_socket_set_ms(call->socket, NNG_OPT_REQ_RESENDTIME, -1);
	if (error == 0)
		error = nng_socket_set_size(call->socket, NNG_OPT_RECVMAXSZ,
					    BUS_BATCH_BYTES_MAX);
	if (error == 0)
		error = nng_dial(call->socket, url, NULL, NNG_FLAG_NONBLOCK);
	return bus_nng_err(error);
}

static enum err
call_ask(struct call *call, const struct wire_frame *question, nng_msg **answer)
{
	struct wire_head head = {.name = "tools"};
	nng_msg *msg;
	enum err e;

	while (head.from_incarnation == 0)
		id_random(&head.from_incarnation,
			  sizeof(head.from_incarnation));
	msg = message_of(&head, question);
	if (msg == NULL)
		return ERR_NO_MEMORY;
	nng_aio_set_msg(call->aio, msg);
	nng_send_aio(call->socket, call->aio);
	e = call_wait(call);
	if (nng_aio_result(call->aio) != 0)
		nng_msg_free(nng_aio_get_msg(call->aio));
	if (e != ERR_OK)
		return e;
	nng_recv_aio(call->socket, call->aio);
	e = call_wait(call);
	if (nng_aio_result(call->aio) == 0)
		*answer = nng_aio_get_msg(call->aio);
	return e;
}

static enum err
answer_read(nng_msg *msg, enum err *answer_err, struct buf *answer)
{
	struct wire_frame frame;
	struct wire_head head;
	struct str frames;

	if (!wire_batch_read(str_bytes(nng_msg_body(msg), nng_msg_len(msg)),
			     &head, &frames) ||
	    !wire_frame_next(&frames, &frame) || frames.n != 0 ||
	    frame.kind != WIRE_ANSWER)
		return ERR_MALFORMED;
	buf_add_str(answer, frame.body);
	if (answer->is_failed)
		return ERR_TOO_LARGE;
	*answer_err =
	    frame.err < ERR_COUNT ? (enum err)frame.err : ERR_INTERNAL;
	return ERR_OK;
}

enum err
bus_tool_call(const char *run_dir, const char *name, uint16_t type,
	      struct str body, int timeout_ms, enum err *answer_err,
	      struct buf *answer, struct why *why)
{
	const struct wire_frame question = {.kind = WIRE_REQUEST,
					    .type = type,
					    .extra = (uint32_t)timeout_ms,
					    .id = 1,
					    .body = body};
	char path[BUS_PATH_BYTES];
	nng_msg *msg = NULL;
	struct call *call;
	enum err e = bus_path(path, run_dir, name, "tools", why);

	if (e == ERR_OK && (timeout_ms <= 0 || body.n > WIRE_BODY_BYTES_MAX))
		e = ERR_TOO_LARGE;
	if (e == ERR_OK)
		e = probe(path, name, why);
	if (e != ERR_OK)
		return e;
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return ERR_NO_MEMORY;
	call->deadline_ns = clock_mono_ns() + (int64_t)timeout_ms * NS_PER_MS;
	gate_init(&call->gate);
	e = call_dial(call, path);
	if (e == ERR_OK)
		e = call_ask(call, &question, &msg);
	if (msg) {
		if (e == ERR_OK)
			e = answer_read(msg, answer_err, answer);
		nng_msg_free(msg);
	}
	if (bus_nng_finish(call_close, call)) {
		gate_fini(&call->gate);
		free(call);
	}
	if (e == ERR_OK)
		return e;
	return why_set(why, e, "no answer from %s: %s", name, err_text(e));
}
