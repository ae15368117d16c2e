/*
 * command_values: every option of the table, with a value that cannot be.
 */
#include "cmd/command_run_test.h"

#include <stdio.h>

/* A value that none can have; NULL: what is right is a name of something, or
 * free text. A row without a noun counts for all others. */
static const struct {
	const char *command, *option, *value;
} bad_values[] = {
    {"license issue", "email", "nope"},
    {"license insert", "email", "nope"},
    {NULL, "email", NULL},
    {"license issue", "domain", "a..b"},
    {"license insert", "domain", "a..b"},
    {NULL, "domain", NULL},
    {NULL, "cycle", "week"},
    {NULL, "months", "5001x"},
    {NULL, "price", "7.9.9"},
    {NULL, "status", "nope"},
    {NULL, "price-month", "-1"},
    {NULL, "price-year", "x"},
    {NULL, "feature", "a/b"},
    {"workspace set", "limit", "rooms=1"},
    {"plan set", "limit", "rooms=x"},
    {"event list", "limit", "-1"},
    {NULL, "grace-days", "99999"},
    {NULL, "trial-days", "x"},
    {NULL, "archived", "maybe"},
    {NULL, "input", "x"},
    {NULL, "output", "-1"},
    {NULL, "cache-read", "x"},
    {NULL, "cache-write", "x"},
    {NULL, "cache-write-1h", "x"},
    {NULL, "per-request", "x"},
    {NULL, "charge-bp", "99999999999"},
    {NULL, "from", "yesterday"},
    {NULL, "to", "2026-13-01"},
    {NULL, "at", "soon"},
    {"key set", "name", "a/b"},
    {NULL, "name", NULL},
    {NULL, "weight", "0"},
    {NULL, "enabled", "maybe"},
    {NULL, "file", NULL},
    {NULL, "for", "25h"},
    {NULL, "base-url", "http://a.example"},
    {NULL, "auth", "basic"},
    {NULL, "default-model", "-x"},
    {NULL, "model", "gpt-*"},
    {NULL, "fallback", "gpt-#"},
    {NULL, "after", "x"},
    {NULL, "type", "nope"},
    {NULL, "lines", "x"},
    {NULL, "format", "xml"},
    {NULL, "plan", NULL},
    {NULL, "workspace", NULL},
    {NULL, "note", NULL},
    {NULL, "reason", NULL},
    {NULL, "provider", NULL},
    {NULL, "license", NULL},
};

/* What else the line needs, so that only the value is wrong. */
static const struct {
	const char *command, *rest;
} right_words[] = {
    {"license issue", "--email a@shop.example --plan pro"},
    {"license insert",
     "CHA-TEST-1234-5678-ABCD --email a@shop.example --plan pro"},
    {"plan set", "pro"},
    {"price set", "openai gpt-9 --input 1 --output 1"},
    {"price import", "key"},
    {"price remove", "openai gpt-4o"},
    {"key set", "openai --file key"},
    {"key remove", "openai"},
    {"provider set", "near --base-url https://a.example"},
    {"route set", "fast --model gpt-4o"},
    {NULL, "lic_x"},
};

static const char *
bad_value_of(const char *command, const char *option)
{
	for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
		if (strcmp(bad_values[i].option, option) == 0 &&
		    (bad_values[i].command == NULL ||
		     strcmp(bad_values[i].command, command) == 0))
			return bad_values[i].value;
	test_fail(__FILE__, __LINE__,
		  "say in bad_values what --%s of %s cannot be", option,
		  command);
}

/* Without the option itself, where it is given. */
static void
add_right_words(const struct command_row *row, const char *command,
		const char *option, struct buf *line)
{
	char name[40];
	const char *at;
	size_t i = 0;

	while (right_words[i].command &&
	       strcmp(right_words[i].command, command) != 0)
		i++;
	if (right_words[i].command == NULL && row->arguments == NULL)
		return;
	snprintf(name, sizeof(name), "--%s ", option);
	at = strstr(right_words[i].rest, name);
	if (at == NULL) {
		buf_add_z(line, right_words[i].rest);
		return;
	}
	buf_add(line, right_words[i].rest, (size_t)(at - right_words[i].rest));
	at += strlen(name);
	buf_add_z(line, at + strcspn(at, " "));
}

TEST(command_bad_values_are_bad_usage_whoever_finds_out)
{
	set_up_store();
	write_file("key", "sk-canary-0123456789WXYZ");
	for (size_t i = 0; i < command_row_count; i++) {
		const struct command_row *row = &command_rows[i];
		const struct command_option *option = row->options;
		char command[40];

		snprintf(command, sizeof(command), "%s %s", row->noun,
			 row->verb ? row->verb : "");
		for (; option && option->name; option++) {
			const char *value;
			struct buf line;

			if (option->value == NULL)
				continue; /* a switch */
			value = bad_value_of(command, option->name);
			if (value == NULL)
				continue;
			buf_init(&line, 1024);
			buf_printf(&line, "%s --%s %s ", command, option->name,
				   value);
			add_right_words(row, command, option->name, &line);
			buf_add_char(&line, '\0');
			expect(line.p, EXIT_USAGE, "", "usage: chatello");
			buf_fini(&line);
		}
	}
}
