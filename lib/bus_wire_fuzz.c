/* Whatever bytes come in: nothing but whole, sound frames is read from them. */
#include "lib/bus_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_head head;
	struct wire_frame frame;
	struct str frames;
	size_t total = WIRE_HEAD_BYTES;

	if (!wire_batch_read(str_bytes(data, size), &head, &frames))
		return 0;
	assert(strlen(head.name) < BUS_NAME_BYTES);
	while (wire_frame_next(&frames, &frame))
		total += WIRE_FRAME_BYTES + frame.body.n;
	assert(total == size);
	return 0;
}
