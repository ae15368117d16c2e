/*
 * Fuzzer of the OpenAI-shaped readers: any bytes as an answer, an event or an
 * error; counts stay within their bounds, texts inside the input.
 */
#include "workers/providers/providers.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct str part, const uint8_t *data, size_t size)
{
	const char *begin = (const char *)data;

	if (part.p &&
	    (part.p < begin || part.n > size || part.p + part.n > begin + size))
		abort();
	if (part.p && (part.n < 2 || part.p[0] != '"'))
		abort();
}

static void
check_count(int64_t n)
{
	if (n != PROVIDER_TOKENS_NONE && (n < 0 || n > PROVIDER_TOKENS_MAX))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_bytes(data, size);
	struct sse_event event = {STR_NONE, bytes, bytes};
	struct provider_usage usage;
	struct provider_answer answer;
	struct provider_event out;

	provider_usage_clear(&usage);
	if (openai_wire.read_answer(bytes, &usage, &answer)) {
		check_inside(answer.text, data, size);
		check_inside(answer.model, data, size);
	}
	openai_wire.read_event(&event, &usage, &out);
	check_inside(out.text, data, size);
	check_inside(out.model, data, size);
	check_count(usage.prompt);
	check_count(usage.output);
	check_count(usage.cache_read);
	check_count(usage.reasoning);
	openai_wire.judge(429, bytes);
	return 0;
}
