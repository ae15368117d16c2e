/*
 * demo: the answer that the proxy gives by itself while no provider is
 * switched on, so that a new user sees the whole way work without an account:
 * a fixed text, clearly marked, in OpenAI's shape, read and metered like that
 * of any provider. Pure.
 */
#ifndef WORKERS_PROVIDERS_DEMO_H
#define WORKERS_PROVIDERS_DEMO_H

#include "lib/buf.h"

struct demo_ask {
	struct str model;
	int64_t created_s; /* wall clock */
	int64_t prompt_tokens;
	bool is_stream;
};

/* Appends the whole answer: one JSON object, or a stream of events, a word
 * each, with usage and [DONE]. */
void demo_write(const struct demo_ask *ask, struct buf *out);

#endif
