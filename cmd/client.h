/*
 * client: one write. It goes to the running ledger as a question; while none
 * runs, the writer's lease is taken and the same handler runs here.
 */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include "cmd/command.h"
#include "lib/msg.h"

#define CLIENT_DEADLINE_MS 15000

/* in: the struct of message `type`, filled by hand, checked here; out: that of
 * its answer, strings in the command's arena. why: one line. ERR_BAD_FIELD is
 * bad usage: the words of the line are what it sends. */
enum err client_write(struct command *command, unsigned type, const void *in,
		      void *out, struct why *why);
/* One question to a process's tools ("analytics-0"); ERR_UNAVAILABLE when it
 * does not run. */
enum err client_ask(struct command *command, const char *process, unsigned type,
		    const void *in, const struct schema *answer_schema,
		    void *out, int deadline_ms, struct why *why);

#endif
