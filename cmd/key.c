/*
 * key: the commands about the vendor's provider keys. A key comes from standard
 * input or a file, never from the command line, where all can read it; what is
 * printed is masked.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "store/provider_key.h"

#include <errno.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

static const struct column list_columns[] = {
    {"PROVIDER", "provider", FORM_PLAIN},
    {"NAME", "name", FORM_PLAIN},
    {"KEY", "key", FORM_PLAIN},
    {"WEIGHT", "weight", FORM_PLAIN},
    {"ENABLED", "enabled", FORM_PLAIN},
    {"SET", "updated_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column tested_columns[] = {
    {"PROVIDER", "provider", FORM_PLAIN},
    {"NAME", "name", FORM_PLAIN},
    {"KEY", "key", FORM_PLAIN},
    {"OUTCOME", "outcome", FORM_PLAIN},
    {"STATUS", "status", FORM_PLAIN},
    {"REASON", "reason", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column view_columns[] = {
    {"provider", "provider", FORM_PLAIN}, {"name", "name", FORM_PLAIN},
    {"key", "key", FORM_PLAIN},		  {"weight", "weight", FORM_PLAIN},
    {"enabled", "enabled", FORM_PLAIN},	  {"created", "created_at", FORM_PLAIN},
    {"set", "updated_at", FORM_PLAIN},	  {NULL, NULL, FORM_PLAIN},
};

/* --- reading one --------------------------------------------------------- */

/* A terminal does not show what is pasted. */
static char *
read_line(FILE *file, char *line)
{
	bool is_terminal = isatty(fileno(file));
	struct termios shown, hidden;
	char *text;

	if (!is_terminal || tcgetattr(fileno(file), &shown) != 0)
		return fgets(line, LINE_BYTES_MAX, file);
	fputs("paste the key, then press Enter (it is not shown): ", stderr);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(file), TCSAFLUSH, &hidden);
	text = fgets(line, LINE_BYTES_MAX, file);
	tcsetattr(fileno(file), TCSAFLUSH, &shown);
	fputc('\n', stderr);
	return text;
}

static enum err
read_key(struct command *command, struct str *out, struct why *why)
{
	const char *path = command_value(command, "file");
	FILE *file = path ? fopen(path, "re") : stdin;
	char line[LINE_BYTES_MAX];
	const char *reason;
	char *text;

	if (file == NULL)
		return why_set(why, ERR_IO, "cannot open %.200s: %s", path,
			       err_of_file(errno));
	text = read_line(file, line);
	if (text)
		*out = arena_str(&command->arena, str_trim(str_of(text)));
	explicit_bzero(line, sizeof(line));
	if (path)
		fclose(file);
	if (text == NULL || str_is_empty(*out))
		return why_set(why, ERR_BAD_FIELD,
			       "no key came: give it as the first line of "
			       "standard input or of --file");
	if (!provider_key_is_valid(*out, &reason))
		return why_set(why, ERR_BAD_FIELD, "%s", reason);
	return ERR_OK;
}

/* --- set and remove ------------------------------------------------------ */

static enum err
read_enabled(struct command *command, struct vendor_key_set *in,
	     struct why *why)
{
	const char *text = command_value(command, "enabled");

	if (text == NULL)
		return ERR_OK;
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return command_misused(command, why, "--enabled is yes or no");
	in->enabled = strcmp(text, "yes") == 0;
	return ERR_OK;
}

enum err
key_set_command(struct command *command, struct why *why)
{
	struct vendor_key_view out;
	struct vendor_key_set in;
	enum err e;

	schema_clear(&vendor_key_set_schema, &in);
	in.provider = str_of(command->arguments[0]);
	in.name = command_str(command, "name");
	in.actor = STR("cli");
	e = command_int(command, "weight", &in.weight, why);
	if (e == ERR_OK)
		e = read_enabled(command, &in, why);
	if (e == ERR_OK && !command_has(command, "keep"))
		e = read_key(command, &in.api_key, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_vendor_key_set, &in, &out, why);
	crypto_forget(in.api_key);
	if (e == ERR_OK)
		output_object(command, &vendor_key_view_schema, view_columns,
			      &out);
	return e;
}

enum err
key_remove_command(struct command *command, struct why *why)
{
	struct vendor_key_remove in;
	struct vendor_key_view out;
	enum err e;

	schema_clear(&vendor_key_remove_schema, &in);
	in.provider = str_of(command->arguments[0]);
	in.name = command_str(command, "name");
	in.actor = STR("cli");
	e = client_write(command, MSG_vendor_key_remove, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &vendor_key_view_schema, view_columns,
			      &out);
	return e;
}

/* --- list ---------------------------------------------------------------- */

static enum err
list_one(void *output, const void *record_, struct why *why)
{
	const struct provider_key *record = record_;
	struct vendor_key_view view = {
	    record->provider,	record->name,	 record->masked_key,
	    record->weight,	record->enabled, record->created_at,
	    record->updated_at,
	};

	return output_row(output, &view, why);
}

enum err
key_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	struct output output;
	struct key key;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	key_provider_key(&key, PROVIDER_KEY_VENDOR, STR_NONE, STR_NONE);
	output_open(&output, command, &vendor_key_view_schema, list_columns);
	e = reading_each(&reading, &key, &provider_key_schema, list_one,
			 &output, why);
	e = output_close(&output, e, why);
	reading_close(&reading);
	return e;
}

/* --- test ---------------------------------------------------------------- */

/* Only a proxy opens keys and connects outward: it must run. */
enum err
key_test_command(struct command *command, struct why *why)
{
	struct keys_tested out = {0};
	struct key_test in;
	unsigned bad = 0;
	enum err e;

	schema_clear(&key_test_schema, &in);
	if (command->arguments[0])
		in.provider = str_of(command->arguments[0]);
	if (command->arguments[1])
		in.name = str_of(command->arguments[1]);
	e = schema_check(&key_test_schema, &in, why);
	if (e == ERR_OK)
		e = client_ask(command, "proxy-0", MSG_key_test, &in,
			       &keys_tested_schema, &out, CLIENT_DEADLINE_MS,
			       why);
	if (e == ERR_OK)
		e = output_rows(command, &key_tested_schema, tested_columns,
				out.keys, out.keys_count, why);
	for (uint32_t i = 0; e == ERR_OK && i < out.keys_count; i++)
		bad += !str_eq(out.keys[i].outcome, STR("ok"));
	if (e == ERR_OK && bad)
		e = why_set(why, ERR_UPSTREAM_FAILED,
			    "%u of %u keys did not pass: see their lines", bad,
			    out.keys_count);
	return e;
}
