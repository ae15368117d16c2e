/*
 * head_fuzz: whatever comes, in one piece or byte by byte, the verdict is the
 * same; a head that is done ends with an empty line and is within its cost.
 */
#include "edge/head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct head whole, parts;
	size_t used = 0;
	size_t n;

	head_begin(&whole);
	head_begin(&parts);
	n = head_take(&whole, bytes, size);
	for (size_t i = 0; i < size; i++)
		used += head_take(&parts, bytes + i, 1);
	if (head_is_done(&whole) != head_is_done(&parts) ||
	    whole.body_bytes != parts.body_bytes ||
	    head_closes(&whole) != head_closes(&parts))
		abort();
	if (head_is_wrong(&whole) != head_is_wrong(&parts))
		abort();
	if (!head_is_done(&whole))
		return 0;
	if (n != used || n < 4 || memcmp(bytes + n - 4, "\r\n\r\n", 4) != 0 ||
	    whole.cost > HEAD_COST_MAX || whole.body_bytes < HEAD_BODY_UNKNOWN)
		abort();
	return 0;
}
