/*
 * key_pool: the vendor's provider keys that a proxy may use: which one the next
 * call gets, and which are put aside for a while. Pure: time and chance are the
 * caller's. The keys are in clear here, and only here.
 */
#ifndef WORKERS_KEY_POOL_H
#define WORKERS_KEY_POOL_H

#include "lib/metrics.h"
#include "store/provider_key.h"

#define KEY_POOL_MAX 72u /* the ledger's 64, and one of each setting */

enum key_rest {
#define KEY_REST(name, text, first_ms, longest_ms, takes_last, metric)         \
	KEY_REST_##name,
#include "workers/key_rests.def"
#undef KEY_REST
	KEY_RESTS,
};

struct key_rest_row {
	const char *text;
	int64_t first_ms;
	int64_t longest_ms;
	bool takes_last;
	enum metric metric;
};
extern const struct key_rest_row key_rest_rows[KEY_RESTS];

struct pool_key {
	unsigned provider; /* its row */
	char name[PROVIDER_KEY_NAME_BYTES_MAX + 1];
	char text[PROVIDER_KEY_BYTES_MAX + 1];
	int64_t weight;
	int64_t rests_until_ms;
	unsigned rests; /* in a row */
};

struct key_pool {
	struct pool_key keys[KEY_POOL_MAX];
	unsigned count;
	uint64_t generation; /* indexes are of this one */
};

/* False: no room, or a text that is too long. */
bool key_pool_add(struct key_pool *pool, unsigned provider, struct str name,
		  struct str text, int64_t weight);
/* to takes the place of pool, with a new generation unless all keys are the
 * same; those that are go on resting. to is wiped. */
void key_pool_replace(struct key_pool *pool, struct key_pool *to);
void key_pool_wipe(struct key_pool *pool);
bool key_pool_has(const struct key_pool *pool, unsigned provider);

#define KEY_POOL_NONE (-1) /* the provider has no key */
#define KEY_POOL_RESTING                                                       \
	(-2) /* each is put aside: *wait_ms until the first                    \
	      */
/* A key that does not rest, by weight; chance: any number. */
int key_pool_pick(const struct key_pool *pool, unsigned provider,
		  int64_t now_ms, uint64_t chance, int64_t *wait_ms);
/* The one that comes back first, for a request that waits for it by itself. */
int key_pool_first_back(const struct key_pool *pool, unsigned provider);

/* Puts the key aside (or not: takes_last). retry_after_ms: what the provider
 * wished, -1 = nothing. Returns for how long; 0 = it is not. */
int64_t key_pool_rest(struct key_pool *pool, int index, enum key_rest why,
		      int64_t retry_after_ms, int64_t now_ms);
/* It was answered well. */
void key_pool_works(struct key_pool *pool, int index);

#endif
