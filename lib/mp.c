/*
 * mp: a strict msgpack cursor, and writing through msgpack-c. See mp.h.
 */
#include "lib/mp.h"

#include <assert.h>
#include <msgpack/pack.h>

#define DEPTH_MAX 32 /* of mp_skip's own stack */

/* First bytes of the formats, by the specification. */
enum {
	FIXMAP = 0x80,
	NEVER_USED = 0xc1,
	BIN8 = 0xc4,
	EXT8 = 0xc7,
	FLOAT32 = 0xca,
	UINT8 = 0xcc,
	INT8 = 0xd0,
	FIXEXT1 = 0xd4,
	STR8 = 0xd9,
	ARRAY16 = 0xdc,
	ARRAY32 = 0xdd,
	MAP16 = 0xde,
	MAP32 = 0xdf,
	NEGATIVE_FIXINT = 0xe0,
};

static size_t
left(const struct mp_reader *r)
{
	return (size_t)(r->end - r->at);
}

/* The big-endian number of n (1, 2, 4, 8) bytes behind the first byte. */
static bool
number_behind(const struct mp_reader *r, size_t n, uint64_t *out)
{
	uint64_t u = 0;

	if (left(r) < 1 + n)
		return false;
	for (size_t i = 1; i <= n; i++)
		u = u << 8 | r->at[i];
	*out = u;
	return true;
}

bool
mp_read_any_int(struct mp_reader *r, int64_t *out)
{
	unsigned char first;
	uint64_t u;
	size_t n;

	if (left(r) == 0)
		return false;
	first = *r->at;
	if (first < FIXMAP || first >= NEGATIVE_FIXINT) {
		*out = (int64_t)first - (first < FIXMAP ? 0 : 256);
		r->at++;
		return true;
	}
	if (first < UINT8 || first > INT8 + 3)
		return false;
	n = (size_t)1 << (first & 3);
	if (!number_behind(r, n, &u))
		return false;
	if (first < INT8) {
		if (u > INT64_MAX)
			return false;
	} else if (n < 8 && u >> (8 * n - 1)) {
		u |= ~UINT64_C(0) << (8 * n);
	}
	*out = (int64_t)u;
	r->at += 1 + n;
	return true;
}

/* n bytes behind a head of head bytes. */
static bool
take_bytes(struct mp_reader *r, size_t head, uint64_t n, struct str *out)
{
	if (n > left(r) - head)
		return false;
	*out = str_bytes(r->at + head, (size_t)n);
	r->at += head + n;
	return true;
}

bool
mp_read_any_str(struct mp_reader *r, struct str *out)
{
	unsigned char first;
	uint64_t n;
	size_t width;

	if (left(r) == 0)
		return false;
	first = *r->at;
	if (first >= MP_FIXSTR && first < MP_NIL)
		return take_bytes(r, 1, first & 0x1f, out);
	if (first < STR8 || first > STR8 + 2)
		return false;
	width = (size_t)1 << (first - STR8);
	return number_behind(r, width, &n) && take_bytes(r, 1 + width, n, out);
}

bool
mp_read_bin(struct mp_reader *r, struct str *out)
{
	uint64_t n;
	size_t width;

	if (left(r) == 0 || *r->at < BIN8 || *r->at > BIN8 + 2)
		return false;
	width = (size_t)1 << (*r->at - BIN8);
	return number_behind(r, width, &n) && take_bytes(r, 1 + width, n, out);
}

bool
mp_read_any_array(struct mp_reader *r, uint32_t *count)
{
	unsigned char first;
	uint64_t n;
	size_t head = 1;

	if (left(r) == 0)
		return false;
	first = *r->at;
	if (first >= MP_FIXARRAY && first < MP_FIXSTR) {
		n = first & 0x0f;
	} else if (first == ARRAY16 || first == ARRAY32) {
		size_t width = first == ARRAY16 ? 2 : 4;

		if (!number_behind(r, width, &n))
			return false;
		head += width;
	} else {
		return false;
	}
	if (n > left(r) - head)
		return false;
	*count = (uint32_t)n;
	r->at += head;
	return true;
}

/* Passes over the head (and bytes) of one item; *items = how many items it
 * holds, which follow. */
static bool
skip_head(struct mp_reader *r, uint64_t *items)
{
	static const unsigned char width_of_length[] = {1, 2, 4};
	unsigned char first;
	uint64_t n = 0;
	size_t width = 0;
	struct str bytes;
	int64_t i;

	if (left(r) == 0)
		return false;
	first = *r->at;
	*items = 0;
	if (first < FIXMAP || first >= NEGATIVE_FIXINT)
		return mp_read_any_int(r, &i);
	if (first < MP_FIXSTR || first >= ARRAY16) { /* maps and arrays */
		bool is_map = first < MP_FIXARRAY || first >= MAP16;

		if (first < MP_FIXSTR)
			n = first & 0x0f;
		else
			width = first & 1 ? 4 : 2;
		if (width && !number_behind(r, width, &n))
			return false;
		*items = is_map ? 2 * n : n;
		if (*items > left(r) - 1 - width)
			return false;
		r->at += 1 + width;
		return true;
	}
	if (first < MP_NIL)
		return take_bytes(r, 1, first & 0x1f, &bytes);
	if (first == NEVER_USED)
		return false;
	if (first <= MP_TRUE)
		return take_bytes(r, 1, 0, &bytes);
	if (first < EXT8)
		width = width_of_length[first - BIN8];
	else if (first < FLOAT32)
		width = width_of_length[first - EXT8];
	else if (first >= STR8)
		width = width_of_length[first - STR8];
	else if (first < UINT8)
		n = first == FLOAT32 ? 4 : 8;
	else if (first < FIXEXT1)
		n = UINT64_C(1) << (first & 3);
	else
		n = 1 + (UINT64_C(1) << (first - FIXEXT1));
	if (width && !number_behind(r, width, &n))
		return false;
	if (width && first >= EXT8 && first < FLOAT32)
		n++; /* the type's byte */
	return take_bytes(r, 1 + width, n, &bytes);
}

bool
mp_skip(struct mp_reader *r, unsigned max_depth)
{
	uint64_t todo[DEPTH_MAX + 1]; /* items left at each depth */
	struct mp_reader at = *r;
	unsigned depth = 0;

	assert(max_depth <= DEPTH_MAX);
	todo[0] = 1;
	for (;;) {
		uint64_t items;

		while (todo[depth] == 0) {
			if (depth == 0) {
				*r = at;
				return true;
			}
			depth--;
		}
		todo[depth]--;
		if (!skip_head(&at, &items))
			return false;
		if (items == 0)
			continue;
		if (depth == max_depth)
			return false;
		todo[++depth] = items;
	}
}

static int
into_buf(void *data, const char *bytes, size_t n)
{
	buf_add(data, bytes, n);
	return 0;
}

static msgpack_packer
packer(struct buf *buf)
{
	return (msgpack_packer){.data = buf, .callback = into_buf};
}

void
mp_write_any_int(struct buf *buf, int64_t i)
{
	msgpack_packer pk = packer(buf);

	msgpack_pack_int64(&pk, i);
}

void
mp_write_any_str(struct buf *buf, struct str s)
{
	msgpack_packer pk = packer(buf);

	msgpack_pack_str_with_body(&pk, s.p, s.n);
}

void
mp_write_bin(struct buf *buf, struct str s)
{
	msgpack_packer pk = packer(buf);

	if (s.p == NULL)
		msgpack_pack_nil(&pk);
	else
		msgpack_pack_bin_with_body(&pk, s.p, s.n);
}

void
mp_write_any_array(struct buf *buf, uint32_t count)
{
	msgpack_packer pk = packer(buf);

	msgpack_pack_array(&pk, count);
}
