/*
 * meta: the store's first record, and the master key that belongs to it. Read
 * by everybody who opens a store with its key.
 */
#ifndef STORE_META_H
#define STORE_META_H

#include "store/crypto.h"
#include "store/records.h"
#include "store/store.h"

/* 1: counters were written with every commit. Since 2 there is `counted`. Since
 * 3 the key that finds licences is in the first record, when that has one. */
#define META_VERSION 3

/* ERR_NO_SUCH: the store is empty. Strings live in the arena. */
enum err meta_load(struct store *store, struct arena *arena, struct meta *out);
/* Reads it and has crypto use what it says of keys. STORE_MISSING: the store is
 * empty. CONFIG: a newer version wrote it, or the master key is another one's.
 * why: one line. */
enum err meta_unlock(struct store *store, struct crypto *crypto,
		     struct arena *arena, struct meta *out, struct why *why);

#endif
