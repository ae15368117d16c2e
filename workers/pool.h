/*
 * pool: the loop of every worker process. It opens configuration, loop and bus,
 * decodes each request by its row, gives the handler a struct, an arena and a
 * context, and answers: handlers do not log errors, retry, answer or free.
 *
 * A turn: the inbox is drained; each request runs its handler; then the
 * worker's turn_end runs (a writer commits there) and only then do the turn's
 * answers leave. When turn_end fails, every answer of the turn is that error;
 * COMMIT_UNKNOWN and FENCED end the process, to be started again. A turn that
 * grows too large or too long is ended early and another one begins. Answers
 * are encoded as soon as the handler returns, so they may point into anything
 * that lives until then.
 *
 * Rest: the look of each second at the supervisor's heartbeat finds out whether
 * anything was done since the one before. When not, the worker's rest runs,
 * once until something is done again: what is held for speed only is given
 * back.
 */
#ifndef WORKERS_POOL_H
#define WORKERS_POOL_H

#include "lib/bus.h"
#include "lib/conf.h"
#include "lib/msg.h"

struct pool;

struct context {
	void *state;		/* the worker's own, from its open */
	struct arena *arena;	/* lives until the turn's answers have left */
	int64_t now_ms;		/* wall clock, read once for the turn */
	struct failure failure; /* a handler that fails may say why here */
	struct bus_from *from;	/* for a handler that returns ERR_AGAIN */
	int64_t deadline_ns;
	const char *peer; /* who asks: "proxy-0", "tools" */
	uint64_t peer_incarnation;
};

/* in is decoded and checked; out is cleared. ERR_AGAIN: the handler keeps
 * context->from and answers itself later with bus_answer (what it needs of in
 * it copies: the arena is reset). Any other error: the answer is the failure.
 */
typedef enum err handler_fn(struct context *context, const void *in, void *out);

struct worker_row {
	const struct schema *in;
	const struct schema *out;
	handler_fn *handle;
};

/* Who may ask a worker. Every worker may be asked by the edges (metrics). */
enum worker_asker {
	ASKED_BY_EDGES = 1,
	ASKED_BY_PROXIES = 2,
	ASKED_BY_TOOLS = 4,
};

struct worker {
	const char *kind;  /* "validate": the process is validate-INDEX */
	unsigned asked_by; /* enum worker_asker, or-ed */
	const struct worker_row *rows;
	size_t row_count;
	/* Sets up; pools it asks, doorbells, timers. why: one line. */
	enum err (*open)(struct pool *pool, void **state, struct why *why);
	void (*close)(void *state);
	/* NULL = nothing to do. */
	enum err (*turn_begin)(
	    void *state);		   /* before the turn's first handler */
	enum err (*turn_end)(void *state); /* behind the last one */
	/* A turn ends with so many answers, which leave at once while the next
	 * ones are made: for workers whose turns have nothing to commit. 0 =
	 * all that has come. */
	unsigned turn_answers;
	bus_cancelled_fn *cancelled;
	bus_credit_fn *credit;
	bus_peer_fn *peer;
	void (*observe)(void *state); /* metrics are asked for: sets gauges */
	/* Gives back what the worker holds for speed only, see above; never in
	 * a turn. An error ends the process. NULL = it holds nothing. */
	enum err (*rest)(void *state);
	/* Drain: nothing new comes; true when nothing is in flight. */
	bool (*is_drained)(void *state);
};

/* What an open callback may use. */
struct loop *pool_loop(struct pool *pool);
struct bus *pool_bus(struct pool *pool);
const struct conf *pool_conf(const struct pool *pool);
const char *pool_name(const struct pool *pool); /* "proxy-0" */

/* For timers and doorbells: what they do from here on is part of this turn;
 * turn_begin has run and turn_end follows. now_ms and arena are the turn's;
 * either may be NULL. Fails as turn_begin does; nothing may be done then. */
enum err pool_turn(struct pool *pool, int64_t *now_ms, struct arena **arena);

/* Something was done outside of a turn: no rest within a second from now. */
void pool_worked(struct pool *pool);

/* The whole of a worker's main(): returns its exit code, 2 for arguments or
 * settings that are wrong. */
int pool_main(const struct worker *worker, int argc, char **argv);

/* Runs one request of the rows outside of any process, as the command tools do
 * while no ledger runs: decode, handler, failure text; no turn_end. */
enum err pool_call(const struct worker_row *rows, size_t row_count,
		   struct context *context, unsigned type, const void *in,
		   void *out);

#endif
