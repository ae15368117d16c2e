/*
 * Fuzzer of the SSE reader: the first byte picks the size of the pieces; what
 * is understood must not depend on it, and no byte may be lost.
 */
#include "workers/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	struct buf text;
	size_t raw_bytes;
};

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct sum *sum = ctx;

	if (event->data.p) {
		buf_add_str(&sum->text, event->name);
		buf_add_char(&sum->text, '|');
		buf_add_str(&sum->text, event->data);
		buf_add_char(&sum->text, ';');
	}
	sum->raw_bytes += event->raw.n;
	return true;
}

static void
run(struct sum *sum, const uint8_t *data, size_t size, size_t step)
{
	struct sse sse;

	buf_init(&sum->text, 64u << 20);
	sum->raw_bytes = 0;
	sse_init(&sse);
	for (size_t at = 0; at < size;) {
		size_t n = step < size - at ? step : size - at;

		if (sse_feed(&sse, str_bytes(data + at, n), on_event, sum))
			abort();
		at += n;
	}
	if (sse_end(&sse, on_event, sum))
		abort();
	sse_fini(&sse);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sum whole, pieces;

	if (size < 1 || size > SSE_EVENT_BYTES_MAX)
		return 0;
	run(&whole, data + 1, size - 1, size);
	run(&pieces, data + 1, size - 1, 1u + data[0] % 16u);
	if (whole.raw_bytes != size - 1 || pieces.raw_bytes != size - 1 ||
	    !str_eq(buf_str(&whole.text), buf_str(&pieces.text)))
		abort();
	buf_fini(&whole.text);
	buf_fini(&pieces.text);
	return 0;
}
