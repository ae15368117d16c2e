/*
 * command: finds the row, reads its options and arguments, runs it. See
 * command.h.
 */
#include "cmd/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/calendar.h"
#include "lib/money.h"
#include "lib/proc.h"

#define ARENA_BYTES_MAX (64u << 20)
#define OUT_BYTES_MAX (64u << 20)
#define OUT_BYTES_LARGE 65536u
#define SECRET_BYTES_MAX 1024

/* --- what a command asks for ---------------------------------------------- */

const char *
command_next(const struct command *command, const char *name, size_t *at)
{
	while (*at < command->given_count) {
		size_t i = (*at)++;

		if (strcmp(command->given[i].option->name, name) == 0)
			return command->given[i].value;
	}
	return NULL;
}

const char *
command_value(const struct command *command, const char *name)
{
	const char *value, *last = NULL;
	size_t at = 0;

	while ((value = command_next(command, name, &at)) != NULL)
		last = value;
	return last;
}

struct str
command_str(const struct command *command, const char *name)
{
	return str_of(command_value(command, name));
}

struct str
command_unset(const struct command *command, const char *name)
{
	struct str value = command_str(command, name);

	return str_eq(value, STR("none")) ? STR("") : value;
}

bool
command_has(const struct command *command, const char *name)
{
	return command_value(command, name) != NULL;
}

enum err
command_misused(struct command *command, struct why *why, const char *format,
		...)
{
	va_list args;

	command->is_bad_usage = true;
	why->field[0] = '\0';
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return ERR_BAD_FIELD;
}

enum err
command_int(struct command *command, const char *name, int64_t *out,
	    struct why *why)
{
	const char *text = command_value(command, name);
	long long value;
	char *end;

	if (text == NULL)
		return ERR_OK;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9')
		return command_misused(command, why,
				       "--%s: \"%.40s\" is no whole number",
				       name, text);
	*out = value;
	return ERR_OK;
}

enum err
command_money(struct command *command, const char *name, int64_t *out,
	      struct why *why)
{
	const char *text = command_value(command, name);

	if (text && (money_parse(str_of(text), out) != ERR_OK || *out < 0))
		return command_misused(command, why,
				       "--%s: \"%.40s\" is no amount like 7.99",
				       name, text);
	return ERR_OK;
}

enum err
command_time(struct command *command, const char *name, const char *zone,
	     int64_t *out, struct why *why)
{
	const char *text = command_value(command, name);

	if (text && !calendar_parse(str_of(text), zone, out))
		return command_misused(command, why,
				       "--%s: \"%.40s\" is no date like "
				       "2026-11-22",
				       name, text);
	return ERR_OK;
}

enum err
command_secret(struct command *command, unsigned index, struct str *out,
	       struct why *why)
{
	const char *text = command->arguments[index];
	char line[SECRET_BYTES_MAX];

	if (strcmp(text, "-") == 0) {
		text = fgets(line, sizeof(line), stdin);
		if (text == NULL)
			return why_set(why, ERR_IO,
				       "nothing came on standard input");
	}
	*out = arena_str(&command->arena, str_trim(str_of(text)));
	explicit_bzero(line, sizeof(line));
	return out->p ? ERR_OK : ERR_NO_MEMORY;
}

enum err
command_flush(struct command *command, struct why *why)
{
	size_t at = 0;

	if (command->out.is_failed)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	while (at < command->out.n) {
		ssize_t n = write(STDOUT_FILENO, command->out.p + at,
				  command->out.n - at);

		if (n < 0 && errno == EINTR)
			continue;
		command->is_unread = n < 0 && errno == EPIPE;
		if (n < 0)
			return why_set(why, ERR_IO,
				       "cannot write to standard output: %s",
				       strerror(errno));
		at += (size_t)n;
	}
	buf_reset(&command->out);
	return ERR_OK;
}

enum err
command_flush_large(struct command *command, struct why *why)
{
	return command->out.n < OUT_BYTES_LARGE ? ERR_OK
						: command_flush(command, why);
}

/* --- parsing -------------------------------------------------------------- */

static const struct command_row *
row_of(const char *noun, const char *verb)
{
	for (size_t i = 0; noun && i < command_row_count; i++) {
		const struct command_row *row = &command_rows[i];

		if (strcmp(row->noun, noun) == 0 &&
		    (row->verb == NULL ||
		     (verb && strcmp(row->verb, verb) == 0)))
			return row;
	}
	return NULL;
}

/* The noun, when there is one of that name. */
static const char *
noun_of(const char *word)
{
	for (size_t i = 0; word && i < command_row_count; i++)
		if (strcmp(command_rows[i].noun, word) == 0)
			return word;
	return NULL;
}

static const struct command_option *
option_of(const struct command_row *row, const char *name, size_t n)
{
	const struct command_option *option = row->options;

	while (option && option->name &&
	       !str_eq(str_of(option->name), str_bytes(name, n)))
		option++;
	return option && option->name ? option : NULL;
}

/* Reads the option at argv[0]; *taken says how many of argv it was. */
static enum err
take_option(struct command *command, char **argv, int *taken, struct why *why)
{
	const char *name = argv[0] + 2;
	size_t n = strcspn(name, "=");
	const char *value = name[n] == '=' ? name + n + 1 : NULL;
	const struct command_option *option = option_of(command->row, name, n);

	*taken = 1;
	if (str_eq(str_bytes(name, n), STR("json"))) {
		command->is_json = true;
		return ERR_OK;
	}
	if (option == NULL)
		return command_misused(command, why, "there is no option %.60s",
				       argv[0]);
	if (option->value && value == NULL) {
		value = argv[1];
		*taken = 2;
	}
	if (option->value && value == NULL)
		return command_misused(command, why, "--%s needs a value (%s)",
				       option->name, option->value);
	if (option->value == NULL && value)
		return command_misused(command, why, "--%s takes no value",
				       option->name);
	if (!(option->flags & OPTION_REPEATED) &&
	    command_has(command, option->name))
		return command_misused(command, why, "--%s is given twice",
				       option->name);
	if (command->given_count == COMMAND_GIVEN_MAX)
		return command_misused(command, why, "too many options");
	command->given[command->given_count].option = option;
	command->given[command->given_count++].value = value ? value : "";
	return ERR_OK;
}

/* is_required: without those in brackets, as both of "[PROVIDER [NAME]]". */
static unsigned
count_words(const char *text, bool is_required)
{
	unsigned count = 0;
	bool is_start = true;

	for (; text && *text; text++) {
		count += is_start && !(is_required && *text == '[');
		is_start = *text == ' ';
	}
	return count;
}

static enum err
check_complete(struct command *command, unsigned argument_count,
	       struct why *why)
{
	const struct command_row *row = command->row;
	const struct command_option *option = row->options;

	if (argument_count < count_words(row->arguments, true))
		return command_misused(command, why, "%s is missing",
				       row->arguments);
	for (; option && option->name; option++)
		if ((option->flags & OPTION_REQUIRED) &&
		    !command_has(command, option->name))
			return command_misused(command, why, "--%s is missing",
					       option->name);
	return ERR_OK;
}

/* argv: what stands behind noun and verb. */
static enum err
read_line(struct command *command, char **argv, struct why *why)
{
	unsigned count = 0;
	bool is_end = false;
	enum err e = ERR_OK;
	int taken;

	for (; *argv && e == ERR_OK; argv += taken) {
		taken = 1;
		if (!is_end && strcmp(*argv, "--") == 0)
			is_end = true;
		else if (!is_end && strncmp(*argv, "--", 2) == 0)
			e = take_option(command, argv, &taken, why);
		else if (!is_end && argv[0][0] == '-' && argv[0][1])
			e = command_misused(command, why,
					    "there is no option %.60s", *argv);
		else if (count == count_words(command->row->arguments, false))
			e = command_misused(command, why,
					    "\"%.60s\" is one argument too "
					    "many",
					    *argv);
		else
			command->arguments[count++] = *argv;
	}
	return e == ERR_OK ? check_complete(command, count, why) : e;
}

static bool
has_word(char **argv, const char *word, const char *other)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, word) == 0 || strcmp(*argv, other) == 0)
			return true;
	return false;
}

static enum err
explain_unknown(struct command *command, char **argv, struct why *why)
{
	const char *noun = argv[1] ? argv[1] : "";

	if (noun_of(noun))
		return command_misused(command, why,
				       "`chatello %.40s` has no verb \"%.40s\"",
				       noun, argv[2] ? argv[2] : "");
	if (argv[1] == NULL)
		return command_misused(command, why, "which command?");
	return command_misused(command, why, "there is no command \"%.60s\"",
			       noun);
}

/* --- running -------------------------------------------------------------- */

static enum err
run_row(struct command *command, char **argv, struct why *why)
{
	enum err e;

	e = read_line(command, argv + (command->row->verb ? 3 : 2), why);
	if (e == ERR_OK)
		e = command->row->run(command, why);
	return e;
}

static enum err
run(struct command *command, int argc, char **argv, struct why *why)
{
	enum err e;

	if (has_word(argv + 1, "--help", "-h")) {
		command->row = argc > 1 ? row_of(argv[1], argv[2]) : NULL;
		if (command->row)
			manual_help_row(command->row, &command->out);
		else
			manual_help(noun_of(argv[1]), &command->out);
		return ERR_OK;
	}
	if (has_word(argv + 1, "--version", "-V")) {
		if (has_word(argv + 1, "--json", "--json"))
			buf_add_z(&command->out,
				  "{\"version\":\"" COMMAND_VERSION "\"}\n");
		else
			buf_add_z(&command->out,
				  "chatello " COMMAND_VERSION "\n");
		return ERR_OK;
	}
	e = conf_load(&command->conf, &argc, argv, why);
	command->is_bad_usage = e != ERR_OK;
	if (e != ERR_OK)
		return e;
	if (has_word(argv + 1, "--conf", "--conf")) {
		if (has_word(argv + 1, "--json", "--json"))
			conf_print_json(&command->conf, &command->out);
		else
			conf_print(&command->conf, &command->out);
		return ERR_OK;
	}
	command->row = argc > 1 ? row_of(argv[1], argv[2]) : NULL;
	if (command->row == NULL)
		return explain_unknown(command, argv, why);
	return run_row(command, argv, why);
}

static void
print_failure(const struct command *command, enum err e, const struct why *why)
{
	struct buf usage;

	fprintf(stderr, "chatello: %s\n",
		why->text[0] ? why->text : err_text(e));
	if (!command->is_bad_usage)
		return;
	buf_init(&usage, 4096);
	if (command->row)
		manual_usage(command->row, &usage);
	else
		buf_add_z(&usage, "chatello --help");
	fprintf(stderr, "usage: %.*s\n", STR_ARG(buf_str(&usage)));
	buf_fini(&usage);
}

int
command_main(int argc, char **argv)
{
	struct command command = {.is_json = false};
	struct why why = {"", ""}, flush_why = {"", ""};
	enum err e;

	proc_harden();
	arena_init(&command.arena, ARENA_BYTES_MAX);
	buf_init(&command.out, OUT_BYTES_MAX);
	e = run(&command, argc, argv, &why);
	if (command_flush(&command, &flush_why) != ERR_OK && e == ERR_OK) {
		e = ERR_IO;
		why = flush_why;
	}
	if (e != ERR_OK && !command.is_unread)
		print_failure(&command, e, &why);
	buf_fini(&command.out);
	arena_fini(&command.arena);
	if (e == ERR_OK)
		return EXIT_DONE;
	return command.is_bad_usage ? EXIT_USAGE : EXIT_FAILED;
}
