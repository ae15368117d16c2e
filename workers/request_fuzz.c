/*
 * Fuzzer of the request scan: what is accepted is written as one valid JSON
 * object that asks for usage when it is a stream, and that holds none of the
 * members that could redirect the call.
 */
#include "workers/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct request *request, struct arena *arena)
{
	struct json_value value;
	struct request again;
	struct buf out;

	buf_init(&out, 8u << 20);
	request_write(request, STR("m"), "max_tokens", &out);
	if (out.is_failed || !json_check(buf_str(&out), &value) ||
	    json_count(value, STR("base_url")) ||
	    json_count(value, STR("api_key")))
		abort();
	if (request_read(&again,
			 request->shape == REQUEST_CHAT ? REQUEST_OPENAI
							: request->shape,
			 buf_str(&out), arena, NULL) == ERR_OK &&
	    (again.is_stream != request->is_stream ||
	     (again.shape == REQUEST_OPENAI && again.is_stream &&
	      !again.is_usage_wanted)))
		abort();
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum request_shape shape = REQUEST_OPENAI;
	struct request request;
	struct arena arena;

	if (size < 1)
		return 0;
	arena_init(&arena, 16u << 20);
	if (data[0] & 2)
		shape = REQUEST_ANTHROPIC;
	else if (data[0] & 1)
		shape = REQUEST_CHAT;
	if (request_read(&request, shape, str_bytes(data + 1, size - 1), &arena,
			 NULL) == ERR_OK)
		check(&request, &arena);
	arena_fini(&arena);
	return 0;
}
