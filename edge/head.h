/*
 * head: reads a request's head byte by byte as it comes, before the HTTP
 * library does, and stops at the first thing that the library would take, or
 * would answer in words of its own: a request line, version, header line or
 * Content-Length that is none, line ends and NULs that somebody else could read
 * otherwise (request smuggling), and more than its memory holds. Pure: bytes
 * in, a verdict out; edge/raw feeds it. What single values mean is
 * edge/audit's. Sources: RFC 9112, sections 2.2, 2.3, 3, 5; RFC 9110, 8.6.
 */
#ifndef EDGE_HEAD_H
#define EDGE_HEAD_H

#include "lib/err.h"
#include "lib/str.h"

/* tchar of RFC 9110, section 5.6.2. */
extern const bool head_is_token[256];

/* What a head may take of a connection's memory: its bytes, so many more beside
 * each header, cookie and argument, and the cookies twice. */
#define HEAD_COST_MAX 7168u
#define HEAD_VALUE_COST 64u
#define HEAD_TARGET_BYTES 32 /* of the target are kept */

#define HEAD_BODY_UNKNOWN (-1) /* chunked: it says itself where it ends */

struct head {
	uint8_t state;	  /* enum state */
	uint8_t matching; /* bits of the known words that it may still be */
	uint8_t at;	  /* in the version, the word */
	bool is_1_0;
	bool has_close; /* an option of Connection */
	bool has_keep_alive;
	bool has_digits; /* of a Content-Length */
	uint8_t target_n;
	char target[HEAD_TARGET_BYTES]; /* its beginning, as it came */
	uint32_t bytes;			/* from the request line on */
	uint32_t cost;
	int64_t body_bytes; /* 0 without a body, or HEAD_BODY_UNKNOWN */
	enum err err;
	const char *fault; /* a sentence for the client */
};

void head_begin(struct head *head);
/* How many of the n bytes belong to the head: all of them unless it has come to
 * its end or is wrong. Then it takes no more. */
size_t head_take(struct head *head, const char *bytes, size_t n);
/* It is wrong for what comes behind it: ERR_BAD_REQUEST. */
void head_fail(struct head *head, const char *fault);
bool head_is_done(const struct head *head);
bool head_is_wrong(const struct head *head);
/* The connection closes behind this request. RFC 9112, section 9.3. */
bool head_closes(const struct head *head);

#endif
