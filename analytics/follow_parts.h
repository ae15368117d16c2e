/*
 * follow_parts: what follow.c and replay.c share; nobody else includes it.
 */
#ifndef ANALYTICS_FOLLOW_PARTS_H
#define ANALYTICS_FOLLOW_PARTS_H

#include "analytics/fold.h"
#include "analytics/follow.h"

/* A generation and how far it has come, as committed. */
struct generation {
	int64_t number; /* 0 = none */
	uint64_t seq;
};

struct follow {
	struct store *log;
	struct store *rows;
	struct store_lease lease;
	struct group *group;
	struct arena arena; /* of one chunk */
	struct fold fold;
	struct generation live;
	struct generation building; /* by a replay */
	int64_t retired;	    /* to be deleted; 0 = none */
	int64_t newest;		    /* number of the newest generation */
};

/* Folds up to FOLLOW_CHUNK_EVENTS events into it and commits. */
enum err follow_advance(struct follow *follow, struct generation *generation,
			size_t *count);
/* Puts follow_state as the members say and commits. */
enum err follow_put_state(struct follow *follow);
/* Deletes a chunk of the retired generation. */
enum err follow_delete_step(struct follow *follow);

#endif
