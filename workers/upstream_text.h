/*
 * upstream_text: what may be called, without curl. Pure.
 */
#ifndef WORKERS_UPSTREAM_TEXT_H
#define WORKERS_UPSTREAM_TEXT_H

#include "workers/upstream.h"

/* ERR_CONFIG unless base may be called: see upstream_target_open. */
enum err upstream_base_check(const char *base, struct why *why);

#endif
