/*
 * cli: the tool, with the house down and up: what scripts rely on, and what bad
 * input gets.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "integration-tests/ask.h"

TEST_LIMITED(cli_init_once, 60)
{
	struct house house;
	struct output output;
	json_t *made;

	house_prepare(&house);
	made = tool("init", NULL);
	CHECK_JSON_STR(made, "workspace", "default");
	CHECK(json_str_at(made, "internal_token").n >= 20);
	CHECK(json_str_at(made, "admin_setup_token").n >= 20);
	CHECK(!str_eq(json_str_at(made, "internal_token"),
		      json_str_at(made, "admin_setup_token")));
	/* The tokens themselves are nowhere. */
	CHECK_INT(files_with("data", json_str_at(made, "internal_token").p), 0);
	json_decref(made);
	output = run("chatello", "init", NULL);
	CHECK(strlen(output.out) + strlen(output.err) > 10);
	CHECK(!strstr(output.out, "internal_token"));
	output_free(&output);
}

static void
check_exit(int code, struct output output)
{
	if (output.code != code || strlen(output.err) < 5)
		test_fail(__FILE__, __LINE__, "exit %d, not %d: %s%s",
			  output.code, code, output.out, output.err);
	CHECK_INT(output.out[0], '\0');
	/* one line */
	if (code == 1)
		CHECK(strchr(output.err, '\n') ==
		      output.err + strlen(output.err) - 1);
	output_free(&output);
}

/* Everything that must be refused, down or up, and change nothing. */
static void
check_bad_input(void)
{
	struct output before = run("chatello", "event", "list", "--json", NULL);
	struct output after;

	check_exit(1, run("chatello", "license", "issue", "--email",
			  "a@shop.example", "--plan", "nope", NULL));
	check_exit(2, run("chatello", "license", "issue", "--email", "nope",
			  "--plan", "pro", NULL));
	check_exit(2, run("chatello", "license", "issue", "--email",
			  "a b@shop.example", "--plan", "pro", NULL));
	check_exit(1, run("chatello", "license", "show",
			  "CHA-AAAA-BBBB-CCCC-DDDD", NULL));
	check_exit(1, run("chatello", "license", "suspend", "###", NULL));
	check_exit(2, run("chatello", "license", "insert", "bad key!",
			  "--email", "a@shop.example", "--plan", "pro", NULL));
	check_exit(2, run("chatello", "license", "insert", "C", "--email",
			  "a@shop.example", "--plan", "pro", NULL));
	check_exit(
	    1, run("chatello", "license", "list", "--workspace", "nope", NULL));
	check_exit(
	    2, run("chatello", "license", "list", "--status", "nope", NULL));
	check_exit(2, run("chatello", "up", "--public", "junk", NULL));
	check_exit(1, run("chatello", "usage", "show", "no-such", NULL));
	check_exit(1, run("chatello", "customer", "show", "no-such", NULL));
	check_exit(2, run("chatello", "license", "issue", NULL));
	check_exit(2, run("chatello", "license", "issue", "--email",
			  "a@shop.example", "--plan", "pro", "--months", "x",
			  NULL));
	check_exit(2, run("chatello", "license", "frobnicate", NULL));
	check_exit(2, run("chatello", "nonsense", NULL));
	check_exit(2, run("chatello", "plan", "set", "p", "--price-month", "-1",
			  NULL));
	check_exit(2, run("chatello", "status", "--what", NULL));
	after = run("chatello", "event", "list", "--json", NULL);
	CHECK_INT(before.code, 0);
	CHECK_STR(str_of(after.out), str_of(before.out));
	output_free(&before);
	output_free(&after);
}

TEST_LIMITED(cli_bad_input_changes_nothing, 90)
{
	struct house house;

	house_init(&house);
	check_bad_input();
	house_up(&house);
	check_bad_input();
	CHECK_INT(house_down(&house), 0);
}

static void
check_life_of_a_license(const char *email)
{
	json_t *issued, *shown, *list;
	const char *key, *id;

	issued = tool("license", "issue", "--email", email, "--plan", "starter",
		      "--months", "3", "--domain", "a.example", "--name",
		      "Owner", NULL);
	key = json_str_at(issued, "license_key").p;
	id = json_str_at(issued, "license_id").p;
	CHECK(str_starts(str_of(key), STR("CHA-")));
	CHECK_INT(strlen(key), 23);
	CHECK_JSON_STR(issued, "plan", "starter");
	CHECK(json_str_at(issued, "customer_id").n > 0);
	CHECK(json_str_at(issued, "subscription_id").n > 0);
	CHECK_INT(json_str_at(issued, "expires_at").n >= 20, 1);
	shown = tool("license", "show", key, NULL);
	CHECK_STR(json_str_at(shown, "license_id"), str_of(id));
	CHECK_STR(json_str_at(shown, "email"), str_of(email));
	CHECK(!str_eq(json_str_at(shown, "key"), str_of(key)));
	json_decref(shown);
	json_decref(tool("license", "suspend", id, NULL));
	shown = tool("license", "show", id, NULL);
	CHECK_JSON_STR(shown, "status", "suspended");
	json_decref(shown);
	json_decref(tool("license", "resume", key, NULL));
	json_decref(tool("license", "renew", key, "--months", "3", NULL));
	shown = tool("license", "show", key, NULL);
	CHECK_JSON_STR(shown, "status", "active");
	CHECK(str_cmp(json_str_at(shown, "expires_at"),
		      json_str_at(issued, "expires_at")) > 0);
	json_decref(shown);
	json_decref(tool("license", "cancel", key, NULL));
	list = tool("license", "list", "--email", email, NULL);
	json_decref(list);
	shown = tool("customer", "show", email, NULL);
	CHECK_STR(json_str_at(shown, "email"), str_of(email));
	json_decref(shown);
	json_decref(issued);
}

/* Event numbers 1, 2, 3 ... without a gap; returns how many. */
static long long
check_events(void)
{
	struct output output = run("chatello", "event", "list", "--json", NULL);
	long long seq = 0;

	CHECK_INT(output.code, 0);
	for (char *at = output.out; *at;) {
		size_t n = strcspn(at, "\n");
		json_t *event = json_loadb(at, n, JSON_REJECT_DUPLICATES, NULL);

		CHECK(event);
		CHECK_INT(json_int_at(event, "seq"), seq + 1);
		CHECK(json_str_at(event, "type").n > 0);
		seq++;
		json_decref(event);
		at += n + (at[n] == '\n');
	}
	output_free(&output);
	output = run("chatello", "event", "verify", NULL);
	CHECK_INT(output.code, 0);
	output_free(&output);
	return seq;
}

TEST_LIMITED(cli_life_of_a_license_down_and_up, 90)
{
	struct house house;
	long long down_events, up_events;

	house_init(&house);
	check_life_of_a_license("down@shop.example");
	down_events = check_events();
	house_up(&house);
	check_life_of_a_license("up@shop.example");
	up_events = check_events();
	CHECK(down_events >= 6);
	CHECK(up_events >= down_events + 5);
	CHECK_INT(house_down(&house), 0);
	CHECK(check_events() >= up_events);
}

TEST_LIMITED(cli_imported_keys_keep_working, 60)
{
	struct house house;
	json_t *issued;

	house_init(&house);
	issued = tool("license", "insert", "cha-test-1234-5678-abcd", "--email",
		      "old@shop.example", "--plan", "pro", NULL);
	json_decref(issued);
	check_exit(1, run("chatello", "license", "insert",
			  "CHA-TEST-1234-5678-ABCD", "--email",
			  "two@shop.example", "--plan", "pro", NULL));
	json_decref(tool("license", "insert",
			 "0A1B2C3D-0A1B2C3D-0A1B2C3D-0A1B2C3D", "--email",
			 "old@shop.example", "--plan", "pro", NULL));
	house_up(&house);
	CHECK_INT(validate(&house, "CHA-TEST-1234-5678-ABCD"), 200);
	CHECK_INT(validate(&house, "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"), 200);
	CHECK_INT(house_down(&house), 0);
}

/* --- price lists ---------------------------------------------------------- */

static void
file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void
check_import(const char *path, const char *option, int added, int changed,
	     int unchanged, int skipped)
{
	json_t *out = tool("price", "import", path, option, NULL);

	CHECK_JSON_INT(out, "added", added);
	CHECK_JSON_INT(out, "changed", changed);
	CHECK_JSON_INT(out, "unchanged", unchanged);
	CHECK_JSON_INT(out, "skipped", skipped);
	json_decref(out);
}

static void
check_price(const char *model, const char *name, long long want)
{
	struct output output = run("chatello", "price", "list", "--json", NULL);
	int found = 0;

	CHECK_INT(output.code, 0);
	for (char *at = output.out; *at;) {
		size_t n = strcspn(at, "\n");
		json_t *price = json_loadb(at, n, JSON_REJECT_DUPLICATES, NULL);

		CHECK(price);
		if (str_eq(json_str_at(price, "model"), str_of(model))) {
			found++;
			CHECK_INT(json_int_at(price, name), want);
		}
		json_decref(price);
		at += n + (at[n] == '\n');
	}
	CHECK_INT(found, 1);
	output_free(&output);
}

static void
check_wrong_list(const char *text, const char *says)
{
	struct output output;

	file_write("wrong.json", text);
	output = run("chatello", "price", "import", "wrong.json", NULL);
	if (output.code != 1 || !strstr(output.err, says))
		test_fail(__FILE__, __LINE__, "exit %d: %s", output.code,
			  output.err);
	output_free(&output);
}

static void
check_wrong_lists(void)
{
	struct output before = run("chatello", "event", "list", "--json", NULL);
	struct output after;

	check_wrong_list("[", "no JSON");
	check_wrong_list("{}", "no price");
	check_wrong_list("{\"prices\":{}}", "no list");
	check_wrong_list("{\"prices\":[\n"
			 "{\"provider\":\"openai\",\"model\":\"good\","
			 "\"input\":1,\"output\":1},\n"
			 "{\"provider\":\"openai\",\"model\":\"b1\","
			 "\"input\":-1,\"output\":1},\n"
			 "{\"provider\":\"openai\",\"model\":\"b2\","
			 "\"input\":1,\"outputs\":1},\n"
			 "{\"provider\":\"openai\",\"model\":\"good\","
			 "\"input\":1,\"output\":2},\n"
			 "{\"model\":\"b3\"},\n"
			 "{\"provider\":\"openai\",\"model\":\"b4\","
			 "\"input\":1},\n"
			 "{\"provider\":\"opanai\",\"model\":\"b5\","
			 "\"input\":1,\"output\":1},\n"
			 "{\"provider\":\"openai\",\"model\":\"b6\","
			 "\"input\":1,\"output\":\"x\"}]}",
			 "line 3: b1: input is no amount of 0 or more\n"
			 "line 4: b2: unknown name \"outputs\"\n"
			 "line 5: good: this price stands here twice\n"
			 "line 6: an entry: it needs a provider and a model\n"
			 "line 7: b4: a new price needs input and output\n"
			 "line 8: b5: there is no provider opanai: `chatello "
			 "provider list` shows them\n"
			 "line 9: b6: output is no amount of 0 or more\n"
			 "chatello: 7 wrong: nothing was changed\n");
	check_wrong_list("{\"prices\":[{\"provider\":\"openai\",\"model\":"
			 "\"good\",\"input\":1}]}",
			 "line 1: good: a new price needs input and output\n"
			 "chatello: 1 wrong: nothing was changed\n");
	check_wrong_list("{\"m\":{\"litellm_provider\":\"openai\","
			 "\"input_cost_per_token\":\"x\","
			 "\"output_cost_per_token\":1e-6}}",
			 "line 1: m: input_cost_per_token is no amount");
	after = run("chatello", "event", "list", "--json", NULL);
	CHECK_STR(str_of(after.out), str_of(before.out));
	output_free(&before);
	output_free(&after);
}

static const char own_list[] =
    "{\"prices\":[{\"provider\":\"openai\",\"model\":\"own-a\",\"input\":"
    "\"0.15\",\"output\":0.60,\"charge_bp\":12000},{\"provider\":"
    "\"openai\",\"model\":\"own-a\",\"input\":9,\"output\":9,"
    "\"valid_from\":\"2099-01-01\"}]}";
static const char litellm_list[] =
    "{\"sample_spec\":{\"litellm_provider\":\"one of\",\"mode\":\"chat\"},\n"
    "\"claude-z\":{\"litellm_provider\":\"anthropic\",\"mode\":\"chat\","
    "\"input_cost_per_token\":1.5e-06,\"output_cost_per_token\":7e-06,"
    "\"cache_read_input_token_cost\":1.5e-07,"
    "\"cache_creation_input_token_cost\":1.875e-06},\n"
    "\"deepseek/deepseek-z\":{\"litellm_provider\":\"deepseek\","
    "\"input_cost_per_token\":9e-07,\"output_cost_per_token\":9e-07},\n"
    "\"deepseek-z\":{\"litellm_provider\":\"deepseek\","
    "\"input_cost_per_token\":2.8e-07,\"output_cost_per_token\":4.2e-07},\n"
    "\"deepseek/deepseek-y\":{\"litellm_provider\":\"deepseek\","
    "\"input_cost_per_token\":1e-13,\"output_cost_per_token\":0},\n"
    "\"embed\":{\"litellm_provider\":\"openai\",\"mode\":\"embedding\","
    "\"input_cost_per_token\":1e-08,\"output_cost_per_token\":0}}";

TEST_LIMITED(cli_price_lists, 90)
{
	struct house house;

	house_init(&house);
	check_wrong_lists();
	file_write("own.json", own_list);
	file_write("litellm.json", litellm_list);
	check_import("own.json", "--dry-run", 1, 1, 0, 0);
	check_import("own.json", "--dry-run", 1, 1, 0, 0);
	check_import("own.json", NULL, 1, 1, 0, 0);
	check_import("own.json", NULL, 0, 0, 2, 0);
	check_price("own-a", "input", 150000);
	check_price("own-a", "charge_bp", 12000);
	house_up(&house);
	check_wrong_lists();
	check_import("litellm.json", "--dry-run", 3, 0, 0, 3);
	check_import("litellm.json", NULL, 3, 0, 0, 3);
	check_import("litellm.json", NULL, 0, 0, 3, 3);
	check_price("claude-z", "input", 1500000);
	check_price("claude-z", "cache_read", 150000);
	check_price("claude-z", "cache_write", 1875000);
	check_price("deepseek-z", "output", 420000);
	check_price("deepseek-y", "input", 1);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(cli_help_and_settings, 60)
{
	static const char *const nouns[] = {
	    "init", "up", "status", "doctor", "license", "plan", "event"};
	struct house house;
	struct output output;

	house_prepare(&house);
	house_set("OPENAI_API_KEY", OPENAI_CANARY);
	output = run("chatello", "--help", NULL);
	CHECK_INT(output.code, 0);
	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		CHECK(strstr(output.out, nouns[i]));
	output_free(&output);
	output = run("chatello", "license", "issue", "--help", NULL);
	CHECK_INT(output.code, 0);
	CHECK(strstr(output.out, "--email"));
	output_free(&output);
	output = run("chatello-edge", "--conf", NULL);
	CHECK_INT(output.code, 0);
	CHECK(!strstr(output.out, OPENAI_CANARY));
	output_free(&output);
	output = run("chatello-proxy", "--openai-api-key", "sk-x", NULL);
	CHECK(output.code == 1 || output.code == 2);
	CHECK(strstr(output.err, "OPENAI_API_KEY"));
	output_free(&output);
	json_decref(tool("init", NULL));
	json_decref(tool("status", NULL));
	output = run("chatello", "doctor", NULL);
	CHECK(output.code == 0 || output.code == 1);
	output_free(&output);
}

/* --- the writer's lease ----------------------------------------------------
 */

static int
hold_lease(void)
{
	int fd = open("data/store/writer.lock", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	return fd;
}

static bool
has_inotify(pid_t pid)
{
	char path[64], target[64];
	bool is_found = false;
	struct dirent *entry;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	while (fds && !is_found && (entry = readdir(fds)) != NULL) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target,
				       sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		is_found = strstr(target, "inotify") != NULL;
	}
	if (fds)
		closedir(fds);
	return is_found;
}

static pid_t
start_write(const char *log)
{
	static char plan[] = "plan", set[] = "set", code[] = "held",
		    option[] = "--price-month", price[] = "9.00";
	char *args[] = {plan, set, code, option, price, NULL};
	int out; /* stays open: it writes there */

	return start("chatello", args, log, &out);
}

static long long
children_cpu_ms(void)
{
	struct rusage used;

	CHECK(getrusage(RUSAGE_CHILDREN, &used) == 0);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
	       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

/* A script reads the line that says ready, too. */
TEST_LIMITED(cli_up_says_ready_as_json, 60)
{
	static char up[] = "up", json[] = "--json";
	char *args[] = {up, json, NULL}, line[512];
	struct answer answer;
	struct house house;
	json_t *ready;
	FILE *said;
	int out;

	house_init(&house);
	house.up = start("chatello", args, "up.log", &out);
	said = fdopen(out, "r");
	CHECK(said && fgets(line, sizeof(line), said));
	ready = json_loads(line, 0, NULL);
	http(&answer, json_str_at(ready, "public").p + strlen("http://"), "GET",
	     "/api/health", "", STR(""));
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	CHECK(json_str_at(ready, "admin").n &&
	      json_str_at(ready, "internal").n);
	json_decref(ready);
	CHECK(kill(house.up, SIGTERM) == 0);
	CHECK_INT(wait_for(house.up), 0);
	house.up = 0;
	fclose(said);
}

TEST_LIMITED(cli_write_waits_for_the_lease, 60)
{
	struct house house;
	long long began;
	pid_t pids[3];
	int fd;

	house_prepare(&house);
	json_decref(tool("init", NULL));
	fd = hold_lease();
	began = now_ms();
	for (int i = 0; i < 3; i++)
		pids[i] = start_write("held.log");
	for (int i = 0; i < 3; i++)
		while (!has_inotify(pids[i])) {
			CHECK(now_ms() - began < 4000);
			sched_yield();
		}
	began = now_ms();
	close(fd);
	for (int i = 0; i < 3; i++)
		CHECK_INT(wait_for(pids[i]), 0);
	/* Told of it, not when the time was up. */
	CHECK(now_ms() - began < 3000);
}

/* Asleep all the while, also when others try. */
TEST_LIMITED(cli_write_gives_up_on_the_lease, 60)
{
	long long began, cpu_ms;
	struct house house;
	pid_t pids[2];
	int fd;

	house_prepare(&house);
	json_decref(tool("init", NULL));
	fd = hold_lease();
	began = now_ms();
	cpu_ms = children_cpu_ms();
	for (int i = 0; i < 2; i++)
		pids[i] = start_write("gave-up.log");
	for (int i = 0; i < 2; i++)
		CHECK_INT(wait_for(pids[i]), 1);
	CHECK(now_ms() - began >= 5000);
	CHECK(children_cpu_ms() - cpu_ms < 2000);
	CHECK_INT(files_with("gave-up.log", "holds the writer's lease"), 1);
	close(fd);
}
