/*
 * auth: who asks: the licence key and the site of a request. The key comes as
 * X-License-Key, Authorization: Bearer, x-api-key, or (where the route says so)
 * in the body; the site in the body, as X-Site-Url, or as Origin, in this
 * order. Pure: whether the key is good is the workers' to say.
 */
#ifndef EDGE_AUTH_H
#define EDGE_AUTH_H

#include "edge/audit.h"
#include "lib/arena.h"
#include "lib/err.h"

#define AUTH_KEY_BYTES_MAX 128
#define AUTH_DOMAIN_BYTES_MAX 253

/* The key of the headers; absent when there is none. */
struct str auth_header_key(const struct audit *head);
/* "https://Shop.example:8080/x?y" and "shop.example:8080" without scheme and
 * path; absent for "null", which an opaque origin sends. */
struct str auth_site(struct str text);

/* *key and *domain from headers and body; absent where there are none. body
 * absent: it is not looked at; else empty or a JSON object whose members
 * license_key, key, domain are read. ERR_BAD_REQUEST, ERR_BAD_FIELD; ERR_NOT_
 * FOUND for what cannot be a key. */
enum err auth_read(const struct audit *head, struct str body, struct str *key,
		   struct str *domain, struct arena *arena, struct why *why);

#endif
