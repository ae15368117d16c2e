/*
 * child: one process of the house as `chatello up` starts it: fork and exec of
 * the program beside our own, with the launcher's settings as its environment.
 * Provider keys go to the proxy alone. Where there are two processors, the edge
 * and the validator have one each, unless there are several of a kind.
 */
#ifndef CMD_CHILD_H
#define CMD_CHILD_H

#include "lib/conf.h"

#include <sys/types.h>

#define CHILD_LISTENERS 3

struct child_launch {
	const struct conf *conf;
	const char *program_dir; /* where chatello-edge and the others are */
	const char *kind;	 /* "edge" */
	unsigned index;
	const char *notify;		/* $NOTIFY_SOCKET */
	int listeners[CHILD_LISTENERS]; /* public, admin, internal */
	bool has_listeners;		/* they are passed on */
};

/* The folder of our own program. */
bool child_program_dir(char *out, size_t out_bytes);
/* ERR_CONFIG when the kind's program is not there. */
enum err child_check_program(const char *program_dir, const char *kind,
			     struct why *why);
/* The pid, or -1 (errno). The child leads a process group of its own, so that
 * Ctrl-C reaches the launcher alone, and dies with the launcher. */
pid_t child_start(const struct child_launch *launch);

#endif
