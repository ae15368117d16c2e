/*
 * provider_key: what a key of an AI provider may look like, what of it may be
 * shown, and as whose it is sealed. Pure. Used by the ledger, which seals, and
 * by the proxy, which opens.
 */
#ifndef STORE_PROVIDER_KEY_H
#define STORE_PROVIDER_KEY_H

#include "lib/arena.h"
#include "lib/err.h"

#define PROVIDER_KEY_BYTES_MAX 512u
#define PROVIDER_KEY_NAME_BYTES_MAX 64u
#define PROVIDER_KEY_VENDOR STR("vendor")   /* owner of the vendor's keys */
#define PROVIDER_KEY_OWN STR("own")	    /* name of a customer's key */
#define PROVIDER_KEY_DEFAULT STR("default") /* of the vendor's, unless said */

/* The providers that take keys, in order; NULL behind the last. */
const char *provider_key_provider(size_t i);
bool provider_key_is_of(struct str provider);
/* "openai, anthropic, deepseek" */
extern const char *const provider_key_providers;

/* A header's value as it stands: 1 to 512 printable ASCII characters without
 * a blank (RFC 9110, section 5.5). False: *reason says what is wrong, without
 * a byte of the key. */
bool provider_key_is_valid(struct str key, const char **reason);
/* Letters, digits and . _ -, 1 to 64. */
bool provider_key_name_is_valid(struct str name);

/* "****ABCD"; of a key with less than 16 characters nothing is shown. NULL
 * when the arena is full. */
struct str provider_key_mask(struct str key, struct arena *arena);

/* The associated data of the seal. owner: PROVIDER_KEY_VENDOR or a customer's
 * id. No part has a blank. NULL when the arena is full. */
struct str provider_key_identity(struct str owner, struct str provider,
				 struct str name, struct arena *arena);

#endif
