/* clock: see clock.h. */
#include "lib/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t (*fake_mono_ns)(void);
static int64_t (*fake_wall_ms)(void);

int64_t
clock_mono_ns(void)
{
	struct timespec t;

	if (fake_mono_ns)
		return fake_mono_ns();
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

int64_t
clock_wall_ms(void)
{
	struct timespec t;

	if (fake_wall_ms)
		return fake_wall_ms();
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / NS_PER_MS;
}

void
clock_set(int64_t (*mono_ns)(void), int64_t (*wall_ms)(void))
{
	fake_mono_ns = mono_ns;
	fake_wall_ms = wall_ms;
}
