/*
 * probe: one GET to a listener of this house, in a loop: `up` asks for health
 * before it says ready, `status` shows it.
 */
#ifndef CMD_PROBE_H
#define CMD_PROBE_H

#include "lib/buf.h"
#include "lib/loop.h"

#define PROBE_BYTES_MAX 65536u

/* status: of the answer, 0 when there was none; body lives until it returns. */
typedef void probe_fn(void *ctx, int status, struct str body);

struct probe {
	struct loop *loop;
	int fd; /* -1 = none under way */
	struct loop_fd *watch;
	struct loop_timer deadline;
	struct buf in;
	bool is_sent;
	const char *path;
	probe_fn *fn;
	void *ctx;
};

/* host_port: "127.0.0.1:5013", "[::1]:5013". fn is called once, from the loop.
 * One at a time. */
void probe_start(struct probe *probe, struct loop *loop, const char *host_port,
		 const char *path, int deadline_ms, probe_fn *fn, void *ctx);
/* Ends one that is under way without a report. */
void probe_stop(struct probe *probe);

#endif
