/*
 * fold: one generation's state while a chunk of the log is folded into it. The
 * records that many events touch (a workspace's tally, its day) are kept
 * decoded and written when the chunk ends or another one is wanted. Never reads
 * a clock, a locale, a random source or a float: the same log gives the same
 * bytes.
 */
#ifndef ANALYTICS_FOLD_H
#define ANALYTICS_FOLD_H

#include "analytics/rows.h"
#include "lib/calendar.h"
#include "store/group.h"

#define FOLD_ZONE_BYTES 65

struct fold {
	struct store *store; /* for days, which scan */
	struct group *group;
	struct arena *arena; /* the chunk's */
	int64_t generation;
	uint64_t seq; /* of the event that is being folded */

	/* The tally in hand. */
	struct key tally_key; /* n == 0: none */
	struct tally tally;
	bool is_tally_dirty;
	char zone[FOLD_ZONE_BYTES];

	/* The day in hand, of that workspace. */
	struct key day_key; /* n == 0: none */
	struct day day;
	bool is_day_dirty;
	int64_t day_start_ms;
	int64_t day_end_ms;

	/* An event amends a day once, however many of its folds touch it. */
	uint64_t amended_seq;
	int64_t amended_day_ms;
};

/* Takes the workspace's tally in hand. */
enum err fold_workspace_open(struct fold *fold, struct str workspace);
/* Takes in hand the workspace's day that holds ms, and counts it as amended
 * when it was closed. The caller changes fold->day at once and then marks it
 * dirty. is_told: the amendment is worth a word in the day's note. */
enum err fold_day_open(struct fold *fold, struct str workspace, int64_t ms,
		       bool is_told);
/* Puts what is in hand into the group and lets it go. */
enum err fold_flush(struct fold *fold);
/* Lets it go unwritten, when the group was taken back. */
void fold_drop(struct fold *fold);

/* A subscription counts from now on as `after`; the difference goes into the
 * tally, its customer and the day that holds ms. */
enum err fold_stake(struct fold *fold, struct str workspace,
		    struct str subscription_id, const struct stake *after,
		    int64_t ms);

#endif
