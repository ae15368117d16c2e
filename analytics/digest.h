/*
 * digest: SHA-256 over rows, to compare two generations byte for byte. Keys and
 * values enter with their lengths, so that no two lists of rows run together.
 */
#ifndef ANALYTICS_DIGEST_H
#define ANALYTICS_DIGEST_H

#include "lib/err.h"

#define DIGEST_TEXT_BYTES 65 /* hexadecimal and NUL */

struct digest;

/* NULL when out of memory. */
struct digest *digest_open(void);
void digest_close(struct digest *digest);
void digest_add(struct digest *digest, struct str key, struct str value);
/* The digest of what was added; begins anew. */
void digest_print(struct digest *digest, char out[DIGEST_TEXT_BYTES]);

#endif
