/*
 * command: whole command lines against a store of their own, in this process:
 * exit codes, what goes to which output, and that a refusal changes nothing.
 */
#include "cmd/command_run_test.h"

#include "lib/json.h"
#include "store/records.h"
#include "workers/providers/providers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The member of the only line of JSON, copied. */
static void
member(const char *line, const char *name, char *out, size_t out_bytes)
{
	struct ran ran = run(line);
	struct json_value object, value;

	if (ran.code != 0 ||
	    !json_check(str_bytes(ran.out.p, ran.out.n - 1), &object) ||
	    !json_get(object, str_of(name), &value))
		test_fail(__FILE__, __LINE__, "%s: %d\n%s%s", line, ran.code,
			  ran.out.p, ran.err.p);
	snprintf(out, out_bytes, "%.*s", (int)(value.raw.n - 2),
		 value.raw.p + 1);
	ran_free(&ran);
}

TEST(command_bad_usage_is_2_and_says_how)
{
	static const char *const lines[] = {
	    "nonsense",
	    "license",
	    "license frobnicate",
	    "license issue",
	    "license issue --email a@shop.example",
	    "license issue --email",
	    "license issue --email a --email b --plan pro",
	    "license issue --email a@shop.example --plan pro --months x",
	    "license issue --email a@shop.example --plan pro --months -1",
	    "license issue --email a@shop.example --plan pro --trial=yes",
	    "license issue --email a@shop.example --plan pro extra",
	    "license show",
	    "status --what",
	    "status -x",
	    "plan set p --price-month 1.2.3",
	    "plan set p --limit rooms",
	    "plan set p --limit rooms=-1",
	    "plan set p --archived maybe",
	    "workspace set",
	    "workspace set --limit concurrent",
	    "price set openai",
	    "key test openai first second",
	    "usage export --format xml",
	    "usage export --from yesterday",
	    "analytics show --from 2026-13-01",
	    "event list --after soon",
	    "license list --status nope",
	    "license insert C --email a@shop.example --plan pro",
	    "license insert AB-CD-EF-01-23-45-67-8 --email a@shop.example "
	    "--plan pro",
	    "event list --type nope",
	    "plan set a/b",
	    "provider set openai --auth none",
	    "provider set a/b --base-url https://a.example",
	    "route set -- -fast --model gpt-4o",
	    "--public junk status",
	    "--admin 127.0.0.1:70000 status",
	};
	struct ran ran;

	set_up_store();
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect(lines[i], EXIT_USAGE, "", "usage: chatello");
	ran = run("");
	CHECK_INT(ran.code, EXIT_USAGE);
	ran_free(&ran);
}

TEST(command_help_and_version)
{
	set_up();
	expect("--version", 0, "chatello " COMMAND_VERSION "\n", "");
	expect("--version --json", 0, "{\"version\":\"" COMMAND_VERSION "\"}\n",
	       "");
	expect("--json -V", 0, "{\"version\":", "");
	expect("--help", 0, "suspend", "");
	expect("license --help", 0, "suspend", "");
	expect("license issue --help", 0, "--email", "");
	expect("--conf", 0, "map_bytes", "");
	expect("--map-bytes 5 status", EXIT_USAGE, "", "map");
}

static void
check_json_lines(const char *line)
{
	struct ran ran = run(line);
	struct json_value object;
	char *at = ran.out.p, *end;
	unsigned count = 0;

	CHECK_INT(ran.code, 0);
	for (; (end = strchr(at, '\n')) != NULL; at = end + 1, count++)
		if (!json_check(str_bytes(at, (size_t)(end - at)), &object) ||
		    object.type != JSON_OBJECT)
			test_fail(__FILE__, __LINE__, "%s: %.*s", line,
				  (int)(end - at), at);
	CHECK(count > 0 && *at == '\0');
	ran_free(&ran);
}

TEST(command_json_is_for_all_of_them)
{
	set_up();
	CHECK(setenv("OPENAI_API_KEY", "sk-canary", 1) == 0);
	check_json_lines("man --json");
	check_json_lines("completion bash --json");
	check_json_lines("--conf --json");
	check_json_lines("up --json --conf");
	expect("up --conf --json --edges 3", 0,
	       "{\"name\":\"edges\",\"value\":3,\"source\":\"flag\"}\n", "");
	expect("up --conf --json", 0,
	       "{\"name\":\"openai_api_key\",\"value\":\"(set)\",\"source\":"
	       "\"environment\"}\n",
	       "");
	expect("completion bash --json", 0, "{\"text\":\"# Made by", "");
}

TEST(command_without_a_store_says_init)
{
	set_up();
	expect("license list", EXIT_FAILED, "", "chatello init");
	expect("license issue --email a@shop.example --plan pro", EXIT_FAILED,
	       "", "chatello init");
	expect("event list", EXIT_FAILED, "", "chatello init");
	expect("usage export", EXIT_FAILED, "", "chatello init");
	expect("doctor", EXIT_FAILED, "chatello init", "need a look");
	CHECK(access("data/store", F_OK) != 0);
}

TEST(command_doctor_looks_at_the_way_to_providers)
{
	set_up();
	expect("init", 0, "", "");
	setenv("OPENAI_BASE_URL", "https://a.example:99999/v1", 1);
	expect("doctor", EXIT_FAILED, "from 1 to 65535", "need a look");
	unsetenv("OPENAI_BASE_URL");
	setenv("CHATELLO_CA_FILE", "/nowhere.pem", 1);
	expect("doctor", EXIT_FAILED, "cannot read /nowhere.pem", "");
	setenv("CHATELLO_CA_FILE", "/etc/passwd", 1);
	expect("doctor", EXIT_FAILED, "/etc/passwd has no certificate", "");
}

TEST(command_list_takes_each_status)
{
	static const char *const statuses[] = {
	    "trial",   "active",    "past_due", "suspended",
	    "expired", "cancelled", "CANCELLED"};
	char line[64];

	set_up_store();
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		snprintf(line, sizeof(line), "license list --status %s --json",
			 statuses[i]);
		expect(line, 0, "", "");
	}
	expect("license list --status nope", EXIT_USAGE, "", "past_due");
	expect("license list --workspace nope", EXIT_FAILED, "",
	       "no workspace is called \"nope\"");
}

/* What is not there is answered with what is. */
TEST(command_names_what_there_is)
{
	set_up_store();
	expect("license issue --email a@shop.example --plan nope", EXIT_FAILED,
	       "", "no such plan: the workspace has ");
	expect("license issue --email a@shop.example --plan nope", EXIT_FAILED,
	       "", ", pro");
	expect("event list --type nope", EXIT_USAGE, "",
	       "\"nope\" is no type of event: `chatello event list --help` "
	       "names them");
}

/* Also of a type of which the log has none yet. */
TEST(command_takes_each_type_of_event)
{
	char line[64];

	set_up_store();
	for (unsigned i = 0; i < EVENT_TYPES; i++) {
		snprintf(line, sizeof(line), "event list --json --type %.*s",
			 STR_ARG(event_types[i]));
		expect(line, 0, "", "");
		expect("event list --help", 0, event_types[i].p, "");
	}
	expect("event list --type workspace_added --json", 0,
	       "\"type\":\"workspace_added\"", "");
}

/* What it made before it failed is gone; what was there stays. */
TEST(command_init_refused_leaves_nothing)
{
	set_up();
	CHECK(access("data", F_OK) != 0);
	CHECK(mkdir("keys", 0700) == 0);
	expect("init --master-key-file keys/none/master.key", EXIT_FAILED, "",
	       "master.key");
	CHECK(access("data", F_OK) != 0);
	CHECK(mkdir("data", 0700) == 0);
	CHECK(mkdir("data/run", 0700) == 0);
	expect("init --master-key-file keys/none/master.key", EXIT_FAILED, "",
	       "master.key");
	CHECK(access("data/store", F_OK) != 0);
	CHECK(access("data/run", F_OK) == 0);
	expect("init", 0, "Made the store", "");
	CHECK(access("data/store", F_OK) == 0);
}

TEST(command_init_changes_nothing_the_second_time)
{
	char token[160], again[160];

	set_up();
	member("init --json", "internal_token", token, sizeof(token));
	CHECK(strlen(token) >= 20);
	expect("init --json", 0,
	       "{\"workspace\":\"default\",\"changed\":false,"
	       "\"internal_token\":null,\"admin_setup_token\":null}\n",
	       "");
	expect("init", 0, "nothing was changed", "");
	member("event verify --json", "bad", again, sizeof(again));
}

TEST(command_license_from_issue_to_cancel)
{
	char key[64], id[64], line[256];

	set_up_store();
	member("license issue --email Owner@shop.example --plan pro "
	       "--domain shop.example --price 5,50 --json",
	       "license_key", key, sizeof(key));
	CHECK_INT(strlen(key), 23);
	snprintf(line, sizeof(line), "license show %s --json", key);
	member(line, "license_id", id, sizeof(id));
	CHECK(str_starts(str_of(id), STR("lic_")));
	expect("license list --json --status active", 0, "\"price\":5500000,",
	       "");
	expect("license list --status suspended", 0, "none", "");
	snprintf(line, sizeof(line), "license verify %s --domain x.example",
		 key);
	expect(line, EXIT_FAILED, "DOMAIN_MISMATCH", "DOMAIN_MISMATCH");
	snprintf(line, sizeof(line), "license verify %s --domain shop.example",
		 key);
	expect(line, 0, "VALID", "");
	snprintf(line, sizeof(line), "license suspend %s --reason test", id);
	expect(line, 0, "suspended", "");
	snprintf(line, sizeof(line), "license resume %s", key);
	expect(line, 0, "active", "");
	snprintf(line, sizeof(line), "license renew %s --months 2", id);
	expect(line, 0, "active", "");
	snprintf(line, sizeof(line), "usage show %s", id);
	expect(line, 0, "requests_month", "");
	snprintf(line, sizeof(line), "license cancel %s", id);
	expect(line, 0, "cancelled", "");
	expect("customer show OWNER@SHOP.example --json", 0,
	       "\"status\":\"cancelled\"", "");
	expect("event list --type license_cancelled", 0, "license_cancelled",
	       "");
	expect("event tail --lines 1 --json", 0, "\"seq\":", "");
	expect("event verify", 0, "bad      0", "");
}

TEST(command_shows_no_key_but_at_the_issue)
{
	static const char *const lines[] = {
	    "license list --json", "customer show a@shop.example --json",
	    "event list --json",   "usage export",
	    "status --json",	   "doctor",
	};
	char key[64], line[256];
	struct ran ran;

	set_up_store();
	member("license issue --email a@shop.example --plan pro --json",
	       "license_key", key, sizeof(key));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ran = run(lines[i]);
		CHECK(!strstr(ran.out.p, key) && !strstr(ran.err.p, key));
		ran_free(&ran);
	}
	snprintf(line, sizeof(line), "license show %s", key);
	ran = run(line);
	CHECK_INT(ran.code, 0);
	CHECK(!strstr(ran.out.p, key));
	ran_free(&ran);
}

TEST(command_takes_a_key_from_standard_input)
{
	set_up_store();
	write_file("key", "  CHA-TEST-1234-5678-ABCD \n");
	CHECK(freopen("key", "r", stdin));
	expect("license insert - --email a@shop.example --plan pro --json", 0,
	       "CHA-TEST-1234-5678-ABCD", "");
	CHECK(freopen("key", "r", stdin));
	expect("license verify -", 0, "VALID", "");
	CHECK(freopen("/dev/null", "r", stdin));
	expect("license verify -", EXIT_FAILED, "", "standard input");
	expect("license insert cha-test-1234-5678-abcd --email "
	       "b@shop.example --plan pro",
	       EXIT_FAILED, "", "");
}

TEST(command_refusals_change_nothing)
{
	static const char *const lines[] = {
	    "license issue --email a@shop.example --plan nope",
	    "license issue --email a@shop.example --plan pro --workspace nope",
	    "license suspend lic_00000000000000000000000000",
	    "license suspend ###",
	    "license show CHA-AAAA-BBBB-CCCC-DDDD",
	    "customer show nobody@shop.example",
	    "plan list --workspace nope",
	    "license list --workspace nope",
	    "customer list --workspace nope",
	    "event list --workspace nope",
	    "usage export --workspace nope",
	    "analytics show --workspace nope",
	    "analytics show --workspace nope --from 2026-11-01",
	    "key set nope --file key",
	    "key set openai --file bad-key",
	    "key set openai --file no-such-file",
	    "route set fast --model gpt-4o --provider nope",
	    "route set fast --model mistral",
	    "price set nope small --input 1 --output 1",
	    "price import bad-key",
	};
	char before[32], after[32];

	set_up_store();
	write_file("key", "sk-canary-0123456789WXYZ");
	write_file("bad-key", "no key");
	member("event verify --json", "records", before, sizeof(before));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect(lines[i], EXIT_FAILED, "", "chatello: ");
	member("event verify --json", "records", after, sizeof(after));
	CHECK_STR(str_of(after), str_of(before));
}

TEST(command_workspace_set_changes_only_what_is_given)
{
	set_up_store();
	expect("workspace set --limit concurrent=5 --limit spend_month=9000000",
	       0, "concurrent", "");
	expect("workspace set --limit concurrent=none --json", 0,
	       "\"limits\":{\"spend_month\":9000000}", "");
	expect("workspace list --json", 0,
	       "\"limits\":{\"spend_month\":9000000}", "");
	expect("workspace set --limit rooms=1", EXIT_USAGE, "",
	       "a workspace's limits are requests_hour");
	expect("workspace set --workspace nope --limit concurrent=1",
	       EXIT_FAILED, "", "no such workspace");
}

TEST(command_plan_and_price_set_change_only_what_is_given)
{
	set_up_store();
	expect("plan set gold --name Gold --price-month 9,90 --feature "
	       "ai_proxy --feature extra --limit rooms=5 --json",
	       0, "\"features\":[\"ai_proxy\",\"extra\"]", "");
	expect("plan set gold --limit rooms=none --json", 0,
	       "\"price_month\":9900000,", "");
	expect("plan list --json", 0, "\"limits\":{\"rooms\":null}", "");
	expect("plan set gold --feature none --json", 0, "\"features\":[]", "");
	expect("price set openai gpt-9 --input 2.5 --output 10", 0, "2.50", "");
	expect("price set openai gpt-9 --input 3 --json", 0,
	       "\"output\":10000000,", "");
	expect("price list", 0, "gpt-9", "");
}

TEST(command_provider_list_shows_what_is_built_in)
{
	struct ran ran;

	set_up_store();
	ran = run("provider list --json");
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		char part[128];

		snprintf(part, sizeof(part),
			 "\"default_model\":\"%s\",\"source\":\"built-in\"",
			 provider_rows[i].default_model);
		CHECK(strstr(ran.out.p, part));
	}
	ran_free(&ran);
}

/* The next one would have been right in another house. */
TEST(command_one_too_many_is_a_failure)
{
	char line[128];

	set_up_store();
	for (int i = 0; i <= 12; i++) {
		snprintf(line, sizeof(line),
			 "price set openai gpt-9 --input 1 --output %d --from "
			 "20%d-01-01",
			 i + 1, 40 + i);
		expect(line, i < 12 ? 0 : EXIT_FAILED, "",
		       i < 12 ? "" : "at most 12 prices");
	}
	for (int i = 0; i <= 64; i++) {
		snprintf(line, sizeof(line), "plan set gold --limit n%d=1", i);
		expect(line, i < 64 ? 0 : EXIT_FAILED, "",
		       i < 64 ? "" : "at most 64 limits");
	}
}
