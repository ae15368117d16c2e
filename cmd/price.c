/*
 * price: what models cost. Prices are per million tokens.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/clock.h"
#include "workers/prices.h"

static const struct column list_columns[] = {
    {"PROVIDER", "provider", FORM_PLAIN},
    {"MODEL", "model", FORM_PLAIN},
    {"INPUT", "input", FORM_MONEY},
    {"OUTPUT", "output", FORM_MONEY},
    {"CACHE READ", "cache_read", FORM_MONEY},
    {"CACHE WRITE", "cache_write", FORM_MONEY},
    {"1 H", "cache_write_1h", FORM_MONEY},
    {"PER REQUEST", "per_request", FORM_MONEY},
    {"CHARGE BP", "charge_bp", FORM_PLAIN},
    {"FROM", "valid_from", FORM_PLAIN},
    {"TO", "valid_to", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column set_columns[] = {
    {"provider", "provider", FORM_PLAIN},
    {"model", "model", FORM_PLAIN},
    {"input", "input", FORM_MONEY},
    {"output", "output", FORM_MONEY},
    {"cache read", "cache_read", FORM_MONEY},
    {"cache write", "cache_write", FORM_MONEY},
    {"cache write 1 h", "cache_write_1h", FORM_MONEY},
    {"per request", "per_request", FORM_MONEY},
    {"charge bp", "charge_bp", FORM_PLAIN},
    {"from", "valid_from", FORM_PLAIN},
    {"to", "valid_to", FORM_PLAIN},
    {"currency", "currency", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column removed_columns[] = {
    {"provider", "provider", FORM_PLAIN},
    {"model", "model", FORM_PLAIN},
    {"ended", "ended", FORM_PLAIN},
    {"forgotten", "forgotten", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* --- list ------------------------------------------------------------------
 */

struct listing {
	struct output output;
	struct str currency;
	int64_t at_ms;
	bool is_all;
};

static enum err
list_period(struct listing *listing, const struct price *price,
	    const struct price_period *period, struct why *why)
{
	struct price_view view = {
	    .provider = price->provider,
	    .model = price->model,
	    .input = period->input,
	    .output = period->output,
	    .cache_read = period->cache_read,
	    .cache_write = period->cache_write,
	    .per_request = period->per_request,
	    .currency = listing->currency,
	    .cache_write_1h = period->cache_write_1h,
	    .charge_bp = period->charge_bp,
	    .valid_from = period->valid_from,
	    .valid_to = period->valid_to,
	};

	return output_row(&listing->output, &view, why);
}

static enum err
list_one(void *ctx, const void *record, struct why *why)
{
	const struct price_period *counts;
	const struct price *price = record;
	struct listing *listing = ctx;
	struct prices prices;
	enum err e = ERR_OK;

	prices_load(price, &prices);
	counts = prices_at(&prices, listing->at_ms);
	for (unsigned i = 0; i < prices.count && e == ERR_OK; i++)
		if (listing->is_all || &prices.periods[i] == counts)
			e = list_period(listing, price, &prices.periods[i],
					why);
	return e;
}

static enum err
list(struct command *command, struct reading *reading, struct why *why)
{
	struct listing listing = {.at_ms = clock_wall_ms(),
				  .is_all = command_has(command, "all")};
	struct workspace workspace;
	const char *zone;
	struct key key;
	enum err e;

	e = reading_zone(reading, command, &zone, why);
	if (e == ERR_OK)
		e = command_time(command, "at", zone, &listing.at_ms, why);
	if (e != ERR_OK)
		return e;
	key_workspace(&key, STR("default"));
	e = reading_load(reading, &key, &workspace_schema, &workspace,
			 &command->arena);
	if (e != ERR_OK)
		return e;
	listing.currency = workspace.currency;
	key_price(&key, STR_NONE, STR_NONE);
	output_open(&listing.output, command, &price_view_schema, list_columns);
	e = reading_each(reading, &key, &price_schema, list_one, &listing, why);
	return output_close(&listing.output, e, why);
}

enum err
price_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = list(command, &reading, why);
	reading_close(&reading);
	return e;
}

/* --- set and remove --------------------------------------------------------
 */

/* Dates are days of the default workspace. */
static enum err
read_dates(struct command *command, int64_t *from_ms, int64_t *to_ms,
	   struct why *why)
{
	struct reading reading;
	const char *zone;
	enum err e;

	if (!command_has(command, "from") && !command_has(command, "to"))
		return ERR_OK;
	e = reading_open(&reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	e = reading_zone(&reading, command, &zone, why);
	if (e == ERR_OK)
		e = command_time(command, "from", zone, from_ms, why);
	if (e == ERR_OK && to_ms)
		e = command_time(command, "to", zone, to_ms, why);
	reading_close(&reading);
	return e;
}

static enum err
read_amounts(struct command *command, struct price_set *in, struct why *why)
{
	const struct {
		const char *name;
		int64_t *to;
	} rows[] = {{"input", &in->input},
		    {"output", &in->output},
		    {"cache-read", &in->cache_read},
		    {"cache-write", &in->cache_write},
		    {"cache-write-1h", &in->cache_write_1h},
		    {"per-request", &in->per_request}};
	enum err e = command_int(command, "charge-bp", &in->charge_bp, why);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && e == ERR_OK;
	     i++)
		e = command_money(command, rows[i].name, rows[i].to, why);
	return e;
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
	e = read_amounts(command, &in, why);
	if (e == ERR_OK)
		e = read_dates(command, &in.valid_from, &in.valid_to, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_price_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &price_view_schema, set_columns, &out);
	return e;
}

enum err
price_remove_command(struct command *command, struct why *why)
{
	struct price_removed out;
	struct price_remove in;
	enum err e;

	schema_clear(&price_remove_schema, &in);
	in.provider = str_of(command->arguments[0]);
	in.model = str_of(command->arguments[1]);
	in.actor = STR("cli");
	e = read_dates(command, &in.valid_from, NULL, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_price_remove, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &price_removed_schema, removed_columns,
			      &out);
	return e;
}
