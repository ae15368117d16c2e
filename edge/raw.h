/*
 * raw: the bytes of a request's head as they came. libmicrohttpd takes a bare
 * LF or CR for a line end, joins folded lines and cuts a value at a NUL, and
 * nobody behind it can see that; a proxy in front may read the same bytes
 * otherwise (request smuggling). It receives through recv(2), which this file
 * defines for the whole program: the heads of watched descriptors are looked
 * at on their way. Loop thread only. Source: RFC 9112, sections 2.2 and 5.2.
 */
#ifndef EDGE_RAW_H
#define EDGE_RAW_H

#include <stdbool.h>
#include <stddef.h>

/* A new connection; its first request begins. */
void raw_watch(int fd);
void raw_forget(int fd);
/* A request is over; the next one begins with what is received from now on. */
void raw_next(int fd);
/* What is wrong with the head that the library has read: head_bytes of it. One
 * that came in part before raw_next (pipelined) was not looked at and is wrong,
 * too. NULL when nothing is. */
const char *raw_fault(int fd, size_t head_bytes);

#endif
