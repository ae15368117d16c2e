/*
 * store_lmdb_read: views, lookups and walks. Neither keys nor LMDB's own pages
 * have a checksum, so a lookup proves what it says: a key that is absent lies
 * between two sound neighbours in their order, and the kv table begins and ends
 * with a record of our own, so that there always are some.
 */
#include "store/store_lmdb.h"

enum err
lmdb_view_begin(void *engine)
{
	struct lmdb *lmdb = engine;
	int rc = mdb_txn_renew(lmdb->reader);

	if (rc != 0)
		return lmdb_err(rc);
	for (int t = 0; t < ENGINE_TABLES && rc == 0; t++)
		rc = mdb_cursor_renew(lmdb->reader, lmdb->cursors[t]);
	if (rc != 0)
		mdb_txn_reset(lmdb->reader);
	return lmdb_err(rc);
}

void
lmdb_view_end(void *engine)
{
	struct lmdb *lmdb = engine;

	mdb_txn_reset(lmdb->reader);
}

/* Of the last transaction that the view sees: each that writes has the next
 * one, from 1 on. */
uint64_t
lmdb_view_number(void *engine)
{
	const struct lmdb *lmdb = engine;

	return mdb_txn_id(lmdb->reader);
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
		return lmdb_err(rc);
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

static bool
is_own(enum engine_table table, struct str key)
{
	return table == ENGINE_KV &&
	       (str_eq(key, FIRST_KEY) || str_eq(key, LAST_KEY));
}

/* What stands next to `key` in the kv table (the cursor is on it) must be
 * sound, on its side (-1 in front of key, 1 behind), and its own next row
 * further out: a damaged pointer inside a page may lead to a sound row of
 * another page. The cursor goes one further, unless the row is our own at that
 * end. */
static enum err
check_neighbour(struct lmdb *lmdb, struct str key, const struct engine_row *row,
		int side)
{
	struct engine_row further;
	MDB_val val;
	enum err err;

	if (row->key.p == NULL || str_cmp(row->key, key) * side <= 0 ||
	    !is_sound(ENGINE_KV, row))
		return ERR_STORE_CORRUPT;
	if (is_own(ENGINE_KV, row->key))
		return ERR_OK;
	err = move(lmdb, ENGINE_KV, &val, side < 0 ? MDB_PREV : MDB_NEXT,
		   &further);
	if (err != ERR_OK)
		return err;
	return further.key.p && str_cmp(further.key, row->key) * side > 0
		   ? ERR_OK
		   : ERR_STORE_CORRUPT;
}

/* The row at or behind key in the kv table; *before: the one in front of key
 * (not looked for when the row is key's own and `before` is NULL). What is not
 * key's own is proven to be next to it. */
static enum err
locate(struct lmdb *lmdb, struct str key, struct engine_row *at,
       struct engine_row *before)
{
	struct engine_row front;
	MDB_val val = val_of(key);
	enum err err = move(lmdb, ENGINE_KV, &val, MDB_SET_RANGE, at);
	bool is_there;

	if (err == ERR_OK && at->key.p == NULL)
		err = ERR_STORE_CORRUPT; /* our last record is behind all */
	if (err != ERR_OK)
		return err;
	is_there = str_eq(at->key, key);
	if (is_there && before == NULL)
		return ERR_OK;
	if (!is_there) {
		err = check_neighbour(lmdb, key, at, 1);
		if (err == ERR_OK && !is_own(ENGINE_KV, at->key))
			err = move(lmdb, ENGINE_KV, &val, MDB_PREV, at);
	}
	if (err == ERR_OK)
		err = move(lmdb, ENGINE_KV, &val, MDB_PREV, &front);
	if (err == ERR_OK)
		err = check_neighbour(lmdb, key, &front, -1);
	if (before)
		*before = front;
	return err;
}

static enum err
get_one(struct lmdb *lmdb, struct str key, struct str *sealed)
{
	struct engine_row at;
	enum err err = locate(lmdb, key, &at, NULL);

	if (err != ERR_OK)
		return err;
	*sealed = str_eq(at.key, key) ? at.sealed : STR_NONE;
	return ERR_OK;
}

/* The row right behind the one that the cursor is on, if it is key's own. */
static enum err
get_next(struct lmdb *lmdb, struct str key, struct str *sealed)
{
	struct engine_row next;
	MDB_val val;
	enum err err = move(lmdb, ENGINE_KV, &val, MDB_NEXT, &next);

	*sealed = next.key.p && str_eq(next.key, key) ? next.sealed : STR_NONE;
	return err;
}

/* The search begins at the root: LMDB would look first whether the key lies on
 * the page where the cursor is, and touch that page's ends. A key that begins
 * with the one before it (a subscription's with its licence's) mostly is the
 * next one, so it is looked for there. */
enum err
lmdb_get(void *engine, const struct str *keys, size_t count, struct str *sealed)
{
	struct lmdb *lmdb = engine;
	enum err err =
	    lmdb_err(mdb_cursor_renew(lmdb->reader, lmdb->cursors[ENGINE_KV]));

	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		sealed[i] = STR_NONE;
		if (keys[i].n == 0 || keys[i].n > STORE_KEY_BYTES_MAX)
			continue;
		if (i > 0 && sealed[i - 1].p &&
		    str_starts(keys[i], keys[i - 1]))
			err = get_next(engine, keys[i], &sealed[i]);
		if (err == ERR_OK && sealed[i].p == NULL)
			err = get_one(engine, keys[i], &sealed[i]);
	}
	return err;
}

enum err
lmdb_walk(void *engine, enum engine_table table, struct str from,
	  engine_row_fn *fn, void *ctx)
{
	struct lmdb *lmdb = engine;
	MDB_val key = val_of(from);
	struct engine_row row, before;
	enum err err = ERR_OK;

	/* Events have their numbers; what goes on where is seen by those. */
	if (from.n > 0 && table == ENGINE_KV)
		err = locate(lmdb, from, &row, &before);
	if (err == ERR_OK)
		err = move(lmdb, table, &key,
			   from.n > 0 ? MDB_SET_RANGE : MDB_FIRST, &row);
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

enum err
lmdb_before(void *engine, struct str bound, struct engine_row *row)
{
	struct engine_row at;
	enum err err = locate(engine, bound, &at, row);

	if (err == ERR_OK && is_own(ENGINE_KV, row->key))
		*row = (struct engine_row){STR_NONE, STR_NONE};
	return err;
}

enum err
lmdb_count(void *engine, enum engine_table table, uint64_t *rows)
{
	struct lmdb *lmdb = engine;
	MDB_stat stat;
	int rc = mdb_stat(lmdb->reader, lmdb->tables[table], &stat);

	if (rc != 0)
		return lmdb_err(rc);
	*rows = stat.ms_entries;
	if (table == ENGINE_KV) /* without our own */
		*rows -= *rows < 2 ? *rows : 2;
	return ERR_OK;
}

enum err
lmdb_root(struct lmdb *lmdb, struct root *root)
{
	struct str sealed;
	enum err err = get_one(lmdb, FIRST_KEY, &sealed);

	return err == ERR_OK ? lmdb_root_of(sealed, root) : err;
}

enum err
lmdb_head(void *engine, uint64_t *seq)
{
	struct root root;
	enum err err = lmdb_root(engine, &root);

	if (err == ERR_OK)
		*seq = root.head;
	return err;
}
