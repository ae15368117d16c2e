/*
 * crypto: keys, hashes and seals over OpenSSL 3. See crypto.h.
 *
 * Always holds: the master key is in memory only while the two keys are derived
 * from it; a blob is version, key id, nonce, ciphertext, tag, and all of its
 * head is authenticated together with the record's identity.
 */
#include "store/crypto.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/id.h"

#define MASTER_BYTES 32u
#define MASTER_TEXT_BYTES 64u /* as hexadecimal digits */
#define PATH_BYTES 4096

#define BLOB_VERSION 1
#define KEY_ID_BYTES 4u
#define NONCE_BYTES 12u
#define TAG_BYTES 16u
#define HEAD_BYTES (1 + KEY_ID_BYTES + NONCE_BYTES)
#define SECRET_BYTES_MAX (64u << 10)

/* Names of what is derived; never change one. */
#define FIND_INFO STR("chatello find licence 1")
#define SEAL_INFO STR("chatello seal 1")
#define PROVIDER_KEYS_INFO STR("chatello provider keys 1")
#define CHECK_INFO STR("chatello key check 1")

struct crypto {
	struct crypto *provider_keys; /* NULL: this is it */
	EVP_MAC *mac;
	EVP_MAC_CTX *find; /* keyed once; init without a key starts it anew */
	EVP_CIPHER *gcm;
	EVP_CIPHER_CTX *cipher;
	unsigned char seal_key[MASTER_BYTES];
	unsigned char key_id[KEY_ID_BYTES];
	unsigned char check[CRYPTO_HASH_BYTES];
};

/* --- the master key ------------------------------------------------------ */

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		p += wrote;
		n -= (size_t)wrote;
	}
	return fsync(fd) == 0;
}

/* The folder's entry of path, flushed. */
static bool
sync_folder(const char *path)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) + 1 : 1;
	bool is_synced;
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", n, slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return is_synced;
}

static bool
write_new_file(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool is_written;

	if (fd < 0)
		return false;
	is_written = write_all(fd, text, n);
	return close(fd) == 0 && is_written;
}

/* Complete or not there: written beside, then linked, which never replaces. */
enum err
crypto_make_master_key(const char *path, struct why *why)
{
	char beside[PATH_BYTES], text[MASTER_TEXT_BYTES + 2];
	unsigned char key[MASTER_BYTES];
	int error = 0;

	if ((size_t)snprintf(beside, sizeof(beside), "%s.new", path) >=
	    sizeof(beside))
		return why_set(why, ERR_CONFIG,
			       "the master key's path is too long");
	id_random(key, sizeof(key));
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(text + 2 * i, 3, "%02x", key[i]);
	text[MASTER_TEXT_BYTES] = '\n';
	unlink(beside); /* of a start that was interrupted */
	if (!write_new_file(beside, text, MASTER_TEXT_BYTES + 1) ||
	    link(beside, path) != 0)
		error = errno;
	unlink(beside);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(text, sizeof(text));
	if (error == EEXIST)
		return why_set(why, ERR_EXISTS,
			       "there is a master key in %.200s already: it is "
			       "not replaced",
			       path);
	if (error == 0 && !sync_folder(path))
		error = errno;
	if (error != 0)
		return why_set(why, ERR_IO, "cannot write %.200s: %s", path,
			       strerror(error));
	return ERR_OK;
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
parse_master(const char *text, size_t n, unsigned char key[MASTER_BYTES])
{
	if (n == MASTER_TEXT_BYTES + 1 && text[MASTER_TEXT_BYTES] == '\n')
		n--;
	if (n != MASTER_TEXT_BYTES)
		return false;
	for (size_t i = 0; i < MASTER_BYTES; i++) {
		int high = digit_of(text[2 * i]);
		int low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* Reads up to n bytes; -1 with errno on an error. */
static ssize_t
read_all(int fd, char *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t more = read(fd, p + got, n - got);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -1;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return (ssize_t)got;
}

static enum err
read_master_fd(int fd, const char *path, unsigned char key[MASTER_BYTES],
	       struct why *why)
{
	char text[MASTER_TEXT_BYTES + 2];
	struct stat st;
	ssize_t n;
	bool is_key;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return why_set(why, ERR_CONFIG,
			       "the master key %.200s is no file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return why_set(why, ERR_CONFIG,
			       "the master key %.200s is open to others: "
			       "chmod 600 it",
			       path);
	n = read_all(fd, text, sizeof(text));
	if (n < 0)
		return why_set(why, ERR_CONFIG,
			       "cannot read the master key %.200s: %s", path,
			       strerror(errno));
	is_key = parse_master(text, (size_t)n, key);
	OPENSSL_cleanse(text, sizeof(text));
	if (!is_key)
		return why_set(why, ERR_CONFIG,
			       "the master key %.200s is damaged: it must be "
			       "%u hexadecimal digits; restore it",
			       path, MASTER_TEXT_BYTES);
	return ERR_OK;
}

static enum err
read_master(const char *path, unsigned char key[MASTER_BYTES], struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum err err;

	if (fd < 0 && errno == ENOENT)
		return why_set(why, ERR_CONFIG,
			       "no master key in %.200s: restore it from where "
			       "you keep it apart from the data",
			       path);
	if (fd < 0)
		return why_set(why, ERR_CONFIG,
			       "cannot open the master key %.200s: %s", path,
			       strerror(errno));
	err = read_master_fd(fd, path, key, why);
	close(fd);
	return err;
}

/* HKDF-SHA-256 (RFC 5869) without a salt. */
static bool
derive(const unsigned char master[MASTER_BYTES], struct str info,
       unsigned char *out, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256";
	unsigned char key[MASTER_BYTES];
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
set_up_seal(struct crypto *crypto, const unsigned char master[MASTER_BYTES],
	    struct str info)
{
	unsigned char seal[MASTER_BYTES + KEY_ID_BYTES];
	bool is_done;

	crypto->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	crypto->cipher = EVP_CIPHER_CTX_new();
	is_done = crypto->gcm && crypto->cipher &&
		  derive(master, info, seal, sizeof(seal));
	if (is_done) {
		memcpy(crypto->seal_key, seal, MASTER_BYTES);
		memcpy(crypto->key_id, seal + MASTER_BYTES, KEY_ID_BYTES);
	}
	OPENSSL_cleanse(seal, sizeof(seal));
	return is_done;
}

/* What finds licence keys. */
static bool
set_up_find(struct crypto *crypto, const unsigned char master[MASTER_BYTES])
{
	unsigned char find_key[MASTER_BYTES];
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 6),
	    OSSL_PARAM_END};
	bool is_done;

	crypto->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	crypto->find = crypto->mac ? EVP_MAC_CTX_new(crypto->mac) : NULL;
	is_done =
	    crypto->find &&
	    derive(master, FIND_INFO, find_key, sizeof(find_key)) &&
	    derive(master, CHECK_INFO, crypto->check, sizeof(crypto->check)) &&
	    EVP_MAC_init(crypto->find, find_key, sizeof(find_key), params) == 1;
	OPENSSL_cleanse(find_key, sizeof(find_key));
	return is_done;
}

static struct crypto *
make_provider_keys(const unsigned char master[MASTER_BYTES])
{
	struct crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto && !set_up_seal(crypto, master, PROVIDER_KEYS_INFO)) {
		crypto_close(crypto);
		crypto = NULL;
	}
	return crypto;
}

static struct crypto *
make_whole(const unsigned char master[MASTER_BYTES])
{
	struct crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto == NULL)
		return NULL;
	crypto->provider_keys = make_provider_keys(master);
	if (crypto->provider_keys && set_up_seal(crypto, master, SEAL_INFO) &&
	    set_up_find(crypto, master))
		return crypto;
	crypto_close(crypto);
	return NULL;
}

static enum err
open_with(struct crypto **out, const char *master_key_file,
	  struct crypto *(*make)(const unsigned char *master), struct why *why)
{
	unsigned char master[MASTER_BYTES];
	struct crypto *crypto;
	enum err err = read_master(master_key_file, master, why);

	if (err != ERR_OK)
		return err;
	crypto = make(master);
	OPENSSL_cleanse(master, sizeof(master));
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
	memcpy(out, crypto->check, CRYPTO_HASH_BYTES);
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

/* --- seals --------------------------------------------------------------- */

/* Key, nonce of the head, and what is authenticated: the head and whose secret
 * it is. */
static bool
start(struct crypto *crypto, const unsigned char head[HEAD_BYTES],
      struct str identity, int is_sealing)
{
	EVP_CIPHER_CTX *ctx = crypto->cipher;
	const unsigned char *name = (const unsigned char *)identity.p;
	int n;

	return EVP_CipherInit_ex2(ctx, crypto->gcm, crypto->seal_key,
				  head + HEAD_BYTES - NONCE_BYTES, is_sealing,
				  NULL) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, head, HEAD_BYTES) == 1 &&
	       (identity.n == 0 ||
		EVP_CipherUpdate(ctx, NULL, &n, name, (int)identity.n) == 1);
}

enum err
crypto_seal(struct crypto *crypto, struct str secret, struct str identity,
	    struct arena *arena, struct str *blob)
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
	memcpy(at + 1, crypto->key_id, KEY_ID_BYTES);
	id_random(at + 1 + KEY_ID_BYTES, NONCE_BYTES);
	is_done =
	    start(crypto, at, identity, 1) &&
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
crypto_open_sealed(struct crypto *crypto, struct str blob, struct str identity,
		   struct arena *arena, struct str *secret)
{
	const unsigned char *at = (const unsigned char *)blob.p;
	unsigned char tag[TAG_BYTES], *out;
	size_t size;
	int n = 0, rest = 0;

	if (blob.n < HEAD_BYTES + TAG_BYTES || at[0] != BLOB_VERSION ||
	    blob.n > HEAD_BYTES + SECRET_BYTES_MAX + TAG_BYTES ||
	    identity.n > SECRET_BYTES_MAX ||
	    memcmp(at + 1, crypto->key_id, KEY_ID_BYTES) != 0)
		return ERR_STORE_CORRUPT;
	size = blob.n - HEAD_BYTES - TAG_BYTES;
	out = arena_alloc(arena, size + 1);
	if (out == NULL)
		return ERR_NO_MEMORY;
	memcpy(tag, at + blob.n - TAG_BYTES, TAG_BYTES);
	if (!start(crypto, at, identity, 0) ||
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

void
crypto_forget(struct str secret)
{
	void *at;

	memcpy(&at, &secret.p, sizeof(at)); /* it is the arena's, not const */
	if (secret.n)
		OPENSSL_cleanse(at, secret.n);
}
