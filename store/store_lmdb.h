/*
 * store_lmdb: what the files of the LMDB engine share. It is one engine:
 * store_lmdb.c opens it, store_lmdb_read.c reads and proves, store_lmdb_write.c
 * commits and keeps the lease, store_lmdb_journal.c makes groups durable in
 * front of a commit, store_lmdb_room.c keeps the file's end ahead. Nobody else
 * includes this, or lmdb.
 */
#ifndef STORE_STORE_LMDB_H
#define STORE_STORE_LMDB_H

#include <lmdb.h>

#include "store/engine.h"

#define LMDB_PATH_BYTES 4096
/* Our own records: in front of all keys, and behind them. The first one is the
 * root; stores made before the journal have no number in it. */
#define FIRST_KEY STR("\1")
#define LAST_KEY STR("\177")
#define ROOT_BYTES 24u
#define ROOT_BYTES_FIRST 16u

struct root {
	uint64_t token;
	uint64_t head;
	uint64_t number; /* of the token's last journalled group that is in */
};

/* Its room fills from one commit to the next. */
struct journal {
	int fd;		       /* -1: no group came yet */
	unsigned char *record; /* to be written; NULL: none for a while */
	size_t end;
	uint64_t token;	 /* the lease's; 0: none */
	uint64_t number; /* of the last record */
	uint64_t head;	 /* of the log, with the records' events */
};

struct lmdb {
	MDB_env *env;
	MDB_dbi tables[ENGINE_TABLES];
	MDB_txn *reader; /* reset while there is no view */
	MDB_cursor *cursors[ENGINE_TABLES];
	int lock_fd;	/* -1 = no lease */
	off_t room_end; /* the file is written up to here, as far as known */
	struct journal journal;
	char dir[LMDB_PATH_BYTES];
};

/* The outcome of a code of LMDB, which may be an errno. */
enum err lmdb_err(int rc);
/* ERR_STORE_CORRUPT unless sealed is what our first record may hold. */
enum err lmdb_root_of(struct str sealed, struct root *root);

enum err lmdb_view_begin(void *engine);
void lmdb_view_end(void *engine);
uint64_t lmdb_view_number(void *engine);
enum err lmdb_get(void *engine, const struct str *keys, size_t count,
		  struct str *sealed);
enum err lmdb_walk(void *engine, enum engine_table table, struct str from,
		   engine_row_fn *fn, void *ctx);
enum err lmdb_before(void *engine, struct str bound, struct engine_row *row);
enum err lmdb_count(void *engine, enum engine_table table, uint64_t *rows);
enum err lmdb_head(void *engine, uint64_t *seq);
/* Inside a view. */
enum err lmdb_root(struct lmdb *lmdb, struct root *root);

enum err lmdb_commit(void *engine, uint64_t token, uint64_t *head,
		     const struct engine_group *group);
/* Before a transaction that writes. */
void lmdb_make_room(struct lmdb *lmdb);
/* The group's writes and events; root->head is that behind them. */
enum err lmdb_put_group(struct lmdb *lmdb, MDB_txn *txn,
			const struct root *root,
			const struct engine_group *group);
enum err lmdb_lease_take(void *engine, uint64_t *token, struct why *why);
void lmdb_lease_release(void *engine);
/* Writes our first record, and when the store is made also the last. */
int lmdb_put_own(struct lmdb *lmdb, MDB_txn *txn, const struct root *root,
		 bool is_new);

enum err lmdb_journal(void *engine, uint64_t token, uint64_t head,
		      const struct store_group *group);
/* From here on; what was journalled is in the tree. */
void lmdb_journal_begin(struct lmdb *lmdb, const struct root *root);
/* Frees its memory until the next group comes. */
void lmdb_journal_rest(struct lmdb *lmdb);
void lmdb_journal_close(struct lmdb *lmdb);
/* Puts what the last lease journalled behind its last commit, and moves root on
 * to there. ERR_STORE_CORRUPT: a record in the middle is damaged. */
enum err lmdb_journal_replay(struct lmdb *lmdb, MDB_txn *txn,
			     struct root *root);
enum err lmdb_is_behind(void *engine, bool *is_behind);

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
