/*
 * crypto: what the master key is for. Two keys are derived from it (HKDF-SHA-
 * 256): one seals secrets, one seals the keys of AI providers (AES-256-GCM,
 * fresh 96-bit nonce, the record's identity as associated data, key id in the
 * blob). The key that finds licence keys (HMAC-SHA-256) is random, never
 * changes and is in the store, sealed; stores of before derive it, too.
 * While the master key is being changed there are those of two: both open, one
 * seals; see doc/decisions/017-master-key.md.
 * Contexts are fetched and keyed once. One thread.
 */
#ifndef STORE_CRYPTO_H
#define STORE_CRYPTO_H

#include "lib/arena.h"
#include "lib/err.h"

#define CRYPTO_HASH_BYTES 32u
#define LICENSE_KEY_BYTES_MAX 128u
#define LICENSE_KEY_CHARS_MIN 16u /* letters and digits of a given one */

struct crypto;

/* Makes a new master key file, 0600; ERR_EXISTS: it never overwrites. */
enum err crypto_make_master_key(const char *path, struct why *why);
/* Missing, unreadable, readable by others, short: ERR_CONFIG and one line. */
enum err crypto_open(struct crypto **out, const char *master_key_file,
		     struct why *why);
/* Only what seals provider keys: the proxy's, which can then open those and
 * nothing else. Errors as above. Only crypto_seal, crypto_open_sealed,
 * crypto_take_next and crypto_close may follow. */
enum err crypto_open_provider_keys(struct crypto **out,
				   const char *master_key_file,
				   struct why *why);
/* The same out of a whole one; it lives as long. */
struct crypto *crypto_provider_keys(struct crypto *crypto);
void crypto_close(struct crypto *crypto);
/* What the store's first record says: which of the file's keys it is sealed
 * with, and the key that finds licences (absent: derived). Until then it is the
 * file's first, and derived. ERR_CONFIG: the store was made with another one.
 * ERR_STORE_CORRUPT: the find key does not open. */
enum err crypto_unlock(struct crypto *crypto, struct str key_check,
		       struct str find_key);
/* For a new store. False: OpenSSL fails. */
bool crypto_make_find_key(struct crypto *crypto);
enum err crypto_seal_find_key(struct crypto *crypto, struct arena *arena,
			      struct str *sealed);
/* A value to keep in the store that tells a wrong master key: of the key that
 * seals. */
void crypto_key_check(struct crypto *crypto,
		      unsigned char out[CRYPTO_HASH_BYTES]);
bool crypto_equal(struct str a, struct str b); /* constant time */
void crypto_hash_token(struct str token,
		       unsigned char out[CRYPTO_HASH_BYTES]); /* SHA-256 */

/* Upper case, without surrounding blanks; false when it is no possible key
 * (empty, too long, or a byte outside [A-Za-z0-9-_]). */
bool crypto_normalize_license_key(struct str key,
				  char out[LICENSE_KEY_BYTES_MAX], size_t *n);
/* Has it the letters and digits that a key takes which nobody can guess? Asked
 * of keys that are inserted, not of those that are presented. */
bool crypto_is_long_license_key(struct str normalized);
/* HMAC-SHA-256 of the normalized key. */
void crypto_hash_license_key(struct crypto *crypto, struct str normalized,
			     unsigned char out[CRYPTO_HASH_BYTES]);
/* PREFIX-XXXX-XXXX-XXXX-XXXX: 16 of a 32-character alphabet without 0 O 1 I:
 * 80 random bits. Returns the str over out. */
struct str crypto_make_license_key(struct str prefix,
				   char out[LICENSE_KEY_BYTES_MAX]);
/* CHA-****-****-****-ABCD: prefix and last four characters shown; a key of
 * fewer groups has no prefix, a short one shows nothing. */
struct str crypto_mask_license_key(struct str normalized, struct arena *arena);

/* ERR_TOO_LARGE beyond 64 KiB. */
enum err crypto_seal(struct crypto *crypto, struct str secret,
		     struct str identity, struct arena *arena,
		     struct str *blob);
/* ERR_STORE_CORRUPT: blob, key or identity is not the one it was sealed with.
 */
enum err crypto_open_sealed(struct crypto *crypto, struct str blob,
			    struct str identity, struct arena *arena,
			    struct str *secret);
/* The blob as the key that seals now has it: itself, or made anew. Errors as
 * above. */
enum err crypto_reseal(struct crypto *crypto, struct str blob,
		       struct str identity, struct arena *arena,
		       struct str *out);
/* Wipes what crypto_open_sealed gave, before its arena goes. */
void crypto_forget(struct str secret);

/* --- from one master key to the next ---------------------------------------
 */

/* The file has two: the one that was, and the one to come. */
bool crypto_has_next(const struct crypto *crypto);
void crypto_next_check(const struct crypto *crypto,
		       unsigned char out[CRYPTO_HASH_BYTES]);
/* What is derived from the second, sealed by the first, for a process that has
 * the first only. */
enum err crypto_give_next(struct crypto *crypto, struct arena *arena,
			  struct str *sealed);
/* Takes that, if it is not known: then it opens, too. ERR_STORE_CORRUPT: sealed
 * with a key that is not here. ERR_CONFLICT: there is no room, which a key that
 * does not seal any more makes. */
enum err crypto_take_next(struct crypto *crypto, struct str sealed);
/* The key of that check seals from now on; false when it is not here. */
bool crypto_use(struct crypto *crypto, struct str key_check);

#endif
