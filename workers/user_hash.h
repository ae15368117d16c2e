/*
 * user_hash: whom a provider is told when a client names its user: the HMAC
 * (RFC 2104) with SHA-256 of the name under the licence key, so that one
 * site's user is the same each time, is nobody's name, and cannot be guessed
 * from a list of names. Pure.
 */
#ifndef WORKERS_USER_HASH_H
#define WORKERS_USER_HASH_H

#include "lib/str.h"

#define USER_HASH_BYTES 32

/* All zero when out of memory: then it is nobody in particular. */
void user_hash(struct str license_key, struct str user,
	       unsigned char out[USER_HASH_BYTES]);

#endif
