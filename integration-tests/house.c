/*
 * house: starting, asking and ending the real programs. See house.h.
 */
#include "integration-tests/house.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "integration-tests/client.h"
#include "lib/clock.h"

#define ARGS_MAX 32
#define READY_MS 30000 /* sanitizer builds are slow */
#define OUTPUT_BYTES_MAX (256 << 20)

long long
now_ms(void)
{
	return clock_mono_ms();
}

void
program_path(const char *program, char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	CHECK(n > 0);
	out[n] = '\0';
	slash = strrchr(out, '/');
	snprintf(slash + 1, (size_t)(out + PATH_MAX - slash - 1), "%s",
		 program);
}

static _Noreturn void
become(const char *program, char *const *args, int out, int err)
{
	char path[PATH_MAX];
	char *argv[ARGS_MAX + 2] = {path};
	int null = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	program_path(program, path);
	for (int i = 0; i < ARGS_MAX && args[i]; i++)
		argv[i + 1] = args[i];
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	execv(path, argv);
	dprintf(STDERR_FILENO, "exec %s: %s\n", path, strerror(errno));
	_exit(127);
}

int
wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t
start(const char *program, char *const *args, const char *log, int *out)
{
	int fds[2], err;
	pid_t pid;

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	err = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(err >= 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		become(program, args, fds[1], err);
	close(fds[1]);
	close(err);
	*out = fds[0];
	return pid;
}

static char *
slurp(int fd)
{
	off_t n = lseek(fd, 0, SEEK_END);
	char *text;

	CHECK(n >= 0 && n < OUTPUT_BYTES_MAX);
	text = malloc((size_t)n + 1);
	CHECK(text);
	CHECK(pread(fd, text, (size_t)n, 0) == n);
	text[n] = '\0';
	close(fd);
	return text;
}

struct output
run_args(const char *program, char *const *args)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	int err = memfd_create("err", MFD_CLOEXEC);
	struct output output;
	pid_t pid = fork();

	CHECK(pid >= 0 && out >= 0 && err >= 0);
	if (pid == 0)
		become(program, args, out, err);
	output.code = wait_for(pid);
	output.out = slurp(out);
	output.err = slurp(err);
	return output;
}

/* execv takes char *const *, and changes nothing. */
static void
gather(char *args[ARGS_MAX + 1], const char *first, va_list list)
{
	const char *arg = first;
	int n = 0;

	for (; arg && n < ARGS_MAX; arg = va_arg(list, const char *))
		args[n++] = (char *)(uintptr_t)arg;
	args[n] = NULL;
}

struct output
run(const char *program, ...)
{
	char *args[ARGS_MAX + 1];
	va_list list;

	va_start(list, program);
	gather(args, va_arg(list, const char *), list);
	va_end(list);
	return run_args(program, args);
}

void
output_free(struct output *output)
{
	free(output->out);
	free(output->err);
}

json_t *
tool(const char *first, ...)
{
	char *args[ARGS_MAX + 1];
	static char json[] = "--json";
	struct output output;
	json_error_t error;
	json_t *value;
	va_list list;
	int n = 0;

	va_start(list, first);
	gather(args, first, list);
	va_end(list);
	while (args[n])
		n++;
	CHECK(n < ARGS_MAX);
	args[n] = json;
	args[n + 1] = NULL;
	output = run_args("chatello", args);
	if (output.code != 0)
		test_fail(__FILE__, __LINE__, "chatello %s %s: exit %d: %s",
			  first, args[1] ? args[1] : "", output.code,
			  output.err);
	value = json_loads(output.out, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		test_fail(__FILE__, __LINE__, "chatello %s: %s in: %.500s",
			  first, error.text, output.out);
	output_free(&output);
	return value;
}

/* --- the upstream ----------------------------------------------------------
 */

/* One line from a pipe, within READY_MS. */
static void
read_line(int fd, char *out, size_t size, const char *whose)
{
	long long end = now_ms() + READY_MS;
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		long long left = end - now_ms();

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			test_fail(__FILE__, __LINE__, "%s: no ready line",
				  whose);
		if (n + 1 == size || read(fd, out + n, 1) != 1)
			test_fail(__FILE__, __LINE__,
				  "%s ended without a ready line", whose);
		if (out[n] == '\n')
			break;
		n++;
	}
	out[n] = '\0';
}

static void
start_upstream(struct house *house)
{
	char *none[] = {NULL};
	char line[128], url[128];
	int out;

	house->upstream = start("upstream", none, "upstream.log", &out);
	read_line(out, line, sizeof(line), "upstream");
	snprintf(house->upstream_address, ADDRESS_BYTES, "127.0.0.1:%.8s",
		 line + strlen("ready port="));
	snprintf(url, sizeof(url), "http://%s/v1", house->upstream_address);
	house_set("OPENAI_BASE_URL", url);
	house_set("OPENAI_API_KEY", OPENAI_CANARY);
	snprintf(url, sizeof(url), "http://%s/deepseek",
		 house->upstream_address);
	house_set("DEEPSEEK_BASE_URL", url);
	house_set("DEEPSEEK_API_KEY", DEEPSEEK_CANARY);
	snprintf(url, sizeof(url), "http://%s/anthropic",
		 house->upstream_address);
	house_set("ANTHROPIC_BASE_URL", url);
	house_set("ANTHROPIC_API_KEY", ANTHROPIC_CANARY);
}

static json_t *
upstream_ask(const struct house *house, const char *method, const char *path)
{
	struct answer answer;
	json_t *counts;

	http(&answer, house->upstream_address, method, path, "", STR_NONE);
	CHECK_INT(answer.status, 200);
	counts = json_loadb(answer.body.p, answer.body.n, 0, NULL);
	CHECK(counts);
	answer_free(&answer);
	return counts;
}

json_t *
upstream_counts(const struct house *house)
{
	return upstream_ask(house, "GET", "/count");
}

json_t *
upstream_wait(const struct house *house, const char *counter, long long n)
{
	char path[64];

	snprintf(path, sizeof(path), "/wait/%s/%lld", counter, n);
	return upstream_ask(house, "GET", path);
}

void
upstream_reset(const struct house *house)
{
	json_decref(upstream_ask(house, "POST", "/reset"));
}

/* --- the house -------------------------------------------------------------
 */

void
house_set(const char *name, const char *value)
{
	CHECK(setenv(name, value, 1) == 0);
}

void
house_prepare(struct house *house)
{
	char *folder = getcwd(NULL, 0);
	char path[PATH_MAX];

	*house = (struct house){.up_out = -1};
	CHECK(folder);
	snprintf(path, sizeof(path), "%s/data", folder);
	house_set("CHATELLO_DATA", path);
	house_set("CHATELLO_PUBLIC", "127.0.0.1:0");
	house_set("CHATELLO_ADMIN", "127.0.0.1:0");
	house_set("CHATELLO_INTERNAL", "127.0.0.1:0");
	free(folder);
}

void
house_init(struct house *house)
{
	json_t *made;

	house_prepare(house);
	start_upstream(house);
	made = tool("init", NULL);
	snprintf(house->internal_token, sizeof(house->internal_token), "%.*s",
		 STR_ARG(json_str_at(made, "internal_token")));
	json_decref(made);
}

/* "ready public=http://h:p admin=..." */
static void
read_address(const char *line, const char *name, char out[ADDRESS_BYTES])
{
	char key[32];
	const char *at;

	snprintf(key, sizeof(key), " %s=http://", name);
	at = strstr(line, key);
	if (at == NULL)
		test_fail(__FILE__, __LINE__, "no %s in: %s", name, line);
	at += strlen(key);
	snprintf(out, ADDRESS_BYTES, "%.*s", (int)strcspn(at, " /\r"), at);
}

void
house_up(struct house *house)
{
	static char up[] = "up";
	char *args[] = {up, NULL};
	char line[512];

	CHECK(house->up == 0);
	house->up = start("chatello", args, "up.log", &house->up_out);
	read_line(house->up_out, line, sizeof(line), "chatello up");
	CHECK(strncmp(line, "ready ", 6) == 0);
	read_address(line, "public", house->public);
	read_address(line, "admin", house->admin);
	read_address(line, "internal", house->internal);
}

int
house_down(struct house *house)
{
	int code;

	CHECK(house->up > 0);
	CHECK(kill(house->up, SIGTERM) == 0);
	code = wait_for(house->up);
	close(house->up_out);
	house->up = 0;
	house->up_out = -1;
	return code;
}

/* The launcher logs `child-start ... name=NAME pid=PID`; the last one counts.
 */
pid_t
house_pid(const struct house *house, const char *name)
{
	char line[512], key[64];
	pid_t pid = 0;
	FILE *log = fopen("up.log", "re");

	CHECK(house->up > 0 && log);
	snprintf(key, sizeof(key), " name=%s pid=", name);
	while (fgets(line, sizeof(line), log)) {
		const char *at = strstr(line, key);

		if (at && strncmp(line, "child-start ", 12) == 0)
			pid = (pid_t)atoi(at + strlen(key));
	}
	fclose(log);
	return pid > 0 && kill(pid, 0) == 0 ? pid : 0;
}

bool
house_kill(const struct house *house, const char *name, int signal)
{
	pid_t pid = house_pid(house, name);

	return pid > 0 && kill(pid, signal) == 0;
}

const char *
house_license(const char *plan)
{
	static char keys[4][128];
	static int next, number;
	char *key = keys[next++ % 4];
	char email[64];
	json_t *issued;

	snprintf(email, sizeof(email), "owner%d@shop.example", ++number);
	issued = tool("license", "issue", "--email", email, "--plan", plan,
		      "--months", "12", NULL);
	snprintf(key, sizeof(keys[0]), "%.*s",
		 STR_ARG(json_str_at(issued, "license_key")));
	CHECK(strlen(key) > 20);
	json_decref(issued);
	return key;
}

json_t *
house_ledger(void)
{
	struct output output =
	    run("chatello", "usage", "export", "--format", "jsonl", NULL);
	json_t *lines = json_array();

	CHECK_INT(output.code, 0);
	for (char *at = output.out; *at;) {
		size_t n = strcspn(at, "\n");
		json_t *line = json_loadb(at, n, JSON_REJECT_DUPLICATES, NULL);

		CHECK(line);
		json_array_append_new(lines, line);
		at += n + (at[n] == '\n');
	}
	output_free(&output);
	return lines;
}

/* --- JSON ------------------------------------------------------------------
 */

json_t *
json_at(const json_t *object, const char *path)
{
	const json_t *at = object;

	while (at && *path) {
		char name[64];
		size_t n = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(name))
				       : json_object_get(at, name);
		path += n + (path[n] == '.');
	}
	return (json_t *)(uintptr_t)at;
}

long long
json_int_at(const json_t *object, const char *path)
{
	const json_t *value = json_at(object, path);

	if (!json_is_integer(value))
		test_fail(__FILE__, __LINE__, "%s is no integer in %.600s",
			  path, json_dumps(object, 0));
	return json_integer_value(value);
}

struct str
json_str_at(const json_t *object, const char *path)
{
	const char *text = json_string_value(json_at(object, path));

	return str_of(text ? text : "");
}
