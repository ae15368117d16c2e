/*
 * usage: what licences have used: the numbers of GET /api/usage, and every line
 * of the ledger for those who do their own sums.
 */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/calendar.h"
#include "lib/clock.h"
#include "workers/report.h"

static const struct column license_columns[] = {
    {"licence", "id", FORM_PLAIN},	   {"key", "key", FORM_PLAIN},
    {"status", "status", FORM_PLAIN},	   {"domain", "domain", FORM_PLAIN},
    {"expires", "expires_at", FORM_PLAIN}, {NULL, NULL, FORM_PLAIN},
};

static const struct column limit_columns[] = {
    {"LIMIT", "name", FORM_PLAIN},	 {"USED", "used", FORM_PLAIN},
    {"OF", "limit", FORM_LIMIT},	 {"REMAINING", "remaining", FORM_LIMIT},
    {"RESETS", "resets_at", FORM_PLAIN}, {NULL, NULL, FORM_PLAIN},
};

static const struct column sum_columns[] = {
    {"PERIOD", "date", FORM_PLAIN},
    {"REQUESTS", "requests", FORM_PLAIN},
    {"FAILED", "failed", FORM_PLAIN},
    {"INPUT", "input_tokens", FORM_PLAIN},
    {"OUTPUT", "output_tokens", FORM_PLAIN},
    {"CACHE READ", "cache_read_tokens", FORM_PLAIN},
    {"CACHE WRITE", "cache_write_tokens", FORM_PLAIN},
    {"COST", "cost", FORM_MONEY},
    {"PRICE", "price", FORM_MONEY},
    {NULL, NULL, FORM_PLAIN},
};

static struct usage_day
labelled(struct str label, const struct usage_sum *sum)
{
	return (struct usage_day){.date = label,
				  .requests = sum->requests,
				  .failed = sum->failed,
				  .input_tokens = sum->input_tokens,
				  .output_tokens = sum->output_tokens,
				  .cache_read_tokens = sum->cache_read_tokens,
				  .cache_write_tokens = sum->cache_write_tokens,
				  .cost = sum->cost,
				  .price = sum->price};
}

static enum err
print_sums(struct command *command, const struct usage_report *report,
	   struct why *why)
{
	struct usage_day today = labelled(STR("today"), &report->today);
	struct usage_day month = labelled(STR("month"), &report->month);
	struct output output;
	enum err e;

	output_open(&output, command, &usage_day_schema, sum_columns);
	e = output_row(&output, &today, why);
	if (e == ERR_OK)
		e = output_row(&output, &month, why);
	for (uint32_t i = 0; i < report->days_count && e == ERR_OK; i++)
		e = output_row(&output, &report->days[i], why);
	return output_close(&output, e, why);
}

static enum err
print_report(struct command *command, const struct usage_report *report,
	     struct why *why)
{
	enum err e;

	if (command->is_json) {
		output_object(command, &usage_report_schema, NULL, report);
		return ERR_OK;
	}
	output_object(command, &license_brief_schema, license_columns,
		      &report->license);
	buf_add_char(&command->out, '\n');
	e = output_rows(command, &limit_usage_schema, limit_columns,
			report->limits, report->limits_count, why);
	if (e != ERR_OK)
		return e;
	buf_add_char(&command->out, '\n');
	return print_sums(command, report, why);
}

static enum err
load_report(struct command *command, struct reading *reading, struct str key,
	    struct usage_report *report, struct why *why)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct report_subject subject;
	int64_t now_ms = clock_wall_ms();
	enum err e;

	e = reading_license_hash(reading, command, key, hash, why);
	if (e != ERR_OK)
		return e;
	e = store_view_begin(reading->store);
	if (e != ERR_OK)
		return e;
	e = report_load(reading->store, str_bytes(hash, sizeof(hash)), now_ms,
			&command->arena, &subject);
	if (e == ERR_OK) {
		schema_clear(&usage_report_schema, report);
		e = report_usage(reading->store, &subject, now_ms,
				 &command->arena, report);
	}
	store_view_end(reading->store);
	if (e == ERR_NOT_FOUND)
		why_set(why, e,
			"there is no such licence: `chatello license "
			"list` shows them");
	return e;
}

enum err
usage_show_command(struct command *command, struct why *why)
{
	struct usage_report report;
	struct reading reading;
	struct str key;
	enum err e = command_secret(command, 0, &key, why);

	if (e == ERR_OK)
		e = reading_open(&reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	e = load_report(command, &reading, key, &report, why);
	if (e == ERR_OK)
		e = print_report(command, &report, why);
	reading_close(&reading);
	return e;
}

/* --- export ----------------------------------------------------------------
 */

struct export
{
	struct command *command;
	bool is_csv;
	int64_t from_ms, to_ms;
};

static bool
is_shown(const struct schema_field *field)
{
	return !(field->flags & F_HIDDEN);
}

static void
csv_titles(struct buf *out)
{
	bool is_first = true;

	for (unsigned i = 0; i < usage_line_schema.field_count; i++) {
		if (!is_shown(&usage_line_schema.fields[i]))
			continue;
		if (!is_first)
			buf_add_char(out, ',');
		is_first = false;
		buf_add_z(out, usage_line_schema.fields[i].name);
	}
	buf_add_z(out, "\r\n");
}

static void
csv_value(struct buf *out, const struct schema_field *field, const void *line)
{
	const void *at = (const char *)line + field->offset;
	char text[CALENDAR_TEXT_BYTES];
	size_t n;

	if (field->kind == KIND_BOOL) {
		buf_add_z(out, *(const bool *)at ? "true" : "false");
	} else if (field->kind == KIND_INT || field->kind == KIND_TIME) {
		int64_t i = *(const int64_t *)at;

		if (i == SCHEMA_INT_NONE)
			return;
		if (field->kind == KIND_INT) {
			buf_add_int(out, i);
			return;
		}
		n = calendar_print_utc(i, text);
		buf_add(out, text, n);
	} else {
		output_csv_cell(out, *(const struct str *)at);
	}
}

static void
csv_line(struct buf *out, const struct usage_line *line)
{
	bool is_first = true;

	for (unsigned i = 0; i < usage_line_schema.field_count; i++) {
		if (!is_shown(&usage_line_schema.fields[i]))
			continue;
		if (!is_first)
			buf_add_char(out, ',');
		is_first = false;
		csv_value(out, &usage_line_schema.fields[i], line);
	}
	buf_add_z(out, "\r\n");
}

static enum err
export_one(void *ctx, const void *record, struct why *why)
{
	const struct export *export = ctx;
	const struct usage_line *line = record;
	struct command *command = export->command;
	struct str workspace = command_str(command, "workspace");
	struct str license = command_str(command, "license");

	if (line->reserved_at < export->from_ms ||
	    line->reserved_at >= export->to_ms ||
	    (workspace.p && !str_eq(workspace, line->workspace)) ||
	    (license.p && !str_eq(license, line->license_id)))
		return ERR_OK;
	if (export->is_csv) {
		csv_line(&command->out, line);
	} else {
		schema_print_json(&usage_line_schema, line, &command->out);
		buf_add_char(&command->out, '\n');
	}
	return command_flush_large(command, why);
}

static enum err
read_export(struct command *command, struct export *export, struct why *why)
{
	const char *format = command_value(command, "format");
	enum err e;

	*export = (struct export){command, false, INT64_MIN, INT64_MAX};
	if (format && strcmp(format, "jsonl") != 0 &&
	    strcmp(format, "csv") != 0)
		return command_misused(command, why,
				       "--format is jsonl or csv");
	export->is_csv = format && strcmp(format, "csv") == 0;
	e = command_time(command, "from", "UTC", &export->from_ms, why);
	if (e == ERR_OK)
		e = command_time(command, "to", "UTC", &export->to_ms, why);
	return e;
}

enum err
usage_export_command(struct command *command, struct why *why)
{
	struct export export;
	struct reading reading;
	struct key prefix;
	enum err e;

	e = read_export(command, &export, why);
	if (e == ERR_OK)
		e = reading_open_filtered(&reading, command, why);
	if (e != ERR_OK)
		return e;
	if (export.is_csv)
		csv_titles(&command->out);
	key_usage_line(&prefix, STR_NONE, STR_NONE);
	e = reading_each(&reading, &prefix, &usage_line_schema, export_one,
			 &export, why);
	reading_close(&reading);
	return e;
}
