/*
 * fault: named points where a test makes the world fail. Compiled in only with
 * -DCHATELLO_FAULTS (debug and sanitizer builds); elsewhere fault() is false.
 * CHATELLO_FAULT="store-flush:3,bus-send:1/100" in the environment: the third
 * pass fails, or one in a hundred (seeded by CHATELLO_FAULT_SEED).
 */
#ifndef LIB_FAULT_H
#define LIB_FAULT_H

#include <stdbool.h>

#ifdef CHATELLO_FAULTS
bool fault(const char *point);
/* For tests in the process itself; NULL = none. */
void fault_set(const char *rules);
#else
#define fault(point) false
#endif

#endif
