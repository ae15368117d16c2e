/*
 * analytics: the diary's daily rows, and their rebuilding.
 */
#include "analytics/serve.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/calendar.h"
#include "lib/clock.h"

#define DATE_CHARS 10
#define DAY_MS INT64_C(86400000)
#define DAYS_SHOWN 30

static const struct column columns[] = {
    {"DATE", "date", FORM_PLAIN},
    {"CUSTOMERS", "customers", FORM_PLAIN},
    {"PAYING", "paying_customers", FORM_PLAIN},
    {"MRR", "mrr", FORM_MONEY},
    {"NEW", "new_mrr", FORM_MONEY},
    {"EXPANSION", "expansion_mrr", FORM_MONEY},
    {"CONTRACTION", "contraction_mrr", FORM_MONEY},
    {"CHURN", "churn_mrr", FORM_MONEY},
    {"REACTIVATION", "reactivation_mrr", FORM_MONEY},
    {"AI REQUESTS", "ai_requests", FORM_PLAIN},
    {"NOTES", "notes", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column replay_columns[] = {
    {"events", "events", FORM_PLAIN},
    {"rows", "rows", FORM_PLAIN},
    {"up to event", "seq", FORM_PLAIN},
    {"digest", "digest", FORM_PLAIN},
    {"same as before", "identical", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* The day that an option names, in the workspace's zone; STR_NONE without it.
 */
static enum err
read_day(struct command *command, const char *name, struct str *day,
	 struct why *why)
{
	struct str text = command_str(command, name);
	int64_t ms;
	enum err e = command_time(command, name, "UTC", &ms, why);

	*day = text;
	if (e == ERR_OK && text.p && text.n != DATE_CHARS)
		return command_misused(
		    command, why, "--%s takes a day like 2026-11-22", name);
	return e;
}

/* Without --from: the last 30 days. */
static enum err
default_from(struct command *command, struct reading *reading, struct str *from,
	     struct why *why)
{
	char text[CALENDAR_TEXT_BYTES];
	const char *zone;
	size_t n;
	enum err e = reading_zone(reading, command, &zone, why);

	if (e == ERR_OK) {
		n = calendar_print_day(
		    clock_wall_ms() - (DAYS_SHOWN - 1) * DAY_MS, zone, text);
		*from = arena_str(&command->arena, str_bytes(text, n));
		if (from->p == NULL)
			e = ERR_NO_MEMORY;
	}
	return e;
}

enum err
analytics_show_command(struct command *command, struct why *why)
{
	struct str from, to;
	struct daily_row *rows;
	struct reading reading;
	size_t count;
	enum err e;

	e = read_day(command, "from", &from, why);
	if (e == ERR_OK)
		e = read_day(command, "to", &to, why);
	if (e == ERR_OK)
		e = reading_open_filtered(&reading, command, why);
	if (e != ERR_OK)
		return e;
	if (from.p == NULL && to.p == NULL)
		e = default_from(command, &reading, &from, why);
	reading_close(&reading);
	if (e == ERR_OK)
		e = analytics_show(&command->conf, reading_workspace(command),
				   from, to, &command->arena, &rows, &count,
				   why);
	if (e != ERR_OK)
		return e;
	return output_rows(command, &daily_row_schema, columns, rows, count,
			   why);
}

enum err
analytics_replay_command(struct command *command, struct why *why)
{
	struct analytics_replayed done;
	enum err e;

	e = analytics_replay_run(&command->conf, &command->arena, &done, why);
	if (e == ERR_OK)
		output_object(command, &analytics_replayed_schema,
			      replay_columns, &done);
	return e;
}
