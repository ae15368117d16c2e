/*
 * up: the launcher's state. See up.c.
 */
#ifndef CMD_UP_H
#define CMD_UP_H

#include "cmd/child.h"
#include "cmd/command.h"
#include "cmd/probe.h"

#include <sys/socket.h>
#include <sys/un.h>

#define UP_CHILDREN_MAX (2 + 3 * 64) /* conf.def's maxima */
#define UP_NAME_BYTES 80

/* The order of the stop. */
enum stage {
	STAGE_RUNNING,
	STAGE_EDGE,
	STAGE_PROXY,
	STAGE_VALIDATE,
	STAGE_USAGE,
	STAGE_ANALYTICS,
	STAGE_END,
};

struct up;

struct child {
	struct up *up;
	const char *kind;
	unsigned index;
	enum stage stage;
	pid_t pid; /* 0 = not running */
	bool is_ready;
	int64_t started_ns;
	int64_t beat_ns; /* last WATCHDOG=1 */
	int backoff_ms;
	unsigned failed_starts; /* in a row, without READY=1 */
	struct loop_timer restart;
};

struct up {
	struct command *command;
	struct loop *loop;
	int lock_fd;
	int notify_fd;
	struct loop_fd *notify_watch;
	char notify_name[64];
	char program_dir[4096];
	int listeners[CHILD_LISTENERS];
	char names[CHILD_LISTENERS][UP_NAME_BYTES]; /* host:port */
	struct child children[UP_CHILDREN_MAX];
	unsigned child_count;
	struct probe probe;
	struct loop_timer probe_pause;
	unsigned asked; /* questions that were answered rightly */
	unsigned wrong_answers;
	char request[512]; /* the one that is asked */
	bool is_announced; /* the line `ready` was printed */
	struct loop_timer tick;
	int64_t tick_ns;
	bool is_stopping;
	enum stage stage;
	struct loop_timer kill_timer;
	char failure[160]; /* why it stops by itself */
};

/* up.c: stops everything in order; the command fails with this line. */
void up_fail(struct up *up, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* up_ready.c: a process has become ready; asks and announces when all are. */
void up_ask(struct up *up);

#endif
