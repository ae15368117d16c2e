/*
 * ask: see ask.h. Always holds: is_asked is true exactly while the bus owes an
 * answer, so that it is cancelled once or comes once; a question waits only if
 * it was never sent, or if it is a read.
 */
#include "edge/ask.h"

#include "edge/routes.h"
#include "lib/clock.h"
#include "lib/metrics.h"

#define WAIT_MS 1500 /* a worker is back sooner, or there is trouble */
#define WAITING_MAX 4096u
#define WAITING_BYTES_MAX ((size_t)64 << 20)

void
ask_reply_failure(struct http_request *r, enum err err, struct str body)
{
	struct failure failure;

	if (body.n == 0 || schema_decode(&failure_schema, body, &failure,
					 &r->arena, NULL) != ERR_OK)
		reply_failure(r, err, NULL);
	else
		reply_failure(r, err, &failure);
}

bool
ask_take(struct http_request *r, const struct bus_answer *answer,
	 const struct schema *schema, void *out)
{
	if (schema_decode(schema, answer->body, out, &r->arena, NULL) == ERR_OK)
		return true;
	reply_error(r, ERR_MALFORMED, NULL);
	return false;
}

static void on_answer(void *ctx, const struct bus_answer *answer);

static void
refused(struct http_request *r, enum err err)
{
	struct bus_answer answer = {err, true, STR_NONE};

	if (r->ask.takes_errors)
		r->on_answer(r, &answer);
	else
		reply_failure(r, err, NULL);
}

static int64_t
age_ms(const struct http_request *r)
{
	return (loop_now_ns(edge_of(r)->loop) - r->ask.began_ns) / NS_PER_MS;
}

/* The question is in scratch, until there is an answer. */
static enum err
send(struct http_request *r)
{
	int64_t age = age_ms(r);
	struct bus_ask ask = {
	    .type = r->ask.type,
	    .is_repeatable = r->ask.is_repeatable,
	    .body = buf_str(&r->scratch),
	    .fn = on_answer,
	    .ctx = r,
	};
	enum err e;

	if (age >= r->ask.deadline_ms)
		return ERR_DEADLINE;
	ask.deadline_ms = r->ask.deadline_ms - (uint32_t)age;
	e = bus_ask(edge_of(r)->pools[r->ask.pool], &ask, &r->ask.id);
	if (e != ERR_OK)
		return e;
	r->ask.is_asked = true;
	metrics_add(METRIC_HTTP_IN_FLIGHT, 1);
	return ERR_OK;
}

/* --- waiting for a worker ------------------------------------------------ */

static void
leave(struct http_request *r)
{
	struct edge *edge = edge_of(r);

	if (r->ask.previous)
		r->ask.previous->ask.next = r->ask.next;
	else
		edge->waiting.first = r->ask.next;
	if (r->ask.next)
		r->ask.next->ask.previous = r->ask.previous;
	else
		edge->waiting.last = r->ask.previous;
	edge->waiting.count--;
	edge->waiting.bytes -= r->scratch.n;
	r->ask.is_waiting = false;
}

static void
on_waited(void *ctx)
{
	ask_waiting(ctx);
}

/* False: it may not. */
static bool
wait(struct http_request *r)
{
	struct edge *edge = edge_of(r);

	if (age_ms(r) >= WAIT_MS || edge->waiting.count >= WAITING_MAX ||
	    r->scratch.n > WAITING_BYTES_MAX - edge->waiting.bytes)
		return false;
	r->ask.next = NULL;
	r->ask.previous = edge->waiting.last;
	if (edge->waiting.last)
		edge->waiting.last->ask.next = r;
	else
		edge->waiting.first = r;
	edge->waiting.last = r;
	edge->waiting.count++;
	edge->waiting.bytes += r->scratch.n;
	r->ask.is_waiting = true;
	if (edge->waiting.timer.heap_index == 0)
		loop_timer_set(edge->loop, &edge->waiting.timer,
			       WAIT_MS - age_ms(r), on_waited, edge);
	return true;
}

void
ask_waiting(struct edge *edge)
{
	struct http_request *r = edge->waiting.first;
	unsigned count = edge->waiting.count; /* those that go on wait anew */

	loop_timer_clear(edge->loop, &edge->waiting.timer);
	while (count-- > 0 && r) {
		struct http_request *next = r->ask.next;
		enum err e;

		leave(r);
		e = send(r);
		if (e != ERR_OK && (e != ERR_UNAVAILABLE || !wait(r)))
			refused(r, e);
		r = next;
	}
}

/* --- asking and answers -------------------------------------------------- */

static void
answered(struct http_request *r)
{
	r->ask.is_asked = false;
	metrics_add(METRIC_HTTP_IN_FLIGHT, -1);
}

/* A read whose worker died is asked once more, of whoever comes. */
static bool
repeat(struct http_request *r, enum err err)
{
	enum err e;

	if (err_row(err)->retry != ERR_RETRY_ELSEWHERE ||
	    !r->ask.is_repeatable || r->ask.was_repeated)
		return false;
	r->ask.was_repeated = true;
	e = send(r);
	return e == ERR_OK || (e == ERR_UNAVAILABLE && wait(r));
}

static void
on_answer(void *ctx, const struct bus_answer *answer)
{
	struct http_request *r = ctx;

	if (answer->is_last)
		answered(r);
	if (answer->is_last && repeat(r, answer->err))
		return;
	if (answer->err != ERR_OK && !r->ask.takes_errors)
		ask_reply_failure(r, answer->err, answer->body);
	else
		r->on_answer(r, answer);
}

void
ask(struct http_request *r, const struct ask *question)
{
	enum err e = ERR_NO_MEMORY;

	r->on_answer = question->fn;
	r->ask.takes_errors = question->takes_errors;
	r->ask.is_repeatable = question->is_repeatable;
	r->ask.was_repeated = question->is_impatient;
	r->ask.pool = r->route->pool;
	r->ask.type = question->schema->number;
	r->ask.deadline_ms = routes_deadline_ms(r);
	r->ask.began_ns = loop_now_ns(edge_of(r)->loop);
	buf_reset(&r->scratch);
	schema_encode(question->schema, question->in, &r->scratch);
	if (!r->scratch.is_failed)
		e = send(r);
	if (e == ERR_UNAVAILABLE && !question->is_impatient && wait(r))
		return;
	if (e != ERR_OK)
		refused(r, e);
}

void
ask_end(struct http_request *r)
{
	if (r->ask.is_waiting)
		leave(r);
	if (!r->ask.is_asked)
		return;
	answered(r);
	bus_cancel(edge_of(r)->bus, r->ask.id);
}
