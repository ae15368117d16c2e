/*
 * loop: one epoll loop with timers and signals; every process has one, and all
 * of its own code runs in it. Callbacks of one turn run one after another; at
 * the end of a turn the `turn` hooks run (commit, answer, flush), in the order
 * they were added.
 */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include "lib/err.h"

#include <sys/epoll.h>

#define LOOP_TIMERS_MAX (1u << 20)

struct loop;

enum err loop_open(struct loop **out);
void loop_close(struct loop *loop);
/* Turns until loop_stop. */
enum err loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn: waits at most wait_ms (-1 = for ever) for the first event. Tests
 * and drains use it. */
enum err loop_turn(struct loop *loop, int wait_ms);

/* fds: events are EPOLLIN | EPOLLOUT | EPOLLRDHUP (level triggered). */
typedef void loop_fd_fn(void *ctx, int fd, uint32_t events);
struct loop_fd;
enum err loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn,
		     void *ctx, struct loop_fd **out);
enum err loop_fd_change(struct loop *loop, struct loop_fd *watch,
			uint32_t events);
/* Safe from any callback, also for a watch whose event is in this turn. Does
 * not close the fd: close it afterwards. NULL is allowed. */
void loop_fd_remove(struct loop *loop, struct loop_fd *watch);

/* Timers on the monotonic clock; embedded in the caller's struct, zeroed. */
typedef void loop_timer_fn(void *ctx);
struct loop_timer {
	int64_t at_ns;
	loop_timer_fn *fn;
	void *ctx;
	size_t heap_index; /* 0 = not set */
};
/* (Re)sets it to fire once, delay_ms from now. At most LOOP_TIMERS_MAX are set
 * at a time. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer,
		    int64_t delay_ms, loop_timer_fn *fn, void *ctx);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* Hooks at the end of each turn that had an event. */
typedef void loop_turn_fn(void *ctx);
enum err loop_turn_add(struct loop *loop, loop_turn_fn *fn, void *ctx);
/* One that runs behind all of those, whenever it was added (the bus sends
 * there what the turn has gathered). */
enum err loop_turn_add_last(struct loop *loop, loop_turn_fn *fn, void *ctx);
/* For whoever leaves before the loop does; not from inside a turn. */
void loop_turn_remove(struct loop *loop, loop_turn_fn *fn, const void *ctx);
/* Something waits for the hooks: they run at the end of this turn, or, when
 * called from outside or behind them, in the next one, which does not wait. */
void loop_wake(struct loop *loop);

/* SIGTERM and SIGINT (and SIGHUP, SIGCHLD if asked) through a signalfd. Call
 * before any thread starts: the signals are blocked for the whole process. */
typedef void loop_signal_fn(void *ctx, int signal, int64_t pid);
enum err loop_signals(struct loop *loop, const int *signals, size_t count,
		      loop_signal_fn *fn, void *ctx);

/* The turn's clock, read once a turn; outside of a turn the clock itself. */
int64_t loop_now_ns(const struct loop *loop);
int64_t loop_now_ms(const struct loop *loop);

#endif
