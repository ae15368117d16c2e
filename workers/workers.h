/*
 * workers: the worker processes, one row each. cmd/ has a main() for each.
 */
#ifndef WORKERS_WORKERS_H
#define WORKERS_WORKERS_H

#include "workers/pool.h"

extern const struct worker validate_worker; /* reads; asked by edge, proxy */
extern const struct worker proxy_worker;    /* AI requests; asked by edge */
extern const struct worker
    usage_worker; /* the ledger; asked by edge, proxy, tools */

#endif
