/*
 * command_run: whole command lines in this process, in the test's own folder,
 * and what came of them.
 */
#ifndef CMD_COMMAND_RUN_TEST_H
#define CMD_COMMAND_RUN_TEST_H

#include "cmd/command.h"
#include "lib/test.h"

struct ran {
	int code;
	struct buf out; /* both end in a NUL */
	struct buf err;
};
/* "license issue --plan pro": words by single blanks. */
struct ran run(const char *line);
void ran_free(struct ran *ran);
/* Fails unless the exit code is that and both outputs have the parts; a failure
 * is one line, and bad usage leaves standard output empty. */
void expect(const char *line, int code, const char *out_part,
	    const char *err_part);
void write_file(const char *path, const char *text);
void set_up(void);
void set_up_store(void);

#endif
