/*
 * id: ULIDs (48 bits of milliseconds, 80 random bits, Crockford base32), so
 * that ids sort by time, with a prefix that says of what: lic_01K...
 */
#ifndef LIB_ID_H
#define LIB_ID_H

#include "lib/str.h"

#define ID_ULID_CHARS 26
#define ID_TEXT_BYTES 32 /* prefix (at most 5 with its _) + ULID + NUL */

/* Writes prefix, ULID and NUL; returns the str over out. prefix: "lic_", "".
 * Random bits come from getrandom(2), gathered; aborts only if the kernel has
 * none. One thread at a time. */
struct str id_new(const char *prefix, int64_t wall_ms, char out[ID_TEXT_BYTES]);
/* 1..64 characters from [A-Za-z0-9._:-]: what a client may choose as an
 * Idempotency-Key. */
bool id_is_valid_request_id(struct str s);
/* n random bytes from the operating system. */
void id_random(void *out, size_t n);

#endif
