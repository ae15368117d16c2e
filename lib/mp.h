/*
 * mp: msgpack. Reading is a strict cursor of our own: counts are checked
 * against the bytes that remain before anything is reserved, depth is bounded
 * by the callers' schemas, nothing is copied. Writing goes through msgpack-c
 * into a buf. Source: the msgpack specification (2013, "new" spec).
 */
#ifndef LIB_MP_H
#define LIB_MP_H

#include "lib/buf.h"

struct mp_reader {
	const unsigned char *at;
	const unsigned char *end;
};

static inline struct mp_reader
mp_reader(struct str bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;

	return (struct mp_reader){p, p + bytes.n};
}

/* Each returns false, with the cursor where it was, when the next item is not
 * of that type or runs beyond the end. */
bool mp_read_nil(struct mp_reader *r);
bool mp_read_bool(struct mp_reader *r, bool *out);
/* Any integer format that fits int64_t. */
bool mp_read_int(struct mp_reader *r, int64_t *out);
bool mp_read_str(struct mp_reader *r, struct str *out);
bool mp_read_bin(struct mp_reader *r, struct str *out);
/* *count items follow; at most as many as bytes remain. */
bool mp_read_array(struct mp_reader *r, uint32_t *count);
/* Passes over one item of any type, nested to max_depth. */
bool mp_skip(struct mp_reader *r, unsigned max_depth);

void mp_write_nil(struct buf *buf);
void mp_write_bool(struct buf *buf, bool b);
void mp_write_int(struct buf *buf, int64_t i);
void mp_write_str(struct buf *buf, struct str s); /* absent = nil */
void mp_write_bin(struct buf *buf, struct str s); /* absent = nil */
void mp_write_array(struct buf *buf, uint32_t count);

#endif
