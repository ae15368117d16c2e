/*
 * store_lmdb: the engine of a house on one machine, and the only includer of
 * lmdb (0.9.24 of Debian 12; default flags, so that a commit is flushed when it
 * returns). Keys and the map are not checksummed by LMDB, so a lookup proves
 * what it says: a key that is absent lies between two sound neighbours in their
 * order, and the table begins and ends with a record of our own.
 *
 * Always holds: one read transaction for each handle, reset between views; one
 * environment for each process, opened after fork; write transactions only
 * under the lock on writer.lock.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/proc.h"
#include "store/engine.h"

#define READERS_MAX 126u
#define PATH_BYTES 4096
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
	int lock_fd; /* -1 = no lease */
	char dir[PATH_BYTES];
};

struct root {
	uint64_t token;
	uint64_t head;
};

static enum err
err_of(int rc)
{
	switch (rc) {
	case 0:
		return ERR_OK;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_STORE_FULL;
	case ENOMEM:
		return ERR_NO_MEMORY;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_KEYEXIST:
	case MDB_CURSOR_FULL:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_VALSIZE:
		return ERR_STORE_CORRUPT;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_IO;
	case MDB_TXN_FULL:
		return ERR_OVERLOADED;
	case MDB_PANIC:
		return ERR_COMMIT_UNKNOWN;
	default: /* EIO, MDB_READERS_FULL, MDB_MAP_RESIZED, ... */
		return ERR_UNAVAILABLE;
	}
}

static MDB_val
val_of(struct str s)
{
	/* LMDB does not write through it; its type has no const. */
	union {
		const void *in;
		void *out;
	} p = {.in = s.p};

	return (MDB_val){s.n, p.out};
}

static struct str
str_of_val(const MDB_val *val)
{
	return str_bytes(val->mv_data, val->mv_size);
}

/* --- reading ------------------------------------------------------------- */

static enum err
lmdb_view_begin(void *engine)
{
	struct lmdb *lmdb = engine;
	int rc = mdb_txn_renew(lmdb->reader);

	if (rc != 0)
		return err_of(rc);
	for (int t = 0; t < ENGINE_TABLES && rc == 0; t++)
		rc = mdb_cursor_renew(lmdb->reader, lmdb->cursors[t]);
	if (rc != 0)
		mdb_txn_reset(lmdb->reader);
	return err_of(rc);
}

static void
lmdb_view_end(void *engine)
{
	struct lmdb *lmdb = engine;

	mdb_txn_reset(lmdb->reader);
}

/* Moves the cursor and gives the row there, key STR_NONE at the end. A row with
 * more bytes than any has is not looked at. */
static enum err
move(struct lmdb *lmdb, enum engine_table table, MDB_val *key, MDB_cursor_op op,
     struct engine_row *row)
{
	MDB_val value;
	int rc = mdb_cursor_get(lmdb->cursors[table], key, &value, op);

	*row = (struct engine_row){STR_NONE, STR_NONE};
	if (rc == MDB_NOTFOUND)
		return ERR_OK;
	if (rc != 0)
		return err_of(rc);
	if (key->mv_size == 0 || key->mv_size > STORE_KEY_BYTES_MAX ||
	    value.mv_size < ENGINE_SEAL_BYTES ||
	    value.mv_size > STORE_VALUE_BYTES_MAX + ENGINE_SEAL_BYTES)
		return ERR_STORE_CORRUPT;
	row->key = str_of_val(key);
	row->sealed = str_of_val(&value);
	return ERR_OK;
}

static bool
is_sound(enum engine_table table, const struct engine_row *row)
{
	return engine_is_sound(table, row->key, row->sealed);
}

/* What stands next to `key` must be sound, on its side (-1 in front of it, 1
 * behind), and its own next row further out: a damaged pointer inside a page
 * may lead to a sound row of another page. In the kv table there is always a
 * neighbour, if only our own. The cursor is on the neighbour. */
static enum err
check_neighbour(struct lmdb *lmdb, enum engine_table table, struct str key,
		const struct engine_row *row, int side)
{
	struct engine_row further;
	MDB_val val;
	enum err err;

	if (row->key.p == NULL)
		return table == ENGINE_KV ? ERR_STORE_CORRUPT : ERR_OK;
	if (str_cmp(row->key, key) * side <= 0 || !is_sound(table, row))
		return ERR_STORE_CORRUPT;
	err = move(lmdb, table, &val, side < 0 ? MDB_PREV : MDB_NEXT, &further);
	if (err == ERR_OK && further.key.p &&
	    str_cmp(further.key, row->key) * side <= 0)
		return ERR_STORE_CORRUPT;
	return err;
}

/* The row at or behind key; *before: the one in front of key. Both are proven
 * to be next to key. */
static enum err
locate(struct lmdb *lmdb, enum engine_table table, struct str key,
       struct engine_row *at, struct engine_row *before)
{
	MDB_val val = val_of(key);
	enum err err = move(lmdb, table, &val, MDB_SET_RANGE, at);

	if (err != ERR_OK)
		return err;
	err = move(lmdb, table, &val, at->key.p ? MDB_PREV : MDB_LAST, before);
	if (err == ERR_OK)
		err = check_neighbour(lmdb, table, key, before, -1);
	if (err != ERR_OK || (at->key.p && str_eq(at->key, key)))
		return err;
	val = val_of(key);
	err = move(lmdb, table, &val, MDB_SET_RANGE, at);
	return err == ERR_OK ? check_neighbour(lmdb, table, key, at, 1) : err;
}

static enum err
get_one(struct lmdb *lmdb, struct str key, struct str *sealed)
{
	MDB_val val = val_of(key);
	struct engine_row at, before;
	enum err err = move(lmdb, ENGINE_KV, &val, MDB_SET_KEY, &at);

	if (err == ERR_OK && at.key.p == NULL)
		err = locate(lmdb, ENGINE_KV, key, &at, &before);
	if (err != ERR_OK)
		return err;
	*sealed = at.key.p && str_eq(at.key, key) ? at.sealed : STR_NONE;
	return ERR_OK;
}

static enum err
lmdb_get(void *engine, const struct str *keys, size_t count, struct str *sealed)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		sealed[i] = STR_NONE;
		if (keys[i].n > 0 && keys[i].n <= STORE_KEY_BYTES_MAX)
			err = get_one(engine, keys[i], &sealed[i]);
	}
	return err;
}

static bool
is_own(enum engine_table table, struct str key)
{
	return table == ENGINE_KV &&
	       (str_eq(key, FIRST_KEY) || str_eq(key, LAST_KEY));
}

static enum err
lmdb_walk(void *engine, enum engine_table table, struct str from,
	  engine_row_fn *fn, void *ctx)
{
	struct lmdb *lmdb = engine;
	MDB_val key = {0, NULL};
	struct engine_row row, before;
	enum err err;

	if (from.n == 0) {
		err = move(lmdb, table, &key, MDB_FIRST, &row);
	} else {
		err = locate(lmdb, table, from, &row, &before);
		key = val_of(from);
		if (err == ERR_OK && row.key.p)
			err = move(lmdb, table, &key, MDB_SET_RANGE, &row);
	}
	while (err == ERR_OK && row.key.p) {
		bool is_ours = is_own(table, row.key);
		bool is_last = is_ours && str_eq(row.key, LAST_KEY);

		if (is_ours && !is_sound(table, &row))
			return ERR_STORE_CORRUPT;
		if (is_last || (!is_ours && !fn(ctx, &row)))
			return ERR_OK;
		err = move(lmdb, table, &key, MDB_NEXT, &row);
	}
	if (err == ERR_OK && table == ENGINE_KV)
		return ERR_STORE_CORRUPT; /* ends before our last record */
	return err;
}

static enum err
lmdb_before(void *engine, enum engine_table table, struct str bound,
	    struct engine_row *row)
{
	struct engine_row at;
	enum err err = locate(engine, table, bound, &at, row);

	if (err == ERR_OK && row->key.p && is_own(table, row->key))
		*row = (struct engine_row){STR_NONE, STR_NONE};
	return err;
}

static enum err
lmdb_count(void *engine, enum engine_table table, uint64_t *rows)
{
	struct lmdb *lmdb = engine;
	MDB_stat stat;
	int rc = mdb_stat(lmdb->reader, lmdb->tables[table], &stat);

	if (rc != 0)
		return err_of(rc);
	*rows = stat.ms_entries;
	if (table == ENGINE_KV) /* without our own */
		*rows -= *rows < 2 ? *rows : 2;
	return ERR_OK;
}

static enum err
root_of(struct str sealed, struct root *root)
{
	if (sealed.n != ROOT_BYTES + ENGINE_SEAL_BYTES ||
	    !engine_is_sound(ENGINE_KV, FIRST_KEY, sealed))
		return ERR_STORE_CORRUPT;
	root->token = engine_get_u64(sealed.p + ENGINE_SEAL_BYTES);
	root->head = engine_get_u64(sealed.p + ENGINE_SEAL_BYTES + 8);
	return ERR_OK;
}

static enum err
lmdb_head(void *engine, uint64_t *seq)
{
	struct root root;
	struct str sealed;
	enum err err = get_one(engine, FIRST_KEY, &sealed);

	if (err == ERR_OK)
		err = root_of(sealed, &root);
	if (err == ERR_OK)
		*seq = root.head;
	return err;
}

/* --- writing ------------------------------------------------------------- */

static int
put(struct lmdb *lmdb, MDB_txn *txn, enum engine_table table,
    const struct store_write *write)
{
	MDB_val key = val_of(write->key);
	MDB_val room = {write->value.n + ENGINE_SEAL_BYTES, NULL};
	unsigned flags = MDB_RESERVE;
	int rc;

	if (table == ENGINE_EV)
		flags |= MDB_APPEND;
	rc = mdb_put(txn, lmdb->tables[table], &key, &room, flags);
	if (rc == 0)
		engine_seal(table, write->key, write->value, room.mv_data);
	return rc;
}

static int
put_root(struct lmdb *lmdb, MDB_txn *txn, const struct root *root)
{
	unsigned char bytes[ROOT_BYTES];
	struct store_write write = {FIRST_KEY, str_bytes(bytes, sizeof(bytes))};

	engine_put_u64(bytes, root->token);
	engine_put_u64(bytes + 8, root->head);
	return put(lmdb, txn, ENGINE_KV, &write);
}

static enum err
read_root(struct lmdb *lmdb, MDB_txn *txn, struct root *root)
{
	MDB_val key = val_of(FIRST_KEY), value;
	int rc = mdb_get(txn, lmdb->tables[ENGINE_KV], &key, &value);

	if (rc == MDB_NOTFOUND)
		return ERR_STORE_CORRUPT;
	return rc == 0 ? root_of(str_of_val(&value), root) : err_of(rc);
}

static int
put_group(struct lmdb *lmdb, MDB_txn *txn, uint64_t head,
	  const struct engine_group *group)
{
	unsigned char seq[ENGINE_SEQ_BYTES];
	int rc = 0;

	for (size_t i = 0; i < group->write_count && rc == 0; i++) {
		const struct store_write *write = group->writes[i];
		MDB_val key = val_of(write->key);

		if (write->value.p) {
			rc = put(lmdb, txn, ENGINE_KV, write);
			continue;
		}
		rc = mdb_del(txn, lmdb->tables[ENGINE_KV], &key, NULL);
		if (rc == MDB_NOTFOUND)
			rc = 0;
	}
	for (size_t i = 0; i < group->event_count && rc == 0; i++) {
		struct store_write write = {str_bytes(seq, sizeof(seq)),
					    group->events[i]};

		engine_put_u64(seq, head + i + 1);
		rc = put(lmdb, txn, ENGINE_EV, &write);
	}
	return rc;
}

/* A write or flush failed: what does that mean? LMDB flushes the pages before
 * it writes the meta page that refers to them; when the meta page may have been
 * written it refuses all further transactions (MDB_PANIC). */
static enum err
outcome_of_commit(struct lmdb *lmdb, int rc)
{
	MDB_txn *probe;
	struct statvfs disk;
	enum err err = err_of(rc);

	if (err == ERR_OK)
		return ERR_OK;
	if (mdb_txn_begin(lmdb->env, NULL, 0, &probe) != 0)
		return ERR_COMMIT_UNKNOWN;
	mdb_txn_abort(probe);
	/* LMDB reports a write that was cut short as EIO. */
	if (rc == EIO && statvfs(lmdb->dir, &disk) == 0 && disk.f_bavail == 0)
		return ERR_STORE_FULL;
	return err == ERR_STORE_FULL || err == ERR_NO_MEMORY
		   ? err
		   : ERR_COMMIT_UNKNOWN;
}

static enum err
lmdb_commit(void *engine, uint64_t token, uint64_t *head,
	    const struct engine_group *group)
{
	struct lmdb *lmdb = engine;
	struct root root;
	MDB_txn *txn;
	enum err err;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return err_of(rc);
	err = read_root(lmdb, txn, &root);
	if (err == ERR_OK &&
	    (lmdb->lock_fd < 0 || root.token != token || root.head != *head))
		err = ERR_FENCED;
	if (err == ERR_OK) {
		root.head += group->event_count;
		rc = put_group(lmdb, txn, *head, group);
		if (rc == 0 && group->event_count > 0)
			rc = put_root(lmdb, txn, &root);
		err = err_of(rc);
	}
	if (err == ERR_OK && fault("store-flush"))
		err = ERR_COMMIT_UNKNOWN;
	if (err != ERR_OK) {
		mdb_txn_abort(txn);
		return err;
	}
	err = outcome_of_commit(lmdb, mdb_txn_commit(txn));
	if (err == ERR_OK)
		*head = root.head;
	return err;
}

/* --- the lease ----------------------------------------------------------- */

static void
lmdb_lease_release(void *engine)
{
	struct lmdb *lmdb = engine;

	if (lmdb->lock_fd >= 0)
		close(lmdb->lock_fd);
	lmdb->lock_fd = -1;
}

static enum err
lock(struct lmdb *lmdb, struct why *why)
{
	char path[PATH_BYTES + 16];
	enum err err;

	snprintf(path, sizeof(path), "%s/writer.lock", lmdb->dir);
	err = proc_lock(path, &lmdb->lock_fd, why);
	if (err == ERR_EXISTS)
		return why_set(why, ERR_STORE_LOCKED,
			       "another process writes to the store in %s: "
			       "stop it, or ask it",
			       lmdb->dir);
	return err;
}

static enum err
next_token(struct lmdb *lmdb, uint64_t *token)
{
	struct root root;
	MDB_txn *txn;
	enum err err;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return err_of(rc);
	err = read_root(lmdb, txn, &root);
	if (err == ERR_OK) {
		root.token++;
		err = err_of(put_root(lmdb, txn, &root));
	}
	if (err != ERR_OK) {
		mdb_txn_abort(txn);
		return err;
	}
	err = outcome_of_commit(lmdb, mdb_txn_commit(txn));
	if (err == ERR_OK)
		*token = root.token;
	return err;
}

static enum err
lmdb_lease_take(void *engine, uint64_t *token, struct why *why)
{
	struct lmdb *lmdb = engine;
	enum err err = lock(lmdb, why);

	if (err != ERR_OK)
		return err;
	err = next_token(lmdb, token);
	if (err != ERR_OK) {
		lmdb_lease_release(lmdb);
		return why_set(why, err, "cannot write to the store in %s: %s",
			       lmdb->dir, err_text(err));
	}
	return ERR_OK;
}

/* --- state --------------------------------------------------------------- */

static enum err
lmdb_space(void *engine, struct engine_space *out)
{
	struct lmdb *lmdb = engine;
	MDB_envinfo info;
	MDB_stat stat;
	struct statvfs disk;

	if (mdb_env_info(lmdb->env, &info) != 0 ||
	    mdb_env_stat(lmdb->env, &stat) != 0 ||
	    statvfs(lmdb->dir, &disk) != 0)
		return ERR_UNAVAILABLE;
	out->used_bytes = (int64_t)((info.me_last_pgno + 1) * stat.ms_psize);
	out->map_bytes = (int64_t)info.me_mapsize;
	out->disk_bytes = (int64_t)(disk.f_blocks * disk.f_frsize);
	out->disk_free_bytes = (int64_t)(disk.f_bavail * disk.f_frsize);
	return ERR_OK;
}

static enum err
lmdb_check_readers(void *engine, unsigned *cleared)
{
	struct lmdb *lmdb = engine;
	int dead = 0;
	int rc = mdb_reader_check(lmdb->env, &dead);

	*cleared = (unsigned)dead;
	return err_of(rc);
}

/* --- open and close ------------------------------------------------------ */

static void
lmdb_close(void *engine)
{
	struct lmdb *lmdb = engine;

	lmdb_lease_release(lmdb);
	for (int t = 0; t < ENGINE_TABLES; t++)
		if (lmdb->cursors[t])
			mdb_cursor_close(lmdb->cursors[t]);
	if (lmdb->reader)
		mdb_txn_abort(lmdb->reader);
	mdb_env_close(lmdb->env);
	free(lmdb);
}

static int
open_tables(struct lmdb *lmdb, MDB_txn *txn, unsigned flags)
{
	int rc = mdb_dbi_open(txn, "kv", flags, &lmdb->tables[ENGINE_KV]);

	return rc ? rc
		  : mdb_dbi_open(txn, "ev", flags, &lmdb->tables[ENGINE_EV]);
}

/* Makes the tables and our own two records, all in one transaction. */
static int
make_tables(struct lmdb *lmdb)
{
	struct store_write last = {LAST_KEY, STR("")};
	struct root root = {0, 0};
	MDB_val key = val_of(FIRST_KEY), value;
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	rc = open_tables(lmdb, txn, MDB_CREATE);
	if (rc == 0)
		rc = mdb_get(txn, lmdb->tables[ENGINE_KV], &key, &value);
	if (rc == MDB_NOTFOUND) {
		rc = put_root(lmdb, txn, &root);
		if (rc == 0)
			rc = put(lmdb, txn, ENGINE_KV, &last);
	}
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* The handles of tables that are there, and the transaction of all views. */
static int
start_reading(struct lmdb *lmdb)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	rc = open_tables(lmdb, txn, 0);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	rc = mdb_txn_commit(txn); /* else the handles would be closed again */
	if (rc == 0)
		rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &lmdb->reader);
	for (int t = 0; t < ENGINE_TABLES && rc == 0; t++)
		rc = mdb_cursor_open(lmdb->reader, lmdb->tables[t],
				     &lmdb->cursors[t]);
	if (lmdb->reader)
		mdb_txn_reset(lmdb->reader);
	return rc;
}

static enum err
missing(const struct store_conf *conf, struct why *why)
{
	return why_set(why, ERR_STORE_MISSING,
		       "no store in %s: run `chatello init`", conf->dir);
}

static enum err
check_folder(const struct store_conf *conf, struct why *why)
{
	char path[PATH_BYTES + 16];
	struct stat st;

	if (strlen(conf->dir) >= PATH_BYTES)
		return why_set(why, ERR_CONFIG, "the store's path is too long");
	if (conf->is_created) {
		if (mkdir(conf->dir, 0750) != 0 && errno != EEXIST)
			return why_set(why, ERR_IO, "cannot make %s: %s",
				       conf->dir, strerror(errno));
		return ERR_OK;
	}
	snprintf(path, sizeof(path), "%s/data.mdb", conf->dir);
	if (stat(path, &st) == 0)
		return ERR_OK;
	if (errno == ENOENT || errno == ENOTDIR)
		return missing(conf, why);
	return why_set(why, ERR_IO, "cannot look at %s: %s", path,
		       strerror(errno));
}

static int
open_env(struct lmdb *lmdb, const struct store_conf *conf)
{
	int rc = mdb_env_set_maxdbs(lmdb->env, ENGINE_TABLES);

	if (rc == 0)
		rc = mdb_env_set_mapsize(lmdb->env, (size_t)conf->map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(lmdb->env, READERS_MAX);
	if (rc == 0) /* NOTLS: the read transaction is a handle of ours */
		rc = mdb_env_open(lmdb->env, lmdb->dir, MDB_NOTLS, 0640);
	if (rc == 0 && conf->is_created)
		rc = make_tables(lmdb);
	return rc == 0 ? start_reading(lmdb) : rc;
}

static enum err
lmdb_open(void **engine, const struct store_conf *conf, struct why *why)
{
	struct lmdb *lmdb;
	enum err err = check_folder(conf, why);
	int rc;

	if (err != ERR_OK)
		return err;
	lmdb = calloc(1, sizeof(*lmdb));
	if (lmdb == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	lmdb->lock_fd = -1;
	memcpy(lmdb->dir, conf->dir, strlen(conf->dir) + 1);
	rc = mdb_env_create(&lmdb->env);
	if (rc != 0) {
		free(lmdb);
		return why_set(why, err_of(rc), "lmdb: %s", mdb_strerror(rc));
	}
	rc = open_env(lmdb, conf);
	if (rc == 0) {
		*engine = lmdb;
		return ERR_OK;
	}
	lmdb_close(lmdb);
	if (rc == MDB_NOTFOUND)
		return missing(conf, why); /* its making was interrupted */
	return why_set(why, err_of(rc), "cannot open the store in %s: %s",
		       conf->dir, mdb_strerror(rc));
}

const struct engine_ops engine_lmdb = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .view_begin = lmdb_view_begin,
    .view_end = lmdb_view_end,
    .get = lmdb_get,
    .walk = lmdb_walk,
    .before = lmdb_before,
    .count = lmdb_count,
    .head = lmdb_head,
    .lease_take = lmdb_lease_take,
    .lease_release = lmdb_lease_release,
    .commit = lmdb_commit,
    .space = lmdb_space,
    .check_readers = lmdb_check_readers,
};
