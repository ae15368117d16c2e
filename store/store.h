/*
 * store: state and event log behind one interface that an embedded and a
 * distributed engine can both implement: load(keys) -> pure decide() in the
 * caller -> commit(puts, deletes, events) as one atomic, fenced group. Two
 * tables: kv (bytes to bytes, ordered) and ev (sequence number to bytes). What
 * is read is a copy, never a pointer into the map. Every value carries a CRC32C
 * over key and value that is checked at reading.
 *
 * Threads: one at a time. Outcomes of any call: ERR_OK, ERR_UNAVAILABLE,
 * ERR_STORE_CORRUPT (a record failed its checksum), ERR_NO_MEMORY, and those
 * named at the call.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "lib/arena.h"
#include "lib/err.h"

#define STORE_KEY_BYTES_MAX 480u
#define STORE_VALUE_BYTES_MAX 1900u

struct store;

struct store_conf {
	const char *engine; /* "lmdb"; "memory": for tests, always new */
	const char *dir;    /* lmdb: the environment's folder */
	int64_t map_bytes;  /* lmdb: sparse, never resized while running */
	bool is_created;    /* make it when it is not there (init) */
};

/* ERR_STORE_MISSING: nothing there and not to be created. */
enum err store_open(struct store **out, const struct store_conf *conf,
		    struct why *why);
void store_close(struct store *store);

/* One snapshot for all reads until the end; held at most 100 ms (a caller with
 * more to read goes in pages). Nested views are a bug. */
enum err store_view_begin(struct store *store);
void store_view_end(struct store *store);
/* Inside a view: a number that two views of this handle have in common only if
 * nothing was committed between them. Never 0. */
uint64_t store_view_number(struct store *store);

/* The value of each key, copied into the arena; absent ones STR_NONE. Inside or
 * outside a view. */
enum err store_load(struct store *store, const struct str *keys, size_t count,
		    struct str *values, struct arena *arena);

struct store_row {
	struct str key;
	struct str value;
};
/* Up to `limit` rows in key order with the prefix, behind the key `after`
 * (STR_NONE: from the first). An empty prefix finds nothing. */
enum err store_scan(struct store *store, struct str prefix, struct str after,
		    size_t limit, struct arena *arena, struct store_row *rows,
		    size_t *count);
/* The row of the last key with the prefix; key STR_NONE when there is none. */
enum err store_last(struct store *store, struct str prefix, struct arena *arena,
		    struct store_row *row);

struct store_event {
	uint64_t seq;
	struct str bytes;
};
/* Up to `limit` events behind seq `after`, in order, without gaps. */
enum err store_tail(struct store *store, uint64_t after, size_t limit,
		    struct arena *arena, struct store_event *events,
		    size_t *count);
/* The newest sequence number; 0 = empty log. */
enum err store_head(struct store *store, uint64_t *seq);

/* The writer's lease: one holder. ERR_STORE_LOCKED: somebody holds it. */
struct store_lease {
	uint64_t token; /* fencing: a later lease has a higher one */
};
enum err store_lease_take(struct store *store, struct store_lease *lease,
			  struct why *why);
void store_lease_release(struct store *store, struct store_lease *lease);

struct store_write {
	struct str key;	  /* begins with a byte from 0x20 to 0x7e */
	struct str value; /* STR_NONE deletes */
};
struct store_group {
	const struct store_write *writes; /* each key at most once */
	size_t write_count;
	const struct str *events; /* encoded; numbered head+1 ... in order */
	size_t event_count;
};
/* All or nothing, flushed when it returns OK. *head in: the head that the group
 * was decided on; out: the new head. ERR_FENCED: the lease or the head is not
 * the current one. ERR_STORE_FULL: nothing was written; goes on when there is
 * room. ERR_COMMIT_UNKNOWN: the flush failed; the process must exit and reopen.
 * A commit inside a view is a bug.
 * Other errors: nothing was written. */
enum err store_commit(struct store *store, const struct store_lease *lease,
		      uint64_t *head, const struct store_group *group);

/* Makes the group durable without anybody, this handle included, reading it
 * yet; costs a small part of a commit. head: the store's, and the events of
 * what was journalled since its last commit. The next store_commit must
 * contain all that was journalled since the one before it: each key in its last
 * state (none of one that came and went since), each event in order. A lease
 * that is taken before that finds it committed. ERR_OVERLOADED: the journal is
 * full, commit. ERR_COMMIT_UNKNOWN, ERR_FENCED, ERR_STORE_FULL: as
 * store_commit. */
enum err store_journal(struct store *store, const struct store_lease *lease,
		       uint64_t head, const struct store_group *group);
/* Something was journalled and is not committed: by a writer that is still
 * there, or until the next one takes the lease. */
enum err store_is_behind(struct store *store, bool *is_behind);

/* Gives back what is held for speed only (the page tables of what was read, the
 * buffers of writing); the next call takes again what it needs. Lease, readers
 * and what was journalled stay. Inside a view it is a bug. On an error the
 * store can only be closed. */
enum err store_rest(struct store *store);

struct store_state {
	uint64_t head_seq;
	int64_t used_bytes;
	int64_t map_bytes;
	int64_t disk_free_bytes;
	int64_t disk_bytes;
	bool is_refusing_writes; /* less than 5 % of the disk is free */
	char alarm[160];	 /* map over 70 %, disk over 80 %; "" = none */
};
enum err store_state(struct store *store, struct store_state *out);
/* Clears reader slots of dead processes; the writer calls it every few
 * seconds. */
enum err store_check_readers(struct store *store, unsigned *cleared);
/* Walks everything and checks every checksum and the sequence's gaps.
 * ERR_STORE_CORRUPT: *bad = records that failed; why names the first. */
enum err store_verify(struct store *store, uint64_t *records, uint64_t *bad,
		      struct why *why);

#endif
