/*
 * bus_wire: batches and frames as bytes, little-endian; the layout is in
 * doc/protocol.md. Reading trusts nothing: a batch is checked as a whole before
 * its first frame is looked at.
 */
#include "lib/bus_internal.h"

#include <endian.h>

#define MAGIC 0x42584843u /* "CHXB" */

struct raw_head {
	uint32_t magic;
	uint16_t version;
	uint16_t zero;
	uint64_t from_incarnation;
	uint64_t to_incarnation;
	char name[BUS_NAME_BYTES];
};
_Static_assert(sizeof(struct raw_head) == WIRE_HEAD_BYTES, "no padding");

struct raw_frame {
	uint32_t body_bytes;
	uint16_t type;
	uint16_t err;
	uint8_t kind;
	uint8_t zero[3];
	uint32_t extra;
	uint64_t id;
};
_Static_assert(sizeof(struct raw_frame) == WIRE_FRAME_BYTES, "no padding");

void
wire_head_put(const struct wire_head *head, char out[WIRE_HEAD_BYTES])
{
	struct raw_head raw = {
	    .magic = htole32(MAGIC),
	    .version = htole16(WIRE_VERSION),
	    .from_incarnation = htole64(head->from_incarnation),
	    .to_incarnation = htole64(head->to_incarnation),
	};

	memcpy(raw.name, head->name, strnlen(head->name, sizeof(raw.name) - 1));
	memcpy(out, &raw, sizeof(raw));
}

bool
wire_frame_put(struct buf *buf, size_t limit_bytes,
	       const struct wire_frame *frame)
{
	const struct raw_frame raw = {
	    .body_bytes = htole32((uint32_t)frame->body.n),
	    .type = htole16(frame->type),
	    .err = htole16(frame->err),
	    .kind = frame->kind,
	    .extra = htole32(frame->extra),
	    .id = htole64(frame->id),
	};
	size_t n = sizeof(raw) + frame->body.n;

	if (n > limit_bytes || buf->n > limit_bytes - n)
		return false;
	if (!buf_reserve(buf, n)) {
		buf->is_failed = false; /* what is in it is still good */
		return false;
	}
	memcpy(buf->p + buf->n, &raw, sizeof(raw));
	if (frame->body.n)
		memcpy(buf->p + buf->n + sizeof(raw), frame->body.p,
		       frame->body.n);
	buf->n += n;
	return true;
}

static bool
head_read(struct str batch, struct wire_head *head)
{
	struct raw_head raw;

	if (batch.n < sizeof(raw))
		return false;
	memcpy(&raw, batch.p, sizeof(raw));
	if (raw.magic != htole32(MAGIC) ||
	    raw.version != htole16(WIRE_VERSION) || raw.zero != 0 ||
	    raw.from_incarnation == 0 || raw.name[0] == '\0' ||
	    raw.name[sizeof(raw.name) - 1] != '\0')
		return false;
	head->from_incarnation = le64toh(raw.from_incarnation);
	head->to_incarnation = le64toh(raw.to_incarnation);
	head->name = batch.p + offsetof(struct raw_head, name);
	return true;
}

/* What each kind may carry. */
static bool
frame_is_sound(const struct wire_frame *frame)
{
	switch ((enum wire_kind)frame->kind) {
	case WIRE_REQUEST:
		return frame->id != 0 && frame->err == 0 && frame->extra != 0;
	case WIRE_ANSWER:
	case WIRE_PART:
		return frame->id != 0;
	case WIRE_CANCEL:
	case WIRE_CREDIT:
		return frame->id != 0 && frame->body.n == 0;
	case WIRE_BEAT:
		return frame->id == 0 && frame->body.n == 0;
	}
	return false;
}

bool
wire_frame_next(struct str *frames, struct wire_frame *frame)
{
	struct raw_frame raw;
	size_t body_bytes;

	if (frames->n < sizeof(raw))
		return false;
	memcpy(&raw, frames->p, sizeof(raw));
	body_bytes = le32toh(raw.body_bytes);
	if (body_bytes > frames->n - sizeof(raw) || raw.zero[0] ||
	    raw.zero[1] || raw.zero[2])
		return false;
	*frame = (struct wire_frame){
	    .kind = raw.kind,
	    .type = le16toh(raw.type),
	    .err = le16toh(raw.err),
	    .extra = le32toh(raw.extra),
	    .id = le64toh(raw.id),
	    .body = str_bytes(frames->p + sizeof(raw), body_bytes),
	};
	frames->p += sizeof(raw) + body_bytes;
	frames->n -= sizeof(raw) + body_bytes;
	return true;
}

bool
wire_batch_read(struct str batch, struct wire_head *head, struct str *frames)
{
	struct wire_frame frame;
	struct str rest;

	if (!head_read(batch, head))
		return false;
	rest = str_bytes(batch.p + WIRE_HEAD_BYTES, batch.n - WIRE_HEAD_BYTES);
	*frames = rest;
	while (rest.n > 0)
		if (!wire_frame_next(&rest, &frame) || !frame_is_sound(&frame))
			return false;
	return true;
}

size_t
wire_cut(struct str frames, size_t max_bytes)
{
	struct wire_frame frame;
	struct str rest = frames;
	size_t cut = 0;

	if (frames.n <= max_bytes)
		return frames.n;
	while (wire_frame_next(&rest, &frame) && frames.n - rest.n <= max_bytes)
		cut = frames.n - rest.n;
	return cut;
}
