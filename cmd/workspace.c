/*
 * workspace: the commands about workspaces, and --limit, which they share with
 * plans.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"

#include <stdlib.h>

#define LIMITS_MAX 16 /* msg.def */

static const struct column columns[] = {
    {"CODE", "code", FORM_PLAIN},
    {"NAME", "name", FORM_PLAIN},
    {"CURRENCY", "currency", FORM_PLAIN},
    {"TIME ZONE", "timezone", FORM_PLAIN},
    {"ENFORCEMENT", "enforcement", FORM_PLAIN},
    {"LIMITS", "limits", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column set_columns[] = {
    {"code", "code", FORM_PLAIN},
    {"name", "name", FORM_PLAIN},
    {"limits", "limits", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* --- limits ------------------------------------------------------------------
 */

/* NAME=NUMBER or NAME=none */
static bool
read_limit(const char *text, struct limit *limit)
{
	const char *equals = strchr(text, '=');
	long long value;
	char *end;

	if (equals == NULL || equals == text)
		return false;
	limit->name = str_bytes(text, (size_t)(equals - text));
	limit->value = SCHEMA_INT_NONE;
	if (strcmp(equals + 1, "none") == 0)
		return true;
	value = strtoll(equals + 1, &end, 10);
	if (equals[1] < '0' || equals[1] > '9' || *end || value == INT64_MAX)
		return false;
	limit->value = value;
	return true;
}

enum err
command_limits(struct command *command, uint32_t max, struct limit **limits,
	       uint32_t *count, struct why *why)
{
	struct limit *out = arena_array(&command->arena, max, sizeof(*out));
	const char *text;
	size_t at = 0;

	if (out == NULL)
		return ERR_NO_MEMORY;
	*count = 0;
	while ((text = command_next(command, "limit", &at)) != NULL) {
		if (*count == max || !read_limit(text, &out[*count]))
			return command_misused(command, why,
					       "--limit: \"%.60s\" is not "
					       "NAME=NUMBER or NAME=none",
					       text);
		(*count)++;
	}
	*limits = out;
	return ERR_OK;
}

/* --- list --------------------------------------------------------------------
 */

static enum err
list_one(void *output, const void *record, struct why *why)
{
	const struct workspace *workspace = record;
	struct workspace_view view = {.code = workspace->code,
				      .name = workspace->name,
				      .currency = workspace->currency,
				      .timezone = workspace->timezone,
				      .enforcement = workspace->enforcement,
				      .limits = workspace->limits,
				      .limits_count = workspace->limits_count};

	return output_row(output, &view, why);
}

enum err
workspace_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	struct output output;
	struct key key;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	key_workspace(&key, STR_NONE);
	output_open(&output, command, &workspace_view_schema, columns);
	e = reading_each(&reading, &key, &workspace_schema, list_one, &output,
			 why);
	e = output_close(&output, e, why);
	reading_close(&reading);
	return e;
}

/* --- set -------------------------------------------------------------------
 */

enum err
workspace_set_command(struct command *command, struct why *why)
{
	struct workspace_view out;
	struct workspace_set in;
	enum err e;

	schema_clear(&workspace_set_schema, &in);
	in.workspace = command_str(command, "workspace");
	in.actor = STR("cli");
	e = command_limits(command, LIMITS_MAX, &in.limits, &in.limits_count,
			   why);
	if (e == ERR_OK && in.limits_count == 0)
		return command_misused(command, why,
				       "say what to set, as in --limit "
				       "requests_month=1000");
	if (e == ERR_OK)
		e = client_write(command, MSG_workspace_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &workspace_view_schema, set_columns,
			      &out);
	return e;
}
