/*
 * test: forks each test into its own folder; see test.h. The process limit and
 * the time limit are the runner's, so that a hanging test fails by itself.
 */
#include "lib/test.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define EXIT_FAILED 1
#define EXIT_SKIPPED 77

struct job {
	pid_t pid;
	struct test *test;
	struct timespec began;
	char dir[64];
};

static struct test *first_test;

void
test_register(struct test *test)
{
	struct test **at = &first_test;

	while (*at && (strcmp((*at)->file, test->file) < 0 ||
		       (strcmp((*at)->file, test->file) == 0 &&
			strcmp((*at)->name, test->name) < 0)))
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

void
test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(EXIT_FAILED);
}

void
test_skip(const char *why)
{
	fprintf(stderr, "skipped: %s\n", why);
	_exit(EXIT_SKIPPED);
}

unsigned
test_count(struct str text, const char *part)
{
	size_t n = strlen(part);
	unsigned count = 0;

	for (size_t i = 0; i + n <= text.n; i++)
		count += memcmp(text.p + i, part, n) == 0;
	return count;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
child(const struct test *test, const char *dir)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(dir) != 0)
		test_fail(__FILE__, __LINE__, "chdir %s: %s", dir,
			  strerror(errno));
	alarm((unsigned)test->timeout_s);
	test->run();
	fflush(NULL);
	exit(0); /* not _exit: sanitizers report leaks at exit */
}

static void
start(struct job *job, struct test *test)
{
	const char *base = getenv("TMPDIR");

	snprintf(job->dir, sizeof(job->dir), "%.40s/chl-XXXXXX",
		 base && strlen(base) < 40 ? base : "/tmp");
	if (mkdtemp(job->dir) == NULL) {
		perror("mkdtemp");
		exit(2);
	}
	job->test = test;
	clock_gettime(CLOCK_MONOTONIC, &job->began);
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0) {
		perror("fork");
		exit(2);
	}
	if (job->pid == 0)
		child(test, job->dir);
}

/* 0 passed, 1 failed, 2 skipped */
static int
finish(struct job *job, int status)
{
	struct timespec now;
	const char *word = "FAIL";
	int outcome = 1;
	double seconds;

	kill(-job->pid, SIGKILL); /* whatever the test left running */
	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - job->began.tv_sec) +
		  (double)(now.tv_nsec - job->began.tv_nsec) / 1e9;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		outcome = 0;
		word = "ok";
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
		outcome = 2;
		word = "skip";
	}
	printf("%-4s %s %s (%.2f s)%s\n", word, job->test->file,
	       job->test->name, seconds,
	       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
	fflush(stdout);
	if (getenv("TEST_KEEP") == NULL || outcome == 0)
		nftw(job->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	else
		printf("     kept %s\n", job->dir);
	job->pid = 0;
	return outcome;
}

static bool
is_wanted(const struct test *test, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (strstr(test->name, names[i]) ||
		    strstr(test->file, names[i]))
			return true;
	return count == 0;
}

static struct job *
job_of(struct job *jobs, int count, pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (jobs[i].pid == pid)
			return &jobs[i];
	return NULL;
}

int
main(int argc, char **argv)
{
	static struct job jobs[JOBS_MAX];
	int outcomes[3] = {0, 0, 0};
	int limit = 2, running = 0, status, option;
	struct test *next = first_test;

	while ((option = getopt(argc, argv, "j:")) != -1) {
		limit = option == 'j' ? (int)strtol(optarg, NULL, 10) : 0;
		if (limit < 1 || limit > JOBS_MAX) {
			fprintf(stderr, "usage: %s [-j JOBS] [NAME ...]\n",
				argv[0]);
			return 2;
		}
	}
	while (next || running) {
		struct job *job;
		pid_t pid;

		while (next && !is_wanted(next, argv + optind, argc - optind))
			next = next->next;
		if (next && running < limit) {
			start(job_of(jobs, JOBS_MAX, 0), next);
			next = next->next;
			running++;
			continue;
		}
		if (running == 0)
			break;
		pid = waitpid(-1, &status, 0);
		job = pid > 0 ? job_of(jobs, JOBS_MAX, pid) : NULL;
		if (job == NULL)
			continue;
		outcomes[finish(job, status)]++;
		running--;
	}
	printf("%d passed, %d failed, %d skipped\n", outcomes[0], outcomes[1],
	       outcomes[2]);
	return outcomes[1] > 0 || outcomes[0] == 0 ? 1 : 0;
}
