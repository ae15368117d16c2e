/*
 * schema fuzzer: the first byte picks a message, the rest is decoded as msgpack
 * and as JSON. What is taken must encode, decode again and print as JSON.
 */
#include "lib/json.h"
#include "lib/msg.h"

#include <stdlib.h>

#define STRUCT_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
take(const struct schema *schema, const void *value, bool has_text)
{
	_Alignas(16) char again[STRUCT_BYTES_MAX];
	struct json_value json;
	struct arena arena;
	struct buf buf;

	arena_init(&arena, 8 << 20);
	buf_init(&buf, 32 << 20);
	schema_encode(schema, value, &buf);
	if (buf.is_failed || schema_check(schema, value, NULL) != ERR_OK ||
	    schema_decode(schema, buf_str(&buf), again, &arena, NULL) != ERR_OK)
		abort();
	buf_reset(&buf);
	schema_print_json(schema, again, &buf);
	if (has_text && !json_check(buf_str(&buf), &json))
		abort();
	buf_fini(&buf);
	arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(16) char value[STRUCT_BYTES_MAX];
	const struct schema *schema = size ? msg_schema(data[0]) : NULL;
	struct arena arena;
	struct str rest;

	if (schema == NULL || schema->size > sizeof(value))
		return 0;
	rest = str_bytes(data + 1, size - 1);
	arena_init(&arena, 8 << 20);
	/* JSON members from the bus are trusted, so their text is not checked
	 */
	if (schema_decode(schema, rest, value, &arena, NULL) == ERR_OK)
		take(schema, value, schema != &failure_schema);
	arena_reset(&arena);
	if (schema_read_json(schema, rest, value, &arena, NULL) == ERR_OK)
		take(schema, value, true);
	arena_fini(&arena);
	return 0;
}
