/*
 * group_parts: what group.c (the overlay), group_scan.c (its rows among the
 * store's), group_new.c (what neither has) and group_commit.c (how it becomes
 * durable) share. Nobody else includes this.
 */
#ifndef STORE_GROUP_PARTS_H
#define STORE_GROUP_PARTS_H

#include "lib/buf.h"
#include "store/group.h"
#include "store/pile.h"

enum entry_state {
	ENTRY_UNKNOWN, /* ask the store */
	ENTRY_LOADED,  /* as in the store */
	ENTRY_PUT,
	ENTRY_DELETED,
};

/* What a key has: encoded, decoded, or both; neither = it is not there. */
struct content {
	struct str bytes;
	const void *record; /* its strings point into bytes */
	const struct schema *schema;
};

struct entry {
	struct str key;
	struct content content;
	uint64_t hash;
	enum entry_state state;
	bool is_late;	/* journalled, not in the store */
	bool is_listed; /* among the writes of this commit */
	bool is_kept;	/* it was only read */
	bool is_new;	/* the store does not have it */
};

struct undo {
	uint32_t entry;
	enum entry_state state;
	struct content content;
};

/* Between these two the store has no key. */
struct gap {
	bool is_open;
	struct key from, to;
};

struct group {
	struct store *store;
	const struct store_lease *lease;
	uint64_t head;
	uint64_t seed; /* clients choose parts of keys */
	struct entry *entries;
	size_t entry_count;
	size_t written_count; /* of them: not kept */
	size_t entry_room;
	uint32_t *slots; /* entry + 1; twice as many as entry_room */
	struct undo *undos;
	size_t undo_count;
	size_t undo_room;
	uint32_t *late; /* entries */
	size_t late_count;
	size_t late_room;
	size_t late_bytes;
	struct str *events; /* the journalled ones first */
	size_t event_count;
	size_t event_room;
	size_t late_event_count;
	struct store_write *writes; /* scratch of a commit */
	uint32_t *listed;	    /* their entries */
	size_t write_count;
	size_t write_room;
	size_t listed_room;
	struct pile kept;    /* what was read: keys, values, records */
	struct pile written; /* likewise, and events */
	struct buf record;
	struct gap gap;
};

/* Room for `need` items of `size` bytes in *items, doubled as needed; false:
 * no memory, nothing changed. */
bool group_grow(void **items, size_t *room, size_t need, size_t size);
/* The entry of the key; NULL: there is none. */
const struct entry *group_find(const struct group *group, struct str key);
/* What was written is forgotten, of which nothing waits; or all. */
void group_forget_written(struct group *group);
void group_clear(struct group *group);
/* The encoded bytes of what may so far only be a struct. */
enum err group_need_bytes(struct group *group, struct content *content);

#endif
