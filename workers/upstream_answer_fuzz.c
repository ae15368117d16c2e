/*
 * Fuzzer of the reader of HTTP answers: the first byte picks the size of the
 * pieces; what is understood must not depend on it, and no byte may be taken
 * that does not belong to the answer.
 */
#include "workers/upstream_answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	struct buf text; /* heads and bodies */
	enum answer_step end;
	bool is_kept;
	size_t taken;
};

static void
run(struct sum *sum, const uint8_t *data, size_t size, size_t step)
{
	struct upstream_answer answer;
	struct str body;
	size_t at = 0;

	buf_init(&sum->text, 64u << 20);
	sum->end = ANSWER_MORE;
	upstream_answer_begin(&answer);
	while (at < size && sum->end == ANSWER_MORE) {
		size_t n = step < size - at ? step : size - at;
		struct str in = str_bytes(data + at, n);

		do {
			sum->end = upstream_answer_take(&answer, &in, &body);
			if (sum->end == ANSWER_HEAD) {
				buf_add_int(&sum->text, answer.head.status);
				buf_add_str(&sum->text,
					    answer.head.content_type);
				buf_add_char(&sum->text, '|');
			} else if (sum->end == ANSWER_BODY) {
				if (body.n == 0)
					abort();
				buf_add_str(&sum->text, body);
			}
		} while (sum->end == ANSWER_HEAD || sum->end == ANSWER_BODY);
		at += n - in.n;
		if (sum->end == ANSWER_MORE && in.n)
			abort();
	}
	sum->taken = sum->end == ANSWER_WRONG ? 0 : at;
	if (sum->end == ANSWER_MORE)
		sum->end = upstream_answer_close(&answer);
	if ((sum->end == ANSWER_WRONG) != (answer.fault != NULL))
		abort();
	sum->is_kept = answer.is_kept;
	upstream_answer_fini(&answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sum whole, pieces;

	if (size < 1)
		return 0;
	run(&whole, data + 1, size - 1, size);
	run(&pieces, data + 1, size - 1, 1u + data[0] % 16u);
	if (whole.end != pieces.end || whole.taken != pieces.taken ||
	    whole.is_kept != pieces.is_kept ||
	    !str_eq(buf_str(&whole.text), buf_str(&pieces.text)))
		abort();
	buf_fini(&whole.text);
	buf_fini(&pieces.text);
	return 0;
}
