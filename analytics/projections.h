/*
 * projections: which events change which rows. One table; follow walks it for
 * each event.
 */
#ifndef ANALYTICS_PROJECTIONS_H
#define ANALYTICS_PROJECTIONS_H

#include "analytics/fold.h"
#include "store/records.h"

/* Folds one event into the generation. When it fails, the whole chunk is to be
 * taken back (group_undo, fold_drop). ERR_AGAIN: a day_closed has more to do
 * than fits one commit; commit, and fold the same event again. */
enum err projections_fold(struct fold *fold, const struct event *event);

#endif
