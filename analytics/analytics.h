/*
 * analytics: the worker that keeps the diary; workers/pool.h runs it. Asked by
 * the command tools; see serve.h for how they ask.
 */
#ifndef ANALYTICS_ANALYTICS_H
#define ANALYTICS_ANALYTICS_H

#include "workers/pool.h"

#define ANALYTICS_PROCESS "analytics-0"

extern const struct worker analytics_worker;

#endif
