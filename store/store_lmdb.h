/*
 * store_lmdb: what the files of the LMDB engine share. It is one engine:
 * store_lmdb.c opens it, store_lmdb_read.c reads and proves, store_lmdb_write.c
 * commits and keeps the lease. Nobody else includes this, or lmdb.
 */
#ifndef STORE_STORE_LMDB_H
#define STORE_STORE_LMDB_H

#include <lmdb.h>

#include "store/engine.h"

#define LMDB_PATH_BYTES 4096
/* Our own records: in front of all keys, and behind them. The first one holds
 * token and head. */
#define FIRST_KEY STR("\1")
#define LAST_KEY STR("\177")
#define ROOT_BYTES 16u

struct lmdb {
	MDB_env *env;
	MDB_dbi tables[ENGINE_TABLES];
	MDB_txn *reader; /* reset while there is no view */
	MDB_cursor *cursors[ENGINE_TABLES];
	int lock_fd;	/* -1 = no lease */
	off_t room_end; /* the file is written up to here, as far as known */
	char dir[LMDB_PATH_BYTES];
};

struct root {
	uint64_t token;
	uint64_t head;
};

/* The outcome of a code of LMDB, which may be an errno. */
enum err lmdb_err(int rc);
/* ERR_STORE_CORRUPT unless sealed is what our first record may hold. */
enum err lmdb_root_of(struct str sealed, struct root *root);

enum err lmdb_view_begin(void *engine);
void lmdb_view_end(void *engine);
enum err lmdb_get(void *engine, const struct str *keys, size_t count,
		  struct str *sealed);
enum err lmdb_walk(void *engine, enum engine_table table, struct str from,
		   engine_row_fn *fn, void *ctx);
enum err lmdb_before(void *engine, struct str bound, struct engine_row *row);
enum err lmdb_count(void *engine, enum engine_table table, uint64_t *rows);
enum err lmdb_head(void *engine, uint64_t *seq);

enum err lmdb_commit(void *engine, uint64_t token, uint64_t *head,
		     const struct engine_group *group);
/* Before a transaction that writes. */
void lmdb_make_room(struct lmdb *lmdb);
enum err lmdb_lease_take(void *engine, uint64_t *token, struct why *why);
void lmdb_lease_release(void *engine);
/* Writes our first record, and when the store is made also the last. */
int lmdb_put_own(struct lmdb *lmdb, MDB_txn *txn, const struct root *root,
		 bool is_new);

static inline MDB_val
val_of(struct str s)
{
	/* LMDB does not write through it; its type has no const. */
	union {
		const void *in;
		void *out;
	} p = {.in = s.p};

	return (MDB_val){s.n, p.out};
}

static inline struct str
str_of_val(const MDB_val *val)
{
	return str_bytes(val->mv_data, val->mv_size);
}

#endif
