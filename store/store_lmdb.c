/*
 * store_lmdb: the engine of a house on one machine, over lmdb 0.9.24 of Debian
 * 12 with its default flags. Opening, space, readers; see store_lmdb.h for the
 * rest.
 *
 * Always holds: one read transaction for each handle, reset between views; one
 * environment for each process, opened after fork; the map has one size.
 */
#include "store/store_lmdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define READERS_MAX 126u

enum err
lmdb_err(int rc)
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

enum err
lmdb_root_of(struct str sealed, struct root *root)
{
	const char *bytes = sealed.p + ENGINE_SEAL_BYTES;
	bool is_first = sealed.n == ROOT_BYTES_FIRST + ENGINE_SEAL_BYTES;

	if ((!is_first && sealed.n != ROOT_BYTES + ENGINE_SEAL_BYTES) ||
	    !engine_is_sound(ENGINE_KV, FIRST_KEY, sealed))
		return ERR_STORE_CORRUPT;
	root->token = engine_get_u64(bytes);
	root->head = engine_get_u64(bytes + 8);
	root->number = is_first ? 0 : engine_get_u64(bytes + 16);
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
	return lmdb_err(rc);
}

/* --- rest ---------------------------------------------------------------- */

/* Maps the file anew in the size it has: without that, the page tables of all
 * that was ever read stay, 4 KiB for each 2 MiB of the file. No transaction is
 * open, and what LMDB keeps over them (the reset reader and its slot, cursors
 * until their next renewal, freed pages) does not point into the map. When it
 * cannot be mapped again, LMDB has none: only closing is allowed.
 *
 * A reader takes the number of the last commit, then the page with its roots,
 * where the second commit from there writes its own: a reader that is held up
 * in between sees that one early, and in its next view the one before it. So
 * these pages are mapped here, not by a fault in that moment. */
static enum err
lmdb_rest(void *engine)
{
	struct lmdb *lmdb = engine;
	MDB_envinfo info;
	int rc = mdb_env_info(lmdb->env, &info);

	lmdb_journal_rest(lmdb);
	if (rc == 0)
		rc = mdb_env_set_mapsize(lmdb->env, info.me_mapsize);
	if (rc == 0)
		rc = mdb_env_info(lmdb->env, &info); /* reads those pages */
	return lmdb_err(rc);
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
	struct root root = {0};
	MDB_val key = val_of(FIRST_KEY), value;
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	rc = open_tables(lmdb, txn, MDB_CREATE);
	if (rc == 0)
		rc = mdb_get(txn, lmdb->tables[ENGINE_KV], &key, &value);
	if (rc == MDB_NOTFOUND)
		rc = lmdb_put_own(lmdb, txn, &root, true);
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

/* Cut to nothing, or its making was interrupted. */
static enum err
empty(const struct store_conf *conf, struct why *why)
{
	return why_set(why, ERR_STORE_MISSING,
		       "the store in %s is empty: restore a backup; where "
		       "there never was a store, run `chatello init`",
		       conf->dir);
}

static enum err
check_folder(const struct store_conf *conf, struct why *why)
{
	char path[LMDB_PATH_BYTES + 16];
	struct stat st;

	if (strlen(conf->dir) >= LMDB_PATH_BYTES)
		return why_set(why, ERR_CONFIG, "the store's path is too long");
	if (conf->is_created) {
		if (mkdir(conf->dir, 0750) != 0 && errno != EEXIST)
			return why_set(why, ERR_IO, "cannot make %s: %s",
				       conf->dir, err_of_file(errno));
		return ERR_OK;
	}
	snprintf(path, sizeof(path), "%s/data.mdb", conf->dir);
	if (stat(path, &st) == 0)
		return st.st_size ? ERR_OK : empty(conf, why);
	if (errno == ENOENT || errno == ENOTDIR)
		return why_set(why, ERR_STORE_MISSING,
			       "no store in %s: run `chatello init`",
			       conf->dir);
	return why_set(why, ERR_IO, "cannot look at %s: %s", path,
		       err_of_file(errno));
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
	lmdb->journal.fd = -1;
	memcpy(lmdb->dir, conf->dir, strlen(conf->dir) + 1);
	rc = mdb_env_create(&lmdb->env);
	if (rc != 0) {
		free(lmdb);
		return why_set(why, lmdb_err(rc), "lmdb: %s", mdb_strerror(rc));
	}
	rc = open_env(lmdb, conf);
	if (rc == 0) {
		*engine = lmdb;
		return ERR_OK;
	}
	lmdb_close(lmdb);
	if (rc == MDB_NOTFOUND)
		return empty(conf, why);
	return why_set(why, lmdb_err(rc), "cannot open the store in %s: %s",
		       conf->dir,
		       rc == MDB_INVALID || rc == MDB_CORRUPTED
			   ? "its file is damaged: restore a backup"
		       : rc > 0 ? err_of_file(rc)
				: mdb_strerror(rc));
}

const struct engine_ops engine_lmdb = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .view_begin = lmdb_view_begin,
    .view_end = lmdb_view_end,
    .view_number = lmdb_view_number,
    .get = lmdb_get,
    .walk = lmdb_walk,
    .before = lmdb_before,
    .count = lmdb_count,
    .head = lmdb_head,
    .lease_take = lmdb_lease_take,
    .lease_release = lmdb_lease_release,
    .commit = lmdb_commit,
    .journal = lmdb_journal,
    .is_behind = lmdb_is_behind,
    .rest = lmdb_rest,
    .space = lmdb_space,
    .check_readers = lmdb_check_readers,
};
