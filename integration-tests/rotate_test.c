/*
 * rotate: another master key under load and through kills: no request fails,
 * every key is found and opens, and the key that was opens nothing any more.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration-tests/ask.h"

#define OWN_CANARY "sk-own-canary-5521ab-WXYZ"
#define VENDOR_CANARY "sk-vendor-canary-90aa-HIJK"
#define KEY_FILE "data/master.key"

struct keys {
	char own[128];	   /* a licence whose customer has its own key */
	char plain[128];   /* one that gets the vendor's */
	char file[2][200]; /* the key file as it was, as it is */
};

static size_t
file_read(const char *path, char *out, size_t room)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(out, 1, room - 1, file) : 0;

	if (file)
		fclose(file);
	out[n] = '\0';
	return n;
}

static size_t
key_lines(void)
{
	char text[200];

	return file_read(KEY_FILE, text, sizeof(text)) / 65;
}

static void
own_key_set(const struct house *house, const char *key)
{
	struct answer answer;
	char headers[256];

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(&answer, house->public, "PUT", "/api/keys/openai", headers,
	     STR("{\"api_key\":\"" OWN_CANARY "\"}"));
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
}

static void
house_with_keys(struct house *house, struct keys *keys)
{
	house_init(house);
	house_sell();
	json_decref(tool("plan", "set", "big", "--limit",
			 "validations_hour=10000000", NULL));
	snprintf(keys->own, sizeof(keys->own), "%s", house_license("big"));
	snprintf(keys->plain, sizeof(keys->plain), "%s", house_license("big"));
	house_set("OPENAI_API_KEY", "");
	vendor_key("default", VENDOR_CANARY);
	house_up(house);
	own_key_set(house, keys->own);
	CHECK_INT(file_read(KEY_FILE, keys->file[0], sizeof(keys->file[0])),
		  65);
}

static int
chat_status(const struct house *house, const char *key)
{
	struct answer answer;

	chat(&answer, house, &(struct chat){.key = key});
	answer_free(&answer);
	return answer.status;
}

/* Until the processes that were killed are back. */
static void
chat_until_well(const struct house *house, const char *key)
{
	long long began = now_ms();

	while (chat_status(house, key) != 200)
		CHECK(now_ms() - began < 10000);
}

/* Both licences are found, and each kind of key opens in the proxy. */
static void
check_well(const struct house *house, const struct keys *keys)
{
	CHECK_INT(validate(house, keys->own), 200);
	CHECK_INT(validate(house, keys->plain), 200);
	CHECK_INT(chat_status(house, keys->own), 200);
	CHECK(upstream_saw(house, "Bearer " OWN_CANARY "\r\n"));
	CHECK_INT(chat_status(house, keys->plain), 200);
	CHECK(upstream_saw(house, "Bearer " VENDOR_CANARY "\r\n"));
}

/* A process that asks until the pipe is closed; any other answer than 200 fails
 * it. */
static pid_t
load_start(const struct house *house, const struct keys *keys,
	   const int pipe_ends[2])
{
	struct pollfd closed = {.fd = pipe_ends[0], .events = POLLIN};
	int asked = 0;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	close(pipe_ends[1]);
	while (poll(&closed, 1, 0) == 0) {
		CHECK_INT(validate(house, keys->own), 200);
		CHECK_INT(chat_status(house, keys->own), 200);
		CHECK_INT(validate(house, keys->plain), 200);
		CHECK_INT(chat_status(house, keys->plain), 200);
		asked += 4;
	}
	CHECK(asked >= 40);
	_exit(0);
}

static void
check_old_key_is_nothing(struct house *house, struct keys *keys)
{
	struct output output;
	FILE *file = fopen("old.key", "w");

	CHECK(file && fchmod(fileno(file), 0600) == 0 &&
	      fputs(keys->file[0], file) >= 0 && fclose(file) == 0);
	house_set("CHATELLO_MASTER_KEY_FILE", "old.key");
	output = run("chatello", "up", NULL);
	CHECK_INT(output.code, 1);
	CHECK(strstr(output.err, "master key"));
	output_free(&output);
	output = run("chatello", "license", "show", keys->own, NULL);
	CHECK_INT(output.code, 1);
	output_free(&output);
	CHECK(unsetenv("CHATELLO_MASTER_KEY_FILE") == 0);
	CHECK(unlink("old.key") == 0);
	keys->file[0][64] = '\0';
	CHECK_INT(files_with("data", keys->file[0]), 0);
	house_up(house);
	check_well(house, keys);
}

TEST_LIMITED(rotate_under_load_fails_no_request, 120)
{
	struct house house;
	struct keys keys;
	json_t *done, *shown;
	pid_t load[2];
	int pipe_ends[2];

	house_set("CHATELLO_PROXIES", "2");
	house_set("CHATELLO_VALIDATORS", "2");
	house_with_keys(&house, &keys);
	house_set("CHATELLO_PROXIES", "1"); /* what runs counts */
	CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
	for (int i = 0; i < 2; i++)
		load[i] = load_start(&house, &keys, pipe_ends);
	for (int i = 0; i < 3; i++) {
		const char *more = house_license("big");

		done = tool("key", "rotate", NULL);
		CHECK_JSON_INT(done, "proxies", 2);
		CHECK_JSON_INT(done, "unreadable", 0);
		CHECK_JSON_INT(done, "resealed", 5 + i);
		json_decref(done);
		CHECK_INT(validate(&house, more), 200);
	}
	close(pipe_ends[1]);
	for (int i = 0; i < 2; i++)
		CHECK_INT(wait_for(load[i]), 0);
	file_read(KEY_FILE, keys.file[1], sizeof(keys.file[1]));
	CHECK(strcmp(keys.file[0], keys.file[1]) != 0);
	CHECK_INT(key_lines(), 1);
	shown = tool("license", "show", keys.own, NULL);
	CHECK_JSON_STR(shown, "status", "active");
	json_decref(shown);
	shown = tool("key", "test", "openai", NULL);
	CHECK_JSON_STR(shown, "outcome", "ok");
	json_decref(shown);
	/* What starts now knows the new one only. */
	house_set("CHATELLO_PROXIES", "2");
	CHECK_INT(house_down(&house), 0);
	check_old_key_is_nothing(&house, &keys);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", "canary"), 0);
}

static pid_t
rotate_start(void)
{
	static char noun[] = "key", verb[] = "rotate";
	char *args[] = {noun, verb, NULL};
	int out;
	pid_t pid = start("chatello", args, "rotate.log", &out);

	close(out);
	return pid;
}

static void
check_goes_on(const struct house *house, const struct keys *keys)
{
	check_well(house, keys);
	json_decref(tool("key", "rotate", NULL));
	CHECK_INT(key_lines(), 1);
	check_well(house, keys);
}

/* The command is killed while the ledger has not heard of the new key, then
 * everybody who has the old one only. */
TEST_LIMITED(rotate_goes_on_when_all_of_it_was_killed, 120)
{
	static const char *const names[] = {"usage-0", "proxy-0", "validate-0"};
	struct house house;
	struct output output;
	struct keys keys;
	pid_t pid;

	house_with_keys(&house, &keys);
	CHECK(house_kill(&house, "usage-0", SIGSTOP));
	pid = rotate_start();
	while (key_lines() != 2)
		CHECK_INT(validate(&house, keys.plain), 200);
	CHECK(kill(pid, SIGKILL) == 0);
	wait_for(pid);
	house_kill(&house, "usage-0", SIGCONT);
	chat_until_well(&house, keys.plain);
	check_well(&house, &keys);
	output = run("chatello", "doctor", NULL);
	CHECK_INT(output.code, 1);
	CHECK(strstr(output.out, "chatello key rotate"));
	output_free(&output);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK(house_kill(&house, names[i], SIGKILL));
		chat_until_well(&house, keys.plain);
		chat_until_well(&house, keys.own);
	}
	check_goes_on(&house, &keys);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with("rotate.log", "canary"), 0);
}

/* Wherever it is killed; each round later than the one before. */
TEST_LIMITED(rotate_goes_on_wherever_it_was_killed, 120)
{
	struct house house;
	struct keys keys;
	pid_t pid;

	house_with_keys(&house, &keys);
	for (int round = 0; round < 12; round++) {
		pid = rotate_start();
		for (int i = 0; i < 2 * round; i++)
			CHECK_INT(validate(&house, keys.own), 200);
		kill(pid, SIGKILL);
		wait_for(pid);
		check_well(&house, &keys);
		CHECK(house_kill(&house, "proxy-0", SIGKILL));
		chat_until_well(&house, keys.own);
		if (round % 4 == 3)
			check_goes_on(&house, &keys);
	}
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(rotate_needs_no_running_house, 60)
{
	struct house house;
	struct keys keys;
	json_t *done;

	house_with_keys(&house, &keys);
	CHECK_INT(house_down(&house), 0);
	done = tool("key", "rotate", NULL);
	CHECK_JSON_INT(done, "proxies", 0);
	CHECK_JSON_INT(done, "resealed", 4);
	json_decref(done);
	check_old_key_is_nothing(&house, &keys);
	CHECK_INT(house_down(&house), 0);
}
