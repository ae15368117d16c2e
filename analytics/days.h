/*
 * days: the end of a day, which the ledger writes into the log. Subscriptions
 * whose end has passed drop out then, on the day they ended.
 */
#ifndef ANALYTICS_DAYS_H
#define ANALYTICS_DAYS_H

#include "analytics/fold.h"
#include "store/records.h"

#define DAYS_ENDS_MAX 4096u /* ends that one commit takes */

/* The fold of a day_closed event (event_date: the day's last instant, or its
 * end). It scans the store, so everything before it must be committed and
 * nothing else be in the group. ERR_AGAIN: see projections.h. */
enum err days_close(struct fold *fold, const struct event *event);

#endif
