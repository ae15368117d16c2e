/*
 * group: an overlay over the store. One hash table of keys has what the group
 * put or deleted and, since nobody else writes, also what it loaded; so it
 * stays true over commits, and what is asked for often is read and decoded
 * once. What was written is forgotten some time after the store has it, for
 * most of it is never asked for again; what was only read stays until it has
 * grown. An undo log takes writes back.
 *
 * A record of numbers only (a meter, a rollup) stays a struct and is encoded
 * once, at commit, however often the turn changes it.
 *
 * Always holds: bytes that entered the overlay do not move until commit; memory
 * is kept over commits.
 */
#include "store/group_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#define ENTRIES_FIRST 1024u
#define RECORD_BYTES_MAX                                                       \
	(16u << 10) /* encoded, before the limit is checked                    \
		     */

/* --- memory -------------------------------------------------------------- */

/* Room for `need` items of `size` bytes in *items, doubled as needed. */
bool
group_grow(void **items, size_t *room, size_t need, size_t size)
{
	size_t more = *room ? *room : ENTRIES_FIRST;
	void *p;

	if (need <= *room)
		return true;
	while (more < need)
		more *= 2;
	p = realloc(*items, more * size);
	if (p == NULL)
		return false;
	*items = p;
	*room = more;
	return true;
}

/* --- the overlay --------------------------------------------------------- */

static size_t
slot_mask(const struct group *group)
{
	return group->entry_room * 2 - 1;
}

/* The slot of the key, or the free one where it would go. */
static size_t
find_slot(const struct group *group, uint64_t hash, struct str key)
{
	size_t mask = slot_mask(group), slot = hash & mask;

	for (; group->slots[slot]; slot = (slot + 1) & mask) {
		const struct entry *entry =
		    &group->entries[group->slots[slot] - 1];

		if (entry->hash == hash && str_eq(entry->key, key))
			break;
	}
	return slot;
}

const struct entry *
group_find(const struct group *group, struct str key)
{
	size_t slot = find_slot(group, str_hash(key, group->seed), key);

	return group->slots[slot] ? &group->entries[group->slots[slot] - 1]
				  : NULL;
}

static bool
grow_entries(struct group *group)
{
	size_t room = group->entry_room ? group->entry_room * 2 : ENTRIES_FIRST;
	uint32_t *slots = calloc(room * 2, sizeof(*slots));
	struct entry *entries;

	if (slots == NULL)
		return false;
	entries = realloc(group->entries, room * sizeof(*entries));
	if (entries == NULL) {
		free(slots);
		return false;
	}
	free(group->slots);
	group->entries = entries;
	group->entry_room = room;
	group->slots = slots;
	for (size_t i = 0; i < group->entry_count; i++) {
		size_t slot = find_slot(group, entries[i].hash, entries[i].key);

		slots[slot] = (uint32_t)i + 1;
	}
	return true;
}

/* The entry of the key, made (UNKNOWN) when there is none; NULL: no memory. */
static struct entry *
entry_of(struct group *group, struct str key, bool is_read)
{
	uint64_t hash = str_hash(key, group->seed);
	size_t slot = find_slot(group, hash, key);
	struct entry *entry;
	struct str kept;

	if (group->slots[slot])
		return &group->entries[group->slots[slot] - 1];
	if (group->entry_count == group->entry_room) {
		if (!grow_entries(group))
			return NULL;
		slot = find_slot(group, hash, key);
	}
	kept = pile_add(is_read ? &group->kept : &group->written, key.p, key.n);
	if (kept.p == NULL)
		return NULL;
	entry = &group->entries[group->entry_count++];
	*entry = (struct entry){.key = kept, .hash = hash, .is_kept = is_read};
	group->written_count += !is_read;
	group->slots[slot] = (uint32_t)group->entry_count;
	return entry;
}

/* Slots one by one, since a large group may have left a large table to the
 * small ones behind it. */
static void
empty_slots(struct group *group)
{
	for (size_t i = 0; i < group->entry_count; i++) {
		size_t mask = slot_mask(group);
		size_t slot = group->entries[i].hash & mask;

		for (; group->slots[slot]; slot = (slot + 1) & mask)
			group->slots[slot] = 0;
	}
}

void
group_forget_written(struct group *group)
{
	size_t count = group->entry_count;

	empty_slots(group);
	group->entry_count = group->written_count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &group->entries[i];

		if (!entry->is_kept)
			continue;
		group->slots[find_slot(group, entry->hash, entry->key)] =
		    (uint32_t)group->entry_count + 1;
		group->entries[group->entry_count++] = *entry;
	}
	pile_empty(&group->written);
}

void
group_clear(struct group *group)
{
	empty_slots(group);
	group->entry_count = group->written_count = 0;
	pile_empty(&group->kept);
	pile_empty(&group->written);
}

/* --- open and close ------------------------------------------------------ */

enum err
group_open(struct group **out, struct store *store,
	   const struct store_lease *lease)
{
	struct group *group = calloc(1, sizeof(*group));
	enum err err;

	if (group == NULL)
		return ERR_NO_MEMORY;
	group->store = store;
	group->lease = lease;
	buf_init(&group->record, RECORD_BYTES_MAX);
	err = store_head(store, &group->head);
	if (err == ERR_OK && !grow_entries(group))
		err = ERR_NO_MEMORY;
	if (err == ERR_OK && getrandom(&group->seed, sizeof(group->seed), 0) !=
				 (ssize_t)sizeof(group->seed))
		err = ERR_UNAVAILABLE;
	if (err != ERR_OK) {
		group_close(group);
		return err;
	}
	*out = group;
	return ERR_OK;
}

static void
free_memory(struct group *group)
{
	pile_fini(&group->kept);
	pile_fini(&group->written);
	free(group->entries);
	free(group->slots);
	free(group->undos);
	free(group->late);
	free(group->events);
	free(group->writes);
	free(group->listed);
	buf_fini(&group->record);
}

void
group_close(struct group *group)
{
	if (group == NULL)
		return;
	free_memory(group);
	free(group);
}

void
group_rest(struct group *group)
{
	struct group fresh = {.store = group->store,
			      .lease = group->lease,
			      .head = group->head,
			      .seed = group->seed};

	buf_init(&fresh.record, RECORD_BYTES_MAX);
	if (!group_is_empty(group) || group_is_late(group) ||
	    !grow_entries(&fresh))
		return;
	free_memory(group);
	*group = fresh;
}

/* --- records ------------------------------------------------------------- */

/* Numbers only: a copy of the struct is all of it. */
static bool
is_flat(const struct schema *schema)
{
	for (unsigned i = 0; i < schema->field_count; i++)
		if (schema->fields[i].kind > KIND_TIME)
			return false;
	return true;
}

/* Nothing that points outside of the struct and the encoded bytes. */
static bool
is_plain(const struct schema *schema)
{
	for (unsigned i = 0; i < schema->field_count; i++)
		if (schema->fields[i].kind > KIND_JSON)
			return false;
	return true;
}

/* The record as bytes that live until the next call. */
static enum err
encode(struct group *group, const struct schema *schema, const void *record,
       struct str *bytes)
{
	buf_reset(&group->record);
	schema_encode(schema, record, &group->record);
	*bytes = buf_str(&group->record);
	if (group->record.is_failed || bytes->n > STORE_VALUE_BYTES_MAX)
		return ERR_TOO_LARGE;
	return ERR_OK;
}

/* The encoded bytes of what may so far only be a struct. */
enum err
group_need_bytes(struct group *group, struct content *content)
{
	struct str bytes;
	enum err err;

	if (content->bytes.p || content->record == NULL)
		return ERR_OK;
	err = encode(group, content->schema, content->record, &bytes);
	if (err != ERR_OK)
		return err;
	content->bytes = pile_add(&group->written, bytes.p, bytes.n);
	return content->bytes.p ? ERR_OK : ERR_NO_MEMORY;
}

/* --- loading ------------------------------------------------------------- */

/* Reads the entry's value from the store into the overlay. */
static enum err
fill(struct group *group, struct entry *entry, struct arena *arena)
{
	struct str value;
	enum err err;

	err = store_load(group->store, &entry->key, 1, &value, arena);
	if (err != ERR_OK)
		return err;
	if (value.p) {
		value = pile_add(&group->kept, value.p, value.n);
		if (value.p == NULL)
			return ERR_NO_MEMORY;
	}
	entry->content = (struct content){.bytes = value};
	entry->state = ENTRY_LOADED;
	return ERR_OK;
}

/* The key's entry, its content known. */
static enum err
load_entry(struct group *group, const struct key *key, struct entry **out,
	   struct arena *arena)
{
	struct entry *entry = entry_of(group, key_str(key), true);

	*out = entry;
	if (entry == NULL)
		return ERR_NO_MEMORY;
	return entry->state == ENTRY_UNKNOWN ? fill(group, entry, arena)
					     : ERR_OK;
}

enum err
group_load_bytes(struct group *group, const struct key *key, struct str *out,
		 struct arena *arena)
{
	struct entry *entry;
	enum err err;

	if (key->n == 0) {
		*out = STR_NONE;
		return ERR_OK;
	}
	err = load_entry(group, key, &entry, arena);
	if (err == ERR_OK)
		err = group_need_bytes(group, &entry->content);
	if (err == ERR_OK)
		*out = entry->content.bytes;
	return err;
}

static enum err
decode(struct group *group, struct entry *entry, const struct schema *schema,
       void *out, struct arena *arena)
{
	struct content *content = &entry->content;
	enum err err = schema_decode(schema, content->bytes, out, arena, NULL);

	/* The seal was right, so these are the bytes that were written. */
	if (err == ERR_MALFORMED || err == ERR_BAD_FIELD)
		return ERR_STORE_CORRUPT;
	if (err == ERR_OK && entry->is_kept && is_plain(schema)) {
		content->record = pile_add(&group->kept, out, schema->size).p;
		content->schema = schema;
	}
	return err;
}

enum err
group_load(struct group *group, const struct key *key,
	   const struct schema *schema, void *out, struct arena *arena)
{
	struct content *content;
	struct entry *entry;
	enum err err;

	if (key->n == 0)
		return ERR_NO_SUCH;
	err = load_entry(group, key, &entry, arena);
	if (err != ERR_OK)
		return err;
	content = &entry->content;
	if (content->record && content->schema == schema) {
		memcpy(out, content->record, schema->size);
		return ERR_OK;
	}
	err = group_need_bytes(group, content);
	if (err != ERR_OK)
		return err;
	if (content->bytes.p == NULL)
		return ERR_NO_SUCH;
	return decode(group, entry, schema, out, arena);
}

/* --- writing ------------------------------------------------------------- */

/* content: already kept. */
static enum err
change(struct group *group, const struct key *key, enum entry_state state,
       const struct content *content)
{
	struct entry *entry;
	void *undos = group->undos;
	bool is_grown = group_grow(&undos, &group->undo_room,
				   group->undo_count + 1, sizeof(struct undo));

	group->undos = undos;
	entry = is_grown ? entry_of(group, key_str(key), false) : NULL;
	if (entry == NULL)
		return ERR_NO_MEMORY;
	group->undos[group->undo_count++] = (struct undo){
	    (uint32_t)(entry - group->entries), entry->state, entry->content};
	entry->state = state;
	entry->content = *content;
	group->written_count += entry->is_kept;
	entry->is_kept = false;
	return ERR_OK;
}

static enum err
check_change(const struct group *group, const struct key *key, size_t bytes)
{
	if (key->n == 0 || bytes > STORE_VALUE_BYTES_MAX)
		return ERR_TOO_LARGE;
	return group->undo_count < GROUP_WRITES_MAX ? ERR_OK : ERR_OVERLOADED;
}

enum err
group_put_bytes(struct group *group, const struct key *key, struct str bytes)
{
	struct content content = {.bytes = bytes};
	enum err err = check_change(group, key, bytes.n);

	if (err != ERR_OK)
		return err;
	content.bytes = pile_add(&group->written, bytes.p, bytes.n);
	if (content.bytes.p == NULL)
		return ERR_NO_MEMORY;
	return change(group, key, ENTRY_PUT, &content);
}

enum err
group_put_new(struct group *group, const struct key *key, struct str bytes)
{
	size_t at = group->entry_count;
	enum err err = group_put_bytes(group, key, bytes);

	if (err == ERR_OK && group->entry_count > at)
		group->entries[at].is_new = true;
	return err;
}

enum err
group_delete(struct group *group, const struct key *key)
{
	struct content nothing = {.bytes = STR_NONE};
	enum err err = check_change(group, key, 0);

	return err == ERR_OK ? change(group, key, ENTRY_DELETED, &nothing)
			     : err;
}

enum err
group_put(struct group *group, const struct key *key,
	  const struct schema *schema, const void *record)
{
	struct content content = {.schema = schema};
	struct str bytes;
	enum err err;

	if (!is_flat(schema)) {
		err = encode(group, schema, record, &bytes);
		return err == ERR_OK ? group_put_bytes(group, key, bytes) : err;
	}
	err = check_change(group, key, 0);
	if (err != ERR_OK)
		return err;
	content.record = pile_add(&group->written, record, schema->size).p;
	if (content.record == NULL)
		return ERR_NO_MEMORY;
	return change(group, key, ENTRY_PUT, &content);
}

enum err
group_event(struct group *group, const struct event *event)
{
	struct str bytes;
	void *events = group->events;
	enum err err;
	bool is_grown;

	if (group->event_count >= GROUP_WRITES_MAX)
		return ERR_OVERLOADED;
	err = encode(group, &event_schema, event, &bytes);
	if (err != ERR_OK)
		return err;
	bytes = pile_add(&group->written, bytes.p, bytes.n);
	is_grown = group_grow(&events, &group->event_room,
			      group->event_count + 1, sizeof(struct str));
	group->events = events;
	if (bytes.p == NULL || !is_grown)
		return ERR_NO_MEMORY;
	group->events[group->event_count++] = bytes;
	return ERR_OK;
}

struct group_mark
group_mark(const struct group *group)
{
	return (struct group_mark){group->undo_count, group->event_count};
}

void
group_undo(struct group *group, struct group_mark mark)
{
	assert(mark.undo_at <= group->undo_count);
	assert(mark.event_count <= group->event_count);
	while (group->undo_count > mark.undo_at) {
		const struct undo *undo = &group->undos[--group->undo_count];
		struct entry *entry = &group->entries[undo->entry];

		entry->state = undo->state;
		entry->content = undo->content;
	}
	group->event_count = mark.event_count;
}

void
group_undo_all(struct group *group)
{
	group_undo(group, (struct group_mark){0, group->late_event_count});
}
