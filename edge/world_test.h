/*
 * world_test: a whole edge with three small workers behind it on the same loop,
 * for the tests. The workers' answers hang on the key or the body of the
 * request.
 */
#ifndef EDGE_WORLD_TEST_H
#define EDGE_WORLD_TEST_H

#include "edge/edge.h"
#include "edge/talk_test.h"
#include "lib/clock.h"
#include "lib/test.h"

#define UNTIL(expr) TALK_UNTIL(edge.loop, expr)
#define KEY "X-License-Key: CHA-1\r\n"
#define CHAT "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" KEY

struct worker {
	struct bus *bus;
	unsigned asked;
	unsigned cancelled;
	struct bus_from *held; /* a question that waits for the test */
	int64_t places;	       /* `concurrent` of an AI answer; 0 = no limit */
	char key[64];
	char domain[64];
	char request_id[72];
	char shape[16];
	char anthropic_version[72];
	char anthropic_beta[64];
	char traceparent[72];
	char tracestate[520];
};

extern struct edge edge;
extern struct worker workers[EDGE_POOLS];

void world_begin(void);
void world_end(void);
void world_worker_close(enum edge_pool pool);
void world_worker_open(enum edge_pool pool);
bool world_is_alive(void);
int world_client(enum edge_listener listener);
/* One request on a connection of its own, to its end. */
void world_get(enum edge_listener listener, const char *request);
/* The same as a POST to the public listener, with Connection: close. */
void world_post(const char *path, const char *headers, const char *body);
/* Is text in what was received last? */
bool world_has(const char *text);

/* Answers a held AI request: the head of a stream, a complete answer, or a
 * failure. */
void world_answer_head(struct worker *worker, struct bus_from *from,
		       const char *body, bool is_stream);
void world_answer_failure(struct worker *worker, struct bus_from *from,
			  enum err err);

#define CHECK_HAS(text)                                                        \
	do {                                                                   \
		if (!world_has(text))                                          \
			test_fail(__FILE__, __LINE__, "no %s in %s", text,     \
				  talk_got);                                   \
	} while (0)
#define CHECK_STATUS(status) CHECK_HAS("HTTP/1.1 " status " ")

#endif
