/*
 * manual: help, the man page and bash's completion, all from the table of
 * commands. doc/man/chatello.1 and cmd/chatello.bash are its output; a test
 * compares.
 */
#include "cmd/commands.h"

#include "lib/json.h"

#define PAGE_BYTES_MAX (1u << 20)

static void
add_option(const struct command_option *option, struct buf *out)
{
	bool is_required = option->flags & OPTION_REQUIRED;

	buf_printf(out, is_required ? " --%s" : " [--%s", option->name);
	if (option->value)
		buf_printf(out, " %s", option->value);
	if (!is_required)
		buf_add_char(out, ']');
	if (option->flags & OPTION_REPEATED)
		buf_add_z(out, "...");
}

void
manual_usage(const struct command_row *row, struct buf *out)
{
	const struct command_option *option = row->options;

	buf_printf(out, "chatello %s", row->noun);
	if (row->verb)
		buf_printf(out, " %s", row->verb);
	if (row->arguments)
		buf_printf(out, " %s", row->arguments);
	for (; option && option->name; option++)
		add_option(option, out);
	buf_add_z(out, " [--json]");
}

void
manual_help_row(const struct command_row *row, struct buf *out)
{
	const struct command_option *option = row->options;

	buf_add_z(out, "usage: ");
	manual_usage(row, out);
	buf_printf(out, "\n%s\n", row->help);
	if (option)
		buf_add_z(out, "\noptions:\n");
	for (; option && option->name; option++)
		buf_printf(out, "  --%-14s%s\n", option->name, option->help);
	buf_add_z(out, "\n`chatello --help` lists the settings that every "
		       "command takes.\n");
}

void
manual_help(const char *noun, struct buf *out)
{
	buf_printf(out,
		   "usage: chatello %s [OPTION...] [--json]\n\n"
		   "commands (`chatello COMMAND --help` tells more):\n",
		   noun ? noun : "COMMAND");
	for (size_t i = 0; i < command_row_count; i++) {
		const struct command_row *row = &command_rows[i];

		if (noun == NULL || strcmp(noun, row->noun) == 0)
			buf_printf(out, "  %-11s%-9s%s\n", row->noun,
				   row->verb ? row->verb : "", row->help);
	}
	if (noun)
		return;
	buf_add_z(
	    out, "\n--json prints one object, or a line of JSON per record, of "
		 "--conf too, which\nprints every setting with its source. "
		 "--version prints the version. Exit codes:\n0 done, 1 failed, "
		 "2 bad usage.\n\n"
		 "settings:\n");
	conf_print_help(out);
}

/* Text of a man page: a backslash and a leading dot or quote mean something
 * there, a hyphen would be set as a dash. */
static void
add_roff(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_add_z(out, "\\&");
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
		if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
			buf_add_z(out, "\\&");
	}
}

static void
man_row(const struct command_row *row, struct buf *out)
{
	const struct command_option *option = row->options;
	struct buf usage;

	buf_init(&usage, 4096);
	manual_usage(row, &usage);
	buf_add_char(&usage, '\0');
	buf_add_z(out, ".TP\n.B ");
	add_roff(out, usage.p);
	buf_add_char(out, '\n');
	add_roff(out, row->help);
	buf_add_z(out, ".\n");
	if (option)
		buf_add_z(out, ".RS\n");
	for (const struct command_option *at = option; at && at->name; at++) {
		buf_add_z(out, ".TP\n.B ");
		buf_add_z(out, "\\-\\-");
		add_roff(out, at->name);
		buf_add_char(out, '\n');
		add_roff(out, at->help);
		buf_add_char(out, '\n');
	}
	if (option)
		buf_add_z(out, ".RE\n");
	buf_fini(&usage);
}

void
manual_man(struct buf *out)
{
	struct buf settings;

	buf_add_z(out, ".\\\" Made by `chatello man`; do not edit.\n"
		       ".TH CHATELLO 1 \"\" \"Chatello " COMMAND_VERSION
		       "\" \"User Commands\"\n.SH NAME\nchatello \\- licences, "
		       "AI gateway and revenue diary of a plugin vendor\n"
		       ".SH SYNOPSIS\n.B chatello\n.I COMMAND\n"
		       "[\\fIOPTION\\fR...] [\\fB\\-\\-json\\fR]\n"
		       ".SH DESCRIPTION\n");
	add_roff(out, "Reads open the store directly. Writes go to the running "
		      "ledger; while none runs, the command takes the writer's "
		      "lease itself. So every command works with the servers "
		      "up or down.\n");
	buf_add_z(out, ".SH COMMANDS\n");
	for (size_t i = 0; i < command_row_count; i++)
		man_row(&command_rows[i], out);
	buf_add_z(out, ".SH SETTINGS\n");
	add_roff(out, "Every command takes these as flags; the environment and "
		      "the file given with --config come before.\n");
	buf_add_z(out, ".nf\n");
	buf_init(&settings, 65536);
	conf_print_help(&settings);
	buf_add_char(&settings, '\0');
	if (!settings.is_failed)
		add_roff(out, settings.p);
	buf_fini(&settings);
	buf_add_z(out, ".fi\n.SH EXIT STATUS\n0 done, 1 failed, 2 bad "
		       "usage.\n.SH FILES\n.TP\n.I DATA/master.key\nthe key "
		       "that seals secrets\n.TP\n.I DATA/store/\nstate and "
		       "event log\n.TP\n.I DATA/run/\nsockets and locks of "
		       "what runs\n");
}

static void
complete_row(const struct command_row *row, struct buf *out)
{
	const struct command_option *option = row->options;

	buf_printf(out, "\t'%s%s%s') words=\"--json --help --data", row->noun,
		   row->verb ? " " : "", row->verb ? row->verb : "");
	for (; option && option->name; option++)
		buf_printf(out, " --%s", option->name);
	buf_add_z(out, "\" ;;\n");
}

/* Each noun once. */
static bool
is_first_of_noun(size_t index)
{
	return index == 0 || strcmp(command_rows[index - 1].noun,
				    command_rows[index].noun) != 0;
}

void
manual_completion(struct buf *out)
{
	buf_add_z(out, "# Made by `chatello completion bash`; do not edit.\n"
		       "_chatello() {\n"
		       "\tlocal word=${COMP_WORDS[COMP_CWORD]} words=\n"
		       "\tlocal noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]}\n"
		       "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (size_t i = 0; i < command_row_count; i++)
		if (is_first_of_noun(i))
			buf_printf(out, "%s ", command_rows[i].noun);
	buf_add_z(out, "--help --version --conf'\n\telse\n"
		       "\tcase \"$noun $verb\" in\n");
	for (size_t i = 0; i < command_row_count; i++)
		if (command_rows[i].verb)
			complete_row(&command_rows[i], out);
	buf_add_z(out, "\t*) case \"$noun\" in\n");
	for (size_t i = 0; i < command_row_count; i++) {
		if (!is_first_of_noun(i))
			continue;
		if (command_rows[i].verb == NULL) {
			complete_row(&command_rows[i], out);
			continue;
		}
		buf_printf(out, "\t'%s') words='", command_rows[i].noun);
		for (size_t k = i;
		     k < command_row_count && (k == i || !is_first_of_noun(k));
		     k++)
			buf_printf(out, "%s%s", k == i ? "" : " ",
				   command_rows[k].verb);
		buf_add_z(out, "' ;;\n");
	}
	buf_add_z(out, "\tesac ;;\n\tesac\n\tfi\n"
		       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
		       "\"$word\")\n}\ncomplete -F _chatello chatello\n");
}

/* {"text":"..."}, where that is asked for. */
static enum err
print_page(struct command *command, void (*make)(struct buf *out),
	   struct why *why)
{
	struct buf page;
	enum err e = ERR_OK;

	if (!command->is_json) {
		make(&command->out);
		return ERR_OK;
	}
	buf_init(&page, PAGE_BYTES_MAX);
	make(&page);
	if (page.is_failed)
		e = why_set(why, ERR_NO_MEMORY, "out of memory");
	buf_add_z(&command->out, "{\"text\":");
	json_write_string(&command->out, buf_str(&page));
	buf_add_z(&command->out, "}\n");
	buf_fini(&page);
	return e;
}

enum err
man_command(struct command *command, struct why *why)
{
	return print_page(command, manual_man, why);
}

enum err
completion_command(struct command *command, struct why *why)
{
	return print_page(command, manual_completion, why);
}
