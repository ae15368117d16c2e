/*
 * command: the command line. One table of rows (command_table.c) gives the
 * parser, --help, the man page and the completion; a row's function does the
 * work, a file a noun. What a command prints to standard output gathers in
 * `out` and leaves when it is done or large; a failure is one line on standard
 * error.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/conf.h"

#define COMMAND_VERSION "0.1.0"
#define COMMAND_ARGUMENTS_MAX 2
#define COMMAND_GIVEN_MAX 160 /* options on one command line */

/* Bad usage: the words of the line cannot be right whatever the house has: a
 * command, option or argument that is unknown, missing or no value of its kind,
 * whoever finds out. What they name that is not there or not allowed now, and
 * what a file holds, is a failure. */
enum command_exit { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_flag { OPTION_NONE = 0, OPTION_REQUIRED = 1, OPTION_REPEATED = 2 };

struct command_option {
	const char *name;  /* "email"; NULL ends a list */
	const char *value; /* "E", as the help shows it; NULL: a switch */
	unsigned flags;	   /* enum option_flag */
	const char *help;
};

struct command;
/* What went wrong in why; a line without one gets the err's text. */
typedef enum err command_fn(struct command *command, struct why *why);

struct command_row {
	const char *noun;
	const char *verb;      /* NULL: the noun alone is the command */
	const char *arguments; /* "KEY", "PROVIDER MODEL", "[PROVIDER [NAME]]"
				  where they may be left out; NULL: none */
	const char *help;
	command_fn *run;
	const struct command_option *options; /* NULL: none of its own */
};

extern const struct command_row command_rows[];
extern const size_t command_row_count;

struct command {
	const struct command_row *row;
	struct conf conf;
	struct arena arena; /* lives until the command is done */
	struct buf out;
	bool is_json;
	bool is_bad_usage;
	bool is_unread; /* whoever read standard output has gone */
	const char *arguments[COMMAND_ARGUMENTS_MAX]; /* left out: NULL */
	size_t given_count;
	struct {
		const struct command_option *option;
		const char *value;
	} given[COMMAND_GIVEN_MAX];
};

/* The whole of main(): returns the exit code. */
int command_main(int argc, char **argv);

/* The value of an option; absent: NULL or STR_NONE. The last one counts. */
const char *command_value(const struct command *command, const char *name);
struct str command_str(const struct command *command, const char *name);
bool command_has(const struct command *command, const char *name);
/* Likewise; `none` is the empty text, which unsets. */
struct str command_unset(const struct command *command, const char *name);
/* The values of a repeated option in order: *at begins with 0; NULL at the end.
 */
const char *command_next(const struct command *command, const char *name,
			 size_t *at);
/* *out stays as it is when the option is absent. */
enum err command_int(struct command *command, const char *name, int64_t *out,
		     struct why *why);
enum err command_money(struct command *command, const char *name, int64_t *out,
		       struct why *why);
struct limit;
/* --limit NAME=NUMBER or NAME=none, at most max of them, in the arena. */
enum err command_limits(struct command *command, uint32_t max,
			struct limit **limits, uint32_t *count,
			struct why *why);
/* RFC 3339 or a date, which is its first instant in the zone. */
enum err command_time(struct command *command, const char *name,
		      const char *zone, int64_t *out, struct why *why);
/* The argument, or for "-" the first line of standard input: keys need not
 * stand on a command line, where all can read them. */
enum err command_secret(struct command *command, unsigned index,
			struct str *out, struct why *why);
/* Exit code 2. Returns ERR_BAD_FIELD. */
enum err command_misused(struct command *command, struct why *why,
			 const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes `out` to standard output, at once or when it has grown large. */
enum err command_flush(struct command *command, struct why *why);
enum err command_flush_large(struct command *command, struct why *why);

/* manual.c */
/* "chatello license issue --email E --plan P [--months N] ..." */
void manual_usage(const struct command_row *row, struct buf *out);
/* All commands and settings, or the commands of one noun. */
void manual_help(const char *noun, struct buf *out);
void manual_help_row(const struct command_row *row, struct buf *out);
void manual_man(struct buf *out);
void manual_completion(struct buf *out);

#endif
