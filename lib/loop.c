/*
 * loop: epoll, a binary heap of timers, a signalfd, and the hooks at the end of
 * a turn. See loop.h. A watch that is removed stays in memory until its turn is
 * over, so that an event of it which was already fetched is passed over.
 */
#include "lib/loop.h"

#include "lib/clock.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS_MAX 256 /* fetched at once */
#define HOOKS_MAX 16
#define WAIT_MS_MAX 3600000

struct loop_fd {
	int fd;
	loop_fd_fn *fn; /* NULL: removed */
	void *ctx;
	struct loop_fd *next_dead;
};

struct hook {
	loop_turn_fn *fn;
	void *ctx;
};

struct loop {
	int epoll_fd;
	int signal_fd;
	loop_signal_fn *signal_fn;
	void *signal_ctx;
	struct loop_fd *signal_watch;
	struct loop_fd *dead;	  /* freed when the turn is over */
	struct loop_timer **heap; /* heap[1] is the next to fire */
	size_t heap_count;
	struct hook hooks[HOOKS_MAX];
	struct hook last_hooks[HOOKS_MAX];
	size_t hook_count;
	size_t last_hook_count;
	int64_t now_ns;
	bool is_in_turn;
	bool is_awake; /* hooks are due without an event */
	bool is_stopped;
};

enum err
loop_open(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return ERR_NO_MEMORY;
	/* Untouched pages of it cost nothing. */
	loop->heap = calloc(LOOP_TIMERS_MAX + 1, sizeof(struct loop_timer *));
	loop->signal_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->heap == NULL || loop->epoll_fd < 0) {
		enum err e = loop->heap ? ERR_IO : ERR_NO_MEMORY;

		loop_close(loop);
		return e;
	}
	*out = loop;
	return ERR_OK;
}

static void
free_dead(struct loop *loop)
{
	while (loop->dead) {
		struct loop_fd *watch = loop->dead;

		loop->dead = watch->next_dead;
		free(watch);
	}
}

void
loop_close(struct loop *loop)
{
	if (loop == NULL)
		return;
	loop_fd_remove(loop, loop->signal_watch);
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free_dead(loop);
	free(loop->heap);
	free(loop);
}

/* --- descriptors ---------------------------------------------------------- */

enum err
loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn,
	    void *ctx, struct loop_fd **out)
{
	struct loop_fd *watch = calloc(1, sizeof(*watch));
	struct epoll_event event = {.events = events, .data.ptr = watch};

	assert(fn);
	if (watch == NULL)
		return ERR_NO_MEMORY;
	*watch = (struct loop_fd){.fd = fd, .fn = fn, .ctx = ctx};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		free(watch);
		return ERR_IO;
	}
	*out = watch;
	return ERR_OK;
}

enum err
loop_fd_change(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	assert(watch->fn);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) != 0)
		return ERR_IO;
	return ERR_OK;
}

void
loop_fd_remove(struct loop *loop, struct loop_fd *watch)
{
	if (watch == NULL)
		return;
	assert(watch->fn);
	/* Fails only for a descriptor that is closed already: then epoll has
	 * forgotten it by itself. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fn = NULL;
	watch->next_dead = loop->dead;
	loop->dead = watch;
	if (!loop->is_in_turn)
		free_dead(loop);
}

/* --- timers --------------------------------------------------------------- */

static void
heap_put(struct loop *loop, size_t at, struct loop_timer *timer)
{
	loop->heap[at] = timer;
	timer->heap_index = at;
}

static void
heap_up(struct loop *loop, size_t at)
{
	struct loop_timer *timer = loop->heap[at];

	while (at > 1 && loop->heap[at / 2]->at_ns > timer->at_ns) {
		heap_put(loop, at, loop->heap[at / 2]);
		at /= 2;
	}
	heap_put(loop, at, timer);
}

static void
heap_down(struct loop *loop, size_t at)
{
	struct loop_timer *timer = loop->heap[at];
	size_t child;

	while ((child = at * 2) <= loop->heap_count) {
		if (child < loop->heap_count &&
		    loop->heap[child + 1]->at_ns < loop->heap[child]->at_ns)
			child++;
		if (loop->heap[child]->at_ns >= timer->at_ns)
			break;
		heap_put(loop, at, loop->heap[child]);
		at = child;
	}
	heap_put(loop, at, timer);
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	size_t at = timer->heap_index;
	struct loop_timer *moved;

	if (at == 0)
		return;
	assert(at <= loop->heap_count && loop->heap[at] == timer);
	timer->heap_index = 0;
	moved = loop->heap[loop->heap_count--];
	if (moved == timer)
		return;
	heap_put(loop, at, moved);
	heap_up(loop, at);
	heap_down(loop, moved->heap_index);
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
	       loop_timer_fn *fn, void *ctx)
{
	int64_t delay_ns;

	assert(fn && delay_ms >= 0);
	if (__builtin_mul_overflow(delay_ms, NS_PER_MS, &delay_ns) ||
	    __builtin_add_overflow(loop_now_ns(loop), delay_ns, &timer->at_ns))
		timer->at_ns = INT64_MAX;
	timer->fn = fn;
	timer->ctx = ctx;
	if (timer->heap_index == 0) {
		assert(loop->heap_count < LOOP_TIMERS_MAX);
		heap_put(loop, ++loop->heap_count, timer);
	}
	heap_up(loop, timer->heap_index);
	heap_down(loop, timer->heap_index);
}

/* Those that are due now; one that sets itself again with no delay waits for
 * the next turn. */
static size_t
fire_timers(struct loop *loop)
{
	size_t most = loop->heap_count, fired = 0;

	while (fired < most && loop->heap_count &&
	       loop->heap[1]->at_ns <= loop->now_ns) {
		struct loop_timer *timer = loop->heap[1];

		loop_timer_clear(loop, timer);
		fired++;
		timer->fn(timer->ctx);
	}
	return fired;
}

/* --- turns ---------------------------------------------------------------- */

static enum err
hook_add(struct hook *hooks, size_t *count, loop_turn_fn *fn, void *ctx)
{
	if (*count == HOOKS_MAX)
		return ERR_OVERLOADED;
	hooks[(*count)++] = (struct hook){fn, ctx};
	return ERR_OK;
}

enum err
loop_turn_add(struct loop *loop, loop_turn_fn *fn, void *ctx)
{
	return hook_add(loop->hooks, &loop->hook_count, fn, ctx);
}

enum err
loop_turn_add_last(struct loop *loop, loop_turn_fn *fn, void *ctx)
{
	return hook_add(loop->last_hooks, &loop->last_hook_count, fn, ctx);
}

static bool
hook_remove(struct hook *hooks, size_t *count, loop_turn_fn *fn,
	    const void *ctx)
{
	for (size_t i = 0; i < *count; i++)
		if (hooks[i].fn == fn && hooks[i].ctx == ctx) {
			(*count)--;
			memmove(hooks + i, hooks + i + 1,
				(*count - i) * sizeof(*hooks));
			return true;
		}
	return false;
}

void
loop_turn_remove(struct loop *loop, loop_turn_fn *fn, const void *ctx)
{
	assert(!loop->is_in_turn);
	if (!hook_remove(loop->hooks, &loop->hook_count, fn, ctx))
		hook_remove(loop->last_hooks, &loop->last_hook_count, fn, ctx);
}

void
loop_wake(struct loop *loop)
{
	loop->is_awake = true;
}

static void
run_hooks(struct loop *loop)
{
	for (size_t i = 0; i < loop->hook_count; i++)
		loop->hooks[i].fn(loop->hooks[i].ctx);
	loop->is_awake = false;
	for (size_t i = 0; i < loop->last_hook_count; i++)
		loop->last_hooks[i].fn(loop->last_hooks[i].ctx);
}

/* How long this turn may wait, in whole milliseconds rounded up, so that a
 * timer is due when the wait is over. */
static int
wait_for(const struct loop *loop, int wait_ms)
{
	int64_t left_ms;

	if (loop->is_awake)
		return 0;
	if (loop->heap_count == 0)
		return wait_ms;
	left_ms = loop->heap[1]->at_ns - clock_mono_ns();
	left_ms = left_ms <= 0 ? 0 : (left_ms - 1) / NS_PER_MS + 1;
	if (left_ms > WAIT_MS_MAX)
		left_ms = WAIT_MS_MAX;
	return wait_ms >= 0 && wait_ms < left_ms ? wait_ms : (int)left_ms;
}

enum err
loop_turn(struct loop *loop, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	assert(!loop->is_in_turn);
	count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX,
			   wait_for(loop, wait_ms));
	if (count < 0 && errno != EINTR)
		return ERR_IO;
	loop->now_ns = clock_mono_ns();
	loop->is_in_turn = true;
	for (int i = 0; i < count; i++) {
		struct loop_fd *watch = events[i].data.ptr;

		if (watch->fn)
			watch->fn(watch->ctx, watch->fd, events[i].events);
	}
	if (fire_timers(loop) > 0 || count > 0 || loop->is_awake)
		run_hooks(loop);
	loop->is_in_turn = false;
	free_dead(loop);
	return ERR_OK;
}

enum err
loop_run(struct loop *loop)
{
	enum err e = ERR_OK;

	while (!loop->is_stopped && e == ERR_OK)
		e = loop_turn(loop, -1);
	loop->is_stopped = false;
	return e;
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
}

int64_t
loop_now_ns(const struct loop *loop)
{
	return loop->is_in_turn ? loop->now_ns : clock_mono_ns();
}

int64_t
loop_now_ms(const struct loop *loop)
{
	return loop_now_ns(loop) / NS_PER_MS;
}

/* --- signals -------------------------------------------------------------- */

static void
on_signal(void *ctx, int fd, uint32_t events)
{
	struct loop *loop = ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->signal_fn(loop->signal_ctx, (int)info.ssi_signo,
				(int64_t)info.ssi_pid);
}

enum err
loop_signals(struct loop *loop, const int *signals, size_t count,
	     loop_signal_fn *fn, void *ctx)
{
	sigset_t set;

	assert(loop->signal_fd < 0 && fn);
	sigemptyset(&set);
	for (size_t i = 0; i < count; i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return ERR_IO;
	loop->signal_fn = fn;
	loop->signal_ctx = ctx;
	loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signal_fd < 0)
		return ERR_IO;
	return loop_fd_add(loop, loop->signal_fd, EPOLLIN, on_signal, loop,
			   &loop->signal_watch);
}
