/*
 * buf: doubling growth under a limit. See buf.h.
 */
#include "lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BYTES 256u

void
buf_init(struct buf *buf, size_t limit_bytes)
{
	*buf = (struct buf){.limit_bytes = limit_bytes};
}

void
buf_fini(struct buf *buf)
{
	free(buf->p);
	*buf = (struct buf){.limit_bytes = buf->limit_bytes};
}

void
buf_reset(struct buf *buf)
{
	buf->n = 0;
	buf->is_failed = false;
}

static bool
grow(struct buf *buf, size_t need)
{
	size_t room = buf->room ? buf->room : FIRST_BYTES;
	char *p;

	while (room < need)
		room *= 2;
	if (room > buf->limit_bytes)
		room = buf->limit_bytes;
	p = realloc(buf->p, room);
	if (p == NULL)
		return false;
	buf->p = p;
	buf->room = room;
	return true;
}

bool
buf_reserve(struct buf *buf, size_t n)
{
	if (buf->is_failed)
		return false;
	if (n > buf->limit_bytes || buf->n > buf->limit_bytes - n ||
	    (buf->n + n > buf->room && !grow(buf, buf->n + n)))
		buf->is_failed = true;
	return !buf->is_failed;
}

size_t
buf_print_int(char text[BUF_INT_BYTES], int64_t i)
{
	uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
	size_t n = i < 0 ? 2 : 1;
	char *at;

	for (uint64_t left = u; left > 9; left /= 10)
		n++;
	at = text + n;
	do {
		*--at = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (i < 0)
		*--at = '-';
	return n;
}

void
buf_add_int(struct buf *buf, int64_t i)
{
	char text[BUF_INT_BYTES];
	size_t n = buf_print_int(text, i);

	buf_add(buf, text, n);
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0 || !buf_reserve(buf, (size_t)n + 1)) {
		buf->is_failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(buf->p + buf->n, (size_t)n + 1, format, args);
	va_end(args);
	buf->n += (size_t)n;
}

void
buf_drop(struct buf *buf, size_t n)
{
	if (n == 0)
		return;
	memmove(buf->p, buf->p + n, buf->n - n);
	buf->n -= n;
}
