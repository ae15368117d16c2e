/*
 * Fuzzer of the Anthropic-shaped readers: any bytes as an answer, as lines of
 * events or as an error; counts stay within their bounds and parts within
 * their whole, texts inside the input.
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
check_count(int64_t n, int64_t max)
{
	if (n != PROVIDER_TOKENS_NONE && (n < 0 || n > max))
		abort();
}

static void
check_usage(const struct provider_usage *usage)
{
	check_count(usage->prompt, PROVIDER_TOKENS_MAX);
	check_count(usage->output, PROVIDER_TOKENS_MAX);
	check_count(usage->cache_read, PROVIDER_TOKENS_MAX);
	check_count(usage->cache_write, PROVIDER_TOKENS_MAX);
	check_count(usage->cache_write_1h, schema_count(usage->cache_write));
	check_count(usage->reasoning, PROVIDER_TOKENS_MAX);
	if (usage->prompt != PROVIDER_TOKENS_NONE &&
	    schema_count(usage->cache_read) + schema_count(usage->cache_write) >
		usage->prompt)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_bytes(data, size), rest = bytes;
	struct provider_usage usage;
	struct provider_answer answer;
	struct provider_event out;

	provider_usage_clear(&usage);
	if (anthropic_wire.read_answer(bytes, &usage, &answer)) {
		check_inside(answer.text, data, size);
		check_inside(answer.model, data, size);
	}
	check_usage(&usage);
	while (rest.n) {
		const char *end = memchr(rest.p, '\n', rest.n);
		size_t n = end ? (size_t)(end - rest.p) : rest.n;
		struct str line = str_bytes(rest.p, n);
		struct sse_event event = {STR_NONE, line, line};

		anthropic_wire.read_event(&event, &usage, &out);
		check_inside(out.text, data, size);
		check_inside(out.model, data, size);
		check_usage(&usage);
		n += end != NULL;
		rest = str_bytes(rest.p + n, rest.n - n);
	}
	anthropic_wire.judge(400, bytes);
	anthropic_wire.judge(429, bytes);
	return 0;
}
