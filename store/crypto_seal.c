/*
 * crypto_seal: AES-256-GCM. See crypto.h.
 *
 * Always holds: a blob is version, key id, nonce, ciphertext, tag, and all of
 * its head is authenticated together with the record's identity.
 */
#include "store/crypto_internal.h"

#include <openssl/crypto.h>

#include "lib/id.h"

#define BLOB_VERSION 1
#define NONCE_BYTES 12u
#define TAG_BYTES 16u
#define HEAD_BYTES (1 + KEY_ID_BYTES + NONCE_BYTES)
#define SECRET_BYTES_MAX (64u << 10)

/* Key, nonce of the head, and what is authenticated: the head and whose secret
 * it is. */
static bool
start(struct crypto *crypto, const struct ring *ring,
      const unsigned char head[HEAD_BYTES], struct str identity, int is_sealing)
{
	EVP_CIPHER_CTX *ctx = crypto->cipher;
	const unsigned char *name = (const unsigned char *)identity.p;
	int n;

	return EVP_CipherInit_ex2(ctx, crypto->gcm, ring->seal_key,
				  head + HEAD_BYTES - NONCE_BYTES, is_sealing,
				  NULL) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, head, HEAD_BYTES) == 1 &&
	       (identity.n == 0 ||
		EVP_CipherUpdate(ctx, NULL, &n, name, (int)identity.n) == 1);
}

enum err
crypto_seal_by(struct crypto *crypto, const struct ring *ring,
	       struct str secret, struct str identity, struct arena *arena,
	       struct str *blob)
{
	size_t size = HEAD_BYTES + secret.n + TAG_BYTES;
	unsigned char *at;
	int n = 0;
	bool is_done;

	if (secret.n > SECRET_BYTES_MAX || identity.n > SECRET_BYTES_MAX)
		return ERR_TOO_LARGE;
	at = arena_alloc(arena, size);
	if (at == NULL)
		return ERR_NO_MEMORY;
	at[0] = BLOB_VERSION;
	memcpy(at + 1, ring->key_id, KEY_ID_BYTES);
	id_random(at + 1 + KEY_ID_BYTES, NONCE_BYTES);
	is_done =
	    start(crypto, ring, at, identity, 1) &&
	    (secret.n == 0 ||
	     EVP_CipherUpdate(crypto->cipher, at + HEAD_BYTES, &n,
			      (const unsigned char *)secret.p,
			      (int)secret.n) == 1) &&
	    EVP_CipherFinal_ex(crypto->cipher, at + HEAD_BYTES + n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(crypto->cipher, EVP_CTRL_AEAD_GET_TAG,
				TAG_BYTES, at + size - TAG_BYTES) == 1;
	if (!is_done)
		return ERR_INTERNAL;
	*blob = str_bytes(at, size);
	return ERR_OK;
}

enum err
crypto_seal(struct crypto *crypto, struct str secret, struct str identity,
	    struct arena *arena, struct str *blob)
{
	return crypto_seal_by(crypto, &crypto->rings[crypto->current], secret,
			      identity, arena, blob);
}

/* The shape of a blob, and whether it names the ring. */
static bool
is_by(const struct ring *ring, struct str blob)
{
	return blob.n >= HEAD_BYTES + TAG_BYTES && blob.p[0] == BLOB_VERSION &&
	       blob.n <= HEAD_BYTES + SECRET_BYTES_MAX + TAG_BYTES &&
	       memcmp(blob.p + 1, ring->key_id, KEY_ID_BYTES) == 0;
}

/* Allocates one byte more than the secret has, so that none is NULL. */
static enum err
open_by(struct crypto *crypto, const struct ring *ring, struct str blob,
	struct str identity, struct arena *arena, struct str *secret)
{
	const unsigned char *at = (const unsigned char *)blob.p;
	unsigned char tag[TAG_BYTES], *out;
	size_t size;
	int n = 0, rest = 0;

	if (!is_by(ring, blob) || identity.n > SECRET_BYTES_MAX)
		return ERR_STORE_CORRUPT;
	size = blob.n - HEAD_BYTES - TAG_BYTES;
	out = arena_alloc(arena, size + 1);
	if (out == NULL)
		return ERR_NO_MEMORY;
	memcpy(tag, at + blob.n - TAG_BYTES, TAG_BYTES);
	if (!start(crypto, ring, at, identity, 0) ||
	    (size > 0 && EVP_CipherUpdate(crypto->cipher, out, &n,
					  at + HEAD_BYTES, (int)size) != 1) ||
	    EVP_CIPHER_CTX_ctrl(crypto->cipher, EVP_CTRL_AEAD_SET_TAG,
				TAG_BYTES, tag) != 1 ||
	    EVP_CipherFinal_ex(crypto->cipher, out + n, &rest) != 1) {
		OPENSSL_cleanse(out, size); /* it is not authentic */
		return ERR_STORE_CORRUPT;
	}
	*secret = str_bytes(out, size);
	return ERR_OK;
}

enum err
crypto_open_by_any(struct crypto *crypto, struct str blob, struct str identity,
		   struct arena *arena, struct str *secret, unsigned *by)
{
	enum err err = ERR_STORE_CORRUPT;

	for (unsigned i = 0; i < crypto->ring_count; i++) {
		err = open_by(crypto, &crypto->rings[i], blob, identity, arena,
			      secret);
		*by = i;
		if (err != ERR_STORE_CORRUPT)
			break;
	}
	return err;
}

enum err
crypto_open_sealed(struct crypto *crypto, struct str blob, struct str identity,
		   struct arena *arena, struct str *secret)
{
	unsigned by;

	return crypto_open_by_any(crypto, blob, identity, arena, secret, &by);
}

enum err
crypto_reseal(struct crypto *crypto, struct str blob, struct str identity,
	      struct arena *arena, struct str *out)
{
	struct str secret;
	unsigned by;
	enum err err =
	    crypto_open_by_any(crypto, blob, identity, arena, &secret, &by);

	if (err != ERR_OK)
		return err;
	if (by == crypto->current)
		*out = blob;
	else
		err = crypto_seal(crypto, secret, identity, arena, out);
	crypto_forget(secret);
	return err;
}

void
crypto_forget(struct str secret)
{
	void *at;

	memcpy(&at, &secret.p, sizeof(at)); /* it is the arena's, not const */
	if (secret.n)
		OPENSSL_cleanse(at, secret.n);
}
