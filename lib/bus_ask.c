/*
 * bus_ask: pools, and the requests that wait for their answer. A request's id
 * holds its slot in the low bits, so that an answer finds it at once; the rest
 * counts up from a random number, so that an answer for somebody else's never
 * matches. A question is in exactly one list: its peer's, or its pool's parked
 * ones.
 */
#include "lib/bus_internal.h"

#include <assert.h>
#include <stdlib.h>

#define BODY_KEEP_BYTES 1024	/* memory that a free slot may keep */
#define CREDIT_STEP_BYTES 32768 /* told to the worker in such steps */

struct bus_pool {
	struct bus *bus;
	unsigned count;
	unsigned turn; /* where the search for the least busy starts */
	struct question_list parked;
	struct peer *peers[];
};

struct question {
	uint64_t id; /* 0: the slot is free */
	bus_answer_fn *fn;
	void *ctx;
	struct bus_pool *pool;
	struct peer *peer;	    /* NULL: parked */
	struct question_list *list; /* that it is in */
	struct question *prev;
	struct question *next; /* also of the free ones */
	struct loop_timer deadline;
	struct buf body; /* of a repeatable one */
	uint64_t batch;	 /* of the peer's; the one it left in */
	uint32_t drops;	 /* of the peer, when it was sent */
	uint32_t parts;	 /* received */
	size_t consumed_bytes;
	uint16_t type;
	bool may_repeat;
};

enum err
questions_open(struct bus *bus)
{
	/* Untouched pages of it cost nothing. */
	bus->questions = calloc(BUS_IN_FLIGHT_MAX, sizeof(struct question));
	return bus->questions ? ERR_OK : ERR_NO_MEMORY;
}

void
questions_stop(struct bus *bus)
{
	for (uint32_t i = 0; i < bus->questions_used; i++)
		loop_timer_clear(bus->loop, &bus->questions[i].deadline);
}

void
questions_close(struct bus *bus)
{
	for (uint32_t i = 0; i < bus->questions_used; i++)
		buf_fini(&bus->questions[i].body);
	for (unsigned i = 0; i < bus->pool_count; i++)
		free(bus->pools[i]);
	free(bus->questions);
}

/* --- pools -----------------------------------------------------------------
 */

enum err
bus_pool_open(struct bus *bus, const char *kind, unsigned count,
	      unsigned window_batches, struct bus_pool **out)
{
	struct bus_pool *pool;

	if (bus->pool_count == BUS_POOLS_MAX || count > BUS_PEERS_MAX)
		return ERR_OVERLOADED;
	pool = calloc(1, sizeof(*pool) + count * sizeof(struct peer *));
	if (pool == NULL)
		return ERR_NO_MEMORY;
	pool->bus = bus;
	for (unsigned i = 0; i < count; i++) {
		enum err e = peer_open(bus, kind, i, &pool->peers[i]);

		if (e != ERR_OK) {
			free(pool);
			return e;
		}
		pool->peers[i]->window_batches = window_batches;
	}
	pool->count = count;
	bus->pools[bus->pool_count++] = pool;
	*out = pool;
	return ERR_OK;
}

unsigned
bus_pool_size(const struct bus_pool *pool)
{
	return pool->count;
}

void
bus_pool_state(const struct bus_pool *pool, unsigned index,
	       struct bus_peer_state *out)
{
	assert(index < pool->count);
	peer_state(pool->peers[index], out);
}

/* The live one with the least in flight; equals take turns. */
static struct peer *
choose(struct bus_pool *pool)
{
	struct peer *best = NULL;

	for (unsigned i = 0; i < pool->count; i++) {
		struct peer *peer = pool->peers[(pool->turn + i) % pool->count];

		if (peer_is_alive(peer) &&
		    (best == NULL || peer->in_flight < best->in_flight))
			best = peer;
	}
	pool->turn = pool->count ? (pool->turn + 1) % pool->count : 0;
	return best;
}

/* --- slots and lists -------------------------------------------------------
 */

static struct question *
question_take(struct bus *bus)
{
	struct question *q = bus->free_questions;

	if (q) {
		bus->free_questions = q->next;
	} else {
		if (bus->questions_used == BUS_IN_FLIGHT_MAX)
			return NULL;
		q = &bus->questions[bus->questions_used++];
		buf_init(&q->body, BUS_BATCH_BYTES_MAX);
	}
	do
		q->id = (bus->next_id += BUS_IN_FLIGHT_MAX) |
			(uint64_t)(q - bus->questions);
	while (q->id == 0);
	return q;
}

static struct question *
question_find(const struct bus *bus, uint64_t id)
{
	struct question *q = &bus->questions[id & BUS_SLOT_MASK];

	return id != 0 && q->id == id ? q : NULL;
}

static bool
is_sent(const struct question *q)
{
	return q->batch <= q->peer->batches_sent;
}

static void
unlink_question(struct question *q)
{
	struct question_list *list = q->list;

	if (list == NULL)
		return;
	*(q->prev ? &q->prev->next : &list->first) = q->next;
	*(q->next ? &q->next->prev : &list->last) = q->prev;
	q->list = NULL;
	if (q->peer) {
		q->peer->in_flight--;
		q->peer->unsent -= !is_sent(q);
	}
	q->peer = NULL;
}

static void
link_question(struct question *q, struct question_list *list, struct peer *peer)
{
	q->list = list;
	q->peer = peer;
	q->next = NULL;
	q->prev = list->last;
	*(q->prev ? &q->prev->next : &list->first) = q;
	list->last = q;
	if (peer) {
		peer->in_flight++;
		peer->unsent++;
	}
}

static void
question_free(struct bus *bus, struct question *q)
{
	loop_timer_clear(bus->loop, &q->deadline);
	unlink_question(q);
	if (q->body.room > BODY_KEEP_BYTES)
		buf_fini(&q->body);
	else
		buf_reset(&q->body);
	q->id = 0;
	q->next = bus->free_questions;
	bus->free_questions = q;
}

/* --- ends ------------------------------------------------------------------
 */

/* Tells the worker that nobody waits any more. A request that has not left yet
 * is followed by its cancel. When there is no room for one, the answer that
 * comes is one that nobody knows. */
static void
tell_cancel(struct question *q)
{
	const struct wire_frame frame = {.kind = WIRE_CANCEL, .id = q->id};
	struct peer *peer = q->peer;

	if (peer == NULL)
		return;
	if (!is_sent(q)) {
		(void)peer_put_request(peer, &frame);
		return;
	}
	(void)peer_put(peer, &frame);
	peer_answered(peer, q->batch);
}

/* The one final answer. */
static void
finish(struct bus *bus, struct question *q, enum err e, struct str body)
{
	const struct bus_answer answer = {e, true, body};
	bus_answer_fn *fn = q->fn;
	void *ctx = q->ctx;

	question_free(bus, q);
	fn(ctx, &answer);
}

static void
on_deadline(void *ctx)
{
	struct question *q = ctx;

	tell_cancel(q);
	finish(q->pool->bus, q, ERR_DEADLINE, STR(""));
}

/* --- asking ----------------------------------------------------------------
 */

/* Hands the question to the peer; the caller has its body. */
static enum err
place(struct question *q, struct peer *peer, int64_t left_ms, struct str body)
{
	const struct wire_frame frame = {
	    .kind = WIRE_REQUEST,
	    .type = q->type,
	    .extra = left_ms < 1	    ? 1
		     : left_ms > UINT32_MAX ? UINT32_MAX
					    : (uint32_t)left_ms,
	    .id = q->id,
	    .body = body,
	};
	enum err e = peer_put_request(peer, &frame);

	if (e != ERR_OK)
		return e;
	q->batch = peer->batches_sent + 1;
	q->drops = peer->drops;
	link_question(q, &peer->questions, peer);
	peer_push(peer);
	return ERR_OK;
}

static enum err
ask_at(struct bus_pool *pool, struct peer *peer, const struct bus_ask *ask,
       bool may_repeat, uint64_t *id)
{
	struct bus *bus = pool->bus;
	struct question *q;
	enum err e = ERR_OK;

	assert(ask->fn && ask->deadline_ms > 0);
	if (ask->body.n > WIRE_BODY_BYTES_MAX)
		return ERR_TOO_LARGE;
	q = question_take(bus);
	if (q == NULL)
		return ERR_OVERLOADED;
	q->fn = ask->fn;
	q->ctx = ask->ctx;
	q->pool = pool;
	q->type = ask->type;
	q->may_repeat = may_repeat;
	q->parts = 0;
	q->consumed_bytes = 0;
	if (may_repeat)
		buf_add_str(&q->body, ask->body);
	if (q->body.is_failed)
		e = ERR_NO_MEMORY;
	else
		e = place(q, peer, ask->deadline_ms, ask->body);
	if (e != ERR_OK) {
		question_free(bus, q);
		return e;
	}
	loop_timer_set(bus->loop, &q->deadline, ask->deadline_ms, on_deadline,
		       q);
	*id = q->id;
	return ERR_OK;
}

enum err
bus_ask(struct bus_pool *pool, const struct bus_ask *ask, uint64_t *id)
{
	struct peer *peer = choose(pool);

	if (peer == NULL)
		return ERR_UNAVAILABLE;
	return ask_at(pool, peer, ask, ask->is_repeatable, id);
}

enum err
bus_ask_peer(struct bus_pool *pool, unsigned index, const struct bus_ask *ask,
	     uint64_t *id)
{
	assert(index < pool->count);
	if (!peer_is_alive(pool->peers[index]))
		return ERR_UNAVAILABLE;
	return ask_at(pool, pool->peers[index], ask, false, id);
}

void
bus_cancel(struct bus *bus, uint64_t id)
{
	struct question *q = question_find(bus, id);

	if (q == NULL)
		return;
	tell_cancel(q);
	question_free(bus, q);
}

void
bus_credit(struct bus *bus, uint64_t id, size_t bytes)
{
	struct question *q = question_find(bus, id);
	struct wire_frame frame = {.kind = WIRE_CREDIT, .id = id};

	if (q == NULL || q->peer == NULL)
		return;
	q->consumed_bytes += bytes;
	if (q->consumed_bytes < CREDIT_STEP_BYTES)
		return;
	frame.extra = q->consumed_bytes > BUS_STREAM_CREDIT_BYTES
			  ? BUS_STREAM_CREDIT_BYTES
			  : (uint32_t)q->consumed_bytes;
	if (peer_put(q->peer, &frame) == ERR_OK)
		q->consumed_bytes = 0;
}

/* --- answers ---------------------------------------------------------------
 */

static void
part(struct peer *peer, struct question *q, const struct wire_frame *frame)
{
	const struct bus_answer answer = {ERR_OK, false, frame->body};

	q->parts++;
	peer_answered(peer, q->batch);
	q->fn(q->ctx, &answer);
}

void
question_answer(struct peer *peer, const struct wire_frame *frame)
{
	struct bus *bus = peer->bus;
	struct question *q = question_find(bus, frame->id);
	enum err e = (enum err)frame->err;

	if (q == NULL || q->peer != peer) {
		/* A stream that nobody reads must not run on. */
		if (frame->kind == WIRE_PART)
			(void)peer_put(peer,
				       &(struct wire_frame){.kind = WIRE_CANCEL,
							    .id = frame->id});
		return;
	}
	if (frame->extra != q->parts) { /* a part is missing */
		bus->dropped++;
		tell_cancel(q);
		finish(bus, q, ERR_WORKER_LOST, STR(""));
	} else if (frame->kind == WIRE_PART) {
		part(peer, q, frame);
	} else {
		peer_answered(peer, q->batch);
		finish(bus, q, e < ERR_COUNT ? e : ERR_INTERNAL, frame->body);
	}
}

/* --- lost peers ------------------------------------------------------------
 */

/* To a live peer of its pool, or it waits for one until its deadline. */
static void
ask_again(struct question *q)
{
	int64_t left_ns = q->deadline.at_ns - loop_now_ns(q->pool->bus->loop);
	struct peer *peer = choose(q->pool);
	enum err e;

	if (peer == NULL) {
		link_question(q, &q->pool->parked, NULL);
		return;
	}
	q->may_repeat = false;
	e = place(q, peer, left_ns / NS_PER_MS, buf_str(&q->body));
	if (e != ERR_OK)
		finish(q->pool->bus, q, e, STR(""));
}

void
questions_lost(struct peer *peer, bool is_all)
{
	struct question *q;

	/* Sorted by age: those of an earlier connection come first. */
	while ((q = peer->questions.first) != NULL &&
	       (is_all || q->drops != peer->drops)) {
		unlink_question(q);
		if (q->may_repeat && q->parts == 0)
			ask_again(q);
		else
			finish(peer->bus, q, ERR_WORKER_LOST, STR(""));
	}
}

void
questions_unpark(struct bus *bus)
{
	for (unsigned i = 0; i < bus->pool_count; i++) {
		struct bus_pool *pool = bus->pools[i];
		struct question_list waiting = pool->parked;

		pool->parked = (struct question_list){NULL, NULL};
		for (struct question *q = waiting.first; q; q = q->next)
			q->list = &waiting;
		while (waiting.first) {
			struct question *q = waiting.first;

			unlink_question(q);
			ask_again(q);
		}
	}
}
