/*
 * group: what one turn of the writer decides, before it is committed as one.
 * Loads see what the group has put so far, then the store. Encoding, decoding
 * and the overlay live here; decisions stay pure. A request that fails half-way
 * is taken back with group_mark/group_undo.
 */
#ifndef STORE_GROUP_H
#define STORE_GROUP_H

#include "store/keys.h"
#include "store/records.h"

#define GROUP_WRITES_MAX 65536u
/* Journalled and not committed; more go with a commit. Few enough that the
 * commit takes a few ms. */
#define GROUP_LATE_MAX 4096u
#define GROUP_LATE_BYTES (1u << 20)
/* What is remembered over commits, so that it is not read again: what was read,
 * and some of what was written last. */
#define GROUP_KEPT 16384u
#define GROUP_KEPT_BYTES (4u << 20)

struct group;

/* Memory is kept over commits; arena memory of loaded records is the caller's.
 */
enum err group_open(struct group **out, struct store *store,
		    const struct store_lease *lease);
void group_close(struct group *group);

/* Decodes the record at key into *out; ERR_NO_SUCH when there is none. Strings
 * point into the arena (or the group) and live until commit. */
enum err group_load(struct group *group, const struct key *key,
		    const struct schema *schema, void *out,
		    struct arena *arena);
/* Whether there is none, for keys that mostly are new and come about in order:
 * most of them are not searched for. */
enum err group_is_new(struct group *group, const struct key *key,
		      struct arena *arena, bool *is_new);
/* The raw bytes; STR_NONE when there is none. */
enum err group_load_bytes(struct group *group, const struct key *key,
			  struct str *out, struct arena *arena);
/* Up to `limit` rows with the prefix, in key order, as loads would see them;
 * where there are more, any of them. Walks all that the group remembers: for
 * settings, not for what each request needs. */
enum err group_scan(struct group *group, const struct key *prefix, size_t limit,
		    struct arena *arena, struct store_row *rows, size_t *count);
/* Remember until commit; copies. ERR_OVERLOADED beyond GROUP_WRITES_MAX,
 * ERR_TOO_LARGE beyond STORE_VALUE_BYTES_MAX, ERR_NO_MEMORY. */
enum err group_put(struct group *group, const struct key *key,
		   const struct schema *schema, const void *record);
enum err group_put_bytes(struct group *group, const struct key *key,
			 struct str bytes);
/* The same for a key that neither the store nor the group has ever had, or has
 * deleted: when it is deleted before the next commit, the store never hears of
 * it. */
enum err group_put_new(struct group *group, const struct key *key,
		       struct str bytes);
enum err group_delete(struct group *group, const struct key *key);
enum err group_event(struct group *group, const struct event *event);

/* A point to go back to when a request fails half-way. */
struct group_mark {
	size_t undo_at;
	size_t event_count;
};
struct group_mark group_mark(const struct group *group);
void group_undo(struct group *group, struct group_mark mark);

/* Takes back all that is not durable. */
void group_undo_all(struct group *group);

/* Commits what has gathered and what was journalled (nothing: OK without a
 * flush). On an error nothing was written (but see ERR_COMMIT_UNKNOWN), and
 * what has gathered is taken back. */
enum err group_commit(struct group *group);
/* Makes it durable only: loads see it, readers of the store do with the next
 * commit. Commits when that is due. Errors as group_commit's. */
enum err group_journal(struct group *group);
/* Gives back what is remembered for speed only; nothing while something waits
 * to be committed. */
void group_rest(struct group *group);
/* Something was journalled that is not committed. */
bool group_is_late(const struct group *group);
/* Since the last commit or journal. */
bool group_is_empty(const struct group *group);
bool group_has_events(const struct group *group);
/* The log's newest number once the group is committed. */
uint64_t group_seq(const struct group *group);

#endif
