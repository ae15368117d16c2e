/*
 * price_import: a JSON price list into the ledger, all of it or nothing. Two
 * forms are read, see doc/prices.md: our own, {"prices": [...]}, and LiteLLM's
 * model_prices_and_context_window.json. Amounts are read from their digits,
 * never through a float. Each wrong entry is named with its line.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/price_wrong.h"
#include "cmd/reading.h"
#include "lib/calendar.h"
#include "lib/json.h"
#include "lib/money.h"
#include "store/provider_key.h"
#include "workers/prices.h"

#include <errno.h>
#include <stdio.h>

#define FILE_BYTES_MAX (16u << 20)
#define PRICES_MAX_IMPORT 1024u /* lib/msg.def */

/* To micro-units for a million tokens. */
#define SHIFT_A_MILLION 6 /* from an amount for a million tokens */
#define SHIFT_A_TOKEN 12  /* from an amount for one */

/* Where a price stands in the file. */
struct place {
	const char *at;
	struct str name;
};

struct import {
	struct command *command;
	struct str text;
	const char *zone;
	int64_t from_ms;
	struct price_set *prices;
	struct place *places; /* of each price */
	struct price_wrongs wrongs;
	unsigned count, skipped;
};

static const struct column columns[] = {
    {"added", "added", FORM_PLAIN},	    {"changed", "changed", FORM_PLAIN},
    {"unchanged", "unchanged", FORM_PLAIN}, {"skipped", "skipped", FORM_PLAIN},
    {"dry run", "dry_run", FORM_PLAIN},	    {NULL, NULL, FORM_PLAIN},
};

/* --- what is wrong ------------------------------------------------------- */

static void
wrong(struct import *import, const char *at, struct str name, const char *what)
{
	price_wrongs_add(&import->wrongs, at, name, str_of(what));
}

/* --- one entry ----------------------------------------------------------- */

struct amount {
	const char *name;
	size_t at; /* in struct price_set */
};

/* A number, or a string with one. An absent or null one leaves *out. */
static bool
take_amount(struct json_value object, const char *name, int shift, int64_t *out)
{
	struct json_value value;
	struct str digits;

	if (!json_get(object, str_of(name), &value) || value.type == JSON_NULL)
		return true;
	digits = value.raw;
	if (value.type == JSON_STRING)
		digits = str_bytes(digits.p + 1, digits.n - 2);
	else if (value.type != JSON_NUMBER)
		return false;
	return money_parse_number(digits, shift, out) == ERR_OK;
}

static bool
take_amounts(struct import *import, struct json_value object, struct str name,
	     const struct amount *amounts, int shift, struct price_set *set)
{
	char text[96];

	for (; amounts->name; amounts++) {
		int64_t *to = (int64_t *)(void *)((char *)set + amounts->at);

		if (take_amount(object, amounts->name, shift, to))
			continue;
		snprintf(text, sizeof(text), "%s is no amount of 0 or more",
			 amounts->name);
		wrong(import, object.raw.p, name, text);
		return false;
	}
	return true;
}

static bool
is_same_price(const struct price_set *a, const struct price_set *b)
{
	return str_eq(a->provider, b->provider) && str_eq(a->model, b->model) &&
	       a->valid_from == b->valid_from;
}

static bool
is_there(const struct import *import, const struct price_set *set)
{
	for (unsigned i = 0; i < import->count; i++)
		if (is_same_price(&import->prices[i], set))
			return true;
	return false;
}

static void
add(struct import *import, const char *at, struct str name,
    const struct price_set *set)
{
	struct why why = {"", ""};

	if (prices_check(set, &why) != ERR_OK ||
	    schema_check(&price_set_schema, set, &why) != ERR_OK)
		wrong(import, at, name, why.text);
	else if (is_there(import, set))
		wrong(import, at, name, "this price stands here twice");
	else if (import->count == PRICES_MAX_IMPORT)
		wrong(import, at, name,
		      "more than 1024 prices: split the file");
	else {
		import->places[import->count] = (struct place){at, name};
		import->prices[import->count++] = *set;
	}
}

/* --- our own form -------------------------------------------------------- */

static const struct amount own_amounts[] = {
    {"input", offsetof(struct price_set, input)},
    {"output", offsetof(struct price_set, output)},
    {"cache_read", offsetof(struct price_set, cache_read)},
    {"cache_write", offsetof(struct price_set, cache_write)},
    {"cache_write_1h", offsetof(struct price_set, cache_write_1h)},
    {"per_request", offsetof(struct price_set, per_request)},
    {NULL, 0},
};

/* Absent: STR_NONE; false: it is there and no text. */
static bool
take_text(struct import *import, struct json_value object, const char *name,
	  struct str *out)
{
	struct json_value value;

	*out = STR_NONE;
	if (!json_get(object, str_of(name), &value) || value.type == JSON_NULL)
		return true;
	if (value.type != JSON_STRING)
		return false;
	*out = json_string(value, &import->command->arena);
	return out->p != NULL;
}

static bool
take_date(struct import *import, struct json_value object, const char *name,
	  int64_t *out)
{
	struct str text;

	if (!take_text(import, object, name, &text))
		return false;
	return text.p == NULL || calendar_parse(text, import->zone, out);
}

/* A misspelt name would be a price that is silently not set. */
static bool
is_known(struct str key)
{
	static const char *const others[] = {"provider", "model", "charge_bp",
					     "valid_from", "valid_to"};

	for (const struct amount *a = own_amounts; a->name; a++)
		if (json_key_is(key, str_of(a->name)))
			return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (json_key_is(key, str_of(others[i])))
			return true;
	return false;
}

static bool
check_names(struct import *import, struct json_value item, struct str name)
{
	struct json_walk walk = json_walk(item);
	struct json_value value;
	char text[96];
	struct str key;

	while (json_next_member(&walk, &key, &value))
		if (!is_known(key)) {
			snprintf(text, sizeof(text), "unknown name \"%.*s\"",
				 (int)(key.n < 40 ? key.n : 40), key.p);
			wrong(import, value.raw.p, name, text);
			return false;
		}
	return true;
}

static void
own_item(struct import *import, struct json_value item)
{
	struct str name = STR("an entry");
	struct json_value value;
	struct price_set set;

	schema_clear(&price_set_schema, &set);
	set.valid_from = import->from_ms;
	if (item.type != JSON_OBJECT ||
	    !take_text(import, item, "provider", &set.provider) ||
	    !take_text(import, item, "model", &set.model) ||
	    str_is_empty(set.provider) || str_is_empty(set.model)) {
		wrong(import, item.raw.p, name,
		      "it needs a provider and a model");
		return;
	}
	name = set.model;
	if (!check_names(import, item, name) ||
	    !take_amounts(import, item, name, own_amounts, SHIFT_A_MILLION,
			  &set))
		return;
	if (json_get(item, STR("charge_bp"), &value) &&
	    value.type != JSON_NULL && !json_int(value, &set.charge_bp))
		wrong(import, item.raw.p, name, "charge_bp is no integer");
	else if (!take_date(import, item, "valid_from", &set.valid_from) ||
		 !take_date(import, item, "valid_to", &set.valid_to))
		wrong(import, item.raw.p, name,
		      "valid_from and valid_to are dates like \"2027-01-01\"");
	else
		add(import, item.raw.p, name, &set);
}

/* --- LiteLLM's form ------------------------------------------------------ */

static const struct amount litellm_amounts[] = {
    {"input_cost_per_token", offsetof(struct price_set, input)},
    {"output_cost_per_token", offsetof(struct price_set, output)},
    {"cache_read_input_token_cost", offsetof(struct price_set, cache_read)},
    {"cache_creation_input_token_cost",
     offsetof(struct price_set, cache_write)},
    {"cache_creation_input_token_cost_above_1hr",
     offsetof(struct price_set, cache_write_1h)},
    {NULL, 0},
};

/* One that does not say is taken to be. */
static bool
is_for_text(struct json_value entry)
{
	static const char *const modes[] = {"chat", "completion", "responses"};
	struct json_value mode;

	if (!json_get(entry, STR("mode"), &mode))
		return true;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (mode.type == JSON_STRING &&
		    str_eq(str_bytes(mode.raw.p + 1, mode.raw.n - 2),
			   str_of(modes[i])))
			return true;
	return false;
}

/* Of a provider that this house speaks to, for text, with both prices. */
static bool
is_ours(struct json_value entry)
{
	struct json_value value;

	return entry.type == JSON_OBJECT &&
	       json_get(entry, STR("litellm_provider"), &value) &&
	       value.type == JSON_STRING &&
	       provider_key_is_of(
		   str_bytes(value.raw.p + 1, value.raw.n - 2)) &&
	       is_for_text(entry) &&
	       json_get(entry, STR("input_cost_per_token"), &value) &&
	       json_get(entry, STR("output_cost_per_token"), &value);
}

/* Names may be "deepseek/deepseek-chat"; with is_prefixed only these are taken,
 * else only the others: a plain name goes before it. */
static void
litellm_entry(struct import *import, struct str key, struct json_value entry,
	      bool is_prefixed)
{
	struct json_value provider;
	struct price_set set;
	struct str slash;

	schema_clear(&price_set_schema, &set);
	set.valid_from = import->from_ms;
	json_get(entry, STR("litellm_provider"), &provider);
	set.provider = json_string(provider, &import->command->arena);
	set.model = key;
	slash = str_bytes(key.p + set.provider.n, 1);
	if ((key.n > set.provider.n + 1 && str_starts(key, set.provider) &&
	     *slash.p == '/') != is_prefixed)
		return;
	if (is_prefixed) {
		set.model = str_bytes(slash.p + 1, key.n - set.provider.n - 1);
		if (is_there(import, &set)) {
			import->skipped++;
			return;
		}
	}
	if (take_amounts(import, entry, key, litellm_amounts, SHIFT_A_TOKEN,
			 &set))
		add(import, entry.raw.p, key, &set);
}

static void
litellm_list(struct import *import, struct json_value root)
{
	for (int is_prefixed = 0; is_prefixed < 2; is_prefixed++) {
		struct json_walk walk = json_walk(root);
		struct json_value entry;
		struct str key;

		while (json_next_member(&walk, &key, &entry)) {
			if (is_ours(entry))
				litellm_entry(import, key, entry, is_prefixed);
			else
				import->skipped += !is_prefixed;
		}
	}
}

/* --- the file ------------------------------------------------------------ */

static enum err
read_file(struct command *command, struct buf *out, struct why *why)
{
	const char *path = command->arguments[0];
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	char piece[65536];
	enum err e = ERR_OK;
	size_t n;

	if (file == NULL)
		return why_set(why, ERR_IO, "cannot read %.200s: %s", path,
			       err_of_file(errno));
	while (!out->is_failed &&
	       (n = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_add(out, piece, n);
	if (ferror(file))
		e = why_set(why, ERR_IO, "cannot read %.200s", path);
	else if (out->is_failed)
		e = why_set(why, ERR_TOO_LARGE, "%.200s has more than 16 MiB",
			    path);
	if (!is_stdin)
		fclose(file);
	return e;
}

static enum err
read_prices(struct import *import, struct why *why)
{
	struct json_value root, list, item;
	struct json_walk walk;

	if (!json_check(import->text, &root) || root.type != JSON_OBJECT)
		return why_set(why, ERR_BAD_REQUEST,
			       "this is no JSON object: see doc/prices.md");
	if (!json_get(root, STR("prices"), &list)) {
		litellm_list(import, root);
	} else if (list.type != JSON_ARRAY) {
		return why_set(why, ERR_BAD_REQUEST, "\"prices\" is no list");
	} else {
		walk = json_walk(list);
		while (json_next_item(&walk, &item))
			own_item(import, item);
	}
	if (import->count + import->wrongs.count == 0)
		return why_set(why, ERR_BAD_REQUEST,
			       "there is no price in it: see doc/prices.md");
	return ERR_OK;
}

static enum err
read_from(struct import *import, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &import->command->conf, why);

	if (e != ERR_OK)
		return e;
	e = reading_zone(&reading, import->command, &import->zone, why);
	reading_close(&reading);
	if (e == ERR_OK)
		e = command_time(import->command, "from", import->zone,
				 &import->from_ms, why);
	return e;
}

/* One that stands wrong in the file has the others asked about only. */
static enum err
ask(struct import *import, struct price_import_answer *out, struct why *why)
{
	struct command *command = import->command;
	struct price_import in = {
	    .prices = import->prices,
	    .prices_count = import->count,
	    .dry_run =
		import->wrongs.count > 0 || command_has(command, "dry-run"),
	    .actor = STR("cli"),
	};
	enum err e;

	schema_clear(&price_import_answer_schema, out);
	if (import->count == 0)
		return ERR_OK;
	e = client_write(command, MSG_price_import, &in, out, why);
	command->is_bad_usage = false; /* the list is at fault, not the line */
	for (uint32_t i = 0; e == ERR_OK && i < out->refused_count; i++) {
		const struct price_refused *refused = &out->refused[i];

		if ((uint64_t)refused->at < import->count)
			price_wrongs_add(
			    &import->wrongs, import->places[refused->at].at,
			    import->places[refused->at].name, refused->text);
	}
	return e;
}

static enum err
send(struct import *import, struct why *why)
{
	struct price_import_answer out;
	enum err e = ask(import, &out, why);

	price_wrongs_print(&import->wrongs, import->text);
	if (e != ERR_OK)
		return e;
	if (import->wrongs.count)
		return why_set(why, ERR_BAD_FIELD,
			       "%u wrong: nothing was changed",
			       import->wrongs.count);
	out.imported.skipped = import->skipped;
	output_object(import->command, &price_imported_schema, columns,
		      &out.imported);
	return ERR_OK;
}

static enum err
import_init(struct import *import, struct command *command)
{
	struct arena *arena = &command->arena;

	*import =
	    (struct import){.command = command, .from_ms = SCHEMA_INT_NONE};
	import->prices =
	    arena_array(arena, PRICES_MAX_IMPORT, sizeof(*import->prices));
	import->places =
	    arena_array(arena, PRICES_MAX_IMPORT, sizeof(*import->places));
	if (import->prices == NULL || import->places == NULL)
		return ERR_NO_MEMORY;
	return price_wrongs_init(&import->wrongs, arena);
}

enum err
price_import_command(struct command *command, struct why *why)
{
	struct import import;
	struct buf file;
	enum err e = import_init(&import, command);

	buf_init(&file, FILE_BYTES_MAX);
	if (e == ERR_OK)
		e = read_file(command, &file, why);
	if (e == ERR_OK)
		e = read_from(&import, why);
	import.text = buf_str(&file);
	if (e == ERR_OK)
		e = read_prices(&import, why);
	if (e == ERR_OK)
		e = send(&import, why);
	buf_fini(&file);
	return e;
}
