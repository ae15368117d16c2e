/*
 * store_memory: an engine for unit tests: sorted arrays, nothing on a disk, one
 * handle an instance. It seals as the others do, so that the same code runs.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/fault.h"
#include "store/engine.h"

struct row {
	struct row *next; /* while it is part of a group */
	enum engine_table table;
	size_t key_n;
	size_t sealed_n; /* 0 = takes its key's row away */
	char bytes[];	 /* key, then sealed value */
};

struct table {
	struct row **rows;
	size_t count;
	size_t room;
};

struct memory {
	struct table tables[ENGINE_TABLES];
	uint64_t token;
	uint64_t head;
	struct row *journal; /* what was journalled, in its order */
	struct row **journal_end;
	uint64_t journal_head; /* with the journal's events */
	int64_t used_bytes;
	uint64_t changes; /* of a row, ever */
};

static void
free_list(struct row *row)
{
	while (row) {
		struct row *next = row->next;

		free(row);
		row = next;
	}
}

static enum err
memory_open(void **engine, const struct store_conf *conf, struct why *why)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	(void)conf;
	if (memory == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	memory->journal_end = &memory->journal;
	*engine = memory;
	return ERR_OK;
}

static void
memory_close(void *engine)
{
	struct memory *memory = engine;

	free_list(memory->journal);
	for (int t = 0; t < ENGINE_TABLES; t++) {
		for (size_t i = 0; i < memory->tables[t].count; i++)
			free(memory->tables[t].rows[i]);
		free(memory->tables[t].rows);
	}
	free(memory);
}

static enum err
memory_view_begin(void *engine)
{
	(void)engine;
	return ERR_OK;
}

static void
memory_view_end(void *engine)
{
	(void)engine;
}

static uint64_t
memory_view_number(void *engine)
{
	const struct memory *memory = engine;

	return memory->changes + 1;
}

static struct engine_row
row_of(const struct row *row)
{
	return (struct engine_row){
	    str_bytes(row->bytes, row->key_n),
	    str_bytes(row->bytes + row->key_n, row->sealed_n)};
}

/* The index of the first row at or behind key. */
static size_t
locate(const struct table *table, struct str key)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (str_cmp(row_of(table->rows[middle]).key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_at(const struct table *table, size_t index, struct str key)
{
	return index < table->count &&
	       str_eq(row_of(table->rows[index]).key, key);
}

static enum err
memory_get(void *engine, const struct str *keys, size_t count,
	   struct str *sealed)
{
	const struct memory *memory = engine;
	const struct table *table = &memory->tables[ENGINE_KV];

	for (size_t i = 0; i < count; i++) {
		size_t at = locate(table, keys[i]);

		sealed[i] = is_at(table, at, keys[i])
				? row_of(table->rows[at]).sealed
				: STR_NONE;
	}
	return ERR_OK;
}

static enum err
memory_walk(void *engine, enum engine_table t, struct str from,
	    engine_row_fn *fn, void *ctx)
{
	const struct memory *memory = engine;
	const struct table *table = &memory->tables[t];

	for (size_t i = locate(table, from); i < table->count; i++) {
		struct engine_row row = row_of(table->rows[i]);

		if (!fn(ctx, &row))
			break;
	}
	return ERR_OK;
}

static enum err
memory_before(void *engine, struct str bound, struct engine_row *row)
{
	const struct memory *memory = engine;
	const struct table *table = &memory->tables[ENGINE_KV];
	size_t at = locate(table, bound);

	*row = at > 0 ? row_of(table->rows[at - 1])
		      : (struct engine_row){STR_NONE, STR_NONE};
	return ERR_OK;
}

static enum err
memory_count(void *engine, enum engine_table t, uint64_t *rows)
{
	const struct memory *memory = engine;

	*rows = memory->tables[t].count;
	return ERR_OK;
}

static enum err
memory_head(void *engine, uint64_t *seq)
{
	const struct memory *memory = engine;

	*seq = memory->head;
	return ERR_OK;
}

/* A value that is absent makes a row that takes away. */
static struct row *
row_new(enum engine_table table, struct str key, struct str value)
{
	size_t sealed_n = value.p ? value.n + ENGINE_SEAL_BYTES : 0;
	struct row *row = malloc(sizeof(*row) + key.n + sealed_n);

	if (row == NULL)
		return NULL;
	row->next = NULL;
	row->table = table;
	row->key_n = key.n;
	row->sealed_n = sealed_n;
	memcpy(row->bytes, key.p, key.n);
	if (value.p)
		engine_seal(table, key, value, row->bytes + key.n);
	return row;
}

static bool
table_reserve(struct table *table, size_t more)
{
	size_t room = table->room ? table->room : 64;
	struct row **rows;

	if (table->room - table->count >= more)
		return true;
	while (room - table->count < more)
		room *= 2;
	rows = realloc(table->rows, room * sizeof(struct row *));
	if (rows == NULL)
		return false;
	table->rows = rows;
	table->room = room;
	return true;
}

/* Puts row in the place of its key's row, or takes that away; row is the
 * table's then, or freed. */
static void
apply(struct memory *memory, struct row *row)
{
	struct table *table = &memory->tables[row->table];
	struct str key = row_of(row).key;
	size_t at = locate(table, key), behind = table->count - at;
	struct row **slot = table->rows + at;
	bool is_there = is_at(table, at, key);

	memory->changes++;
	memory->used_bytes += (int64_t)(row->key_n + row->sealed_n);
	if (is_there) {
		memory->used_bytes -=
		    (int64_t)((*slot)->key_n + (*slot)->sealed_n);
		free(*slot);
	}
	if (row->sealed_n == 0) {
		memory->used_bytes -= (int64_t)row->key_n;
		free(row);
		if (is_there)
			memmove(slot, slot + 1,
				(behind - 1) * sizeof(struct row *));
		table->count -= is_there;
		return;
	}
	if (!is_there)
		memmove(slot + 1, slot, behind * sizeof(struct row *));
	table->count += !is_there;
	*slot = row;
}

/* The group's rows in their order; false (and none) without memory. */
static bool
make_rows(const struct engine_group *group, uint64_t head, struct row **first)
{
	unsigned char bytes[ENGINE_SEQ_BYTES];
	struct str seq = str_bytes(bytes, sizeof(bytes));
	struct row **end = first;

	*first = NULL;
	for (size_t i = 0; i < group->write_count; i++, end = &(*end)->next) {
		const struct store_write *write = group->writes[i];

		*end = row_new(ENGINE_KV, write->key, write->value);
		if (*end == NULL)
			goto fail;
	}
	for (size_t i = 0; i < group->event_count; i++, end = &(*end)->next) {
		engine_put_u64(bytes, ++head);
		*end = row_new(ENGINE_EV, seq, group->events[i]);
		if (*end == NULL)
			goto fail;
	}
	return true;
fail:
	free_list(*first);
	return false;
}

static void
journal_empty(struct memory *memory)
{
	free_list(memory->journal);
	memory->journal = NULL;
	memory->journal_end = &memory->journal;
}

/* All new rows are made first, so that applying cannot fail. */
static enum err
memory_commit(void *engine, uint64_t token, uint64_t *head,
	      const struct engine_group *group)
{
	struct memory *memory = engine;
	struct row *row;

	if (token != memory->token || *head != memory->head)
		return ERR_FENCED;
	if (fault("store-flush"))
		return ERR_COMMIT_UNKNOWN;
	if (!table_reserve(&memory->tables[ENGINE_KV], group->write_count) ||
	    !table_reserve(&memory->tables[ENGINE_EV], group->event_count) ||
	    !make_rows(group, memory->head, &row))
		return ERR_NO_MEMORY;
	while (row) {
		struct row *next = row->next;

		apply(memory, row);
		row = next;
	}
	memory->head += group->event_count;
	journal_empty(memory);
	memory->journal_head = *head = memory->head;
	return ERR_OK;
}

static enum err
memory_journal(void *engine, uint64_t token, uint64_t head,
	       const struct store_group *group)
{
	struct memory *memory = engine;
	struct engine_group out = {.write_count = group->write_count,
				   .events = group->events,
				   .event_count = group->event_count};
	const struct store_write **writes;
	struct row *rows = NULL;
	bool is_made;

	if (token != memory->token || head != memory->journal_head)
		return ERR_FENCED;
	if (fault("store-flush"))
		return ERR_COMMIT_UNKNOWN;
	writes = malloc((group->write_count + 1) * sizeof(*writes));
	for (size_t i = 0; writes && i < group->write_count; i++)
		writes[i] = &group->writes[i];
	out.writes = writes;
	is_made = writes && make_rows(&out, head, &rows);
	free(writes);
	if (!is_made)
		return ERR_NO_MEMORY;
	*memory->journal_end = rows;
	while (*memory->journal_end)
		memory->journal_end = &(*memory->journal_end)->next;
	memory->journal_head += group->event_count;
	return ERR_OK;
}

static enum err
memory_is_behind(void *engine, bool *is_behind)
{
	const struct memory *memory = engine;

	*is_behind = memory->journal != NULL;
	return ERR_OK;
}

/* What the last lease journalled is its successor's. */
static enum err
memory_lease_take(void *engine, uint64_t *token, struct why *why)
{
	struct memory *memory = engine;

	while (memory->journal) {
		struct row *row = memory->journal;

		if (!table_reserve(&memory->tables[row->table], 1))
			return why_set(why, ERR_NO_MEMORY, "out of memory");
		memory->journal = row->next;
		apply(memory, row);
	}
	journal_empty(memory);
	memory->head = memory->journal_head;
	*token = ++memory->token;
	return ERR_OK;
}

static void
memory_lease_release(void *engine)
{
	(void)engine;
}

static enum err
memory_space(void *engine, struct engine_space *out)
{
	const struct memory *memory = engine;

	*out = (struct engine_space){.used_bytes = memory->used_bytes};
	return ERR_OK;
}

static enum err
memory_check_readers(void *engine, unsigned *cleared)
{
	(void)engine;
	*cleared = 0;
	return ERR_OK;
}

const struct engine_ops engine_memory = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .view_begin = memory_view_begin,
    .view_end = memory_view_end,
    .view_number = memory_view_number,
    .get = memory_get,
    .walk = memory_walk,
    .before = memory_before,
    .count = memory_count,
    .head = memory_head,
    .lease_take = memory_lease_take,
    .lease_release = memory_lease_release,
    .commit = memory_commit,
    .journal = memory_journal,
    .is_behind = memory_is_behind,
    .space = memory_space,
    .check_readers = memory_check_readers,
};
