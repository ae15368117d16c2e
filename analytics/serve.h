/*
 * serve: what the command tools ask of analytics. Rows are read straight from
 * its environment; when the process is up it is asked to catch up first, when
 * it is down the caller folds the log itself, with the same code.
 */
#ifndef ANALYTICS_SERVE_H
#define ANALYTICS_SERVE_H

#include "analytics/rows.h"
#include "lib/conf.h"
#include "lib/msg.h"

/* The workspace's days from..to ("2026-11-22"; STR_NONE = without a bound), in
 * order, with totals carried over days. Print with daily_row_schema. Strings
 * live in the arena. */
enum err analytics_show(const struct conf *conf, struct str workspace,
			struct str from, struct str to, struct arena *arena,
			struct daily_row **rows, size_t *count,
			struct why *why);
/* The same from an open environment. ERR_NO_SUCH: it has no rows yet. */
enum err analytics_read(struct store *store, struct str workspace,
			struct str from, struct str to, struct arena *arena,
			struct daily_row **rows, size_t *count);

/* Rebuilds all rows from the log and swaps; blocks until it is done. */
enum err analytics_replay_run(const struct conf *conf, struct arena *arena,
			      struct analytics_replayed *out, struct why *why);

#endif
