/*
 * crypto: keys, hashes and seals over OpenSSL 3: here derivation, opening,
 * hashes. See crypto.h.
 *
 * Always holds: a master key is in memory only while the others are derived
 * from it.
 */
#include "store/crypto_internal.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>

/* Names of what is derived; never change one. */
#define FIND_INFO STR("chatello find licence 1")
#define SEAL_INFO STR("chatello seal 1")
#define PROVIDER_KEYS_INFO STR("chatello provider keys 1")
#define CHECK_INFO STR("chatello key check 1")

/* --- derivation ---------------------------------------------------------- */

/* HKDF-SHA-256 (RFC 5869) without a salt. */
static bool
derive(const unsigned char master[MASTER_KEY_BYTES], struct str info,
       unsigned char *out, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256";
	unsigned char key[MASTER_KEY_BYTES];
	char text[64];
	OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 6),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, key, sizeof(key)),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, text, info.n),
	    OSSL_PARAM_END};
	bool is_done;

	assert(info.n <= sizeof(text));
	memcpy(key, master, sizeof(key));
	memcpy(text, info.p, info.n);
	is_done = ctx && EVP_KDF_derive(ctx, out, n, params) == 1;
	OPENSSL_cleanse(key, sizeof(key));
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return is_done;
}

/* --- open and close ------------------------------------------------------ */

/* What seals: its key and the key's id. */
static bool
ring_seal(struct ring *ring, const unsigned char master[MASTER_KEY_BYTES],
	  struct str info)
{
	unsigned char seal[KEY_BYTES + KEY_ID_BYTES];
	bool is_done = derive(master, info, seal, sizeof(seal));

	if (is_done) {
		memcpy(ring->seal_key, seal, KEY_BYTES);
		memcpy(ring->key_id, seal + KEY_BYTES, KEY_ID_BYTES);
	}
	OPENSSL_cleanse(seal, sizeof(seal));
	return is_done;
}

static struct crypto *
make_empty(void)
{
	struct crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto == NULL)
		return NULL;
	crypto->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	crypto->cipher = EVP_CIPHER_CTX_new();
	if (crypto->gcm && crypto->cipher)
		return crypto;
	crypto_close(crypto);
	return NULL;
}

static struct crypto *
make_provider_keys(const struct master_keys *masters)
{
	struct crypto *crypto = make_empty();
	bool is_done = crypto != NULL;

	for (unsigned i = 0; i < masters->count && is_done; i++)
		is_done = ring_seal(&crypto->rings[crypto->ring_count++],
				    masters->bytes[i], PROVIDER_KEYS_INFO);
	if (is_done)
		return crypto;
	crypto_close(crypto);
	return NULL;
}

bool
crypto_set_find_key(struct crypto *crypto, const unsigned char key[KEY_BYTES])
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 6),
	    OSSL_PARAM_END};

	memcpy(crypto->find_key, key, KEY_BYTES);
	return EVP_MAC_init(crypto->find, key, KEY_BYTES, params) == 1;
}

static bool
add_rings(struct crypto *crypto, const struct master_keys *masters)
{
	bool is_done = true;

	for (unsigned i = 0; i < masters->count && is_done; i++) {
		struct ring *ring = &crypto->rings[crypto->ring_count++];
		const unsigned char *master = masters->bytes[i];

		is_done = ring_seal(ring, master, SEAL_INFO) &&
			  derive(master, CHECK_INFO, ring->check,
				 sizeof(ring->check)) &&
			  derive(master, FIND_INFO, ring->find_key,
				 sizeof(ring->find_key));
	}
	return is_done;
}

static struct crypto *
make_whole(const struct master_keys *masters)
{
	struct crypto *crypto = make_empty();

	if (crypto == NULL)
		return NULL;
	crypto->provider_keys = make_provider_keys(masters);
	crypto->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	crypto->find = crypto->mac ? EVP_MAC_CTX_new(crypto->mac) : NULL;
	if (crypto->provider_keys && crypto->find &&
	    add_rings(crypto, masters) &&
	    crypto_set_find_key(crypto, crypto->rings[0].find_key))
		return crypto;
	crypto_close(crypto);
	return NULL;
}

static enum err
open_with(struct crypto **out, const char *master_key_file,
	  struct crypto *(*make)(const struct master_keys *masters),
	  struct why *why)
{
	struct master_keys masters;
	struct crypto *crypto;
	enum err err = master_keys_read(master_key_file, &masters, why);

	if (err != ERR_OK)
		return err;
	crypto = make(&masters);
	master_keys_wipe(&masters);
	if (crypto == NULL)
		return why_set(why, ERR_CONFIG,
			       "OpenSSL has no HKDF, HMAC or AES-256-GCM: "
			       "install openssl 3");
	*out = crypto;
	return ERR_OK;
}

enum err
crypto_open(struct crypto **out, const char *master_key_file, struct why *why)
{
	return open_with(out, master_key_file, make_whole, why);
}

enum err
crypto_open_provider_keys(struct crypto **out, const char *master_key_file,
			  struct why *why)
{
	return open_with(out, master_key_file, make_provider_keys, why);
}

struct crypto *
crypto_provider_keys(struct crypto *crypto)
{
	return crypto->provider_keys;
}

void
crypto_close(struct crypto *crypto)
{
	if (crypto == NULL)
		return;
	crypto_close(crypto->provider_keys);
	EVP_CIPHER_CTX_free(crypto->cipher);
	EVP_CIPHER_free(crypto->gcm);
	EVP_MAC_CTX_free(crypto->find);
	EVP_MAC_free(crypto->mac);
	OPENSSL_cleanse(crypto, sizeof(*crypto));
	free(crypto);
}

/* --- hashes -------------------------------------------------------------- */

void
crypto_key_check(struct crypto *crypto, unsigned char out[CRYPTO_HASH_BYTES])
{
	memcpy(out, crypto->rings[crypto->current].check, CRYPTO_HASH_BYTES);
}

bool
crypto_equal(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void
crypto_hash_token(struct str token, unsigned char out[CRYPTO_HASH_BYTES])
{
	int is_done = EVP_Digest(token.p ? token.p : "", token.n, out, NULL,
				 EVP_sha256(), NULL);

	assert(is_done == 1);
}

void
crypto_hash_license_key(struct crypto *crypto, struct str normalized,
			unsigned char out[CRYPTO_HASH_BYTES])
{
	const unsigned char *p = (const unsigned char *)normalized.p;
	size_t n = 0;
	int is_done =
	    EVP_MAC_init(crypto->find, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(crypto->find, p, normalized.n) == 1 &&
	    EVP_MAC_final(crypto->find, out, &n, CRYPTO_HASH_BYTES) == 1;

	assert(is_done && n == CRYPTO_HASH_BYTES);
}
