/*
 * meta: see meta.h.
 */
#include "store/meta.h"

#include "store/keys.h"

enum err
meta_load(struct store *store, struct arena *arena, struct meta *out)
{
	struct str at, value;
	struct key key;
	enum err e;

	key_meta(&key);
	at = key_str(&key);
	e = store_load(store, &at, 1, &value, arena);
	if (e != ERR_OK)
		return e;
	return value.p ? schema_decode(&meta_schema, value, out, arena, NULL)
		       : ERR_NO_SUCH;
}

enum err
meta_unlock(struct store *store, struct crypto *crypto, struct arena *arena,
	    struct meta *out, struct why *why)
{
	enum err e = meta_load(store, arena, out);

	if (e == ERR_NO_SUCH)
		return why_set(why, ERR_STORE_MISSING,
			       "the store is empty: run `chatello init`");
	if (e != ERR_OK)
		return why_set(why, e, "the store's first record: %s",
			       err_text(e));
	if (out->version > META_VERSION)
		return why_set(why, ERR_CONFIG,
			       "the store was written by a newer version: "
			       "upgrade Chatello");
	e = crypto_unlock(crypto, out->key_check, out->find_key);
	if (e == ERR_CONFIG)
		return why_set(why, e,
			       "the master key is not the one this store was "
			       "made with: set CHATELLO_MASTER_KEY_FILE to it");
	if (e != ERR_OK)
		return why_set(why, e, "the key that finds licences: %s",
			       err_text(e));
	return ERR_OK;
}
