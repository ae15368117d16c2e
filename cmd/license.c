/*
 * license: the commands about licences. Keys are masked in all output but that
 * of issue and insert, the one time a key is shown.
 */
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/clock.h"
#include "workers/validate.h"

static const struct column issued_columns[] = {
    {"licence key", "license_key", FORM_PLAIN},
    {"licence id", "license_id", FORM_PLAIN},
    {"customer", "customer_id", FORM_PLAIN},
    {"subscription", "subscription_id", FORM_PLAIN},
    {"plan", "plan", FORM_PLAIN},
    {"expires", "expires_at", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column view_columns[] = {
    {"id", "license_id", FORM_PLAIN},
    {"key", "key", FORM_PLAIN},
    {"status", "status", FORM_PLAIN},
    {"plan", "plan", FORM_PLAIN},
    {"workspace", "workspace", FORM_PLAIN},
    {"customer", "customer_id", FORM_PLAIN},
    {"e-mail", "email", FORM_PLAIN},
    {"subscription", "subscription_id", FORM_PLAIN},
    {"domain", "domain", FORM_PLAIN},
    {"activations", "activations", FORM_PLAIN},
    {"price", "price", FORM_MONEY},
    {"cycle", "cycle", FORM_PLAIN},
    {"currency", "currency", FORM_PLAIN},
    {"created", "created_at", FORM_PLAIN},
    {"expires", "expires_at", FORM_PLAIN},
    {"cancels at its end", "cancels_at_end", FORM_PLAIN},
    {"note", "note", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column list_columns[] = {
    {"ID", "license_id", FORM_PLAIN},	   {"KEY", "key", FORM_PLAIN},
    {"STATUS", "status", FORM_PLAIN},	   {"PLAN", "plan", FORM_PLAIN},
    {"E-MAIL", "email", FORM_PLAIN},	   {"DOMAIN", "domain", FORM_PLAIN},
    {"PRICE", "price", FORM_MONEY},	   {"CYCLE", "cycle", FORM_PLAIN},
    {"EXPIRES", "expires_at", FORM_PLAIN}, {NULL, NULL, FORM_PLAIN},
};

static const struct column verify_columns[] = {
    {"valid", "valid", FORM_PLAIN},
    {"code", "code", FORM_PLAIN},
    {"message", "message", FORM_PLAIN},
    {"cache until", "cache_until", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* --- issue and insert ------------------------------------------------------
 */

static enum err
issue(struct command *command, struct str key, struct why *why)
{
	struct license_issued out;
	struct license_issue in;
	enum err e;

	schema_clear(&license_issue_schema, &in);
	in.workspace = command_str(command, "workspace");
	in.email = command_str(command, "email");
	in.name = command_str(command, "name");
	in.plan = command_str(command, "plan");
	in.domain = command_str(command, "domain");
	in.cycle = command_str(command, "cycle");
	in.note = command_str(command, "note");
	in.is_trial = command_has(command, "trial");
	in.key = key;
	in.actor = STR("cli");
	e = command_int(command, "months", &in.months, why);
	if (e == ERR_OK)
		e = command_money(command, "price", &in.price, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_license_issue, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &license_issued_schema, issued_columns,
			      &out);
	return e;
}

enum err
license_issue_command(struct command *command, struct why *why)
{
	return issue(command, STR_NONE, why);
}

enum err
license_insert_command(struct command *command, struct why *why)
{
	struct str key;
	enum err e = command_secret(command, 0, &key, why);

	if (e == ERR_OK && str_is_empty(key))
		return command_misused(command, why, "the key is empty");
	return e == ERR_OK ? issue(command, key, why) : e;
}

/* --- suspend, resume, renew, cancel ----------------------------------------
 */

static enum err
change(struct command *command, const char *action, struct why *why)
{
	struct license_change in;
	struct license_view out;
	enum err e;

	schema_clear(&license_change_schema, &in);
	in.action = str_of(action);
	in.actor = STR("cli");
	in.reason = command_str(command, "reason");
	in.at_end = command_has(command, "at-end");
	e = command_secret(command, 0, &in.license, why);
	if (e == ERR_OK)
		e = command_int(command, "months", &in.months, why);
	if (e == ERR_OK)
		e = client_write(command, MSG_license_change, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &license_view_schema, view_columns,
			      &out);
	return e;
}

enum err
license_suspend_command(struct command *command, struct why *why)
{
	return change(command, "suspend", why);
}

enum err
license_resume_command(struct command *command, struct why *why)
{
	return change(command, "resume", why);
}

enum err
license_renew_command(struct command *command, struct why *why)
{
	return change(command, "renew", why);
}

enum err
license_cancel_command(struct command *command, struct why *why)
{
	return change(command, "cancel", why);
}

/* --- show and list ---------------------------------------------------------
 */

enum err
license_show_command(struct command *command, struct why *why)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license_view view;
	struct reading reading;
	struct str key;
	enum err e = command_secret(command, 0, &key, why);

	if (e == ERR_OK)
		e = reading_open(&reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	e = reading_license_hash(&reading, command, key, hash, why);
	if (e == ERR_OK)
		e = reading_license_view(
		    &reading, str_bytes(hash, sizeof(hash)), clock_wall_ms(),
		    &command->arena, &view);
	if (e == ERR_NO_SUCH && why->text[0] == '\0')
		why_set(why, e,
			"there is no such licence: `chatello license "
			"list` shows them");
	if (e == ERR_OK)
		output_object(command, &license_view_schema, view_columns,
			      &view);
	reading_close(&reading);
	return e;
}

/* Absent is known, too. Product contract, section 4. */
static bool
status_is_known(struct str status)
{
	static const char *const known[] = {
	    "trial", "active", "past_due", "suspended", "expired", "cancelled"};

	if (status.p == NULL)
		return true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eq_nocase(status, str_of(known[i])))
			return true;
	return false;
}

static bool
is_wanted(const struct command *command, const char *option, struct str value)
{
	struct str want = command_str(command, option);

	return want.p == NULL || str_eq_nocase(want, value);
}

static enum err
list_one(struct reading *reading, struct output *output, struct str hash,
	 int64_t now_ms, struct why *why)
{
	struct command *command = output->command;
	struct license_view view;
	struct arena arena;
	enum err e;

	arena_init(&arena, 1u << 20);
	e = reading_license_view(reading, hash, now_ms, &arena, &view);
	if (e == ERR_OK && is_wanted(command, "workspace", view.workspace) &&
	    is_wanted(command, "plan", view.plan) &&
	    is_wanted(command, "status", view.status) &&
	    is_wanted(command, "email", view.email))
		e = output_row(output, &view, why);
	arena_fini(&arena);
	return e == ERR_NO_SUCH ? ERR_OK : e; /* gone since the page was read */
}

enum err
license_list_command(struct command *command, struct why *why)
{
	int64_t now_ms = clock_wall_ms();
	struct reading reading;
	struct output output;
	struct store_row row;
	struct pages pages;
	struct key prefix;
	enum err e;

	if (!status_is_known(command_str(command, "status")))
		return command_misused(command, why,
				       "--status: \"%.40s\" is none of trial, "
				       "active, past_due, suspended, expired, "
				       "cancelled",
				       command_value(command, "status"));
	e = reading_open_filtered(&reading, command, why);
	if (e != ERR_OK)
		return e;
	key_license_id(&prefix, STR_NONE);
	pages_open(&pages, reading.store, &prefix);
	output_open(&output, command, &license_view_schema, list_columns);
	while (pages_next(&pages, &row, &e)) {
		e = list_one(&reading, &output, row.value, now_ms, why);
		if (e != ERR_OK)
			break;
	}
	e = output_close(&output, e, why);
	pages_close(&pages);
	reading_close(&reading);
	return e;
}

/* --- verify ----------------------------------------------------------------
 */

/* The very handler that answers POST /api/validate. */
static enum err
ask_validate(struct command *command, struct validate *validate, struct str key,
	     struct validate_answer *out, struct why *why)
{
	struct context context = {.state = validate,
				  .arena = &command->arena,
				  .now_ms = clock_wall_ms(),
				  .deadline_ns = INT64_MAX,
				  .peer = "tools"};
	struct validate_license in;
	enum err e;

	schema_clear(&validate_license_schema, &in);
	in.key = key;
	in.domain = command_str(command, "domain");
	e = schema_check(&validate_license_schema, &in, why);
	if (e == ERR_OK)
		e = validate_turn_begin(validate);
	if (e != ERR_OK)
		return e;
	e = pool_call(validate_rows, validate_row_count, &context,
		      MSG_validate_license, &in, out);
	validate_turn_end(validate);
	if (e != ERR_OK && !str_is_empty(context.failure.message))
		why_set(why, e, "%.*s", STR_ARG(context.failure.message));
	return e;
}

enum err
license_verify_command(struct command *command, struct why *why)
{
	struct validate_answer answer;
	struct validate *validate;
	struct reading reading;
	struct str key;
	enum err e = command_secret(command, 0, &key, why);

	if (e == ERR_OK)
		e = reading_open(&reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	e = reading_crypto(&reading, &command->conf, why);
	if (e == ERR_OK)
		e = validate_open(&validate, reading.store, reading.crypto,
				  why);
	if (e != ERR_OK) {
		reading_close(&reading);
		return e;
	}
	e = ask_validate(command, validate, key, &answer, why);
	if (e == ERR_OK) {
		output_object(command, &validate_answer_schema, verify_columns,
			      &answer);
		if (!answer.valid)
			e = why_set(why, ERR_CONFLICT, "%.*s: %.*s",
				    STR_ARG(answer.code),
				    STR_ARG(answer.message));
	}
	validate_close(validate);
	return e;
}
