/*
 * pool: a worker's turns: requests come, are handled, are answered. See pool.h.
 * Always holds: an answer leaves only behind the turn_end of its turn, because
 * this hook is registered before the bus's own; every request that was not
 * answered ERR_AGAIN is answered in the turn it came in.
 */
#include "workers/pool_internal.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/proc.h"

#include <assert.h>
#include <unistd.h>

#define TURN_BYTES_MAX (4u << 20) /* of answers and of arena: then it ends */
#define TURN_NS_MAX INT64_C(50000000) /* a store view is held < 100 ms */

struct loop *
pool_loop(struct pool *pool)
{
	return pool->loop;
}

struct bus *
pool_bus(struct pool *pool)
{
	return pool->bus;
}

const struct conf *
pool_conf(const struct pool *pool)
{
	return &pool->conf;
}

const char *
pool_name(const struct pool *pool)
{
	return pool->name;
}

/* --- answers -------------------------------------------------------------- */

static void
failure_complete(struct failure *failure, enum err e)
{
	if (failure->message.p == NULL)
		failure->message = str_of(err_text(e));
}

/* Adds an answer to the turn's; the body is encoded here. */
static void
answer_add(struct pool *pool, struct bus_from *from, enum err e,
	   const struct schema *schema, const void *body)
{
	struct answer *answer = &pool->answers[pool->answer_count++];
	size_t at = pool->bodies.n;

	schema_encode(schema, body, &pool->bodies);
	if (pool->bodies.is_failed) {
		/* An empty body is read as a failure without a message. */
		pool->bodies.n = at;
		pool->bodies.is_failed = false;
		e = ERR_TOO_LARGE;
	}
	*answer = (struct answer){from, e, at, pool->bodies.n - at};
}

static void
answer_failure(struct pool *pool, struct bus_from *from, enum err e,
	       struct failure *failure)
{
	failure_complete(failure, e);
	answer_add(pool, from, e, &failure_schema, failure);
}

static void
answer_why(struct pool *pool, struct bus_from *from, enum err e,
	   const struct why *why)
{
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	if (why && why->text[0])
		failure.message = str_of(why->text);
	if (why && why->field[0])
		failure.field = str_of(why->field);
	answer_failure(pool, from, e, &failure);
}

/* --- turns ---------------------------------------------------------------- */

static void
turn_begin(struct pool *pool)
{
	const struct worker *worker = pool->worker;

	if (pool->is_in_turn)
		return;
	pool->is_in_turn = true;
	pool->has_worked = true;
	pool->turn_start_ns = clock_mono_ns();
	pool->turn_now_ms = clock_wall_ms();
	pool->turn_err =
	    worker->turn_begin ? worker->turn_begin(pool->state) : ERR_OK;
}

enum err
pool_turn(struct pool *pool, int64_t *now_ms, struct arena **arena)
{
	turn_begin(pool);
	if (now_ms)
		*now_ms = pool->turn_now_ms;
	if (arena)
		*arena = &pool->arena;
	return pool->turn_err;
}

/* What was decided was not written: every answer of the turn says so. */
static void
turn_fail(struct pool *pool, enum err e)
{
	size_t count = pool->answer_count;

	log_error("turn-failed", "error=%s answers=%zu", err_code(e), count);
	if (e == ERR_COMMIT_UNKNOWN || e == ERR_FENCED)
		_exit(1); /* only a fresh start knows what is in the store */
	buf_reset(&pool->bodies);
	pool->answer_count = 0;
	for (size_t i = 0; i < count; i++)
		answer_why(pool, pool->answers[i].from, e, NULL);
}

void
pool_turn_finish(struct pool *pool)
{
	const struct worker *worker = pool->worker;
	enum err e = ERR_OK;

	if (!pool->is_in_turn)
		return;
	if (pool->turn_err == ERR_OK && worker->turn_end)
		e = worker->turn_end(pool->state);
	if (e != ERR_OK)
		turn_fail(pool, e);
	for (size_t i = 0; i < pool->answer_count; i++) {
		const struct answer *answer = &pool->answers[i];

		bus_answer(
		    pool->bus, answer->from, answer->err,
		    str_bytes(pool->bodies.p ? pool->bodies.p + answer->at : "",
			      answer->n));
	}
	pool->answer_count = 0;
	buf_reset(&pool->bodies);
	arena_reset(&pool->arena);
	pool->is_in_turn = false;
}

static void
on_turn(void *ctx)
{
	pool_turn_finish(ctx);
}

enum err
pool_turn_hook(struct pool *pool)
{
	return loop_turn_add(pool->loop, on_turn, pool);
}

static bool
turn_is_full(const struct pool *pool)
{
	unsigned most = pool->worker->turn_answers;

	return (most && pool->answer_count >= most) ||
	       pool->answer_count == TURN_ANSWERS_MAX ||
	       pool->bodies.n > TURN_BYTES_MAX ||
	       pool->arena.used_bytes > TURN_BYTES_MAX ||
	       clock_mono_ns() - pool->turn_start_ns > TURN_NS_MAX;
}

/* --- rest ----------------------------------------------------------------- */

void
pool_worked(struct pool *pool)
{
	pool->has_worked = true;
}

static void
rest(struct pool *pool)
{
	const struct worker *worker = pool->worker;
	enum err e = worker->rest ? worker->rest(pool->state) : ERR_OK;

	if (e != ERR_OK) {
		log_error("rest-failed", "error=%s", err_code(e));
		_exit(1); /* its store is lost; all that was said is durable */
	}
	buf_fini(&pool->bodies);
	arena_fini(&pool->arena);
	proc_trim();
}

/* No timer of its own: a turn costs one store more, and a process that rests
 * has nothing running because of it. */
void
pool_rest_look(struct pool *pool)
{
	if (pool->has_worked) {
		pool->has_worked = pool->is_resting = false;
		return;
	}
	assert(!pool->is_in_turn);
	if (!pool->is_resting)
		rest(pool);
	pool->is_resting = true;
}

/* --- requests ------------------------------------------------------------- */

static void
metrics_answer_add(struct pool *pool, struct bus_from *from)
{
	struct metrics_answer out;
	struct buf text;

	metrics_set(METRIC_RESIDENT, proc_resident_bytes());
	if (pool->is_open && pool->worker->observe)
		pool->worker->observe(pool->state);
	schema_clear(&metrics_answer_schema, &out);
	buf_init(&text, METRICS_TEXT_BYTES_MAX);
	metrics_print(&text, pool->name);
	if (text.is_failed) {
		answer_why(pool, from, ERR_TOO_LARGE, NULL);
	} else {
		out.text = buf_str(&text);
		answer_add(pool, from, ERR_OK, &metrics_answer_schema, &out);
	}
	buf_fini(&text);
}

static void
request_handle(struct pool *pool, const struct bus_request *request,
	       const struct worker_row *row)
{
	struct context context = {
	    .state = pool->state,
	    .arena = &pool->arena,
	    .now_ms = pool->turn_now_ms,
	    .from = request->from,
	    .deadline_ns = request->deadline_ns,
	    .peer = request->peer,
	    .peer_incarnation = request->peer_incarnation,
	};
	struct why why = {"", ""};
	void *in = arena_alloc(&pool->arena, row->in->size);
	void *out = arena_alloc(&pool->arena, row->out->size);
	enum err e = ERR_NO_MEMORY;

	schema_clear(&failure_schema, &context.failure);
	if (in && out)
		e = schema_decode(row->in, request->body, in, &pool->arena,
				  &why);
	if (e != ERR_OK) {
		answer_why(pool, request->from, e, &why);
		return;
	}
	schema_clear(row->out, out);
	e = row->handle(&context, in, out);
	if (e == ERR_AGAIN)
		return;
	if (e == ERR_OK)
		answer_add(pool, request->from, e, row->out, out);
	else
		answer_failure(pool, request->from, e, &context.failure);
}

static void
on_request(void *ctx, const struct bus_request *request)
{
	struct pool *pool = ctx;
	const struct worker_row *row = request->type < MESSAGE_TYPES_MAX
					   ? pool->rows[request->type]
					   : NULL;

	turn_begin(pool);
	if (request->type == MSG_metrics_ask)
		metrics_answer_add(pool, request->from);
	else if (row == NULL)
		answer_why(pool, request->from, ERR_MALFORMED, NULL);
	else if (pool->turn_err != ERR_OK)
		answer_why(pool, request->from, pool->turn_err, NULL);
	else if (request->deadline_ns <= loop_now_ns(pool->loop))
		answer_why(pool, request->from, ERR_DEADLINE, NULL);
	else
		request_handle(pool, request, row);
	if (turn_is_full(pool)) {
		pool_turn_finish(pool);
		bus_push(pool->bus);
	}
}

static void
on_cancelled(void *ctx, struct bus_from *from)
{
	struct pool *pool = ctx;

	if (pool->worker->cancelled)
		pool->worker->cancelled(pool->state, from);
}

static void
on_credit(void *ctx, struct bus_from *from)
{
	struct pool *pool = ctx;

	if (pool->worker->credit)
		pool->worker->credit(pool->state, from);
}

static void
on_peer(void *ctx, const struct bus_peer_state *state)
{
	struct pool *pool = ctx;

	if (pool->is_open && pool->worker->peer)
		pool->worker->peer(pool->state, state);
}

void
pool_serve(struct pool *pool)
{
	bus_serve(pool->bus, on_request, on_cancelled, on_credit, pool);
	bus_on_peer(pool->bus, on_peer, pool);
}

/* --- outside of any process ----------------------------------------------- */

enum err
pool_call(const struct worker_row *rows, size_t row_count,
	  struct context *context, unsigned type, const void *in, void *out)
{
	enum err e = ERR_MALFORMED;

	schema_clear(&failure_schema, &context->failure);
	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].in->number != type)
			continue;
		schema_clear(rows[i].out, out);
		e = rows[i].handle(context, in, out);
		break;
	}
	if (e != ERR_OK)
		failure_complete(&context->failure, e);
	return e;
}
