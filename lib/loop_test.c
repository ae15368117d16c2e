/* loop: turns, timers, hooks, removed watches, signals. */
#include "lib/loop.h"

#include "lib/clock.h"
#include "lib/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TIMERS 1000

static int64_t fake_ns = 1000000000;

static int64_t
fake_clock(void)
{
	return fake_ns;
}

static struct loop *
open_loop(void)
{
	struct loop *loop = NULL;

	CHECK_OK(loop_open(&loop));
	return loop;
}

struct trace {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_fd *watch;
	struct loop_fd *other;
	char text[64];
	size_t n;
};

static void
note(struct trace *trace, char c)
{
	CHECK(trace->n < sizeof(trace->text) - 1);
	trace->text[trace->n++] = c;
}

static void
note_fd(void *ctx, int fd, uint32_t events)
{
	uint64_t value;

	CHECK(events & EPOLLIN);
	CHECK_INT(read(fd, &value, sizeof(value)), sizeof(value));
	note(ctx, 'f');
}

static void
note_timer(void *ctx)
{
	note(ctx, 't');
}

static void
note_hook(void *ctx)
{
	note(ctx, 'h');
}

static void
note_last(void *ctx)
{
	note(ctx, 'l');
}

static void
ring(int fd)
{
	uint64_t one = 1;

	CHECK_INT(write(fd, &one, sizeof(one)), sizeof(one));
}

TEST(loop_hooks_run_at_the_end_of_a_turn_with_an_event)
{
	struct trace trace = {.loop = open_loop()};
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK_OK(loop_turn_add_last(trace.loop, note_last, &trace));
	CHECK_OK(loop_turn_add(trace.loop, note_hook, &trace));
	CHECK_OK(loop_fd_add(trace.loop, fd, EPOLLIN, note_fd, &trace,
			     &trace.watch));
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("")); /* no event, no hooks */
	ring(fd);
	loop_timer_set(trace.loop, &trace.timer, 0, note_timer, &trace);
	CHECK_OK(loop_turn(trace.loop, -1));
	CHECK_STR(str_of(trace.text), STR("fthl"));
	loop_wake(trace.loop);
	CHECK_OK(loop_turn(trace.loop, -1)); /* does not wait */
	CHECK_STR(str_of(trace.text), STR("fthlhl"));
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("fthlhl"));
	loop_turn_remove(trace.loop, note_last, &trace);
	loop_wake(trace.loop);
	CHECK_OK(loop_turn(trace.loop, -1));
	CHECK_STR(str_of(trace.text), STR("fthlhlh"));
	loop_fd_remove(trace.loop, trace.watch);
	ring(fd);
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("fthlhlh"));
	loop_close(trace.loop);
	close(fd);
}

static void
remove_both(void *ctx, int fd, uint32_t events)
{
	struct trace *trace = ctx;

	(void)fd;
	(void)events;
	note(trace, 'r');
	loop_fd_remove(trace->loop, trace->watch);
	loop_fd_remove(trace->loop, trace->other);
}

TEST(loop_a_watch_removed_in_its_own_turn_is_not_called)
{
	struct trace trace = {.loop = open_loop()};
	int a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);

	CHECK_OK(loop_fd_add(trace.loop, a, EPOLLIN, remove_both, &trace,
			     &trace.watch));
	CHECK_OK(loop_fd_add(trace.loop, b, EPOLLIN, remove_both, &trace,
			     &trace.other));
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("r"));
	loop_fd_remove(trace.loop, NULL);
	loop_close(trace.loop);
	close(a);
	close(b);
}

static int64_t last_ns;
static unsigned fired;

struct numbered {
	struct loop_timer timer;
	int64_t due_ns;
};

static void
check_order(void *ctx)
{
	const struct numbered *one = ctx;

	CHECK(one->due_ns >= last_ns);
	CHECK(one->due_ns <= fake_ns);
	last_ns = one->due_ns;
	fired++;
}

TEST(loop_timers_fire_in_order_once_and_not_when_cleared)
{
	static struct numbered timers[TIMERS];
	struct loop *loop;
	unsigned cleared = 0;

	clock_set(fake_clock, NULL);
	loop = open_loop();
	srandom(7);
	for (unsigned i = 0; i < TIMERS * 3; i++) { /* some are set again */
		struct numbered *one = &timers[random() % TIMERS];
		int64_t delay_ms = 1 + random() % 500;

		one->due_ns = fake_ns + delay_ms * 1000000;
		loop_timer_set(loop, &one->timer, delay_ms, check_order, one);
	}
	for (unsigned i = 0; i < TIMERS; i++) {
		if (i % 3 == 0)
			loop_timer_clear(loop, &timers[i].timer);
		cleared += timers[i].timer.heap_index == 0;
	}
	CHECK(cleared >= TIMERS / 3);
	CHECK_OK(loop_turn(loop, 0));
	CHECK_INT(fired, 0);
	for (unsigned i = 0; i < 501; i++) {
		fake_ns += 1000000;
		CHECK_OK(loop_turn(loop, 0));
	}
	CHECK_INT(fired, TIMERS - cleared);
	loop_close(loop);
}

static void
again(void *ctx)
{
	struct trace *trace = ctx;

	note(trace, 'a');
	loop_timer_set(trace->loop, &trace->timer, 0, again, trace);
}

TEST(loop_a_timer_that_sets_itself_again_fires_once_a_turn)
{
	struct trace trace = {.loop = open_loop()};

	loop_timer_set(trace.loop, &trace.timer, 0, again, &trace);
	CHECK_OK(loop_turn(trace.loop, -1));
	CHECK_OK(loop_turn(trace.loop, -1));
	CHECK_STR(str_of(trace.text), STR("aa"));
	loop_close(trace.loop);
}

TEST(loop_waits_for_the_next_timer_on_the_monotonic_clock)
{
	struct trace trace = {.loop = open_loop()};
	int64_t began_ns = clock_mono_ns();

	loop_timer_set(trace.loop, &trace.timer, 20, note_timer, &trace);
	while (trace.n == 0)
		CHECK_OK(loop_turn(trace.loop, -1));
	CHECK(clock_mono_ns() - began_ns >= 20000000);
	loop_timer_set(trace.loop, &trace.timer, INT64_MAX, note_timer,
		       &trace); /* saturates */
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("t"));
	loop_close(trace.loop);
}

static void
on_signal(void *ctx, int number, int64_t pid)
{
	struct trace *trace = ctx;

	CHECK_INT(pid, getpid());
	note(trace, number == SIGTERM ? 'T' : 'H');
	if (number == SIGTERM)
		loop_stop(trace->loop);
}

TEST(loop_signals_arrive_as_events_and_stop_the_loop)
{
	struct trace trace = {.loop = open_loop()};
	const int signals[] = {SIGTERM, SIGHUP};

	CHECK_OK(loop_signals(trace.loop, signals, 2, on_signal, &trace));
	CHECK_INT(kill(getpid(), SIGHUP), 0);
	CHECK_INT(kill(getpid(), SIGTERM), 0);
	CHECK_OK(loop_run(trace.loop));
	CHECK_STR(str_of(trace.text), STR("HT"));
	loop_close(trace.loop);
}

TEST(loop_takes_a_descriptor_once)
{
	struct trace trace = {.loop = open_loop()};
	int fd = eventfd(0, EFD_CLOEXEC);

	CHECK_OK(loop_fd_add(trace.loop, fd, EPOLLIN, note_fd, &trace,
			     &trace.watch));
	CHECK_ERR(
	    loop_fd_add(trace.loop, fd, EPOLLIN, note_fd, &trace, &trace.other),
	    ERR_IO);
	CHECK(trace.other == NULL);
	CHECK_OK(loop_fd_change(trace.loop, trace.watch, 0));
	ring(fd);
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR(""));
	CHECK_OK(loop_fd_change(trace.loop, trace.watch, EPOLLIN));
	CHECK_OK(loop_turn(trace.loop, 0));
	CHECK_STR(str_of(trace.text), STR("f"));
	loop_fd_remove(trace.loop, trace.watch);
	loop_close(trace.loop);
	close(fd);
}
