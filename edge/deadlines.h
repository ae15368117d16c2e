/*
 * deadlines: how long a connection may take for each thing it does, and the
 * end of those that take longer. One list for each state, oldest first, and one
 * timer that looks at the heads: moving on costs two pointers, not a timer.
 * A connection is ended with shutdown(2), never close(2): libmicrohttpd, which
 * owns the descriptor, then finds it at its end and lets go of it.
 */
#ifndef EDGE_DEADLINES_H
#define EDGE_DEADLINES_H

#include "lib/loop.h"

enum deadline_state {
	DEADLINE_HEAD,	/* a request's head is awaited */
	DEADLINE_BODY,	/* its body is */
	DEADLINE_WORK,	/* somebody here works at it: no limit of its own */
	DEADLINE_WRITE, /* the answer goes out: counts while nothing moves */
	DEADLINE_IDLE,	/* kept alive between two requests */
	DEADLINE_STATES
};

/* One connection; embedded in its owner's struct, zeroed. */
struct deadline {
	int fd;
	enum deadline_state state;
	int64_t since_ns;
	int64_t moved_ns;     /* WRITE: when bytes last went out */
	uint64_t acked_bytes; /* WRITE: at that time */
	struct deadline *previous;
	struct deadline *next;
};

struct deadlines {
	struct loop *loop;
	struct loop_timer timer;
	int64_t limit_ms[DEADLINE_STATES]; /* 0 = none */
	struct deadline *first[DEADLINE_STATES];
	struct deadline *last[DEADLINE_STATES];
};

/* limit_ms of WORK is not used. Starts the timer. */
void deadlines_init(struct deadlines *deadlines, struct loop *loop,
		    const int64_t limit_ms[DEADLINE_STATES]);
void deadlines_fini(struct deadlines *deadlines);
/* A new connection: its head is awaited. */
void deadlines_add(struct deadlines *deadlines, struct deadline *deadline,
		   int fd);
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);
/* It does something else now; the time starts anew. */
void deadlines_enter(struct deadlines *deadlines, struct deadline *deadline,
		     enum deadline_state state);

#endif
