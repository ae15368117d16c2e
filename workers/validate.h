/*
 * validate: the reads that plugins wait for. The rows are run by the pool in
 * the validate process, and by tests over an engine of their own. One view of
 * the store a turn; nothing is written.
 */
#ifndef WORKERS_VALIDATE_H
#define WORKERS_VALIDATE_H

#include "store/crypto.h"
#include "store/store.h"
#include "workers/pool.h"

struct validate;

/* Checks that the master key belongs to the store. On success both are owned
 * by *out. */
enum err validate_open(struct validate **out, struct store *store,
		       struct crypto *crypto, struct why *why);
void validate_close(struct validate *validate);
enum err validate_turn_begin(struct validate *validate);
void validate_turn_end(struct validate *validate);

/* context->state is a struct validate *. */
extern const struct worker_row validate_rows[];
extern const size_t validate_row_count;

#endif
