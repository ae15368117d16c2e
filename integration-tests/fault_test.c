/*
 * fault: what goes wrong around a house: sockets that are poked, names and
 * ports that are taken, processes that stop or die, folders and keys that are
 * not what they should be. One line says what to do, and nothing changes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "integration-tests/ask.h"

#define POKES 1000

static void
poke_unix(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	CHECK(strlen(path) < sizeof(to.sun_path));
	memcpy(to.sun_path, path, strlen(path) + 1);
	for (int i = 0; i < POKES; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0);
		connect(fd, (struct sockaddr *)&to, sizeof(to));
		close(fd);
	}
}

static int
poke_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct stat st;
	char path[512];
	int poked = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
			continue;
		poke_unix(path);
		poked++;
	}
	closedir(dir);
	return poked;
}

static void
check_serving(const struct house *house, const char *key)
{
	struct answer answer;

	CHECK_INT(validate(house, key), 200);
	chat(&answer, house, &(struct chat){.key = key});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
}

TEST_LIMITED(fault_connect_and_close_on_every_socket, 120)
{
	struct house house;
	struct client client;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	const char *listeners[] = {house.public, house.admin, house.internal};

	CHECK(poke_folder("data/run") >= 4);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < POKES; j++) {
			CHECK(client_open(&client, listeners[i]));
			client_close(&client);
		}
	check_serving(&house, key);
	/* Every inbox still takes new peers: the processes come back one by
	 * one and find each other. */
	static const char *const names[] = {"validate-0", "proxy-0", "usage-0",
					    "edge-0"};

	for (int i = 0; i < 4; i++) {
		long long began = now_ms();
		struct answer answer;

		CHECK(house_kill(&house, names[i], SIGKILL));
		do {
			chat(&answer, &house, &(struct chat){.key = key});
			answer_free(&answer);
			if (validate(&house, key) != 200)
				answer.status = 0;
		} while (answer.status != 200 && now_ms() - began < 5000);
		CHECK_INT(answer.status, 200);
	}
	/* and the tools' socket */
	json_decref(tool("license", "suspend", key, NULL));
	CHECK_INT(validate(&house, key), 403);
	CHECK_INT(house_down(&house), 0);
}

static void
check_refused(struct output output, const char *says)
{
	if (output.code != 1 || output.out[0] != '\0' ||
	    strlen(output.err) < 10 || !strstr(output.err, says))
		test_fail(__FILE__, __LINE__, "exit %d, \"%s\", \"%s\"",
			  output.code, output.out, output.err);
	output_free(&output);
}

TEST_LIMITED(fault_second_start_of_each_process, 60)
{
	static const char *const programs[] = {
	    "chatello-edge", "chatello-validate", "chatello-proxy",
	    "chatello-usage", "chatello-analytics"};
	struct house house;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	for (int i = 0; i < 5; i++) {
		struct output output = run(programs[i], "--index", "0", NULL);

		if (output.code != 1)
			test_fail(__FILE__, __LINE__, "%s: exit %d: %s",
				  programs[i], output.code, output.err);
		CHECK(strlen(output.err) > 10);
		output_free(&output);
		check_serving(&house, key);
	}
	check_refused(run("chatello", "up", NULL), "");
	check_serving(&house, key);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(fault_port_in_use, 60)
{
	struct house house, second;
	char address[ADDRESS_BYTES];
	struct output output;

	house_init(&house);
	house_up(&house);
	snprintf(address, sizeof(address), "%s", house.public);
	CHECK(mkdir("second", 0755) == 0 && chdir("second") == 0);
	house_prepare(&second);
	json_decref(tool("init", NULL));
	house_set("CHATELLO_PUBLIC", address);
	output = run("chatello", "up", NULL);
	CHECK_INT(output.code, 1);
	CHECK(strstr(output.err, strrchr(address, ':') + 1));
	CHECK(strstr(output.err, "in use"));
	CHECK(!strstr(output.out, "ready"));
	output_free(&output);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(fault_missing_store, 60)
{
	struct house house;

	house_prepare(&house);
	check_refused(run("chatello", "up", NULL), "chatello init");
	check_refused(run("chatello", "license", "issue", "--email",
			  "owner@shop.example", "--plan", "pro", NULL),
		      "chatello init");
	check_refused(run("chatello", "event", "list", NULL), "chatello init");
	CHECK(access("data/store", F_OK) != 0);
}

TEST_LIMITED(fault_folder_without_rights, 60)
{
	struct house house;

	house_prepare(&house);
	house_set("CHATELLO_DATA", "/proc/chatello"); /* also for root */
	check_refused(run("chatello", "init", NULL), "/proc/chatello");
	check_refused(run("chatello", "up", NULL), "");
	house_set("CHATELLO_DATA", "missing/data");
	check_refused(run("chatello", "init", NULL),
		      "make the folder that it is in first");
	CHECK(access("missing", F_OK) != 0);
}

TEST_LIMITED(fault_wrong_master_key, 60)
{
	struct house house, other;
	char path[128];

	house_init(&house);
	const char *key = house_license("pro");

	CHECK(mkdir("other", 0755) == 0 && chdir("other") == 0);
	house_prepare(&other);
	json_decref(tool("init", NULL));
	CHECK(chdir("..") == 0);
	snprintf(path, sizeof(path), "%s", "other/data/master.key");
	house_prepare(&house);
	house_set("CHATELLO_MASTER_KEY_FILE", path);
	check_refused(run("chatello", "up", NULL), "master key");
	check_refused(run("chatello", "license", "issue", "--email",
			  "owner@shop.example", "--plan", "pro", NULL),
		      "master key");
	/* readable by others, short, missing */
	CHECK(chmod(path, 0644) == 0);
	check_refused(run("chatello", "up", NULL), "master");
	CHECK(chmod(path, 0600) == 0 && truncate(path, 5) == 0);
	check_refused(run("chatello", "up", NULL), "master");
	CHECK(unlink(path) == 0);
	check_refused(run("chatello", "up", NULL), "master");
	CHECK(access(path, F_OK) != 0);
	/* With the right one everything is as it was. */
	CHECK(unsetenv("CHATELLO_MASTER_KEY_FILE") == 0);
	house_up(&house);
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(house_down(&house), 0);
}

/* A stopped worker: the others carry on, and it is replaced or comes back. */
TEST_LIMITED(fault_stopped_worker, 60)
{
	struct house house;
	struct answer answer;
	long long began;

	house_set("CHATELLO_VALIDATORS", "2");
	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	CHECK(house_kill(&house, "validate-0", SIGSTOP));
	began = now_ms();
	for (int good = 0; good < 20;) {
		good += validate(&house, key) == 200;
		CHECK(now_ms() - began < 10000);
	}
	house_kill(&house, "validate-0", SIGCONT);
	CHECK(house_kill(&house, "usage-0", SIGSTOP));
	/* Refused in time, or served by its successor; validations go on. */
	CHECK_INT(validate(&house, key), 200);
	chat(&answer, &house, &(struct chat){.key = key});
	CHECK(answer.status == 200 || answer.status >= 500);
	answer_free(&answer);
	CHECK_INT(validate(&house, key), 200);
	house_kill(&house, "usage-0", SIGCONT);
	began = now_ms();
	do {
		chat(&answer, &house, &(struct chat){.key = key});
		answer_free(&answer);
	} while (answer.status != 200 && now_ms() - began < 10000);
	CHECK_INT(answer.status, 200);
	CHECK_INT(house_down(&house), 0);
}

/* A stopped writer is ended within 5 s, and its successor writes. */
TEST_LIMITED(fault_stopped_writer_is_ended, 60)
{
	struct house house;
	struct answer answer;
	struct pollfd ended = {.events = POLLIN};
	long long began;
	pid_t writer;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	writer = house_pid(&house, "usage-0");
	CHECK(writer > 0);
	ended.fd = (int)syscall(SYS_pidfd_open, writer, 0);
	CHECK(ended.fd >= 0 && kill(writer, SIGSTOP) == 0);
	began = now_ms();
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(poll(&ended, 1, 5000), 1);
	close(ended.fd);
	do {
		chat(&answer, &house, &(struct chat){.key = key});
		answer_free(&answer);
	} while (answer.status != 200 && now_ms() - began < 7000);
	CHECK_INT(answer.status, 200);
	CHECK_INT(house_down(&house), 0);
}
