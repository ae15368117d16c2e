/*
 * upstream_answer: reads one HTTP/1.x answer out of the bytes of a connection,
 * in pieces of any size: the same whatever the pieces are. It is told what came
 * and says what to do with it, step by step, so that its user can stop between
 * any two of them. Pure but for the wall clock of a date in Retry-After.
 * Bounded: all header lines (and trailers) together, and a chunk's line.
 * Source: RFC 9112, sections 2 to 9. Strict where a length could be read in two
 * ways, patient with header lines that nobody needs.
 */
#ifndef WORKERS_UPSTREAM_ANSWER_H
#define WORKERS_UPSTREAM_ANSWER_H

#include "workers/upstream.h"

#define UPSTREAM_CHUNK_LINE_MAX 1024u /* a chunk's size with its extensions */

enum answer_step {
	ANSWER_MORE,  /* all was taken: bring more */
	ANSWER_HEAD,  /* answer->head is the final one; once */
	ANSWER_BODY,  /* a piece of the body, at least a byte */
	ANSWER_END,   /* it is whole; what is left in `in` is not of it */
	ANSWER_WRONG, /* answer->fault says why; nothing more is taken */
};

struct upstream_answer {
	uint8_t state;	 /* enum state */
	bool is_kept;	 /* behind its end another request may be sent */
	bool is_chunked; /* of the head that is being read: */
	bool has_length;
	bool is_line_taken; /* line is to be emptied */
	uint64_t left;	    /* bytes of the body, or of its chunk */
	size_t head_bytes;
	struct buf line; /* what has come of one that is not whole */
	struct upstream_head head;
	char content_type[128]; /* head.content_type is in it */
	const char *fault;	/* a literal */
};

void upstream_answer_begin(struct upstream_answer *answer);
void upstream_answer_fini(struct upstream_answer *answer);
/* Takes bytes off the front of *in. *body is set with ANSWER_BODY and points
 * into it. */
enum answer_step upstream_answer_take(struct upstream_answer *answer,
				      struct str *in, struct str *body);
/* Nothing more comes: ANSWER_END when that is this answer's end, else
 * ANSWER_WRONG. */
enum answer_step upstream_answer_close(struct upstream_answer *answer);
/* No byte of it has come. */
bool upstream_answer_is_empty(const struct upstream_answer *answer);

#endif
