/*
 * demo: what `make run` starts: the house with a demo licence, which ends as
 * `chatello up` does.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "integration-tests/house.h"

#define DEMO "../../.ci/run-demo" /* from build/MODE */

TEST_LIMITED(demo_fails_when_the_house_does, 90)
{
	char chatello[PATH_MAX];
	struct output output;
	struct house house;

	house_init(&house);
	house_up(&house);
	program_path("chatello", chatello);
	house_set("CHATELLO_DATA", "other-data");
	house_set("CHATELLO_PUBLIC", house.public);
	output = run(DEMO, chatello, NULL);
	CHECK_INT(output.code, 1);
	CHECK(strstr(output.err, "in use"));
	CHECK(!strstr(output.out, "ready"));
	CHECK(!strstr(output.out, "curl"));
	output_free(&output);
	CHECK_INT(house_down(&house), 0);
}

static void
ignore(int signal)
{
	(void)signal;
}

/* As a terminal's Ctrl-C does, the whole group is told. */
TEST_LIMITED(demo_stops_when_interrupted, 90)
{
	struct sigaction action = {.sa_handler = ignore,
				   .sa_flags = SA_RESTART};
	char chatello[PATH_MAX], line[512], *args[] = {chatello, NULL};
	bool is_ready = false, is_shown = false;
	struct house house;
	FILE *said;
	pid_t demo;
	int out;

	house_prepare(&house);
	program_path("chatello", chatello);
	CHECK(sigaction(SIGINT, &action, NULL) == 0);
	demo = start(DEMO, args, "demo.log", &out);
	said = fdopen(out, "r");
	CHECK(said);
	while (!is_shown && fgets(line, sizeof(line), said)) {
		is_ready |= strncmp(line, "ready ", 6) == 0;
		is_shown = strstr(line, "/api/usage") != NULL;
	}
	CHECK(is_ready && is_shown);
	CHECK(kill(0, SIGINT) == 0);
	CHECK_INT(wait_for(demo), 0);
	/* The house has ended before it: nobody holds the pipe any more. */
	CHECK(fcntl(out, F_SETFL, O_NONBLOCK) == 0);
	while (fgets(line, sizeof(line), said))
		CHECK_STR(str_of(line), STR("\n"));
	CHECK(feof(said));
	fclose(said);
}
