/*
 * schema_walk: how the walkers of schema.c and schema_json.c reach a member
 * through its descriptor, and the lines they share. Included by those only.
 */
#ifndef LIB_SCHEMA_WALK_H
#define LIB_SCHEMA_WALK_H

#include "lib/schema.h"

static inline const void *
walk_at(const struct schema_field *field, const void *in)
{
	return (const char *)in + field->offset;
}

static inline void *
walk_at_out(const struct schema_field *field, void *out)
{
	return (char *)out + field->offset;
}

static inline bool
walk_bool(const struct schema_field *field, const void *in)
{
	return *(const bool *)walk_at(field, in);
}

static inline int64_t
walk_int(const struct schema_field *field, const void *in)
{
	return *(const int64_t *)walk_at(field, in);
}

static inline struct str
walk_str(const struct schema_field *field, const void *in)
{
	return *(const struct str *)walk_at(field, in);
}

/* NAMES, LIST, MAP: the first item and how many there are. All pointers to
 * structs have one representation (C17 6.2.5, 28). */
static inline const void *
walk_list(const struct schema_field *field, const void *in)
{
	const void *items;

	memcpy(&items, walk_at(field, in), sizeof(items));
	return items;
}

static inline uint32_t
walk_count(const struct schema_field *field, const void *in)
{
	const char *at = (const char *)in + field->count_offset;

	return *(const uint32_t *)(const void *)at;
}

static inline void
walk_set_bool(const struct schema_field *field, void *out, bool b)
{
	*(bool *)walk_at_out(field, out) = b;
}

static inline void
walk_set_int(const struct schema_field *field, void *out, int64_t i)
{
	*(int64_t *)walk_at_out(field, out) = i;
}

static inline void
walk_set_str(const struct schema_field *field, void *out, struct str s)
{
	*(struct str *)walk_at_out(field, out) = s;
}

static inline void
walk_set_list(const struct schema_field *field, void *out, void *items,
	      uint32_t count)
{
	char *at = (char *)out + field->count_offset;

	memcpy(walk_at_out(field, out), &items, sizeof(items));
	*(uint32_t *)(void *)at = count;
}

/* Back to absent. */
static inline void
walk_clear(const struct schema_field *field, void *out)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		walk_set_bool(field, out, false);
		break;
	case KIND_INT:
	case KIND_TIME:
		walk_set_int(field, out, SCHEMA_INT_NONE);
		break;
	case KIND_STR:
	case KIND_BIN:
	case KIND_JSON:
		walk_set_str(field, out, STR_NONE);
		break;
	case KIND_NAMES:
	case KIND_LIST:
	case KIND_MAP:
		walk_set_list(field, out, NULL, 0);
		break;
	case KIND_SUB:
		schema_clear(field->sub, walk_at_out(field, out));
		break;
	}
}

static inline bool
walk_is_empty(const struct schema_field *field, const void *in)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_INT:
	case KIND_TIME:
		return walk_int(field, in) == SCHEMA_INT_NONE;
	case KIND_STR:
	case KIND_BIN:
	case KIND_JSON:
		return walk_str(field, in).n == 0;
	case KIND_NAMES:
	case KIND_LIST:
	case KIND_MAP:
		return walk_count(field, in) == 0;
	case KIND_BOOL:
	case KIND_SUB:
		break;
	}
	return false;
}

static inline enum err
walk_missing(const struct schema_field *field, struct why *why)
{
	return why_field(why, ERR_BAD_FIELD, field->name, "%s is missing",
			 field->name);
}

static inline enum err
walk_too_long(const struct schema_field *field, struct why *why)
{
	return why_field(why, ERR_BAD_FIELD, field->name,
			 "%s must be at most %u bytes", field->name,
			 (unsigned)field->max);
}

static inline enum err
walk_too_many(const struct schema_field *field, struct why *why)
{
	return why_field(why, ERR_BAD_FIELD, field->name,
			 "%s must have at most %u items", field->name,
			 (unsigned)field->max);
}

#endif
