/*
 * buf: a growing run of bytes with a limit. A failed append marks the buffer
 * (is_failed) and changes nothing else, so that a run of appends is checked
 * once, at its end. One thread at a time.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include "lib/str.h"

struct buf {
	char *p;
	size_t n;
	size_t room;	    /* allocated bytes */
	size_t limit_bytes; /* appends beyond it fail */
	bool is_failed;	    /* an append did not fit or found no memory */
};

/* Takes no memory yet. */
void buf_init(struct buf *buf, size_t limit_bytes);
void buf_fini(struct buf *buf);
/* Empty again, memory kept, mark cleared. */
void buf_reset(struct buf *buf);
/* Room for n more bytes behind buf->n; false (and marked) when there is none.
 */
bool buf_reserve(struct buf *buf, size_t n);
#define BUF_INT_BYTES 20u
/* The decimal digits of i, with a sign when it is negative; how many bytes. */
size_t buf_print_int(char text[BUF_INT_BYTES], int64_t i);
void buf_add_int(struct buf *buf, int64_t i);
void buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Removes the first n bytes (n <= buf->n). */
void buf_drop(struct buf *buf, size_t n);

static inline void
buf_add(struct buf *buf, const void *p, size_t n)
{
	if (n > buf->room - buf->n || buf->is_failed) {
		if (!buf_reserve(buf, n))
			return;
	}
	if (n > 0)
		memcpy(buf->p + buf->n, p, n);
	buf->n += n;
}

static inline void
buf_add_str(struct buf *buf, struct str s)
{
	buf_add(buf, s.p, s.n);
}

static inline void
buf_add_z(struct buf *buf, const char *z)
{
	buf_add(buf, z, strlen(z));
}

static inline void
buf_add_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

static inline struct str
buf_str(const struct buf *buf)
{
	return str_bytes(buf->p ? buf->p : "", buf->n);
}

#endif
