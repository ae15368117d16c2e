/*
 * digest: see digest.h. The only includer of OpenSSL in this room.
 */
#include "analytics/digest.h"

#include "lib/log.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct digest {
	EVP_MD_CTX *context;
};

static void
begin(struct digest *digest)
{
	if (EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
		log_die("digest", "error=\"SHA-256 cannot begin\"");
}

struct digest *
digest_open(void)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (digest == NULL)
		return NULL;
	digest->context = EVP_MD_CTX_new();
	if (digest->context == NULL) {
		free(digest);
		return NULL;
	}
	begin(digest);
	return digest;
}

void
digest_close(struct digest *digest)
{
	if (digest == NULL)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

static void
add(struct digest *digest, struct str s)
{
	unsigned char length[8];

	for (unsigned i = 0; i < 8; i++)
		length[i] = (unsigned char)((uint64_t)s.n >> (8 * i));
	if (EVP_DigestUpdate(digest->context, length, sizeof(length)) != 1 ||
	    (s.n && EVP_DigestUpdate(digest->context, s.p, s.n) != 1))
		log_die("digest", "error=\"SHA-256 cannot go on\"");
}

void
digest_add(struct digest *digest, struct str key, struct str value)
{
	add(digest, key);
	add(digest, value);
}

void
digest_print(struct digest *digest, char out[DIGEST_TEXT_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(digest->context, bytes, &n) != 1 || n != 32)
		log_die("digest", "error=\"SHA-256 cannot end\"");
	for (unsigned i = 0; i < n; i++) {
		out[2 * i] = hex[bytes[i] >> 4];
		out[2 * i + 1] = hex[bytes[i] & 15];
	}
	out[2 * n] = '\0';
	begin(digest);
}
