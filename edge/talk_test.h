/*
 * talk_test: raw HTTP clients for the tests of this room, in the thread of the
 * loop that they talk to: it is turned until they have what they wait for.
 */
#ifndef EDGE_TALK_TEST_H
#define EDGE_TALK_TEST_H

#include "lib/loop.h"

#define TALK_BYTES_MAX (1u << 16)
#define TALK_WAIT_MS 5000

/* What talk_hear received last, with a NUL behind it. */
extern char talk_got[TALK_BYTES_MAX];
extern size_t talk_got_n;

/* Connects to the address that fd is bound to. */
int talk_connect(int listen_fd);
void talk_say(int fd, const char *text);
/* Receives until `text` is in it, or (NULL) to the end. False: it took longer
 * than TALK_WAIT_MS. */
bool talk_hear(struct loop *loop, int fd, const char *text);

/* Turns the loop until expr holds. */
#define TALK_UNTIL(loop, expr)                                                 \
	do {                                                                   \
		int64_t end_ms_ = clock_mono_ms() + TALK_WAIT_MS;              \
		while (!(expr)) {                                              \
			if (clock_mono_ms() > end_ms_)                         \
				test_fail(__FILE__, __LINE__, "never: %s",     \
					  #expr);                              \
			CHECK_OK(loop_turn(loop, 5));                          \
		}                                                              \
	} while (0)

#endif
