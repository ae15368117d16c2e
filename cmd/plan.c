/*
 * plan: the commands about plans.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"

#define NAMES_MAX 64 /* features, limits; msg.def */

static const struct column columns[] = {
    {"CODE", "code", FORM_PLAIN},	  {"NAME", "name", FORM_PLAIN},
    {"MONTH", "price_month", FORM_MONEY}, {"YEAR", "price_year", FORM_MONEY},
    {"FEATURES", "features", FORM_PLAIN}, {"LIMITS", "limits", FORM_PLAIN},
    {"ARCHIVED", "archived", FORM_PLAIN}, {NULL, NULL, FORM_PLAIN},
};

static const struct column set_columns[] = {
    {"code", "code", FORM_PLAIN},
    {"name", "name", FORM_PLAIN},
    {"price a month", "price_month", FORM_MONEY},
    {"price a year", "price_year", FORM_MONEY},
    {"currency", "currency", FORM_PLAIN},
    {"features", "features", FORM_PLAIN},
    {"limits", "limits", FORM_PLAIN},
    {"grace days", "grace_days", FORM_PLAIN},
    {"trial days", "trial_days", FORM_PLAIN},
    {"archived", "archived", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static void
fill(const struct plan *plan, struct str currency, struct plan_view *view)
{
	schema_clear(&plan_view_schema, view);
	view->workspace = plan->workspace;
	view->code = plan->code;
	view->name = plan->name;
	view->price_month = plan->price_month;
	view->price_year = plan->price_year;
	view->currency = currency;
	view->features = plan->features;
	view->features_count = plan->features_count;
	view->limits = plan->limits;
	view->limits_count = plan->limits_count;
	view->grace_days = plan->grace_days;
	view->trial_days = plan->trial_days;
	view->archived = plan->archived;
}

struct listing {
	struct output output;
	struct str currency;
};

static enum err
list_one(void *ctx, const void *plan, struct why *why)
{
	struct listing *listing = ctx;
	struct plan_view view;

	fill(plan, listing->currency, &view);
	return output_row(&listing->output, &view, why);
}

static enum err
list(struct command *command, struct reading *reading, struct why *why)
{
	struct workspace workspace;
	struct listing listing;
	struct key key;
	enum err e;

	key_workspace(&key, reading_workspace(command));
	e = reading_load(reading, &key, &workspace_schema, &workspace,
			 &command->arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_WORKSPACE_UNKNOWN : e;
	key_plan(&key, workspace.code, STR_NONE);
	listing.currency = workspace.currency;
	output_open(&listing.output, command, &plan_view_schema, columns);
	e = reading_each(reading, &key, &plan_schema, list_one, &listing, why);
	return output_close(&listing.output, e, why);
}

enum err
plan_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = list(command, &reading, why);
	reading_close(&reading);
	return e;
}

/* --- set -------------------------------------------------------------------
 */

static enum err
read_features(struct command *command, struct plan_set *in, struct why *why)
{
	const char *name;
	size_t at = 0;

	in->features =
	    arena_array(&command->arena, NAMES_MAX, sizeof(*in->features));
	if (in->features == NULL)
		return ERR_NO_MEMORY;
	while ((name = command_next(command, "feature", &at)) != NULL) {
		in->has_features = true;
		if (strcmp(name, "none") == 0)
			continue;
		if (name[0] == '\0' || in->features_count == NAMES_MAX)
			return command_misused(
			    command, why,
			    "--feature: an empty name, or more than %d",
			    NAMES_MAX);
		in->features[in->features_count++] = str_of(name);
	}
	return ERR_OK;
}

static enum err
read_archived(struct command *command, struct plan_set *in, struct why *why)
{
	const char *text = command_value(command, "archived");

	if (text == NULL)
		return ERR_OK;
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return command_misused(command, why, "--archived is yes or no");
	in->archived = strcmp(text, "yes") == 0;
	return ERR_OK;
}

enum err
plan_set_command(struct command *command, struct why *why)
{
	struct plan_view out;
	struct plan_set in;
	enum err e;

	schema_clear(&plan_set_schema, &in);
	in.workspace = command_str(command, "workspace");
	in.code = str_of(command->arguments[0]);
	in.name = command_str(command, "name");
	in.actor = STR("cli");
	e = command_money(command, "price-month", &in.price_month, why);
	if (e == ERR_OK)
		e = command_money(command, "price-year", &in.price_year, why);
	if (e == ERR_OK)
		e = command_int(command, "grace-days", &in.grace_days, why);
	if (e == ERR_OK)
		e = command_int(command, "trial-days", &in.trial_days, why);
	if (e == ERR_OK)
		e = read_features(command, &in, why);
	if (e == ERR_OK)
		e = command_limits(command, NAMES_MAX, &in.limits,
				   &in.limits_count, why);
	if (e == ERR_OK)
		e = read_archived(command, &in, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_plan_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &plan_view_schema, set_columns, &out);
	return e;
}
