/* bus_wire: frames and batches there and back, and what is refused. */
#include "lib/bus_internal.h"

#include "lib/test.h"

#include <stdlib.h>

static const struct wire_head head_in = {7, 9, "edge-0"};

static void
batch_of(struct buf *buf, const struct wire_frame *frames, size_t count)
{
	char raw[WIRE_HEAD_BYTES];

	buf_init(buf, BUS_BATCH_BYTES_MAX);
	wire_head_put(&head_in, raw);
	buf_add(buf, raw, sizeof(raw));
	for (size_t i = 0; i < count; i++)
		CHECK(wire_frame_put(buf, BUS_BATCH_BYTES_MAX, &frames[i]));
}

static const struct wire_frame all_kinds[] = {
    {WIRE_REQUEST, 10, 0, 2500, 0x1234567890abcdefu, {"body", 4}},
    {WIRE_ANSWER, 0, ERR_EXPIRED, 0, 1, {"", 0}},
    {WIRE_PART, 0, 0, 3, UINT64_MAX, {"part\0x", 6}},
    {WIRE_CANCEL, 0, 0, 0, 5, {"", 0}},
    {WIRE_CREDIT, 0, 0, 65536, 5, {"", 0}},
    {WIRE_BEAT, 0, 0, 0, 0, {"", 0}},
};
#define KINDS (sizeof(all_kinds) / sizeof(all_kinds[0]))

TEST(bus_wire_gives_back_what_was_put)
{
	struct wire_head head;
	struct wire_frame frame;
	struct str frames;
	struct buf buf;

	batch_of(&buf, all_kinds, KINDS);
	CHECK(wire_batch_read(buf_str(&buf), &head, &frames));
	CHECK_INT(head.from_incarnation, 7);
	CHECK_INT(head.to_incarnation, 9);
	CHECK_STR(str_of(head.name), STR("edge-0"));
	for (size_t i = 0; i < KINDS; i++) {
		CHECK(wire_frame_next(&frames, &frame));
		CHECK_INT(frame.kind, all_kinds[i].kind);
		CHECK_INT(frame.type, all_kinds[i].type);
		CHECK_INT(frame.err, all_kinds[i].err);
		CHECK_INT(frame.extra, all_kinds[i].extra);
		CHECK(frame.id == all_kinds[i].id);
		CHECK_STR(frame.body, all_kinds[i].body);
	}
	CHECK(!wire_frame_next(&frames, &frame));
	buf_fini(&buf);
}

TEST(bus_wire_refuses_every_truncation)
{
	struct wire_head head;
	struct str frames;
	struct buf buf;
	size_t whole = 0;

	batch_of(&buf, all_kinds, KINDS);
	for (size_t n = 0; n < buf.n; n++) { /* an exact copy for asan */
		char *copy = malloc(n + 1);

		memcpy(copy, buf.p, n);
		whole += wire_batch_read(str_bytes(copy, n), &head, &frames);
		free(copy);
	}
	CHECK_INT(whole, KINDS); /* those cut between two frames */
	buf_fini(&buf);
}

/* Sets byte at of a good batch and expects a refusal. */
static void
refuse(size_t at, char value)
{
	struct wire_head head;
	struct str frames;
	struct buf buf;

	batch_of(&buf, all_kinds, KINDS);
	buf.p[at] = value;
	if (wire_batch_read(buf_str(&buf), &head, &frames))
		test_fail(__FILE__, __LINE__, "byte %zu = %d was taken", at,
			  value);
	buf_fini(&buf);
}

TEST(bus_wire_refuses_what_is_not_its_own)
{
	const size_t frame = WIRE_HEAD_BYTES;

	refuse(0, 'X');			      /* magic */
	refuse(4, 2);			      /* version */
	refuse(6, 1);			      /* zero */
	refuse(8, 0);			      /* no incarnation */
	refuse(24, '\0');		      /* no name */
	refuse(24 + BUS_NAME_BYTES - 1, 'x'); /* name without end */
	refuse(frame + 3, 1);		      /* body beyond the end */
	refuse(frame + 3, (char)0xff);
	refuse(frame + 6, 1); /* a request with an err */
	refuse(frame + 8, 0); /* kinds that are none */
	refuse(frame + 8, WIRE_BEAT + 1);
	refuse(frame + 8, WIRE_CANCEL); /* has a body */
	refuse(frame + 8, WIRE_BEAT);
	refuse(frame + 9, 1); /* zero */
	refuse(frame + 11, 1);
}

TEST(bus_wire_survives_random_bytes)
{
	struct wire_head head;
	struct wire_frame frame;
	struct str frames;
	struct buf buf;
	size_t total = 0;

	srandom(3);
	for (unsigned round = 0; round < 20000; round++) {
		batch_of(&buf, all_kinds, KINDS);
		for (unsigned i = 0; i < 3; i++)
			buf.p[(size_t)random() % buf.n] = (char)random();
		if (wire_batch_read(buf_str(&buf), &head, &frames))
			while (wire_frame_next(&frames, &frame))
				total += frame.body.n;
		buf_fini(&buf);
	}
	CHECK(total > 0);
}

TEST(bus_wire_put_keeps_its_limit_and_cut_keeps_frames_whole)
{
	const struct wire_frame frame = {
	    .kind = WIRE_PART, .id = 1, .body = STR("0123456789")};
	const size_t one = WIRE_FRAME_BYTES + 10;
	struct buf buf;

	buf_init(&buf, 3 * one);
	CHECK(wire_frame_put(&buf, 2 * one, &frame));
	CHECK(wire_frame_put(&buf, 2 * one, &frame));
	CHECK(!wire_frame_put(&buf, 2 * one, &frame));
	CHECK_INT(buf.n, 2 * one);
	CHECK(wire_frame_put(&buf, 9 * one, &frame));
	CHECK(!wire_frame_put(&buf, 9 * one, &frame)); /* no memory for it */
	CHECK(!buf.is_failed);
	CHECK_INT(buf.n, 3 * one);
	CHECK_INT(wire_cut(buf_str(&buf), 3 * one), 3 * one);
	CHECK_INT(wire_cut(buf_str(&buf), 3 * one - 1), 2 * one);
	CHECK_INT(wire_cut(buf_str(&buf), one), one);
	CHECK_INT(wire_cut(buf_str(&buf), one - 1), 0);
	buf_fini(&buf);
}
