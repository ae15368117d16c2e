/*
 * ledger_counters: meters and rollups, kept decoded over turns and written back
 * late. Under load a turn's settlements touch as many pages as licences, each
 * somewhere else; everything else a turn writes lies in the order of time. So
 * the counters go to the store with few commits, all that changed at once,
 * together with the record `counted`: the newest event whose line is in them.
 * What is behind it is counted again from the log (ledger_recovery.c).
 *
 * Always holds: in the store, counters are the fold of the lines of the events
 * up to `counted`, except what the lines tell themselves: of open requests, of
 * month, minute and rate. One thread.
 */
#ifndef WORKERS_LEDGER_COUNTERS_H
#define WORKERS_LEDGER_COUNTERS_H

#include "store/group.h"

#define COUNTERS_MAX 65536u	   /* kept at a time */
#define COUNTERS_KEPT 16384u	   /* more: written, and all forgotten */
#define COUNTERS_CHANGED_MAX 8192u /* more: written with the next commit */
#define COUNTERS_FEW 18u	   /* so few go with the commit that settles */
#define COUNTERS_EVENTS_MAX 65536u /* the log's newest that are not counted */

struct counters;

union counter_record {
	struct meter meter;
	struct rollup rollup;
};
/* One of them; all absent when the store has none. It stays where it is until
 * the next commit. */
struct counter {
	struct str key;
	const struct schema *schema;
	uint64_t hash;
	bool is_changed; /* is not what the store has */
	union counter_record record;
};

enum err counters_open(struct counters **out, struct store *store);
void counters_close(struct counters *counters);

/* The seq of the store's `counted`. */
void counters_begin(struct counters *counters, uint64_t counted);

/* The meter or rollup (its schema says which) at key. ERR_OVERLOADED: too many
 * are kept; ERR_NO_MEMORY; errors of store_load. */
enum err counters_find(struct counters *counters, const struct key *key,
		       const struct schema *schema, struct counter **out);
/* Takes the new content; the same as before changes nothing. ERR_OVERLOADED,
 * ERR_NO_MEMORY: too many changes since the last commit. */
enum err counters_change(struct counters *counters, struct counter *counter,
			 const union counter_record *record);
/* Adds up the rollups whose keys begin with prefix, as they stand. It looks at
 * all that is kept and at the store: not for the hot path. */
enum err counters_sum(struct counters *counters, const struct key *prefix,
		      struct rollup *sum);
/* Forgets all that the store has, and gives back its memory; nothing while a
 * change is not written. */
void counters_rest(struct counters *counters);
/* What changes now could not be told from the log: the next commit writes. */
void counters_hasten(struct counters *counters);

/* A point to go back to; 0 = the last commit. */
size_t counters_mark(const struct counters *counters);
void counters_undo(struct counters *counters, size_t mark);

/* Whether the group's commit should write them: they are few and something was
 * settled, they are many, they were hastened, or the log is far ahead. */
bool counters_are_due(const struct counters *counters,
		      const struct group *group);
/* Some are not in the store. */
bool counters_wait(const struct counters *counters);
/* They are full: to be written before more is found. */
bool counters_are_many(const struct counters *counters);
/* Puts what has changed, and `counted` with seq. */
enum err counters_put(struct counters *counters, struct group *group,
		      uint64_t seq);
/* Behind the commit of the group. is_written: counters_put was in it. */
void counters_committed(struct counters *counters, bool is_written);

#endif
