/*
 * user_hash: see user_hash.h.
 */
#include "workers/user_hash.h"

#include <openssl/hmac.h>

void
user_hash(struct str license_key, struct str user,
	  unsigned char out[USER_HASH_BYTES])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	memset(out, 0, USER_HASH_BYTES);
	if (HMAC(EVP_sha256(), license_key.p, (int)license_key.n,
		 (const unsigned char *)user.p, user.n, hash, &n) &&
	    n == USER_HASH_BYTES)
		memcpy(out, hash, USER_HASH_BYTES);
}
