/*
 * pool_internal: what the files of the pool share: a worker process, its turn,
 * its end.
 */
#ifndef WORKERS_POOL_INTERNAL_H
#define WORKERS_POOL_INTERNAL_H

#include "lib/clock.h"
#include "workers/pool.h"

#define TURN_ANSWERS_MAX 4096u
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

	bool has_worked; /* since the last look */
	bool is_resting; /* has rested, and not worked since */
	struct loop_timer watchdog;
	struct loop_timer drain;
	int64_t drain_until_ns; /* 0 = not draining */
	int64_t drained_at_ns;	/* 0 = not yet */
};

/* --- pool.c --------------------------------------------------------------- */

/* What ends a turn: before the bus is opened, whose own hook comes behind it.
 */
enum err pool_turn_hook(struct pool *pool);
/* From here on requests are handled; the worker is open. */
void pool_serve(struct pool *pool);
/* Called each second: rests when nothing was done since the last call. */
void pool_rest_look(struct pool *pool);
/* Ends the turn that is under way, if one is. */
void pool_turn_finish(struct pool *pool);

#endif
