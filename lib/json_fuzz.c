/*
 * json fuzzer: what the scanner takes must walk to the same end as it was
 * scanned, and every string must survive being written and read again.
 */
#include "lib/json.h"

#include <stdlib.h>

#define VALUES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
string_again(struct json_value value, struct arena *arena)
{
	struct str text = json_string(value, arena);
	struct json_value again;
	struct buf buf;
	struct str back;

	if (text.p == NULL)
		return;
	buf_init(&buf, 1 << 22);
	json_write_string(&buf, text);
	if (!json_check(buf_str(&buf), &again))
		abort();
	back = json_string(again, arena);
	if (back.p && !str_eq(back, text))
		abort();
	if (!json_key_is(str_bytes(value.raw.p + 1, value.raw.n - 2), text))
		abort();
	buf_fini(&buf);
}

/* One value; its inner ones go onto the list. */
static size_t
look(struct json_value value, struct json_value *list, struct arena *arena)
{
	struct json_walk walk = json_walk(value);
	struct json_value whole;
	struct str key;
	size_t count = 0;
	int64_t i;

	if (!json_check(value.raw, &whole) || whole.type != value.type ||
	    !str_eq(whole.raw, value.raw))
		abort();
	json_int(value, &i);
	if (value.type == JSON_STRING)
		string_again(value, arena);
	if (value.type == JSON_OBJECT)
		while (count < VALUES_MAX &&
		       json_next_member(&walk, &key, &list[count]))
			count++;
	if (value.type == JSON_ARRAY)
		while (count < VALUES_MAX &&
		       json_next_item(&walk, &list[count]))
			count++;
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct json_value list[2 * VALUES_MAX];
	struct arena arena;
	struct json_value value;
	size_t count = 1;
	unsigned looked = 0;

	if (!json_check(str_bytes(data, size), &value))
		return 0;
	arena_init(&arena, 4 << 20);
	list[0] = value;
	while (count && looked++ < VALUES_MAX) {
		value = list[--count];
		count +=
		    count < VALUES_MAX ? look(value, list + count, &arena) : 0;
	}
	arena_fini(&arena);
	return 0;
}
