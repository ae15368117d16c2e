/*
 * store_lmdb_write: commits, flushed when they return, and the writer's lease:
 * the lock on writer.lock and a token in our first record that each holder
 * raises. Token and head are checked inside the transaction of a commit.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/proc.h"
#include "store/store_lmdb.h"

static int
put(MDB_cursor *cursor, enum engine_table table,
    const struct store_write *write)
{
	MDB_val key = val_of(write->key);
	MDB_val room = {write->value.n + ENGINE_SEAL_BYTES, NULL};
	unsigned flags = MDB_RESERVE;
	int rc;

	if (table == ENGINE_EV)
		flags |= MDB_APPEND;
	rc = mdb_cursor_put(cursor, &key, &room, flags);
	if (rc == 0)
		engine_seal(table, write->key, write->value, room.mv_data);
	return rc;
}

static int
put_root(MDB_cursor *cursor, const struct root *root)
{
	unsigned char bytes[ROOT_BYTES];
	struct store_write write = {FIRST_KEY, str_bytes(bytes, sizeof(bytes))};

	engine_put_u64(bytes, root->token);
	engine_put_u64(bytes + 8, root->head);
	engine_put_u64(bytes + 16, root->number);
	return put(cursor, ENGINE_KV, &write);
}

static enum err
read_root(struct lmdb *lmdb, MDB_txn *txn, struct root *root)
{
	MDB_val key = val_of(FIRST_KEY), value;
	int rc = mdb_get(txn, lmdb->tables[ENGINE_KV], &key, &value);

	if (rc == MDB_NOTFOUND)
		return ERR_STORE_CORRUPT;
	return rc == 0 ? lmdb_root_of(str_of_val(&value), root) : lmdb_err(rc);
}

static int
put_events(MDB_cursor *cursor, uint64_t seq, const struct engine_group *group)
{
	unsigned char bytes[ENGINE_SEQ_BYTES];
	int rc = 0;

	for (size_t i = 0; i < group->event_count && rc == 0; i++) {
		struct store_write write = {str_bytes(bytes, sizeof(bytes)),
					    group->events[i]};

		engine_put_u64(bytes, ++seq);
		rc = put(cursor, ENGINE_EV, &write);
	}
	return rc;
}

/* All puts in key order with one cursor, which stays near; then, without any
 * cursor open, the deletes. */
enum err
lmdb_put_group(struct lmdb *lmdb, MDB_txn *txn, const struct root *root,
	       const struct engine_group *group)
{
	MDB_cursor *kv = NULL, *ev = NULL;
	int rc = mdb_cursor_open(txn, lmdb->tables[ENGINE_KV], &kv);

	if (rc == 0)
		rc = mdb_cursor_open(txn, lmdb->tables[ENGINE_EV], &ev);
	for (size_t i = 0; i < group->write_count && rc == 0; i++)
		if (group->writes[i]->value.p)
			rc = put(kv, ENGINE_KV, group->writes[i]);
	if (rc == 0)
		rc = put_events(ev, root->head - group->event_count, group);
	mdb_cursor_close(kv);
	mdb_cursor_close(ev);
	for (size_t i = 0; i < group->write_count && rc == 0; i++) {
		MDB_val key = val_of(group->writes[i]->key);

		if (group->writes[i]->value.p == NULL)
			rc = mdb_del(txn, lmdb->tables[ENGINE_KV], &key, NULL);
		if (rc == MDB_NOTFOUND)
			rc = 0;
	}
	return lmdb_err(rc);
}

/* Our first record, and at the making also the last. */
int
lmdb_put_own(struct lmdb *lmdb, MDB_txn *txn, const struct root *root,
	     bool is_new)
{
	struct store_write last = {LAST_KEY, STR("")};
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, lmdb->tables[ENGINE_KV], &cursor);

	if (rc != 0)
		return rc;
	rc = put_root(cursor, root);
	if (rc == 0 && is_new)
		rc = put(cursor, ENGINE_KV, &last);
	mdb_cursor_close(cursor);
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
	enum err err = lmdb_err(rc);

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

enum err
lmdb_commit(void *engine, uint64_t token, uint64_t *head,
	    const struct engine_group *group)
{
	struct lmdb *lmdb = engine;
	struct root root = {0};
	MDB_txn *txn;
	enum err err;
	int rc;

	if (lmdb->lock_fd >= 0)
		lmdb_make_room(lmdb);
	rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
	if (rc != 0)
		return lmdb_err(rc);
	err = read_root(lmdb, txn, &root);
	if (err == ERR_OK &&
	    (lmdb->lock_fd < 0 || root.token != token || root.head != *head))
		err = ERR_FENCED;
	if (err == ERR_OK) {
		bool is_root_new = group->event_count > 0 ||
				   root.number != lmdb->journal.number;

		root.head += group->event_count;
		root.number = lmdb->journal.number;
		err = lmdb_put_group(lmdb, txn, &root, group);
		if (err == ERR_OK && is_root_new)
			err = lmdb_err(lmdb_put_own(lmdb, txn, &root, false));
	}
	if (err == ERR_OK && fault("store-flush"))
		err = ERR_COMMIT_UNKNOWN;
	if (err != ERR_OK) {
		mdb_txn_abort(txn);
		return err;
	}
	err = outcome_of_commit(lmdb, mdb_txn_commit(txn));
	if (err == ERR_OK) {
		*head = root.head;
		lmdb_journal_begin(lmdb, &root);
	}
	return err;
}

/* --- the lease ----------------------------------------------------------- */

void
lmdb_lease_release(void *engine)
{
	struct lmdb *lmdb = engine;

	if (lmdb->lock_fd >= 0)
		close(lmdb->lock_fd);
	lmdb->lock_fd = -1;
	lmdb_journal_close(lmdb);
}

static enum err
lock(struct lmdb *lmdb, struct why *why)
{
	char path[LMDB_PATH_BYTES + 16];
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

/* A new token, behind what the last one journalled. */
static enum err
next_token(struct lmdb *lmdb, uint64_t *token)
{
	struct root root = {0};
	MDB_txn *txn;
	enum err err;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return lmdb_err(rc);
	err = read_root(lmdb, txn, &root);
	if (err == ERR_OK)
		err = lmdb_journal_replay(lmdb, txn, &root);
	if (err == ERR_OK) {
		root.token++;
		root.number = 0;
		err = lmdb_err(lmdb_put_own(lmdb, txn, &root, false));
	}
	if (err != ERR_OK) {
		mdb_txn_abort(txn);
		return err;
	}
	err = outcome_of_commit(lmdb, mdb_txn_commit(txn));
	if (err == ERR_OK) {
		*token = root.token;
		lmdb_journal_begin(lmdb, &root);
	}
	return err;
}

enum err
lmdb_lease_take(void *engine, uint64_t *token, struct why *why)
{
	struct lmdb *lmdb = engine;
	enum err err = lock(lmdb, why);

	if (err != ERR_OK)
		return err;
	err = next_token(lmdb, token);
	if (err != ERR_OK) {
		lmdb_lease_release(lmdb);
		return why_set(why, err,
			       err == ERR_STORE_CORRUPT
				   ? "the store's journal in %s is damaged "
				     "(%s): restore a backup"
				   : "cannot write to the store in %s: %s",
			       lmdb->dir, err_text(err));
	}
	return ERR_OK;
}
