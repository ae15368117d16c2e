/*
 * json: a pull scanner over bytes in memory and the writing of strings. The
 * scanner is iterative (depth <= JSON_DEPTH_MAX), strict RFC 8259, allocates
 * nothing, and gives each value's place in the text, so that a body can be
 * forwarded with only one member changed. It is on the path of every request;
 * tools that have time may use jansson.
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include "lib/arena.h"
#include "lib/buf.h"

#define JSON_DEPTH_MAX 128

enum json_type {
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

struct json_value {
	enum json_type type;
	struct str raw; /* the value's own text, quotes and brackets included */
};

/* Checks that text is exactly one JSON value (blanks around it allowed), valid
 * UTF-8, not too deep; *out is it. */
bool json_check(struct str text, struct json_value *out);

/* Walks the members of an object or the items of an array that json_check
 * passed (or that came from such a walk). */
struct json_walk {
	const char *at;
	const char *end;
};
struct json_walk json_walk(struct json_value of);
/* *key is the raw key text between its quotes (escapes not undone). False at
 * the end. */
bool json_next_member(struct json_walk *walk, struct str *key,
		      struct json_value *value);
bool json_next_item(struct json_walk *walk, struct json_value *value);
/* Whether a raw key, its escapes undone, is that name. */
bool json_key_is(struct str raw_key, struct str name);
/* The last member of that name (as most parsers take it); false if none. */
bool json_get(struct json_value object, struct str key, struct json_value *out);
/* How many members have that name: duplicates can hide things. */
unsigned json_count(struct json_value object, struct str key);

/* A JSON_STRING's text with escapes undone: into the raw text when it has
 * none, else into the arena. p == NULL when out of memory. A lone surrogate
 * becomes U+FFFD. */
struct str json_string(struct json_value value, struct arena *arena);
/* False when it is no integer or does not fit; 1e3 and 1.0 are integers. */
bool json_int(struct json_value value, int64_t *out);

/* Appends "..." with escapes; invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct buf *out, struct str s);

#endif
