/*
 * engine: what stands behind the store's interface. An engine keeps two ordered
 * tables of sealed values, commits a sorted group as one, and knows the lease
 * and the head. store.c is its only caller and does what is common: limits,
 * sorting, sealing by engine_seal, checking, copying, paging.
 *
 * All calls come from one thread. What is read points into the engine and lives
 * until the view ends; get, walk and before are called inside a view only.
 */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "store/store.h"

enum engine_table {
	ENGINE_KV, /* keys begin with a byte from 0x20 to 0x7e */
	ENGINE_EV, /* keys are sequence numbers, 8 bytes, big endian */
	ENGINE_TABLES
};

#define ENGINE_SEAL_BYTES 4u
#define ENGINE_SEQ_BYTES 8u

struct engine_row {
	struct str key;
	struct str sealed;
};
/* False: no more rows, please. */
typedef bool engine_row_fn(void *ctx, const struct engine_row *row);

struct engine_group {
	const struct store_write *const *writes; /* by key, each key once */
	size_t write_count;
	const struct str *events;
	size_t event_count;
};

struct engine_space {
	int64_t used_bytes;
	int64_t map_bytes;  /* 0: no such limit */
	int64_t disk_bytes; /* 0: no disk */
	int64_t disk_free_bytes;
};

struct engine_ops {
	const char *name;
	enum err (*open)(void **engine, const struct store_conf *conf,
			 struct why *why);
	void (*close)(void *engine);

	enum err (*view_begin)(void *engine);
	void (*view_end)(void *engine);
	uint64_t (*view_number)(void *engine); /* as store_view_number */
	/* Sealed values of keys in ENGINE_KV; absent ones STR_NONE. */
	enum err (*get)(void *engine, const struct str *keys, size_t count,
			struct str *sealed);
	/* Rows in key order, the first one at or behind `from`. */
	enum err (*walk)(void *engine, enum engine_table table, struct str from,
			 engine_row_fn *fn, void *ctx);
	/* The last row of ENGINE_KV in front of `bound`; key STR_NONE when
	 * there is none. */
	enum err (*before)(void *engine, struct str bound,
			   struct engine_row *row);
	/* What is in a table, as the engine counts it. */
	enum err (*count)(void *engine, enum engine_table table,
			  uint64_t *rows);
	enum err (*head)(void *engine, uint64_t *seq);

	/* ERR_STORE_LOCKED; else a token above all earlier ones, durable. */
	enum err (*lease_take)(void *engine, uint64_t *token, struct why *why);
	void (*lease_release)(void *engine);
	/* As store_commit. Checks token and head inside its transaction. */
	enum err (*commit)(void *engine, uint64_t token, uint64_t *head,
			   const struct engine_group *group);
	/* As store_journal and store_is_behind (inside a view). */
	enum err (*journal)(void *engine, uint64_t token, uint64_t head,
			    const struct store_group *group);
	enum err (*is_behind)(void *engine, bool *is_behind);

	/* As store_rest; NULL: there is nothing to give back. */
	enum err (*rest)(void *engine);
	enum err (*space)(void *engine, struct engine_space *out);
	enum err (*check_readers)(void *engine, unsigned *cleared);
};

extern const struct engine_ops engine_lmdb;
extern const struct engine_ops engine_memory;

/* Writes the checksum over table, key and value, then the value: value.n +
 * ENGINE_SEAL_BYTES bytes at out. */
void engine_seal(enum engine_table table, struct str key, struct str value,
		 void *out);
/* False when sealed is not what engine_seal made of this key. */
bool engine_is_sound(enum engine_table table, struct str key,
		     struct str sealed);

/* store_verify over any engine, inside a view. */
enum err engine_verify(const struct engine_ops *ops, void *engine,
		       uint64_t *records, uint64_t *bad, struct why *why);

static inline void
engine_put_u64(unsigned char out[8], uint64_t u)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(u >> (56 - 8 * i));
}

static inline uint64_t
engine_get_u64(const char *in)
{
	uint64_t u = 0;

	for (int i = 0; i < 8; i++)
		u = u << 8 | (unsigned char)in[i];
	return u;
}

#endif
