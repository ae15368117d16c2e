/*
 * metrics: this process's counters and gauges (rows in metrics.def), and the
 * Prometheus text of all its numbers. Names follow Prometheus' style:
 * chatello_..._total, base units. Loop thread only.
 */
#ifndef LIB_METRICS_H
#define LIB_METRICS_H

#include "lib/buf.h"

#define METRICS_TEXT_BYTES_MAX (1u << 20) /* of one process */

enum metric {
#define METRIC(name, type, labels, text, help) METRIC_##name,
#include "lib/metrics.def"
#undef METRIC
	METRIC_COUNT
};

void metrics_add(enum metric metric, int64_t n);
void metrics_set(enum metric metric, int64_t value);
int64_t metrics_get(enum metric metric);
/* Families with # HELP and # TYPE, lines `name{process="edge-0",labels} value`;
 * those of lib/series behind them. */
void metrics_print(struct buf *out, const char *process);
/* What stands for a process whose numbers are not there, only whether it has
 * answered; several behind one another are one print. */
void metrics_print_up(struct buf *out, const char *process, bool is_up);
/* Joins the prints of several processes into one valid page: each family once,
 * its HELP and TYPE first. A family that this program does not know is left
 * out. The prints are used up. */
void metrics_join(struct buf *out, struct str *prints, size_t count);

#endif
