/*
 * schema: the walkers over descriptors that encode, decode and check; the JSON
 * ones are in schema_json.c. They call themselves for nested schemas only, so
 * their depth is that of the tables, never of the input. See schema.h.
 */
#include "lib/schema_walk.h"

#include <assert.h>

#include "lib/mp.h"

static void encode(const struct schema *schema, const void *in,
		   struct buf *out);

static void
encode_names(const struct schema_field *field, const void *in, struct buf *out)
{
	const struct str *names = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	assert(count <= field->max);
	mp_write_array(out, count);
	for (uint32_t i = 0; i < count; i++) {
		assert(names[i].n <= SCHEMA_NAME_BYTES_MAX);
		mp_write_str(out, names[i]);
	}
}

static void
encode_list(const struct schema_field *field, const void *in, struct buf *out)
{
	const char *items = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	assert(count <= field->max);
	mp_write_array(out, count);
	for (uint32_t i = 0; i < count; i++)
		encode(field->sub, items + (size_t)i * field->sub->size, out);
}

static void
encode_int(const struct schema_field *field, const void *in, struct buf *out)
{
	int64_t i = walk_int(field, in);

	if (i == SCHEMA_INT_NONE) {
		mp_write_nil(out);
		return;
	}
	assert(i >= 0 || !(field->flags & F_NONNEG));
	mp_write_int(out, i);
}

static void
encode_field(const struct schema_field *field, const void *in, struct buf *out)
{
	struct str s;

	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		mp_write_bool(out, walk_bool(field, in));
		break;
	case KIND_INT:
	case KIND_TIME:
		encode_int(field, in, out);
		break;
	case KIND_STR:
	case KIND_JSON:
		s = walk_str(field, in);
		assert(s.n <= field->max);
		mp_write_str(out, s);
		break;
	case KIND_BIN:
		s = walk_str(field, in);
		assert(s.n <= field->max);
		mp_write_bin(out, s);
		break;
	case KIND_NAMES:
		encode_names(field, in, out);
		break;
	case KIND_SUB:
		encode(field->sub, walk_at(field, in), out);
		break;
	case KIND_LIST:
	case KIND_MAP:
		encode_list(field, in, out);
		break;
	}
}

/* A reader takes for absent what is not there. */
static bool
is_absent(const struct schema_field *field, const void *in)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		return !walk_bool(field, in);
	case KIND_INT:
	case KIND_TIME:
		return walk_int(field, in) == SCHEMA_INT_NONE;
	case KIND_STR:
	case KIND_JSON:
	case KIND_BIN:
		return walk_str(field, in).p == NULL;
	case KIND_NAMES:
	case KIND_LIST:
	case KIND_MAP:
		return walk_count(field, in) == 0;
	case KIND_SUB:
		break;
	}
	return false;
}

static void
encode(const struct schema *schema, const void *in, struct buf *out)
{
	unsigned count = schema->field_count;

	while (count > 1 && is_absent(&schema->fields[count - 1], in))
		count--;
	mp_write_array(out, count);
	for (unsigned i = 0; i < count; i++)
		encode_field(&schema->fields[i], in, out);
}

void
schema_encode(const struct schema *schema, const void *in, struct buf *out)
{
	encode(schema, in, out);
}

void
schema_clear(const struct schema *schema, void *out)
{
	memset(out, 0, schema->size);
	for (unsigned i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (field->kind == KIND_INT || field->kind == KIND_TIME)
			walk_set_int(field, out, SCHEMA_INT_NONE);
		else if (field->kind == KIND_SUB)
			schema_clear(field->sub, walk_at_out(field, out));
	}
}

/* --- decoding ------------------------------------------------------------- */

struct decoding {
	struct mp_reader reader;
	struct arena *arena;
	struct why *why;
};

static enum err decode(struct decoding *d, const struct schema *schema,
		       void *out);

static enum err
malformed(struct decoding *d, const struct schema_field *field,
	  const char *text)
{
	return why_field(d->why, ERR_MALFORMED, field->name, "%s %s",
			 field->name, text);
}

static enum err
decode_names(struct decoding *d, const struct schema_field *field, void *out)
{
	struct str *names;
	uint32_t count;

	if (!mp_read_array(&d->reader, &count))
		return malformed(d, field, "is no list");
	if (count > field->max)
		return malformed(d, field, "has too many items");
	names = arena_array(d->arena, count, sizeof(*names));
	if (names == NULL)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		if (!mp_read_str(&d->reader, &names[i]) ||
		    names[i].n > SCHEMA_NAME_BYTES_MAX)
			return malformed(d, field, "has an item that is wrong");
	walk_set_list(field, out, names, count);
	return ERR_OK;
}

static enum err
decode_list(struct decoding *d, const struct schema_field *field, void *out)
{
	uint32_t count;
	char *items;

	if (!mp_read_array(&d->reader, &count))
		return malformed(d, field, "is no list");
	if (count > field->max)
		return malformed(d, field, "has too many items");
	items = arena_array(d->arena, count, field->sub->size);
	if (items == NULL)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		enum err e =
		    decode(d, field->sub, items + (size_t)i * field->sub->size);

		if (e != ERR_OK)
			return e;
	}
	walk_set_list(field, out, items, count);
	return ERR_OK;
}

static enum err
decode_int(struct decoding *d, const struct schema_field *field, void *out)
{
	int64_t i;

	if (!mp_read_int(&d->reader, &i))
		return malformed(d, field, "is no integer");
	if (i < 0 && (field->flags & F_NONNEG))
		return why_field(d->why, ERR_BAD_FIELD, field->name,
				 "%s must not be negative", field->name);
	walk_set_int(field, out, i);
	return ERR_OK;
}

static enum err
decode_text(struct decoding *d, const struct schema_field *field, void *out)
{
	struct str s;
	bool is_read = field->kind == KIND_BIN ? mp_read_bin(&d->reader, &s)
					       : mp_read_str(&d->reader, &s);

	if (!is_read)
		return malformed(d, field, "is no string");
	if (s.n > field->max)
		return malformed(d, field, "is too long");
	walk_set_str(field, out, s);
	return ERR_OK;
}

static enum err
decode_field(struct decoding *d, const struct schema_field *field, void *out)
{
	bool b;

	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		if (!mp_read_bool(&d->reader, &b))
			return malformed(d, field, "is no boolean");
		walk_set_bool(field, out, b);
		return ERR_OK;
	case KIND_INT:
	case KIND_TIME:
		return decode_int(d, field, out);
	case KIND_STR:
	case KIND_BIN:
	case KIND_JSON:
		return decode_text(d, field, out);
	case KIND_NAMES:
		return decode_names(d, field, out);
	case KIND_SUB:
		return decode(d, field->sub, walk_at_out(field, out));
	case KIND_LIST:
	case KIND_MAP:
		return decode_list(d, field, out);
	}
	return malformed(d, field, "is of no known kind");
}

/* Writes each field of *out, unless it fails. */
static enum err
decode(struct decoding *d, const struct schema *schema, void *out)
{
	uint32_t count;
	enum err e;

	if (!mp_read_array(&d->reader, &count))
		return why_set(d->why, ERR_MALFORMED, "%s is no list of fields",
			       schema->name);
	for (unsigned i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (i >= count || mp_read_nil(&d->reader)) {
			walk_clear(field, out); /* absent */
		} else {
			e = decode_field(d, field, out);
			if (e != ERR_OK)
				return e;
		}
		if ((field->flags & F_REQUIRED) && walk_is_empty(field, out))
			return walk_missing(field, d->why);
	}
	for (unsigned i = schema->field_count; i < count; i++)
		if (!mp_skip(&d->reader, SCHEMA_DEPTH_MAX))
			return why_set(d->why, ERR_MALFORMED,
				       "%s has a broken item", schema->name);
	return ERR_OK;
}

enum err
schema_decode(const struct schema *schema, struct str bytes, void *out,
	      struct arena *arena, struct why *why)
{
	struct decoding d = {mp_reader(bytes), arena, why};
	enum err e = decode(&d, schema, out);

	if (e == ERR_OK && d.reader.at != d.reader.end)
		e = why_set(why, ERR_MALFORMED, "%s has bytes left over",
			    schema->name);
	if (e != ERR_OK)
		schema_clear(schema, out);
	return e;
}

/* --- checking ------------------------------------------------------------- */

static enum err
check_names(const struct schema_field *field, const void *in, struct why *why)
{
	const struct str *names = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	if (count > field->max)
		return walk_too_many(field, why);
	for (uint32_t i = 0; i < count; i++)
		if (names[i].n > SCHEMA_NAME_BYTES_MAX)
			return why_field(why, ERR_BAD_FIELD, field->name,
					 "%s: an item must be at most %d bytes",
					 field->name, SCHEMA_NAME_BYTES_MAX);
	return ERR_OK;
}

static enum err
check_list(const struct schema_field *field, const void *in, struct why *why)
{
	const char *items = walk_list(field, in);
	uint32_t count = walk_count(field, in);
	enum err e = ERR_OK;

	if (count > field->max)
		return walk_too_many(field, why);
	for (uint32_t i = 0; i < count && e == ERR_OK; i++)
		e = schema_check(field->sub,
				 items + (size_t)i * field->sub->size, why);
	return e;
}

static enum err
check_field(const struct schema_field *field, const void *in, struct why *why)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
	case KIND_TIME:
		return ERR_OK;
	case KIND_INT:
		if ((field->flags & F_NONNEG) && walk_int(field, in) < 0 &&
		    walk_int(field, in) != SCHEMA_INT_NONE)
			return why_field(why, ERR_BAD_FIELD, field->name,
					 "%s must not be negative",
					 field->name);
		return ERR_OK;
	case KIND_STR:
	case KIND_BIN:
	case KIND_JSON:
		if (walk_str(field, in).n > field->max)
			return walk_too_long(field, why);
		return ERR_OK;
	case KIND_NAMES:
		return check_names(field, in, why);
	case KIND_SUB:
		return schema_check(field->sub, walk_at(field, in), why);
	case KIND_LIST:
	case KIND_MAP:
		return check_list(field, in, why);
	}
	return ERR_OK;
}

enum err
schema_check(const struct schema *schema, const void *in, struct why *why)
{
	for (unsigned i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		enum err e;

		if ((field->flags & F_REQUIRED) && walk_is_empty(field, in))
			return walk_missing(field, why);
		e = check_field(field, in, why);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}
