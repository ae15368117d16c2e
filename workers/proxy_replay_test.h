/*
 * proxy_replay: streams as the providers' documentation has them (nobody's real
 * conversations), with what a ledger line must say of each.
 */
#ifndef WORKERS_PROXY_REPLAY_TEST_H
#define WORKERS_PROXY_REPLAY_TEST_H

#include "lib/str.h"

#include <stdint.h>

#define REPLAY_MARKS_MAX 3u

/* What is known of the tokens behind the event that has that text; the last one
 * is what the line says in the end. */
struct replay_mark {
	const char *text;
	int64_t input; /* -1: not said, the proxy's own estimate */
	int64_t cache_read;
	int64_t cache_write;
	int64_t cache_write_1h;
	int64_t output;
	int64_t reasoning;
};

struct replay {
	const char *model; /* of the request, and what picks the provider */
	const char *stream;
	const char *answer;			    /* the same as JSON */
	struct replay_mark marks[REPLAY_MARKS_MAX]; /* text NULL: no more */
};

extern const struct replay replays[];
#define REPLAYS 4u

#endif
