/*
 * command_table: every command of the CLI with its options, one row each. The
 * parser, --help, the man page and the completion are made from it.
 */
#include "cmd/commands.h"

#define REQUIRED OPTION_REQUIRED
#define REPEATED OPTION_REPEATED
#define NONE OPTION_NONE
#define OPTIONS(name, ...)                                                     \
	static const struct command_option name[] = {__VA_ARGS__,              \
						     {NULL, NULL, 0, NULL}};
/* clang-format off */
#define WORKSPACE {"workspace", "W", NONE, "the workspace; default is `default`"}

OPTIONS(issue_options,
	{"email",  "E",    REQUIRED, "the customer; an unknown address makes one"},
	{"plan",   "P",    REQUIRED, "the plan's code"},
	{"months", "N",    NONE,     "how long it runs (12); 0 = it never ends"},
	{"domain", "D",    NONE,     "the site it belongs to, or *.example.com; absent = any"},
	{"name",   "N",    NONE,     "the customer's name, when it is made"},
	WORKSPACE,
	{"cycle",  "month|year", NONE, "what the price is for; default is month"},
	{"price",  "P",    NONE,     "per cycle, as in 7.99; default is the plan's"},
	{"note",   "TEXT", NONE,     "a note for yourself"},
	{"trial",  NULL,   NONE,     "a trial: nothing is paid"})
OPTIONS(list_options,
	WORKSPACE,
	{"plan",   "P", NONE, "only of this plan"},
	{"status", "S", NONE, "only trial, active, past_due, suspended, expired or cancelled"},
	{"email",  "E", NONE, "only of this customer"})
OPTIONS(reason_options,
	{"reason", "TEXT", NONE, "why, for the log"})
OPTIONS(renew_options,
	{"months", "N", NONE, "by how many months; default is its cycle"})
OPTIONS(cancel_options,
	{"at-end", NULL,   NONE, "when what is paid has run out, not now"},
	{"reason", "TEXT", NONE, "why, for the log"})
OPTIONS(verify_options,
	{"domain", "D", NONE, "the site that asks"})
OPTIONS(workspace_options, WORKSPACE)
OPTIONS(plan_options,
	{"name",        "N",    NONE, "what customers read"},
	{"price-month", "P",    NONE, "as in 7.99"},
	{"price-year",  "P",    NONE, "as in 79.90"},
	{"feature",     "NAME", REPEATED, "all features of the plan; `none` for none"},
	{"limit",       "NAME=NUMBER|none", REPEATED, "one limit; none = unlimited; spend_month in micro-units"},
	{"grace-days",  "N",    NONE, "an expired licence goes on so long"},
	{"trial-days",  "N",    NONE, "length of a trial"},
	{"archived",    "yes|no", NONE, "no longer sold"},
	WORKSPACE)
OPTIONS(workspace_set_options,
	{"limit", "NAME=NUMBER|none", REPEATED, "of all its licences together: requests_hour, requests_month, tokens_minute, spend_month (micro-units), concurrent"},
	WORKSPACE)
OPTIONS(price_options,
	{"input",       "P", NONE, "cost of a million input tokens"},
	{"output",      "P", NONE, "cost of a million output tokens"},
	{"cache-read",  "P", NONE, "cost of a million cached input tokens"},
	{"cache-write", "P", NONE, "cost of a million tokens written to a cache"},
	{"cache-write-1h", "P", NONE, "cost of a million tokens written to a cache for an hour"},
	{"per-request", "P", NONE, "price charged to the customer for each request"},
	{"charge-bp",   "N", NONE, "of the cost, charged to the customer: 10000 = all of it, 12000 = with 20 % on top, 0 = nothing"},
	{"from", "DATE", NONE, "from when it counts; default is now"},
	{"to",   "DATE", NONE, "when it ends and the one before counts again; default is never"})
OPTIONS(price_list_options,
	{"at",  "DATE", NONE, "the prices that count then; default is now"},
	{"all", NULL,   NONE, "past ones and those to come, too"})
OPTIONS(price_import_options,
	{"dry-run", NULL, NONE, "only say what would change"},
	{"from", "DATE", NONE, "from when prices without a date count; default is now"})
OPTIONS(price_remove_options,
	{"from", "DATE", NONE, "only the price that counts from then"})
OPTIONS(key_options,
	{"name",    "N",      NONE, "which of the provider's keys; default is `default`"},
	{"weight",  "W",      NONE, "its share of the requests, 1 to 1000; 1 at first"},
	{"enabled", "yes|no", NONE, "whether it is used"},
	{"file",    "F",      NONE, "the key is the first line of this file; default is standard input"},
	{"keep",    NULL,     NONE, "the key stays: only what is given changes"})
OPTIONS(capture_options,
	{"for", "TIME", NONE, "how long, as in 30m or 2h; at most 24h, default is 1h"})
OPTIONS(key_name_options,
	{"name", "N", NONE, "which of the provider's keys; default is `default`"})
OPTIONS(provider_options,
	{"base-url", "URL", NONE, "where it is, as in https://host/v1; http: for loopback only"},
	{"auth", "bearer|api-key|none", NONE, "how it takes its key; bearer at first"},
	{"default-model", "M", NONE, "for requests that name it and no model; `none` for none"})
OPTIONS(route_options,
	{"model",    "M", NONE, "the model that is asked for; `none`: the one that was named"},
	{"provider", "P", NONE, "who serves it; `none`: whoever serves that model"},
	{"fallback", "M", REPEATED, "a model that is tried when this fails, at most 3 in turn; `none` for none"})
static const char type_help[] = "only of this type:"
#define EVENT(name) " " #name
#include "store/events.def"
#undef EVENT
	;
OPTIONS(event_options,
	{"after", "SEQ",  NONE, "only events behind this sequence number"},
	{"type",  "TYPE", NONE, type_help},
	{"limit", "N",    NONE, "at most so many"},
	{"workspace", "W", NONE, "only of this workspace"})
OPTIONS(tail_options,
	{"lines",  "N",  NONE, "how many of the last events; default is 10"},
	{"follow", NULL, NONE, "wait for more until Ctrl-C"})
OPTIONS(export_options,
	{"format", "jsonl|csv", NONE, "default is jsonl"},
	{"from",   "D", NONE, "reserved at or after this date or time (UTC)"},
	{"to",     "D", NONE, "reserved before this date or time (UTC)"},
	{"license", "ID", NONE, "only of this licence"},
	{"workspace", "W", NONE, "only of this workspace"})
OPTIONS(analytics_options,
	{"from", "D", NONE, "first day; without --from and --to, the last 30 days"},
	{"to",   "D", NONE, "last day"},
	WORKSPACE)

const struct command_row command_rows[] = {
	{"init", NULL, NULL, "make the store, once, and print its tokens", init_command, NULL},
	{"up", NULL, NULL, "start everything in the foreground; Ctrl-C stops it", up_command, NULL},
	{"status", NULL, NULL, "what runs, and how the store stands", status_command, NULL},
	{"doctor", NULL, NULL, "look for what is wrong, and say what to do", doctor_command, NULL},
	{"license", "issue", NULL, "issue a licence with a new key", license_issue_command, issue_options},
	{"license", "insert", "KEY", "issue a licence with a given key of at least 16 letters and digits (- = from standard input)", license_insert_command, issue_options},
	{"license", "show", "KEY|ID", "show one licence (- = key from standard input)", license_show_command, NULL},
	{"license", "list", NULL, "list licences, oldest first", license_list_command, list_options},
	{"license", "suspend", "KEY|ID", "stop a licence for a while", license_suspend_command, reason_options},
	{"license", "resume", "KEY|ID", "undo suspend", license_resume_command, reason_options},
	{"license", "renew", "KEY|ID", "extend a licence", license_renew_command, renew_options},
	{"license", "cancel", "KEY|ID", "end a licence; only renew brings it back", license_cancel_command, cancel_options},
	{"license", "verify", "KEY", "what a plugin with this key would be told; fails when not valid", license_verify_command, verify_options},
	{"customer", "list", NULL, "list customers, oldest first", customer_list_command, workspace_options},
	{"customer", "show", "ID|EMAIL", "show one customer with its licences", customer_show_command, workspace_options},
	{"plan", "list", NULL, "list plans", plan_list_command, workspace_options},
	{"plan", "set", "CODE", "make or change a plan; what is not given stays", plan_set_command, plan_options},
	{"workspace", "list", NULL, "list workspaces with their limits", workspace_list_command, NULL},
	{"workspace", "set", NULL, "change a workspace; what is not given stays", workspace_set_command, workspace_set_options},
	{"price", "list", NULL, "list what models cost, per million tokens", price_list_command, price_list_options},
	{"price", "set", "PROVIDER MODEL", "set what a model costs; what is not given stays", price_set_command, price_options},
	{"price", "import", "FILE|-", "set prices from a JSON list, all or none; LiteLLM's list of models too (doc/prices.md)", price_import_command, price_import_options},
	{"price", "remove", "PROVIDER MODEL", "end what a model costs; it is refused from then on", price_remove_command, price_remove_options},
	{"key", "set", "PROVIDER", "set one of your keys for a provider", key_set_command, key_options},
	{"key", "list", NULL, "list your provider keys, masked", key_list_command, NULL},
	{"key", "test", "[PROVIDER [NAME]]", "ask the providers whether they accept your keys; fails when one does not", key_test_command, NULL},
	{"key", "remove", "PROVIDER", "remove one of your provider keys", key_remove_command, key_name_options},
	{"key", "rotate", NULL, "seal everything with a new master key; no request fails meanwhile", key_rotate_command, NULL},
	{"provider", "list", NULL, "list the AI providers", provider_list_command, NULL},
	{"provider", "set", "NAME", "make or change a provider that speaks OpenAI's shape; what is not given stays", provider_set_command, provider_options},
	{"provider", "remove", "NAME", "remove a provider that was set", provider_remove_command, NULL},
	{"route", "list", NULL, "list what models' names mean, in the order in which they count", route_list_command, NULL},
	{"route", "set", "NAME|PATTERN", "say which model and provider a name means, and what is tried when that fails; what is not given stays", route_set_command, route_options},
	{"route", "remove", "NAME|PATTERN", "remove a route that was set", route_remove_command, NULL},
	{"capture", "on", "KEY|ID", "keep what a licence's providers are asked and say, sealed, for a while, to look for a fault", capture_on_command, capture_options},
	{"capture", "show", "KEY|ID", "show what was kept", capture_show_command, NULL},
	{"capture", "off", "KEY|ID", "keep nothing more, and erase what was kept", capture_off_command, NULL},
	{"event", "list", NULL, "print the log in order", event_list_command, event_options},
	{"event", "tail", NULL, "print the last events", event_tail_command, tail_options},
	{"event", "verify", NULL, "check every record's checksum and the log's numbers", event_verify_command, NULL},
	{"usage", "show", "KEY|ID", "what a licence has used (- = key from standard input)", usage_show_command, NULL},
	{"usage", "export", NULL, "print every usage record", usage_export_command, export_options},
	{"analytics", "show", NULL, "print the daily rows", analytics_show_command, analytics_options},
	{"analytics", "replay", NULL, "rebuild the daily rows from the log, then swap", analytics_replay_command, NULL},
	{"man", NULL, NULL, "print the manual page", man_command, NULL},
	{"completion", "bash", NULL, "print the completion for bash", completion_command, NULL},
};
/* clang-format on */
const size_t command_row_count = sizeof(command_rows) / sizeof(command_rows[0]);
