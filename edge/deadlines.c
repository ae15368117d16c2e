/*
 * deadlines: see deadlines.h. Two things libmicrohttpd does not tell: that a
 * part of a head is here, on a connection kept alive (edge/raw has seen it),
 * and how many bytes the client took (the kernel knows; a reader that stalls).
 * Both are asked for in the sweep only, never for each request.
 */
#include "edge/deadlines.h"

#include "edge/raw.h"
#include "lib/clock.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#define SWEEPS_PER_LIMIT 4 /* a deadline is kept to a quarter */
#define SWEEP_MS_MIN 10
#define SWEEP_MS_MAX 500

static void
list_add(struct deadlines *deadlines, struct deadline *deadline)
{
	enum deadline_state state = deadline->state;

	deadline->next = NULL;
	deadline->previous = deadlines->last[state];
	if (deadline->previous)
		deadline->previous->next = deadline;
	else
		deadlines->first[state] = deadline;
	deadlines->last[state] = deadline;
}

static void
list_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	enum deadline_state state = deadline->state;

	if (deadline->previous)
		deadline->previous->next = deadline->next;
	else
		deadlines->first[state] = deadline->next;
	if (deadline->next)
		deadline->next->previous = deadline->previous;
	else
		deadlines->last[state] = deadline->previous;
}

/* False when the kernel cannot say (no TCP socket). */
static bool
tcp_state(int fd, struct tcp_info *info)
{
	socklen_t n = sizeof(*info);

	*info = (struct tcp_info){0};
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n) == 0 &&
	       n >= offsetof(struct tcp_info, tcpi_bytes_acked) +
			sizeof(info->tcpi_bytes_acked);
}

static void
end(struct deadlines *deadlines, struct deadline *deadline)
{
	shutdown(deadline->fd, SHUT_RDWR);
	/* Its owner hears of it from the descriptor; not twice. */
	deadlines_enter(deadlines, deadline, DEADLINE_WORK);
}

static bool
is_over(const struct deadlines *deadlines, const struct deadline *deadline)
{
	int64_t age_ns = loop_now_ns(deadlines->loop) - deadline->since_ns;

	return age_ns >= deadlines->limit_ms[deadline->state] * NS_PER_MS;
}

/* States whose time simply runs. */
static void
sweep_state(struct deadlines *deadlines, enum deadline_state state)
{
	struct deadline *at;

	while ((at = deadlines->first[state]) != NULL && is_over(deadlines, at))
		end(deadlines, at);
}

/* A byte that came while the connection was idle, or before, begins a head. */
static void
sweep_idle(struct deadlines *deadlines)
{
	struct deadline *at = deadlines->first[DEADLINE_IDLE];

	while (at) {
		struct deadline *next = at->next;

		if (raw_has_begun(at->fd))
			deadlines_enter(deadlines, at, DEADLINE_HEAD);
		at = next;
	}
	sweep_state(deadlines, DEADLINE_IDLE);
}

static void
sweep_writes(struct deadlines *deadlines)
{
	struct deadline *at = deadlines->first[DEADLINE_WRITE];
	int64_t now_ns = loop_now_ns(deadlines->loop);
	int64_t limit_ns = deadlines->limit_ms[DEADLINE_WRITE] * NS_PER_MS;
	struct tcp_info info;

	while (at) {
		struct deadline *next = at->next;

		if (now_ns - at->since_ns < limit_ns / SWEEPS_PER_LIMIT)
			break; /* the rest is younger */
		if (tcp_state(at->fd, &info) &&
		    info.tcpi_bytes_acked != at->acked_bytes) {
			at->acked_bytes = info.tcpi_bytes_acked;
			at->moved_ns = now_ns;
		}
		if (now_ns - at->moved_ns >= limit_ns)
			end(deadlines, at);
		at = next;
	}
}

static int64_t
sweep_ms(const struct deadlines *deadlines)
{
	int64_t least = SWEEP_MS_MAX;
	size_t i;

	for (i = 0; i < DEADLINE_STATES; i++)
		if (i != DEADLINE_WORK &&
		    deadlines->limit_ms[i] / SWEEPS_PER_LIMIT < least)
			least = deadlines->limit_ms[i] / SWEEPS_PER_LIMIT;
	return least < SWEEP_MS_MIN ? SWEEP_MS_MIN : least;
}

static void
sweep(void *ctx)
{
	struct deadlines *deadlines = ctx;

	sweep_state(deadlines, DEADLINE_HEAD);
	sweep_state(deadlines, DEADLINE_BODY);
	sweep_writes(deadlines);
	sweep_idle(deadlines);
	loop_timer_set(deadlines->loop, &deadlines->timer, sweep_ms(deadlines),
		       sweep, deadlines);
}

void
deadlines_init(struct deadlines *deadlines, struct loop *loop,
	       const int64_t limit_ms[DEADLINE_STATES])
{
	*deadlines = (struct deadlines){.loop = loop};
	memcpy(deadlines->limit_ms, limit_ms, sizeof(deadlines->limit_ms));
	loop_timer_set(loop, &deadlines->timer, sweep_ms(deadlines), sweep,
		       deadlines);
}

void
deadlines_fini(struct deadlines *deadlines)
{
	loop_timer_clear(deadlines->loop, &deadlines->timer);
}

void
deadlines_add(struct deadlines *deadlines, struct deadline *deadline, int fd)
{
	deadline->fd = fd;
	deadline->state = DEADLINE_HEAD;
	deadline->since_ns = loop_now_ns(deadlines->loop);
	list_add(deadlines, deadline);
}

void
deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	list_remove(deadlines, deadline);
}

void
deadlines_enter(struct deadlines *deadlines, struct deadline *deadline,
		enum deadline_state state)
{
	list_remove(deadlines, deadline);
	deadline->state = state;
	deadline->since_ns = loop_now_ns(deadlines->loop);
	deadline->moved_ns = deadline->since_ns;
	deadline->acked_bytes = 0;
	list_add(deadlines, deadline);
}
