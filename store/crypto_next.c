/*
 * crypto_next: which master key seals, the key that finds licences, and from
 * one master key to the next. See crypto.h.
 */
#include "store/crypto_internal.h"

#include <assert.h>
#include <openssl/crypto.h>

#include "lib/id.h"

/* As what a key is sealed. */
#define FIND_IDENTITY STR("the key that finds licences")
#define NEXT_IDENTITY STR("the next key")

#define NEXT_BYTES (KEY_BYTES + KEY_ID_BYTES + CRYPTO_HASH_BYTES)

/* The ring of that check, or ring_count. */
static unsigned
ring_of(const struct crypto *crypto, struct str check)
{
	unsigned i = 0;

	while (i < crypto->ring_count &&
	       !crypto_equal(
		   check, str_bytes(crypto->rings[i].check, CRYPTO_HASH_BYTES)))
		i++;
	return i;
}

bool
crypto_use(struct crypto *crypto, struct str check)
{
	unsigned i = ring_of(crypto, check);

	if (i == crypto->ring_count || i >= crypto->provider_keys->ring_count)
		return false;
	crypto->current = crypto->provider_keys->current = i;
	return true;
}

static enum err
open_find_key(struct crypto *crypto, struct str sealed)
{
	struct str key;
	struct arena arena;
	enum err err;

	arena_init(&arena, 4096);
	err = crypto_open_sealed(crypto, sealed, FIND_IDENTITY, &arena, &key);
	if (err == ERR_OK && key.n != KEY_BYTES)
		err = ERR_STORE_CORRUPT;
	if (err == ERR_OK &&
	    !crypto_set_find_key(crypto, (const unsigned char *)key.p))
		err = ERR_INTERNAL;
	if (err == ERR_OK)
		crypto_forget(key);
	arena_fini(&arena);
	return err;
}

enum err
crypto_unlock(struct crypto *crypto, struct str check, struct str find_key)
{
	if (!crypto_use(crypto, check))
		return ERR_CONFIG;
	if (find_key.p)
		return open_find_key(crypto, find_key);
	return crypto_set_find_key(crypto,
				   crypto->rings[crypto->current].find_key)
		   ? ERR_OK
		   : ERR_INTERNAL;
}

bool
crypto_make_find_key(struct crypto *crypto)
{
	unsigned char key[KEY_BYTES];
	bool is_done;

	id_random(key, sizeof(key));
	is_done = crypto_set_find_key(crypto, key);
	OPENSSL_cleanse(key, sizeof(key));
	return is_done;
}

enum err
crypto_seal_find_key(struct crypto *crypto, struct arena *arena,
		     struct str *sealed)
{
	return crypto_seal(
	    crypto, str_bytes(crypto->find_key, sizeof(crypto->find_key)),
	    FIND_IDENTITY, arena, sealed);
}

bool
crypto_has_next(const struct crypto *crypto)
{
	return crypto->ring_count == 2;
}

void
crypto_next_check(const struct crypto *crypto,
		  unsigned char out[CRYPTO_HASH_BYTES])
{
	assert(crypto_has_next(crypto));
	memcpy(out, crypto->rings[1].check, CRYPTO_HASH_BYTES);
}

enum err
crypto_give_next(struct crypto *crypto, struct arena *arena, struct str *sealed)
{
	const struct ring *next = &crypto->rings[1];
	unsigned char bytes[NEXT_BYTES];
	enum err err;

	assert(crypto_has_next(crypto));
	memcpy(bytes, next->seal_key, KEY_BYTES);
	memcpy(bytes + KEY_BYTES, next->key_id, KEY_ID_BYTES);
	memcpy(bytes + KEY_BYTES + KEY_ID_BYTES, next->check,
	       CRYPTO_HASH_BYTES);
	err = crypto_seal_by(crypto, &crypto->rings[0],
			     str_bytes(bytes, NEXT_BYTES), NEXT_IDENTITY, arena,
			     sealed);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return err;
}

static void
ring_read(struct ring *ring, struct str bytes)
{
	*ring = (struct ring){{0}, {0}, {0}, {0}};
	memcpy(ring->seal_key, bytes.p, KEY_BYTES);
	memcpy(ring->key_id, bytes.p + KEY_BYTES, KEY_ID_BYTES);
	memcpy(ring->check, bytes.p + KEY_BYTES + KEY_ID_BYTES,
	       CRYPTO_HASH_BYTES);
}

/* Takes the place of what neither seals nor opened it, if there is any. */
static enum err
ring_add(struct crypto *crypto, unsigned by, const struct ring *next)
{
	for (unsigned i = 0; i < crypto->ring_count; i++)
		if (CRYPTO_memcmp(crypto->rings[i].seal_key, next->seal_key,
				  KEY_BYTES) == 0)
			return ERR_OK;
	if (crypto->ring_count == 2 && crypto->provider_keys &&
	    by != crypto->current)
		return ERR_CONFLICT;
	crypto->rings[1 - by] = *next;
	crypto->ring_count = 2;
	return ERR_OK;
}

enum err
crypto_take_next(struct crypto *crypto, struct str sealed)
{
	struct ring next;
	struct arena arena;
	struct str bytes;
	unsigned by;
	enum err err;

	arena_init(&arena, 4096);
	err = crypto_open_by_any(crypto, sealed, NEXT_IDENTITY, &arena, &bytes,
				 &by);
	if (err == ERR_OK && bytes.n != NEXT_BYTES)
		err = ERR_STORE_CORRUPT;
	if (err == ERR_OK) {
		ring_read(&next, bytes);
		err = ring_add(crypto, by, &next);
		OPENSSL_cleanse(&next, sizeof(next));
		crypto_forget(bytes);
	}
	arena_fini(&arena);
	return err;
}
