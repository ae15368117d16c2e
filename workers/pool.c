/*
 * pool: see pool.h. pool_main is the whole life of a worker process: set up in
 * order, turn the loop, tear down in reverse. Always holds: an answer leaves
 * only behind the turn_end of its turn, because this hook is registered before
 * the bus's own; every request that was not answered ERR_AGAIN is answered in
 * the turn it came in.
 */
#include "workers/pool.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/proc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_ANSWERS_MAX 4096u
#define TURN_BYTES_MAX (4u << 20) /* of answers and of arena: then it ends */
#define TURN_NS_MAX INT64_C(50000000) /* a store view is held < 100 ms */
#define ANSWERS_BYTES_MAX (24u << 20) /* TURN_BYTES_MAX and one more answer */
#define ARENA_BYTES_MAX (64u << 20)
#define WATCHDOG_MS 1000
#define DRAIN_LINGER_MS 100 /* for the last answers to reach their pipes */
#define NS_PER_MS INT64_C(1000000)
#define MESSAGE_TYPES_MAX 256u

struct answer {
	struct bus_from *from;
	enum err err;
	size_t at; /* in pool->bodies */
	size_t n;
};

struct pool {
	const struct worker *worker;
	struct conf conf;
	struct loop *loop;
	struct bus *bus;
	void *state;
	bool is_open; /* the worker's open has succeeded */
	char name[BUS_NAME_BYTES];
	const struct worker_row *rows[MESSAGE_TYPES_MAX];

	struct arena arena;
	bool is_in_turn;
	enum err turn_err; /* of turn_begin */
	int64_t turn_start_ns;
	int64_t turn_now_ms;
	struct buf bodies;
	struct answer answers[TURN_ANSWERS_MAX];
	size_t answer_count;

	struct loop_timer watchdog;
	struct loop_timer drain;
	int64_t drain_until_ns; /* 0 = not draining */
	int64_t drained_at_ns;	/* 0 = not yet */
};

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

static void
turn_finish(struct pool *pool)
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
	turn_finish(ctx);
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
		turn_finish(pool);
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

/* --- the supervisor, and the end ------------------------------------------ */

static void
on_watchdog(void *ctx)
{
	struct pool *pool = ctx;

	proc_notify("WATCHDOG=1");
	loop_timer_set(pool->loop, &pool->watchdog, WATCHDOG_MS, on_watchdog,
		       pool);
}

/* What still comes is still answered; the end is when nothing was in flight
 * for a moment, or the time is up. Looked at behind each turn, since only a
 * turn changes it, and when one of the two is due. */
static void
drain_look(void *ctx)
{
	struct pool *pool = ctx;
	const struct worker *worker = pool->worker;
	int64_t now_ns = loop_now_ns(pool->loop), end_ns = pool->drain_until_ns;

	if (worker->is_drained && !worker->is_drained(pool->state))
		pool->drained_at_ns = 0;
	else if (pool->drained_at_ns == 0)
		pool->drained_at_ns = now_ns;
	if (pool->drained_at_ns != 0 &&
	    pool->drained_at_ns + DRAIN_LINGER_MS * NS_PER_MS < end_ns)
		end_ns = pool->drained_at_ns + DRAIN_LINGER_MS * NS_PER_MS;
	if (now_ns >= end_ns)
		loop_stop(pool->loop);
	else
		loop_timer_set(pool->loop, &pool->drain,
			       (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS,
			       drain_look, pool);
}

static void
on_signal(void *ctx, int signal_number, int64_t pid)
{
	struct pool *pool = ctx;

	(void)pid;
	if (pool->drain_until_ns != 0)
		return;
	log_info("drain", "signal=%d", signal_number);
	proc_notify("STOPPING=1");
	pool->drain_until_ns =
	    loop_now_ns(pool->loop) + pool->conf.drain_ms * NS_PER_MS + 1;
	/* Behind the bus's, which may end the last one. */
	if (loop_turn_add_last(pool->loop, drain_look, pool) != ERR_OK)
		loop_stop(pool->loop);
}

/* --- starting ------------------------------------------------------------- */

static enum err
log_start(const struct pool *pool, struct why *why)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	bool is_json = strcmp(pool->conf.log_format, "json") == 0;

	if (!is_json && strcmp(pool->conf.log_format, "text") != 0)
		return why_set(why, ERR_CONFIG, "log_format is text or json");
	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(pool->conf.log_level, levels[i]) != 0)
			continue;
		log_open(pool->name, (enum log_level)i,
			 is_json ? LOG_JSON : LOG_TEXT);
		return ERR_OK;
	}
	return why_set(why, ERR_CONFIG,
		       "log_level is error, warn, info or debug");
}

static enum err
serve(struct pool *pool, struct why *why)
{
	unsigned asked_by = pool->worker->asked_by;
	enum err e;

	e = bus_serve_kind(pool->bus, "edge", (unsigned)pool->conf.edges);
	if (e == ERR_OK && asked_by & ASKED_BY_PROXIES)
		e = bus_serve_kind(pool->bus, "proxy",
				   (unsigned)pool->conf.proxies);
	if (e != ERR_OK)
		return why_set(why, e, "cannot serve on the bus: %s",
			       err_text(e));
	bus_serve(pool->bus, on_request, on_cancelled, on_credit, pool);
	bus_on_peer(pool->bus, on_peer, pool);
	if (asked_by & ASKED_BY_TOOLS)
		return bus_serve_tools(pool->bus, why);
	return ERR_OK;
}

static enum err
start(struct pool *pool, struct why *why)
{
	static const int signals[] = {SIGTERM, SIGINT};
	const struct worker *worker = pool->worker;
	enum err e;

	for (size_t i = 0; i < worker->row_count; i++)
		pool->rows[worker->rows[i].in->number] = &worker->rows[i];
	e = loop_open(&pool->loop);
	if (e == ERR_OK) /* before the bus's threads, which inherit the mask */
		e = loop_signals(pool->loop, signals, 2, on_signal, pool);
	if (e == ERR_OK) /* before the bus's hook, which sends the answers */
		e = loop_turn_add(pool->loop, on_turn, pool);
	if (e != ERR_OK)
		return why_set(why, e, "cannot make the event loop: %s",
			       err_text(e));
	e = bus_open(&pool->bus, pool->loop, pool->conf.run_dir, pool->name,
		     why);
	if (e != ERR_OK)
		return e;
	e = worker->open(pool, &pool->state, why);
	if (e != ERR_OK)
		return e;
	pool->is_open = true;
	return serve(pool, why);
}

static void
stop(struct pool *pool)
{
	turn_finish(pool);
	if (pool->is_open && pool->worker->close)
		pool->worker->close(pool->state);
	if (pool->bus)
		bus_close(pool->bus);
	if (pool->loop)
		loop_close(pool->loop);
	arena_fini(&pool->arena);
	buf_fini(&pool->bodies);
	free(pool);
}

/* True: it was asked for and printed. */
static bool
print_about(const struct worker *worker, int argc, char **argv)
{
	struct buf out;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0)
			continue;
		buf_init(&out, 65536);
		buf_printf(&out,
			   "usage: chatello-%s [option ...]\n"
			   "One worker process of Chatello; `chatello up` "
			   "starts all of them.\n"
			   "  --help, --conf   this text; the settings in "
			   "force\n",
			   worker->kind);
		conf_print_help(&out);
		fwrite(out.p, 1, out.n, stdout);
		buf_fini(&out);
		return true;
	}
	return false;
}

/* Configuration and arguments; *is_done when there is nothing left to do. */
static enum err
configure(struct pool *pool, int argc, char **argv, bool *is_done,
	  struct why *why)
{
	enum err e = conf_load(&pool->conf, &argc, argv, why);
	struct buf out;

	*is_done = false;
	if (e != ERR_OK)
		return e;
	if (argc == 2 && strcmp(argv[1], "--conf") == 0) {
		buf_init(&out, 65536);
		conf_print(&pool->conf, &out);
		fwrite(out.p, 1, out.n, stdout);
		buf_fini(&out);
		*is_done = true;
		return ERR_OK;
	}
	if (argc > 1)
		return why_set(why, ERR_CONFIG,
			       "unknown argument %s: --help shows the options",
			       argv[1]);
	snprintf(pool->name, sizeof(pool->name), "%s-%d", pool->worker->kind,
		 (int)pool->conf.index);
	return log_start(pool, why);
}

int
pool_main(const struct worker *worker, int argc, char **argv)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	struct why why = {"", ""};
	bool is_done = false, is_configured = false;
	enum err e = ERR_NO_MEMORY;

	proc_harden();
	if (print_about(worker, argc, argv)) {
		free(pool);
		return 0;
	}
	if (pool) {
		pool->worker = worker;
		arena_init(&pool->arena, ARENA_BYTES_MAX);
		buf_init(&pool->bodies, ANSWERS_BYTES_MAX);
		e = configure(pool, argc, argv, &is_done, &why);
		is_configured = e == ERR_OK;
	}
	if (e == ERR_OK && !is_done)
		e = start(pool, &why);
	if (e == ERR_OK && !is_done) {
		on_watchdog(pool);
		proc_notify("READY=1");
		log_info("ready", "kind=%s", worker->kind);
		e = loop_run(pool->loop);
	}
	if (e != ERR_OK)
		fprintf(stderr, "chatello-%s: %s\n", worker->kind,
			why.text[0] ? why.text : err_text(e));
	if (pool)
		stop(pool);
	if (e == ERR_OK)
		return 0;
	return is_configured ? 1 : 2; /* bad usage */
}

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
