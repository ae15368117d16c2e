/*
 * crypto_internal: what the files of store/crypto share. Nobody else includes
 * it.
 *   crypto.c       derivation, opening, hashes
 *   crypto_seal.c  sealing and opening blobs
 *   crypto_next.c  which master key's seal counts; from one to the next
 */
#ifndef STORE_CRYPTO_INTERNAL_H
#define STORE_CRYPTO_INTERNAL_H

#include "store/crypto.h"
#include "store/master_key.h"

#include <openssl/evp.h>

#define KEY_BYTES 32u
#define KEY_ID_BYTES 4u

/* What is derived from one master key. */
struct ring {
	unsigned char seal_key[KEY_BYTES];
	unsigned char key_id[KEY_ID_BYTES];
	unsigned char check[CRYPTO_HASH_BYTES]; /* of a whole one, as this: */
	unsigned char find_key[KEY_BYTES];	/* for stores that have none */
};

struct crypto {
	struct crypto *provider_keys; /* NULL: this is it */
	EVP_MAC *mac;
	EVP_MAC_CTX *find; /* keyed once; init without a key starts it anew */
	unsigned char find_key[KEY_BYTES];
	EVP_CIPHER *gcm;
	EVP_CIPHER_CTX *cipher;
	struct ring rings[MASTER_KEYS_MAX];
	unsigned ring_count;
	unsigned current; /* the ring that seals */
};

/* What finds licence keys from now on. */
bool crypto_set_find_key(struct crypto *crypto,
			 const unsigned char key[KEY_BYTES]);
enum err crypto_seal_by(struct crypto *crypto, const struct ring *ring,
			struct str secret, struct str identity,
			struct arena *arena, struct str *blob);
/* *by: the ring that opened it. */
enum err crypto_open_by_any(struct crypto *crypto, struct str blob,
			    struct str identity, struct arena *arena,
			    struct str *secret, unsigned *by);

#endif
