/*
 * probe: one HTTP request to a listener of this house, in a loop: `up` asks
 * before it says ready, `status` shows the health.
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
	const char *request;
	probe_fn *fn;
	void *ctx;
};

#define PROBE_HEALTH                                                           \
	"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: "          \
	"close\r\n\r\n"

/* host_port: "127.0.0.1:5013", "[::1]:5013". request: all of it, asking for a
 * close; it lives until fn. fn is called once, from the loop. One at a time. */
void probe_start(struct probe *probe, struct loop *loop, const char *host_port,
		 const char *request, int deadline_ms, probe_fn *fn, void *ctx);
/* Ends one that is under way without a report. */
void probe_stop(struct probe *probe);

#endif
