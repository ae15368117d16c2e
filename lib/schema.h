/*
 * schema: what a message or a record looks like, as data. One field list (a
 * .def file) gives the C struct and this descriptor; one walker each encodes,
 * decodes, checks, prints JSON and reads JSON. Positional msgpack arrays:
 * append only, numbers never reused; a reader takes fewer items (the rest is
 * absent) and passes over more (a newer writer).
 *
 * Kinds and their C member:
 *   BOOL   bool
 *   INT    int64_t; SCHEMA_INT_NONE is absent (nil, JSON null)
 *   TIME   int64_t ms since 1970, or SCHEMA_INT_NONE; JSON: RFC 3339 UTC
 *   STR    struct str, UTF-8, max bytes
 *   BIN    struct str, max bytes; JSON: base64url without padding
 *   JSON   struct str holding one JSON value as text; printed as it is
 *   NAMES  struct str *f; uint32_t f_count; JSON: array of strings
 *   SUB    struct sub f, embedded; JSON: object
 *   LIST   struct sub *f; uint32_t f_count; JSON: array of objects
 *   MAP    like LIST; JSON: object, keyed by sub's first field (a STR); the
 *          value is sub's second field if it has two, else the rest as object
 */
#ifndef LIB_SCHEMA_H
#define LIB_SCHEMA_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"

#define SCHEMA_INT_NONE INT64_MIN
/* What is absent counts for nothing. */
static inline int64_t
schema_count(int64_t i)
{
	return i == SCHEMA_INT_NONE ? 0 : i;
}
#define SCHEMA_DEPTH_MAX 8
#define SCHEMA_NAME_BYTES_MAX 256 /* one of NAMES */

enum schema_kind {
	KIND_BOOL,
	KIND_INT,
	KIND_TIME,
	KIND_STR,
	KIND_BIN,
	KIND_JSON,
	KIND_NAMES,
	KIND_SUB,
	KIND_LIST,
	KIND_MAP,
};

enum schema_flag {
	F_NONE = 0,
	F_REQUIRED = 1, /* decode and from_json refuse an absent or empty one */
	F_NONNEG = 2,	/* INT: refuse negative */
	F_OMIT = 4,	/* JSON: leave out when absent instead of null */
	F_SECRET = 8,	/* never in a log; JSON prints it only when it is the
			   answer to whoever may see it */
	F_HIDDEN = 16,	/* not in JSON at all */
};

struct schema;

struct schema_field {
	const char *name;
	const char *json_name; /* ,"name": */
	uint16_t json_name_bytes;
	uint16_t offset;
	uint16_t count_offset; /* NAMES, LIST, MAP */
	uint8_t kind;	       /* enum schema_kind */
	uint8_t flags;	       /* enum schema_flag */
	uint32_t max; /* STR, BIN, JSON: bytes; NAMES, LIST, MAP: items */
	const struct schema *sub;
};

struct schema {
	const char *name;
	uint16_t number; /* message type or record kind; 0 = only nested */
	uint16_t size;	 /* sizeof the struct */
	uint16_t field_count;
	const struct schema_field *fields;
	const char *help; /* one line for the documentation */
};

/* Appends to out; marks out failed when it does not fit. Absent fields are
 * written as nil, those at the end not at all. Asserts the limits that the
 * schema states: what comes from the world was checked where it came in. */
void schema_encode(const struct schema *schema, const void *in,
		   struct buf *out);

/* Fills *out (schema->size bytes), on failure with what is absent. Strings
 * point into bytes; lists come from the arena. Left-over bytes, a wrong type, a
 * count or length over its limit: ERR_MALFORMED, with the field in why. A
 * missing F_REQUIRED: ERR_BAD_FIELD. ERR_NO_MEMORY when the arena is full. */
enum err schema_decode(const struct schema *schema, struct str bytes, void *out,
		       struct arena *arena, struct why *why);

/* What schema_encode asserts, for a struct that was filled from elsewhere than
 * decode or read_json (flags, headers): ERR_BAD_FIELD, field and remedy in why.
 */
enum err schema_check(const struct schema *schema, const void *in,
		      struct why *why);

/* All absent: strings NULL, INT and TIME SCHEMA_INT_NONE, bool false. */
void schema_clear(const struct schema *schema, void *out);

/* One JSON object. */
void schema_print_json(const struct schema *schema, const void *in,
		       struct buf *out);
/* Reads one JSON object. Unknown members are passed over. A wrong type, a
 * missing F_REQUIRED, a value over its limit: ERR_BAD_FIELD, the field and the
 * remedy in why; no JSON object: ERR_BAD_REQUEST. TIME takes RFC 3339 (a bare
 * date is UTC midnight). Strings point into text or (unescaped) the arena. */
enum err schema_read_json(const struct schema *schema, struct str text,
			  void *out, struct arena *arena, struct why *why);

#endif
