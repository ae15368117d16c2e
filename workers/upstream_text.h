/*
 * upstream_text: what may be called and who is trusted, without curl.
 */
#ifndef WORKERS_UPSTREAM_TEXT_H
#define WORKERS_UPSTREAM_TEXT_H

#include "workers/upstream.h"

/* ERR_CONFIG unless base may be called: see upstream_target_open. */
enum err upstream_base_check(const char *base, struct why *why);
/* ERR_CONFIG unless the file can be read and has a certificate (PEM). Blocks as
 * long as reading takes. */
enum err upstream_ca_check(const char *ca_file, struct why *why);

#endif
