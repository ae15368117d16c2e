/*
 * client_wait: waits for what may let a write through that found the writer's
 * lease taken and no ledger listening: the lease is given back, or a ledger
 * begins to listen. Asleep meanwhile; woken by inotify(7).
 */
#ifndef CMD_CLIENT_WAIT_H
#define CMD_CLIENT_WAIT_H

#include "lib/conf.h"

struct client_wait {
	int fd;		/* -1: not open */
	int run_dir;	/* its watch, -1 = none: no server ever ran */
	char lock[512]; /* the lease's file */
};

/* From here on nothing is missed: try once more behind it. ERR_IO: why. */
enum err client_wait_open(struct client_wait *wait, const struct conf *conf,
			  struct why *why);
void client_wait_close(struct client_wait *wait);
/* False: nothing came until then (monotonic). */
bool client_wait_for(struct client_wait *wait, int64_t until_ms);

#endif
