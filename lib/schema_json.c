/*
 * schema_json: structs to JSON and back by their descriptors. Printing is on
 * the path of every answer, reading on that of every request with a JSON body.
 * See schema.h.
 */
#include "lib/schema_walk.h"

#include "lib/calendar.h"
#include "lib/json.h"

/* --- printing ------------------------------------------------------------- */

static void print_members(const struct schema *schema, unsigned from,
			  const void *in, struct buf *out);

static void
print_time(struct buf *out, int64_t ms)
{
	char text[CALENDAR_TEXT_BYTES];
	size_t n = calendar_print_utc(ms, text);

	buf_add_char(out, '"');
	buf_add(out, text, n);
	buf_add_char(out, '"');
}

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"abcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648, section 5, without padding. */
static void
print_base64url(struct buf *out, struct str s)
{
	const unsigned char *in = (const unsigned char *)s.p;

	buf_add_char(out, '"');
	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;
		size_t n = s.n - i < 3 ? s.n - i : 3;
		char text[4];

		if (n > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (n > 2)
			bits |= in[i + 2];
		for (unsigned k = 0; k < 4; k++)
			text[k] = base64url[bits >> (18 - 6 * k) & 63];
		buf_add(out, text, n + 1);
	}
	buf_add_char(out, '"');
}

static void
print_names(const struct schema_field *field, const void *in, struct buf *out)
{
	const struct str *names = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	buf_add_char(out, '[');
	for (uint32_t i = 0; i < count; i++) {
		if (i)
			buf_add_char(out, ',');
		json_write_string(out, names[i]);
	}
	buf_add_char(out, ']');
}

static void
print_list(const struct schema_field *field, const void *in, struct buf *out)
{
	const char *items = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	buf_add_char(out, '[');
	for (uint32_t i = 0; i < count; i++) {
		if (i)
			buf_add_char(out, ',');
		print_members(field->sub, 0,
			      items + (size_t)i * field->sub->size, out);
	}
	buf_add_char(out, ']');
}

static void print_value(const struct schema_field *field, const void *in,
			struct buf *out);

static void
print_map(const struct schema_field *field, const void *in, struct buf *out)
{
	const struct schema *sub = field->sub;
	const char *item = walk_list(field, in);
	uint32_t count = walk_count(field, in);

	buf_add_char(out, '{');
	for (uint32_t i = 0; i < count; i++, item += sub->size) {
		if (i)
			buf_add_char(out, ',');
		json_write_string(out, walk_str(&sub->fields[0], item));
		buf_add_char(out, ':');
		if (sub->field_count == 2)
			print_value(&sub->fields[1], item, out);
		else
			print_members(sub, 1, item, out);
	}
	buf_add_char(out, '}');
}

static bool
is_absent(const struct schema_field *field, const void *in)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_STR:
	case KIND_BIN:
	case KIND_JSON:
		return walk_str(field, in).p == NULL;
	case KIND_INT:
	case KIND_TIME:
	case KIND_NAMES:
	case KIND_LIST:
	case KIND_MAP:
	case KIND_BOOL:
	case KIND_SUB:
		break;
	}
	return walk_is_empty(field, in);
}

static void
print_value(const struct schema_field *field, const void *in, struct buf *out)
{
	bool is_null = is_absent(field, in);

	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		if (walk_bool(field, in))
			buf_add(out, "true", 4);
		else
			buf_add(out, "false", 5);
		return;
	case KIND_INT:
		if (!is_null)
			buf_add_int(out, walk_int(field, in));
		break;
	case KIND_TIME:
		if (!is_null)
			print_time(out, walk_int(field, in));
		break;
	case KIND_STR:
		if (!is_null)
			json_write_string(out, walk_str(field, in));
		break;
	case KIND_BIN:
		if (!is_null)
			print_base64url(out, walk_str(field, in));
		break;
	case KIND_JSON:
		if (!is_null)
			buf_add_str(out, walk_str(field, in));
		break;
	case KIND_NAMES:
		print_names(field, in, out);
		return;
	case KIND_SUB:
		print_members(field->sub, 0, walk_at(field, in), out);
		return;
	case KIND_LIST:
		print_list(field, in, out);
		return;
	case KIND_MAP:
		print_map(field, in, out);
		return;
	}
	if (is_null)
		buf_add(out, "null", 4);
}

static void
print_members(const struct schema *schema, unsigned from, const void *in,
	      struct buf *out)
{
	bool is_first = true;

	buf_add_char(out, '{');
	for (unsigned i = from; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (field->flags & F_HIDDEN)
			continue;
		if ((field->flags & F_OMIT) && is_absent(field, in))
			continue;
		/* Names of fields need no escapes. */
		buf_add(out, field->json_name + is_first,
			(size_t)field->json_name_bytes - is_first);
		is_first = false;
		print_value(field, in, out);
	}
	buf_add_char(out, '}');
}

void
schema_print_json(const struct schema *schema, const void *in, struct buf *out)
{
	print_members(schema, 0, in, out);
}

/* --- reading -------------------------------------------------------------- */

struct reading {
	struct arena *arena;
	struct why *why;
};

static enum err read_members(struct reading *r, const struct schema *schema,
			     unsigned from, struct json_value object,
			     void *out);
static enum err read_field(struct reading *r, const struct schema_field *field,
			   struct json_value value, void *out);

static enum err
bad_type(struct reading *r, const struct schema_field *field, const char *want)
{
	return why_field(r->why, ERR_BAD_FIELD, field->name, "%s must be %s",
			 field->name, want);
}

static enum err
read_text(struct reading *r, const struct schema_field *field, size_t max,
	  struct json_value value, struct str *out)
{
	struct str s;

	if (value.type != JSON_STRING)
		return bad_type(r, field, "a string");
	s = json_string(value, r->arena);
	if (s.p == NULL)
		return ERR_NO_MEMORY;
	if (s.n > max)
		return walk_too_long(field, r->why);
	if (s.n && memchr(s.p, 0, s.n))
		return bad_type(r, field, "without NUL characters");
	*out = s;
	return ERR_OK;
}

static int
base64url_value(char c)
{
	const char *at = c ? strchr(base64url, c) : NULL;

	return at ? (int)(at - base64url) : -1;
}

static enum err
read_base64url(struct reading *r, const struct schema_field *field,
	       struct json_value value, void *out)
{
	struct str text = STR_NONE;
	uint32_t bits = 0;
	size_t n = 0;
	char *bytes;
	enum err e;

	e = read_text(r, field, (size_t)field->max * 4 / 3 + 2, value, &text);
	if (e != ERR_OK)
		return e;
	bytes = arena_alloc(r->arena, text.n);
	if (bytes == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < text.n; i++) {
		int v = base64url_value(text.p[i]);

		if (v < 0)
			return bad_type(r, field, "base64url without padding");
		bits = bits << 6 | (uint32_t)v;
		if (i % 4)
			bytes[n++] = (char)(bits >> (6 - 2 * (i % 4)));
	}
	if (text.n % 4 == 1)
		return bad_type(r, field, "base64url without padding");
	if (n > field->max)
		return walk_too_long(field, r->why);
	walk_set_str(field, out, str_bytes(bytes, n));
	return ERR_OK;
}

static enum err
read_int(struct reading *r, const struct schema_field *field,
	 struct json_value value, void *out)
{
	int64_t i;

	if (!json_int(value, &i) || i == SCHEMA_INT_NONE)
		return bad_type(r, field, "an integer");
	if (i < 0 && (field->flags & F_NONNEG))
		return bad_type(r, field, "an integer that is not negative");
	walk_set_int(field, out, i);
	return ERR_OK;
}

static enum err
read_time(struct reading *r, const struct schema_field *field,
	  struct json_value value, void *out)
{
	struct str text = STR_NONE;
	int64_t ms;
	enum err e;

	e = read_text(r, field, CALENDAR_TEXT_BYTES, value, &text);
	if (e != ERR_OK)
		return e;
	if (!calendar_parse(text, "UTC", &ms))
		return bad_type(r, field,
				"a time like 2026-11-22T07:04:00Z or a date");
	walk_set_int(field, out, ms);
	return ERR_OK;
}

static uint32_t
count_items(struct json_value value)
{
	struct json_walk walk = json_walk(value);
	struct json_value item;
	struct str key;
	uint32_t count = 0;

	if (value.type == JSON_OBJECT)
		while (json_next_member(&walk, &key, &item))
			count++;
	else
		while (json_next_item(&walk, &item))
			count++;
	return count;
}

/* Room for the items of an array or object: ERR_BAD_FIELD when they are too
 * many. */
static enum err
room_for_items(struct reading *r, const struct schema_field *field,
	       struct json_value value, size_t size, void *out)
{
	uint32_t count = count_items(value);
	void *items;

	if (count > field->max)
		return walk_too_many(field, r->why);
	items = arena_array(r->arena, count, size);
	if (items == NULL)
		return ERR_NO_MEMORY;
	walk_set_list(field, out, items, count);
	return ERR_OK;
}

static enum err
read_names(struct reading *r, const struct schema_field *field,
	   struct json_value value, void *out)
{
	struct json_walk walk = json_walk(value);
	struct json_value item;
	struct str *names;
	enum err e;

	if (value.type != JSON_ARRAY)
		return bad_type(r, field, "a list of strings");
	e = room_for_items(r, field, value, sizeof(*names), out);
	memcpy(&names, walk_at(field, out), sizeof(names));
	while (e == ERR_OK && json_next_item(&walk, &item)) {
		if (item.type != JSON_STRING)
			return bad_type(r, field, "a list of strings");
		e = read_text(r, field, SCHEMA_NAME_BYTES_MAX, item, names++);
	}
	return e;
}

static enum err
read_list(struct reading *r, const struct schema_field *field,
	  struct json_value value, void *out)
{
	struct json_walk walk = json_walk(value);
	struct json_value item;
	char *at;
	enum err e;

	if (value.type != JSON_ARRAY)
		return bad_type(r, field, "a list of objects");
	e = room_for_items(r, field, value, field->sub->size, out);
	memcpy(&at, walk_at(field, out), sizeof(at));
	while (e == ERR_OK && json_next_item(&walk, &item)) {
		if (item.type != JSON_OBJECT)
			return bad_type(r, field, "a list of objects");
		schema_clear(field->sub, at);
		e = read_members(r, field->sub, 0, item, at);
		at += field->sub->size;
	}
	return e;
}

static enum err
read_map_item(struct reading *r, const struct schema_field *field,
	      struct str raw_key, struct json_value value, void *out)
{
	/* the key with its quotes, which stand around it in the text */
	struct json_value key = {JSON_STRING, {raw_key.p - 1, raw_key.n + 2}};
	const struct schema *sub = field->sub;
	enum err e;

	schema_clear(sub, out);
	e = read_field(r, &sub->fields[0], key, out);
	if (e != ERR_OK)
		return e;
	if (walk_is_empty(&sub->fields[0], out))
		return bad_type(r, field, "an object without empty names");
	if (sub->field_count == 2)
		return read_field(r, &sub->fields[1], value, out);
	if (value.type != JSON_OBJECT)
		return bad_type(r, field, "an object of objects");
	return read_members(r, sub, 1, value, out);
}

static enum err
read_map(struct reading *r, const struct schema_field *field,
	 struct json_value value, void *out)
{
	struct json_walk walk = json_walk(value);
	struct json_value item;
	struct str key;
	char *at;
	enum err e;

	if (value.type != JSON_OBJECT)
		return bad_type(r, field, "an object");
	e = room_for_items(r, field, value, field->sub->size, out);
	memcpy(&at, walk_at(field, out), sizeof(at));
	while (e == ERR_OK && json_next_member(&walk, &key, &item)) {
		e = read_map_item(r, field, key, item, at);
		at += field->sub->size;
	}
	return e;
}

static enum err
read_str(struct reading *r, const struct schema_field *field,
	 struct json_value value, void *out)
{
	struct str s;
	enum err e = read_text(r, field, field->max, value, &s);

	if (e == ERR_OK)
		walk_set_str(field, out, s);
	return e;
}

static enum err
read_json(struct reading *r, const struct schema_field *field,
	  struct json_value value, void *out)
{
	if (value.raw.n > field->max)
		return walk_too_long(field, r->why);
	walk_set_str(field, out, value.raw);
	return ERR_OK;
}

static enum err
read_field(struct reading *r, const struct schema_field *field,
	   struct json_value value, void *out)
{
	walk_clear(field, out); /* a name that comes twice: the last wins */
	if (value.type == JSON_NULL)
		return ERR_OK;
	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		if (value.type != JSON_TRUE && value.type != JSON_FALSE)
			return bad_type(r, field, "true or false");
		walk_set_bool(field, out, value.type == JSON_TRUE);
		return ERR_OK;
	case KIND_INT:
		return read_int(r, field, value, out);
	case KIND_TIME:
		return read_time(r, field, value, out);
	case KIND_STR:
		return read_str(r, field, value, out);
	case KIND_BIN:
		return read_base64url(r, field, value, out);
	case KIND_JSON:
		return read_json(r, field, value, out);
	case KIND_NAMES:
		return read_names(r, field, value, out);
	case KIND_SUB:
		if (value.type != JSON_OBJECT)
			return bad_type(r, field, "an object");
		return read_members(r, field->sub, 0, value,
				    walk_at_out(field, out));
	case KIND_LIST:
		return read_list(r, field, value, out);
	case KIND_MAP:
		return read_map(r, field, value, out);
	}
	return bad_type(r, field, "of a known kind");
}

static const struct schema_field *
field_of_key(const struct schema *schema, unsigned from, struct str raw_key)
{
	for (unsigned i = from; i < schema->field_count; i++)
		if (!(schema->fields[i].flags & F_HIDDEN) &&
		    json_key_is(raw_key, str_of(schema->fields[i].name)))
			return &schema->fields[i];
	return NULL;
}

/* *out was cleared; fields before `from` are set. */
static enum err
read_members(struct reading *r, const struct schema *schema, unsigned from,
	     struct json_value object, void *out)
{
	struct json_walk walk = json_walk(object);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		const struct schema_field *field =
		    field_of_key(schema, from, key);
		enum err e;

		if (field == NULL)
			continue;
		e = read_field(r, field, value, out);
		if (e != ERR_OK)
			return e;
	}
	for (unsigned i = from; i < schema->field_count; i++)
		if ((schema->fields[i].flags & F_REQUIRED) &&
		    walk_is_empty(&schema->fields[i], out))
			return walk_missing(&schema->fields[i], r->why);
	return ERR_OK;
}

enum err
schema_read_json(const struct schema *schema, struct str text, void *out,
		 struct arena *arena, struct why *why)
{
	struct reading r = {arena, why};
	struct json_value object;

	schema_clear(schema, out);
	if (!json_check(text, &object) || object.type != JSON_OBJECT)
		return why_set(why, ERR_BAD_REQUEST,
			       "the body must be one JSON object");
	return read_members(&r, schema, 0, object, out);
}
