/*
 * clock: the two clocks. Deadlines and latencies live on the monotonic one;
 * the wall clock is read once where a request enters the ledger and is then
 * carried as a value. Tests replace both through clock_set.
 */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)

/* CLOCK_MONOTONIC, nanoseconds and milliseconds. */
int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
/* CLOCK_REALTIME in milliseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ms(void);

/* For tests: functions that take the place of both clocks; NULL = the real. */
void clock_set(int64_t (*mono_ns)(void), int64_t (*wall_ms)(void));

#endif
