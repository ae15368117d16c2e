/*
 * ask: see ask.h. Always holds: is_asked is true exactly while the bus owes an
 * answer, so that it is cancelled once or comes once.
 */
#include "edge/ask.h"

#include "edge/reply.h"
#include "lib/metrics.h"

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

static void
answered(struct http_request *r)
{
	r->is_asked = false;
	metrics_add(METRIC_HTTP_IN_FLIGHT, -1);
}

static void
on_answer(void *ctx, const struct bus_answer *answer)
{
	struct http_request *r = ctx;

	if (answer->is_last)
		answered(r);
	if (answer->err != ERR_OK && !r->takes_errors)
		ask_reply_failure(r, answer->err, answer->body);
	else
		r->on_answer(r, answer);
}

static void
refused(struct http_request *r, enum err err)
{
	struct bus_answer answer = {err, true, STR_NONE};

	if (r->takes_errors)
		r->on_answer(r, &answer);
	else
		reply_failure(r, err, NULL);
}

void
ask(struct http_request *r, const struct ask *question)
{
	struct bus_ask ask = {
	    .type = question->schema->number,
	    .is_repeatable = question->is_repeatable,
	    .deadline_ms = question->deadline_ms,
	    .fn = on_answer,
	    .ctx = r,
	};
	enum err e = ERR_NO_MEMORY;

	r->on_answer = question->fn;
	r->takes_errors = question->takes_errors;
	buf_reset(&r->scratch);
	schema_encode(question->schema, question->in, &r->scratch);
	ask.body = buf_str(&r->scratch);
	if (!r->scratch.is_failed)
		e = bus_ask(edge_of(r)->pools[question->pool], &ask,
			    &r->ask_id);
	if (e != ERR_OK) {
		refused(r, e);
		return;
	}
	r->is_asked = true;
	metrics_add(METRIC_HTTP_IN_FLIGHT, 1);
}

void
ask_end(struct http_request *r)
{
	if (!r->is_asked)
		return;
	answered(r);
	bus_cancel(edge_of(r)->bus, r->ask_id);
}
