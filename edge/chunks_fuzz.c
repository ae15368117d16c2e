/*
 * chunks_fuzz: in one piece or byte by byte, a body ends at the same byte and
 * is wrong in the same words; what is done ends with an empty line.
 */
#include "edge/chunks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct chunks whole, parts;
	size_t used = 0, n;

	chunks_begin(&whole);
	chunks_begin(&parts);
	n = chunks_take(&whole, bytes, size);
	for (size_t i = 0; i < size; i++)
		used += chunks_take(&parts, bytes + i, 1);
	if (n != used || whole.state != parts.state ||
	    whole.fault != parts.fault || whole.left != parts.left)
		abort();
	if (chunks_is_done(&whole) &&
	    (n < 5 || memcmp(bytes + n - 4, "\r\n\r\n", 4) != 0))
		abort();
	return 0;
}
