/*
 * customer: the commands about customers.
 */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "cmd/views.h"
#include "lib/clock.h"

#include <ctype.h>

#define LICENSES_MAX 4096 /* that `show` lists; views.def */
#define EMAIL_BYTES_MAX 254

static const struct column list_columns[] = {
    {"ID", "id", FORM_PLAIN},	      {"E-MAIL", "email", FORM_PLAIN},
    {"NAME", "name", FORM_PLAIN},     {"COMPANY", "company", FORM_PLAIN},
    {"STATUS", "status", FORM_PLAIN}, {"SINCE", "created_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column show_columns[] = {
    {"id", "id", FORM_PLAIN},
    {"workspace", "workspace", FORM_PLAIN},
    {"e-mail", "email", FORM_PLAIN},
    {"name", "name", FORM_PLAIN},
    {"company", "company", FORM_PLAIN},
    {"phone", "phone", FORM_PLAIN},
    {"external id", "external_id", FORM_PLAIN},
    {"status", "status", FORM_PLAIN},
    {"notes", "notes", FORM_PLAIN},
    {"since", "created_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column license_columns[] = {
    {"LICENCE", "license_id", FORM_PLAIN},
    {"KEY", "key", FORM_PLAIN},
    {"STATUS", "status", FORM_PLAIN},
    {"PLAN", "plan", FORM_PLAIN},
    {"DOMAIN", "domain", FORM_PLAIN},
    {"EXPIRES", "expires_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static enum err
list_one(void *ctx, const void *record, struct why *why)
{
	const struct customer *customer = record;
	struct output *output = ctx;
	struct str want = command_str(output->command, "workspace");

	if (want.p && !str_eq(want, customer->workspace))
		return ERR_OK;
	return output_row(output, customer, why);
}

enum err
customer_list_command(struct command *command, struct why *why)
{
	struct reading reading;
	struct output output;
	struct key prefix;
	enum err e = reading_open_filtered(&reading, command, why);

	if (e != ERR_OK)
		return e;
	key_customer(&prefix, STR_NONE);
	output_open(&output, command, &customer_schema, list_columns);
	e = reading_each(&reading, &prefix, &customer_schema, list_one, &output,
			 why);
	e = output_close(&output, e, why);
	reading_close(&reading);
	return e;
}

/* An id, or the id that belongs to an address in the workspace. */
static enum err
find_id(struct command *command, struct reading *reading, struct str text,
	struct str *id)
{
	char lower[EMAIL_BYTES_MAX];
	struct key key;
	struct str at;
	enum err e;

	*id = text;
	if (text.n == 0 || memchr(text.p, '@', text.n) == NULL)
		return text.n && text.n <= 32 ? ERR_OK : ERR_NO_SUCH;
	if (text.n > sizeof(lower))
		return ERR_NO_SUCH;
	for (size_t i = 0; i < text.n; i++)
		lower[i] = (char)tolower((unsigned char)text.p[i]);
	key_customer_email(&key, reading_workspace(command),
			   str_bytes(lower, text.n));
	at = key_str(&key);
	e = store_load(reading->store, &at, 1, id, &command->arena);
	if (e == ERR_OK && id->p == NULL)
		return ERR_NO_SUCH;
	return e;
}

static void
fill(const struct customer *customer, struct customer_view *view)
{
	schema_clear(&customer_view_schema, view);
	view->id = customer->id;
	view->workspace = customer->workspace;
	view->email = customer->email;
	view->name = customer->name;
	view->company = customer->company;
	view->phone = customer->phone;
	view->external_id = customer->external_id;
	view->status = customer->status;
	view->notes = customer->notes;
	view->created_at = customer->created_at;
}

/* The licence at an index row, whose key ends in the licence's id. */
static enum err
add_license(struct command *command, struct reading *reading, struct str id,
	    struct customer_view *view)
{
	struct str hash, at;
	struct key key;
	enum err e;

	if (view->licenses_count == LICENSES_MAX)
		return ERR_TOO_LARGE;
	key_license_id(&key, id);
	at = key_str(&key);
	e = store_load(reading->store, &at, 1, &hash, &command->arena);
	if (e != ERR_OK)
		return e;
	if (hash.p == NULL)
		return ERR_STORE_CORRUPT;
	e = reading_license_view(reading, hash, clock_wall_ms(),
				 &command->arena,
				 &view->licenses[view->licenses_count]);
	if (e == ERR_OK)
		view->licenses_count++;
	return e;
}

static enum err
add_licenses(struct command *command, struct reading *reading,
	     struct customer_view *view)
{
	struct store_row row;
	struct pages pages;
	struct key prefix;
	enum err e;

	view->licenses =
	    arena_array(&command->arena, LICENSES_MAX, sizeof(*view->licenses));
	if (view->licenses == NULL)
		return ERR_NO_MEMORY;
	key_customer_license(&prefix, view->id, STR_NONE);
	pages_open(&pages, reading->store, &prefix);
	while (pages_next(&pages, &row, &e)) {
		e = add_license(
		    command, reading,
		    str_bytes(row.key.p + prefix.n, row.key.n - prefix.n),
		    view);
		if (e != ERR_OK)
			break;
	}
	pages_close(&pages);
	return e;
}

static enum err
print_view(struct command *command, const struct customer_view *view,
	   struct why *why)
{
	output_object(command, &customer_view_schema, show_columns, view);
	if (command->is_json)
		return ERR_OK;
	buf_add_char(&command->out, '\n');
	return output_rows(command, &license_view_schema, license_columns,
			   view->licenses, view->licenses_count, why);
}

enum err
customer_show_command(struct command *command, struct why *why)
{
	struct customer_view view;
	struct customer customer;
	struct reading reading;
	struct key key;
	struct str id;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = find_id(command, &reading, str_of(command->arguments[0]), &id);
	if (e == ERR_OK) {
		key_customer(&key, id);
		e = reading_load(&reading, &key, &customer_schema, &customer,
				 &command->arena);
	}
	if (e == ERR_NO_SUCH)
		why_set(why, e,
			"there is no such customer: `chatello customer "
			"list` shows them");
	if (e == ERR_OK) {
		fill(&customer, &view);
		e = add_licenses(command, &reading, &view);
	}
	if (e == ERR_OK)
		e = print_view(command, &view, why);
	reading_close(&reading);
	return e;
}
