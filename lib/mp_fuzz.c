/*
 * mp fuzzer: any bytes through the cursor; it must stay inside them and move
 * on or say no.
 */
#include "lib/mp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_reader r = mp_reader(str_bytes(data, size));
	struct str s;
	uint32_t count;
	int64_t i;
	bool b;

	while (r.at < r.end) {
		const unsigned char *before = r.at;
		struct mp_reader skipped = r;
		bool is_whole = mp_skip(&skipped, 8);
		bool is_read = mp_read_nil(&r) || mp_read_bool(&r, &b) ||
			       mp_read_int(&r, &i) || mp_read_str(&r, &s) ||
			       mp_read_bin(&r, &s);

		if (is_read && (!is_whole || skipped.at != r.at))
			abort();
		if (!is_read && !mp_read_array(&r, &count)) {
			if (r.at != before)
				abort();
			if (!is_whole)
				break;
			r = skipped;
		}
		if (r.at <= before || r.at > r.end)
			abort();
	}
	return 0;
}
