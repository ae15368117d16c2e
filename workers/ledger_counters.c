/*
 * ledger_counters: one hash table of what was found, a list of what changed, an
 * undo log since the last commit. See ledger_counters.h. The tables have their
 * whole size from the start, for memory that was never used costs nothing; but
 * slots are used all over, and grow with what is kept.
 */
#include "workers/ledger_counters.h"

#include "lib/money.h"
#include "store/pile.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#define SLOTS_FIRST 2048u /* a power of two */
#define SCRATCH_BYTES_MAX 65536u
#define UNDOS_MAX GROUP_WRITES_MAX
#define SUM_ROWS 64u

struct undo {
	uint32_t at; /* in counters */
	bool was_changed;
	union counter_record record;
};

struct counters {
	struct store *store;
	uint64_t seed; /* clients choose parts of keys */
	struct counter *counters;
	uint32_t count;
	uint32_t *slots;     /* counter + 1 */
	uint32_t slot_count; /* at least twice count */
	uint32_t *changed;   /* in the order of their first change */
	uint32_t changed_count;
	struct undo *undos;
	size_t undo_count;
	uint64_t counted; /* the store's */
	uint64_t put_seq; /* what it is to be */
	bool is_hastened;
	struct pile keys;
	struct arena scratch; /* of one load */
};

/* --- open and close ------------------------------------------------------ */

static bool
make_tables(struct counters *counters)
{
	counters->counters = calloc(COUNTERS_MAX, sizeof(struct counter));
	counters->slot_count = SLOTS_FIRST;
	counters->slots = calloc(SLOTS_FIRST, sizeof(uint32_t));
	counters->changed = calloc(COUNTERS_MAX, sizeof(uint32_t));
	counters->undos = calloc(UNDOS_MAX, sizeof(struct undo));
	return counters->counters && counters->slots && counters->changed &&
	       counters->undos;
}

static void
free_tables(struct counters *counters)
{
	free(counters->counters);
	free(counters->slots);
	free(counters->changed);
	free(counters->undos);
}

enum err
counters_open(struct counters **out, struct store *store)
{
	struct counters *counters = calloc(1, sizeof(*counters));

	if (counters == NULL)
		return ERR_NO_MEMORY;
	counters->store = store;
	arena_init(&counters->scratch, SCRATCH_BYTES_MAX);
	if (!make_tables(counters) ||
	    getrandom(&counters->seed, sizeof(counters->seed), 0) !=
		(ssize_t)sizeof(counters->seed)) {
		counters_close(counters);
		return ERR_NO_MEMORY;
	}
	*out = counters;
	return ERR_OK;
}

void
counters_close(struct counters *counters)
{
	if (counters == NULL)
		return;
	free_tables(counters);
	pile_fini(&counters->keys);
	arena_fini(&counters->scratch);
	free(counters);
}

void
counters_begin(struct counters *counters, uint64_t counted)
{
	counters->counted = counted;
}

/* --- finding ------------------------------------------------------------- */

/* The slot of the key, or the free one where it would go. */
static uint32_t
find_slot(const struct counters *counters, uint64_t hash, struct str key)
{
	uint32_t mask = counters->slot_count - 1, slot = (uint32_t)hash & mask;

	for (; counters->slots[slot]; slot = (slot + 1) & mask) {
		const struct counter *counter =
		    &counters->counters[counters->slots[slot] - 1];

		if (counter->hash == hash && str_eq(counter->key, key))
			break;
	}
	return slot;
}

static bool
grow_slots(struct counters *counters)
{
	uint32_t slot_count = counters->slot_count * 2;
	uint32_t *slots = calloc(slot_count, sizeof(*slots));

	if (slots == NULL)
		return false;
	free(counters->slots);
	counters->slots = slots;
	counters->slot_count = slot_count;
	for (uint32_t i = 0; i < counters->count; i++) {
		const struct counter *counter = &counters->counters[i];

		slots[find_slot(counters, counter->hash, counter->key)] = i + 1;
	}
	return true;
}

static enum err
load(struct counters *counters, struct str key, const struct schema *schema,
     union counter_record *record)
{
	struct str bytes;
	enum err e;

	arena_reset(&counters->scratch);
	e = store_load(counters->store, &key, 1, &bytes, &counters->scratch);
	if (e != ERR_OK)
		return e;
	if (bytes.p == NULL) {
		schema_clear(schema, record);
		return ERR_OK;
	}
	e = schema_decode(schema, bytes, record, &counters->scratch, NULL);
	/* The seal was right, so these are the bytes that were written. */
	return e == ERR_MALFORMED || e == ERR_BAD_FIELD ? ERR_STORE_CORRUPT : e;
}

enum err
counters_find(struct counters *counters, const struct key *key,
	      const struct schema *schema, struct counter **out)
{
	struct str wanted = key_str(key);
	uint64_t hash = str_hash(wanted, counters->seed);
	uint32_t slot = find_slot(counters, hash, wanted);
	struct counter *counter;
	enum err e;

	assert(schema->size <= sizeof(union counter_record));
	if (wanted.n == 0)
		return ERR_TOO_LARGE;
	if (counters->slots[slot]) {
		*out = &counters->counters[counters->slots[slot] - 1];
		assert((*out)->schema == schema);
		return ERR_OK;
	}
	if (counters->count == COUNTERS_MAX)
		return ERR_OVERLOADED;
	if (counters->count * 2 == counters->slot_count) {
		if (!grow_slots(counters))
			return ERR_NO_MEMORY;
		slot = find_slot(counters, hash, wanted);
	}
	counter = &counters->counters[counters->count];
	*counter = (struct counter){.schema = schema, .hash = hash};
	e = load(counters, wanted, schema, &counter->record);
	if (e != ERR_OK)
		return e;
	counter->key = pile_add(&counters->keys, wanted.p, wanted.n);
	if (counter->key.p == NULL)
		return ERR_NO_MEMORY;
	counters->slots[slot] = ++counters->count;
	*out = counter;
	return ERR_OK;
}

/* Forgets all; slots one by one, for the table is mostly empty. */
static void
forget(struct counters *counters)
{
	assert(counters->changed_count == 0 && counters->undo_count == 0);
	for (uint32_t i = 0; i < counters->count; i++) {
		uint32_t mask = counters->slot_count - 1;
		uint32_t slot = (uint32_t)counters->counters[i].hash & mask;

		for (; counters->slots[slot]; slot = (slot + 1) & mask)
			counters->slots[slot] = 0;
	}
	counters->count = 0;
	pile_empty(&counters->keys);
}

void
counters_rest(struct counters *counters)
{
	struct counters fresh;

	if (counters->changed_count || counters->undo_count)
		return;
	forget(counters);
	pile_fini(&counters->keys);
	fresh = *counters;
	if (make_tables(&fresh)) { /* untouched, they cost nothing */
		free_tables(counters);
		*counters = fresh;
	} else {
		free_tables(&fresh);
	}
}

/* --- changing ------------------------------------------------------------ */

enum err
counters_change(struct counters *counters, struct counter *counter,
		const union counter_record *record)
{
	uint32_t at = (uint32_t)(counter - counters->counters);

	if (memcmp(&counter->record, record, counter->schema->size) == 0)
		return ERR_OK;
	if (counters->undo_count == UNDOS_MAX)
		return ERR_OVERLOADED;
	counters->undos[counters->undo_count++] =
	    (struct undo){at, counter->is_changed, counter->record};
	if (!counter->is_changed)
		counters->changed[counters->changed_count++] = at;
	counter->is_changed = true;
	memcpy(&counter->record, record, counter->schema->size);
	return ERR_OK;
}

/* --- adding up ----------------------------------------------------------- */

static void
rollup_add(struct rollup *sum, const struct rollup *rollup)
{
	int64_t *to = (int64_t *)sum;
	const int64_t *from = (const int64_t *)rollup;

	_Static_assert(sizeof(*sum) % sizeof(*to) == 0, "sums only");
	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] = money_add_clamped(to[i], schema_count(from[i]));
}

/* Those of a page of the store that are not kept. */
static enum err
page_add(struct counters *counters, const struct store_row *rows, size_t count,
	 struct rollup *sum)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t hash = str_hash(rows[i].key, counters->seed);
		struct rollup rollup;

		if (counters->slots[find_slot(counters, hash, rows[i].key)])
			continue;
		if (schema_decode(&rollup_schema, rows[i].value, &rollup,
				  &counters->scratch, NULL) != ERR_OK)
			return ERR_STORE_CORRUPT;
		rollup_add(sum, &rollup);
	}
	return ERR_OK;
}

enum err
counters_sum(struct counters *counters, const struct key *prefix,
	     struct rollup *sum)
{
	struct store_row rows[SUM_ROWS];
	struct str wanted = key_str(prefix);
	struct key last = {.n = 0};
	size_t count = SUM_ROWS;
	enum err e = ERR_OK;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = 0; i < counters->count; i++)
		if (str_starts(counters->counters[i].key, wanted))
			rollup_add(sum, &counters->counters[i].record.rollup);
	while (e == ERR_OK && count == SUM_ROWS) {
		arena_reset(&counters->scratch);
		e = store_scan(counters->store, wanted,
			       last.n ? key_str(&last) : STR_NONE, SUM_ROWS,
			       &counters->scratch, rows, &count);
		if (e == ERR_OK)
			e = page_add(counters, rows, count, sum);
		if (e == ERR_OK && count) {
			last.n = rows[count - 1].key.n;
			memcpy(last.p, rows[count - 1].key.p, last.n);
		}
	}
	return e;
}

void
counters_hasten(struct counters *counters)
{
	counters->is_hastened = true;
}

size_t
counters_mark(const struct counters *counters)
{
	return counters->undo_count;
}

void
counters_undo(struct counters *counters, size_t mark)
{
	assert(mark <= counters->undo_count);
	while (counters->undo_count > mark) {
		const struct undo *undo =
		    &counters->undos[--counters->undo_count];
		struct counter *counter = &counters->counters[undo->at];

		counter->record = undo->record;
		if (undo->was_changed)
			continue;
		counter->is_changed = false;
		counters->changed_count--;
		assert(counters->changed[counters->changed_count] == undo->at);
	}
}

/* --- writing ------------------------------------------------------------- */

bool
counters_wait(const struct counters *counters)
{
	return counters->changed_count > 0;
}

bool
counters_are_many(const struct counters *counters)
{
	return counters->changed_count > COUNTERS_CHANGED_MAX ||
	       counters->count > COUNTERS_KEPT;
}

bool
counters_are_due(const struct counters *counters, const struct group *group)
{
	if (counters_are_many(counters) ||
	    group_seq(group) > counters->counted + COUNTERS_EVENTS_MAX)
		return true;
	if (counters->changed_count == 0)
		return false;
	return counters->is_hastened ||
	       (group_has_events(group) &&
		counters->changed_count <= COUNTERS_FEW);
}

enum err
counters_put(struct counters *counters, struct group *group, uint64_t seq)
{
	struct counted counted = {.seq = (int64_t)seq};
	struct key at;
	enum err e;

	key_counted(&at);
	e = group_put(group, &at, &counted_schema, &counted);
	for (uint32_t i = 0; i < counters->changed_count && e == ERR_OK; i++) {
		const struct counter *counter =
		    &counters->counters[counters->changed[i]];
		struct key key = {.n = counter->key.n};

		memcpy(key.p, counter->key.p, key.n);
		e = group_put(group, &key, counter->schema, &counter->record);
	}
	counters->put_seq = seq;
	return e;
}

void
counters_committed(struct counters *counters, bool is_written)
{
	counters->undo_count = 0;
	counters->is_hastened = false;
	if (!is_written)
		return;
	counters->counted = counters->put_seq;
	for (uint32_t i = 0; i < counters->changed_count; i++)
		counters->counters[counters->changed[i]].is_changed = false;
	counters->changed_count = 0;
	if (counters->count > COUNTERS_KEPT)
		forget(counters);
}
