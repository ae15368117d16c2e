/*
 * route: the commands about what models' names mean: which model and provider,
 * and what is tried when that fails.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "workers/routes.h"

static const struct column list_columns[] = {
    {"NAME", "name", FORM_PLAIN},
    {"MODEL", "model", FORM_PLAIN},
    {"PROVIDER", "provider", FORM_PLAIN},
    {"FALLBACKS", "fallbacks", FORM_PLAIN},
    {"SOURCE", "source", FORM_PLAIN},
    {"SET", "updated_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column view_columns[] = {
    {"name", "name", FORM_PLAIN},
    {"model", "model", FORM_PLAIN},
    {"provider", "provider", FORM_PLAIN},
    {"fallbacks", "fallbacks", FORM_PLAIN},
    {"made", "created_at", FORM_PLAIN},
    {"set", "updated_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* --- set and remove ------------------------------------------------------ */

static enum err
read_fallbacks(struct command *command, struct route_set *in, struct why *why)
{
	const char *name;
	size_t at = 0;

	in->fallbacks = arena_array(&command->arena, ROUTE_FALLBACKS_MAX,
				    sizeof(*in->fallbacks));
	if (in->fallbacks == NULL)
		return ERR_NO_MEMORY;
	while ((name = command_next(command, "fallback", &at)) != NULL) {
		in->has_fallbacks = true;
		if (strcmp(name, "none") == 0)
			continue;
		if (in->fallbacks_count == ROUTE_FALLBACKS_MAX)
			return command_misused(command, why,
					       "--fallback: at most %u models",
					       ROUTE_FALLBACKS_MAX);
		in->fallbacks[in->fallbacks_count++] = str_of(name);
	}
	return ERR_OK;
}

enum err
route_set_command(struct command *command, struct why *why)
{
	struct route_view out;
	struct route_set in;
	enum err e;

	schema_clear(&route_set_schema, &in);
	in.name = str_of(command->arguments[0]);
	in.model = command_unset(command, "model");
	in.provider = command_unset(command, "provider");
	in.actor = STR("cli");
	e = read_fallbacks(command, &in, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_route_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &route_view_schema, view_columns, &out);
	return e;
}

enum err
route_remove_command(struct command *command, struct why *why)
{
	struct route_remove in = {str_of(command->arguments[0]), STR("cli")};
	struct route_view out;
	enum err e = client_write(command, MSG_route_remove, &in, &out, why);

	if (e == ERR_OK)
		output_object(command, &route_view_schema, view_columns, &out);
	return e;
}

/* --- list ---------------------------------------------------------------- */

struct listed {
	struct route records[ROUTES_MAX];
	struct route_setting settings[ROUTES_MAX];
	size_t count;
	struct routes routes; /* in the order in which they count */
};

static enum err
read_all(struct command *command, struct store *store, struct listed *out)
{
	struct store_row row;
	struct pages pages;
	struct key key;
	enum err e = ERR_OK;

	key_route(&key, STR_NONE);
	pages_open(&pages, store, &key);
	while (out->count < ROUTES_MAX && pages_next(&pages, &row, &e)) {
		struct route *record = &out->records[out->count];
		struct str bytes = arena_str(&command->arena, row.value);

		if (bytes.p == NULL ||
		    schema_decode(&route_schema, bytes, record, &command->arena,
				  NULL) != ERR_OK) {
			e = ERR_STORE_CORRUPT;
			break;
		}
		out->settings[out->count++] = (struct route_setting){
		    record->name, record->model, record->provider,
		    record->fallbacks, record->fallbacks_count};
	}
	pages_close(&pages);
	return e;
}

static void
fill(const struct listed *listed, const struct route_setting *row,
     struct route_view *view)
{
	schema_clear(&route_view_schema, view);
	view->name = row->name;
	view->model = row->model;
	view->provider = row->provider;
	view->fallbacks = row->fallbacks;
	view->fallbacks_count = row->fallbacks_count;
	view->source = STR("built-in");
	for (size_t i = 0; i < listed->count; i++) {
		if (!str_eq(listed->records[i].name, row->name))
			continue;
		view->source = STR("settings");
		view->created_at = listed->records[i].created_at;
		view->updated_at = listed->records[i].updated_at;
	}
}

static enum err
print_all(struct command *command, const struct listed *listed, struct why *why)
{
	struct route_view view;
	struct output output;
	enum err e = ERR_OK;

	output_open(&output, command, &route_view_schema, list_columns);
	for (unsigned i = 0; i < listed->routes.count && e == ERR_OK; i++) {
		fill(listed, &listed->routes.rows[i], &view);
		e = output_row(&output, &view, why);
	}
	return output_close(&output, e, why);
}

enum err
route_list_command(struct command *command, struct why *why)
{
	struct listed *listed = arena_alloc(&command->arena, sizeof(*listed));
	struct reading reading;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	if (listed == NULL) {
		reading_close(&reading);
		return ERR_NO_MEMORY;
	}
	listed->count = 0;
	e = read_all(command, reading.store, listed);
	reading_close(&reading);
	if (e != ERR_OK)
		return e;
	routes_build(&listed->routes, listed->settings, listed->count);
	return print_all(command, listed, why);
}
