/*
 * house: what runs on a data folder, seen from outside: the locks of its
 * processes and the listeners that `chatello up` has bound. Touches nothing.
 */
#ifndef CMD_HOUSE_H
#define CMD_HOUSE_H

#include "cmd/command.h"
#include "cmd/views.h"

#define HOUSE_PROCESSES_MAX 256

/* The pid that holds RUN/NAME.lock; 0 = nobody, or it cannot be told. Reads
 * /proc/locks, so that no process that is just starting finds its lock taken.
 */
int64_t house_lock_holder(const struct conf *conf, const char *name);
/* Every process that the settings ask for; in the command's arena. */
enum err house_processes(struct command *command,
			 struct process_state **processes, uint32_t *count);
/* DATA/run/up.json; all absent when no launcher runs. */
enum err house_listeners(struct command *command, struct up_listeners *out);

#endif
