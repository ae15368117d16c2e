/*
 * chunks: finds the end of a chunked body as it comes, before the HTTP library
 * does, and stops at the first byte that the library would answer in words of
 * its own, or that somebody else could read otherwise (request smuggling): line
 * ends are CRLF, sizes are hexadecimal digits, extensions are short, trailers
 * are none. Pure: bytes in, a verdict out; edge/raw feeds it. Source: RFC 9112,
 * section 7.1.
 */
#ifndef EDGE_CHUNKS_H
#define EDGE_CHUNKS_H

#include "lib/str.h"

#define CHUNKS_DIGITS_MAX 16
#define CHUNKS_EXTENSION_MAX 64 /* bytes, of one chunk */

struct chunks {
	uint8_t state; /* enum state */
	uint8_t digits;
	uint8_t extension;
	uint64_t left;	   /* of the chunk's data */
	const char *fault; /* a sentence for the client; NULL: none */
};

void chunks_begin(struct chunks *chunks);
/* How many of the n bytes belong to the body: all of them unless it has come to
 * its end or is wrong. Then it takes no more. */
size_t chunks_take(struct chunks *chunks, const char *bytes, size_t n);
bool chunks_is_done(const struct chunks *chunks);

#endif
