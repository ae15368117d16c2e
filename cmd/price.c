/*
 * price: what models cost. Prices are per million tokens.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"

static const struct column list_columns[] = {
    {"PROVIDER", "provider", FORM_PLAIN},
    {"MODEL", "model", FORM_PLAIN},
    {"INPUT", "input", FORM_MONEY},
    {"OUTPUT", "output", FORM_MONEY},
    {"CACHE READ", "cache_read", FORM_MONEY},
    {"CACHE WRITE", "cache_write", FORM_MONEY},
    {"PER REQUEST", "per_request", FORM_MONEY},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column set_columns[] = {
    {"provider", "provider", FORM_PLAIN},
    {"model", "model", FORM_PLAIN},
    {"input", "input", FORM_MONEY},
    {"output", "output", FORM_MONEY},
    {"cache read", "cache_read", FORM_MONEY},
    {"cache write", "cache_write", FORM_MONEY},
    {"per request", "per_request", FORM_MONEY},
    {"currency", "currency", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static enum err
list_one(struct output *output, struct str bytes, struct str currency,
	 struct why *why)
{
	struct price_view view;
	struct arena arena;
	struct price price;
	enum err e = ERR_STORE_CORRUPT;

	arena_init(&arena, 65536);
	if (schema_decode(&price_schema, bytes, &price, &arena, NULL) ==
	    ERR_OK) {
		schema_clear(&price_view_schema, &view);
		view.provider = price.provider;
		view.model = price.model;
		view.input = price.input;
		view.output = price.output;
		view.cache_read = price.cache_read;
		view.cache_write = price.cache_write;
		view.per_request = price.per_request;
		view.currency = currency;
		e = output_row(output, &view, why);
	}
	arena_fini(&arena);
	return e;
}

enum err
price_list_command(struct command *command, struct why *why)
{
	struct workspace workspace;
	struct reading reading;
	struct output output;
	struct store_row row;
	struct pages pages;
	struct key key;
	enum err e, close_err;

	e = reading_open(&reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	schema_clear(&workspace_schema, &workspace);
	key_workspace(&key, STR("default"));
	e = reading_load(&reading, &key, &workspace_schema, &workspace,
			 &command->arena);
	key_price(&key, STR_NONE, STR_NONE);
	pages_open(&pages, reading.store, &key);
	output_open(&output, command, &price_view_schema, list_columns);
	while (e == ERR_OK && pages_next(&pages, &row, &e))
		e = list_one(&output, row.value, workspace.currency, why);
	close_err = output_close(&output, why);
	pages_close(&pages);
	reading_close(&reading);
	return e != ERR_OK ? e : close_err;
}

enum err
price_set_command(struct command *command, struct why *why)
{
	struct price_view out;
	struct price_set in;
	enum err e;

	schema_clear(&price_set_schema, &in);
	in.provider = str_of(command->arguments[0]);
	in.model = str_of(command->arguments[1]);
	in.actor = STR("cli");
	e = command_money(command, "input", &in.input, why);
	if (e == ERR_OK)
		e = command_money(command, "output", &in.output, why);
	if (e == ERR_OK)
		e = command_money(command, "cache-read", &in.cache_read, why);
	if (e == ERR_OK)
		e = command_money(command, "cache-write", &in.cache_write, why);
	if (e == ERR_OK)
		e = command_money(command, "per-request", &in.per_request, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_price_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &price_view_schema, set_columns, &out);
	return e;
}
