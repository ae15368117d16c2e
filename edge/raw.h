/*
 * raw: the bytes of a connection as they came. libmicrohttpd receives through
 * recv(2), which this file defines for the whole program: each head of a
 * watched descriptor is read on its way (edge/head), and each chunked body
 * (edge/chunks). What is wrong never reaches the library as a whole: whoever
 * watches answers it, and what else comes is read away until the client closes.
 * What comes behind a request (pipelined) stays with the library, which takes
 * it in turn; it is read here again when its turn comes. Loop thread only.
 * Source: RFC 9112, sections 9.3.2 and 9.6.
 */
#ifndef EDGE_RAW_H
#define EDGE_RAW_H

#include "edge/head.h"

#define RAW_PENDING_BYTES_MAX 8192u /* pipelined: no more than its buffer */
#define RAW_DRAIN_BYTES_MAX (8u << 20)

/* The head is wrong, or the body behind it, whose request may be under way (the
 * library has its head, and waits for more of the body): answer, and shut down
 * the writing side. Not called twice. */
typedef void raw_refuse_fn(void *ctx, const struct head *head);

/* A new connection; its first request begins. */
void raw_watch(int fd, raw_refuse_fn *refuse, void *ctx);
void raw_forget(int fd);
/* A request is over; the next one begins. is_kept: the connection is kept alive
 * as far as our side knows; else nothing more is answered on it. */
void raw_next(int fd, bool is_kept);
/* What is wrong with the head that the library has read, head_bytes of it, or
 * NULL. One that came behind more than RAW_PENDING_BYTES_MAX was not read here.
 */
const char *raw_fault(int fd, size_t head_bytes);
/* A part of the next head is here, be it an empty line in front of it. */
bool raw_has_begun(int fd);
/* It was refused: the library is to let go of it. */
bool raw_is_refused(int fd);

#endif
