/*
 * ask: a question to a pool of workers for one HTTP request, and what becomes
 * of it when the answer, an error, or the end of the request comes first. While
 * a pool has nobody (a worker restarts, this edge has just begun) its questions
 * wait a moment, so that a restart fails no request.
 */
#ifndef EDGE_ASK_H
#define EDGE_ASK_H

#include "edge/edge.h"
#include "lib/msg.h"

struct ask {
	const struct schema *schema;
	const void *in;
	bool is_repeatable; /* a read: may be asked again elsewhere */
	bool takes_errors;  /* fn hears of them too; else they are replied */
	bool is_impatient;  /* does not wait for a worker to come */
	void (*fn)(struct http_request *request,
		   const struct bus_answer *answer);
};

/* To the pool of the request's route, with its deadline. One question at a time
 * for each request. When it cannot even be asked, the request is refused
 * (takes_errors: fn is called) before this returns. */
void ask(struct http_request *request, const struct ask *question);
/* A worker came: those that wait are asked. */
void ask_waiting(struct edge *edge);
/* The request is over: the answer is no longer wanted. */
void ask_end(struct http_request *request);
/* Decodes an answer into out; what is in it lives as long as the answer and the
 * request. False: it is none, and the request is refused for that. */
bool ask_take(struct http_request *request, const struct bus_answer *answer,
	      const struct schema *schema, void *out);
/* Refuses with what a worker said: body is a failure message. */
void ask_reply_failure(struct http_request *request, enum err err,
		       struct str body);

#endif
