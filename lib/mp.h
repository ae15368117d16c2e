/*
 * mp: msgpack. Reading is a strict cursor of our own: counts are checked
 * against the bytes that remain before anything is reserved, depth is bounded
 * by the callers' schemas, nothing is copied. Writing goes through msgpack-c
 * into a buf; formats of one byte, which most items have, are written and read
 * here, inline. Source: the msgpack specification (2013, "new" spec).
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

/* First bytes of formats, and what the short ones hold. */
enum {
	MP_FIXINT_MAX = 0x7f,
	MP_FIXARRAY = 0x90,
	MP_FIXARRAY_MAX = 15,
	MP_FIXSTR = 0xa0,
	MP_FIXSTR_MAX = 31,
	MP_NIL = 0xc0,
	MP_FALSE = 0xc2,
	MP_TRUE = 0xc3,
};

/* Of any format. */
bool mp_read_any_int(struct mp_reader *r, int64_t *out);
bool mp_read_any_str(struct mp_reader *r, struct str *out);
bool mp_read_any_array(struct mp_reader *r, uint32_t *count);

/* Each returns false, with the cursor where it was, when the next item is not
 * of that type or runs beyond the end. */
static inline bool
mp_read_nil(struct mp_reader *r)
{
	if (r->at == r->end || *r->at != MP_NIL)
		return false;
	r->at++;
	return true;
}

static inline bool
mp_read_bool(struct mp_reader *r, bool *out)
{
	if (r->at == r->end || (*r->at != MP_FALSE && *r->at != MP_TRUE))
		return false;
	*out = *r->at == MP_TRUE;
	r->at++;
	return true;
}

/* Any integer format that fits int64_t. */
static inline bool
mp_read_int(struct mp_reader *r, int64_t *out)
{
	if (r->at == r->end || *r->at > MP_FIXINT_MAX)
		return mp_read_any_int(r, out);
	*out = *r->at++;
	return true;
}

static inline bool
mp_read_str(struct mp_reader *r, struct str *out)
{
	unsigned n = r->at == r->end ? 0 : *r->at ^ MP_FIXSTR;

	if (n > MP_FIXSTR_MAX || (size_t)(r->end - r->at) <= n)
		return mp_read_any_str(r, out);
	*out = str_bytes(r->at + 1, n);
	r->at += 1 + n;
	return true;
}

bool mp_read_bin(struct mp_reader *r, struct str *out);

/* *count items follow; at most as many as bytes remain. */
static inline bool
mp_read_array(struct mp_reader *r, uint32_t *count)
{
	unsigned n = r->at == r->end ? 0 : *r->at ^ MP_FIXARRAY;

	if (n > MP_FIXARRAY_MAX || (size_t)(r->end - r->at) <= n)
		return mp_read_any_array(r, count);
	*count = n;
	r->at++;
	return true;
}

/* Passes over one item of any type, nested to max_depth. */
bool mp_skip(struct mp_reader *r, unsigned max_depth);

/* In whatever format is the shortest. */
void mp_write_any_int(struct buf *buf, int64_t i);
void mp_write_any_str(struct buf *buf, struct str s);
void mp_write_any_array(struct buf *buf, uint32_t count);

static inline void
mp_write_nil(struct buf *buf)
{
	buf_add_char(buf, (char)MP_NIL);
}

static inline void
mp_write_bool(struct buf *buf, bool b)
{
	buf_add_char(buf, (char)(b ? MP_TRUE : MP_FALSE));
}

static inline void
mp_write_int(struct buf *buf, int64_t i)
{
	if (i >= 0 && i <= MP_FIXINT_MAX)
		buf_add_char(buf, (char)i);
	else
		mp_write_any_int(buf, i);
}

/* Absent = nil. */
static inline void
mp_write_str(struct buf *buf, struct str s)
{
	if (s.p == NULL) {
		mp_write_nil(buf);
	} else if (s.n > MP_FIXSTR_MAX || !buf_reserve(buf, 1 + s.n)) {
		mp_write_any_str(buf, s);
	} else {
		buf_add_char(buf, (char)(MP_FIXSTR | s.n));
		buf_add_str(buf, s);
	}
}

void mp_write_bin(struct buf *buf, struct str s); /* absent = nil */

static inline void
mp_write_array(struct buf *buf, uint32_t count)
{
	if (count <= MP_FIXARRAY_MAX)
		buf_add_char(buf, (char)(MP_FIXARRAY | count));
	else
		mp_write_any_array(buf, count);
}

#endif
