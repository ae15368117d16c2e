/*
 * follow: the log folded into rows, a chunk at a time; rows and checkpoint are
 * one commit. The log's store is only read; the rows' environment has its own
 * lease. The analytics process drives it by doorbell and timer, the command
 * tools themselves while that process is down. One thread.
 *
 * A replay folds a second generation from the first event while the live one
 * is served and goes on; when both stand at the same event they are compared
 * and the new one takes over in one put.
 */
#ifndef ANALYTICS_FOLLOW_H
#define ANALYTICS_FOLLOW_H

#include "analytics/digest.h"
#include "store/store.h"

#define FOLLOW_CHUNK_EVENTS 1000u

struct follow;

/* Both stores are owned by *out on success. ERR_STORE_LOCKED: another process
 * follows. */
enum err follow_open(struct follow **out, struct store *log, struct store *rows,
		     struct why *why);
void follow_close(struct follow *follow);
/* Gives back what is held for speed only; not inside of a step. On an error it
 * can only be closed. */
enum err follow_rest(struct follow *follow);
/* The same, from the folders below data; the rows' environment is made when it
 * is not there. */
enum err follow_open_data(struct follow **out, const char *data,
			  int64_t map_bytes, struct why *why);

/* Folds one chunk into the live generation, or deletes a chunk of a retired
 * one. *is_behind: there may be more to do. On an error nothing of the chunk
 * was written; ERR_COMMIT_UNKNOWN: the process must end. */
enum err follow_step(struct follow *follow, bool *is_behind);
/* Of the last event that is in the rows. */
uint64_t follow_seq(const struct follow *follow);
/* Of the newest event in the log. */
enum err follow_head(struct follow *follow, uint64_t *seq);

struct follow_replayed {
	uint64_t events;
	uint64_t rows; /* days */
	uint64_t seq;
	char digest[DIGEST_TEXT_BYTES]; /* of the new generation */
	bool is_identical;		/* to the one that was live */
};
/* ERR_CONFLICT: a replay is under way. */
enum err follow_replay_begin(struct follow *follow);
bool follow_is_replaying(const struct follow *follow);
/* One chunk of it. *is_done: *out is filled and the new generation is live. An
 * error ends the replay; the live generation stays. */
enum err follow_replay_step(struct follow *follow, bool *is_done,
			    struct follow_replayed *out);

#endif
