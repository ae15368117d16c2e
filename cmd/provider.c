/*
 * provider: the commands about AI providers: those that are built in, and
 * further ones that speak OpenAI's shape.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"

static const struct column list_columns[] = {
    {"NAME", "name", FORM_PLAIN},
    {"BASE URL", "base_url", FORM_PLAIN},
    {"AUTH", "auth", FORM_PLAIN},
    {"DEFAULT MODEL", "default_model", FORM_PLAIN},
    {"SOURCE", "source", FORM_PLAIN},
    {"SET", "updated_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column view_columns[] = {
    {"name", "name", FORM_PLAIN},
    {"base URL", "base_url", FORM_PLAIN},
    {"authentication", "auth", FORM_PLAIN},
    {"default model", "default_model", FORM_PLAIN},
    {"made", "created_at", FORM_PLAIN},
    {"set", "updated_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

enum err
provider_set_command(struct command *command, struct why *why)
{
	struct provider_view out;
	struct provider_set in;
	enum err e;

	schema_clear(&provider_set_schema, &in);
	in.name = str_of(command->arguments[0]);
	in.base_url = command_str(command, "base-url");
	in.auth = command_str(command, "auth");
	in.default_model = command_unset(command, "default-model");
	in.actor = STR("cli");
	e = client_write(command, MSG_provider_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &provider_view_schema, view_columns,
			      &out);
	return e;
}

enum err
provider_remove_command(struct command *command, struct why *why)
{
	struct provider_remove in = {str_of(command->arguments[0]), STR("cli")};
	struct provider_view out;
	enum err e = client_write(command, MSG_provider_remove, &in, &out, why);

	if (e == ERR_OK)
		output_object(command, &provider_view_schema, view_columns,
			      &out);
	return e;
}

/* --- list ---------------------------------------------------------------- */

static enum err
list_built_in(struct output *output, const struct conf *conf, struct why *why)
{
	const struct {
		const char *name, *base_url, *auth, *default_model;
	} rows[] = {
#define PROVIDER(id, ID, shape, auth, header, model, limit)                    \
	{#id, conf->id##_base_url, auth, model},
#include "lib/providers.def"
#undef PROVIDER
	    {"demo", NULL, "none", "demo"},
	};
	struct provider_view view;
	enum err e = ERR_OK;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && e == ERR_OK;
	     i++) {
		schema_clear(&provider_view_schema, &view);
		view.name = str_of(rows[i].name);
		view.base_url = str_of(rows[i].base_url);
		view.auth = str_of(rows[i].auth);
		view.default_model = str_of(rows[i].default_model);
		view.source = STR("built-in");
		e = output_row(output, &view, why);
	}
	return e;
}

static enum err
list_one(void *output, const void *record_, struct why *why)
{
	const struct provider *record = record_;
	struct provider_view view = {
	    record->name,	   record->base_url, record->auth,
	    record->default_model, STR("settings"),  record->created_at,
	    record->updated_at,
	};

	return output_row(output, &view, why);
}

enum err
provider_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	struct output output;
	struct key key;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	key_provider(&key, STR_NONE);
	output_open(&output, command, &provider_view_schema, list_columns);
	e = list_built_in(&output, &command->conf, why);
	if (e == ERR_OK)
		e = reading_each(&reading, &key, &provider_schema, list_one,
				 &output, why);
	e = output_close(&output, e, why);
	reading_close(&reading);
	return e;
}
