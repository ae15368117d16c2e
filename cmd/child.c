/*
 * child: see child.h. Behind the fork only the new process runs; the launcher
 * has one thread, so that any function may be called there.
 */
#include "cmd/child.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIRST_FD 3	 /* SD_LISTEN_FDS_START */
#define SPARE_FD 16	 /* above all that dup2 writes to */
#define EXIT_NO_EXEC 127 /* as the shell has it */

bool
child_program_dir(char *out, size_t out_bytes)
{
	ssize_t n = readlink("/proc/self/exe", out, out_bytes - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	return true;
}

static bool
program_path(const char *dir, const char *kind, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/chatello-%s", dir, kind) < PATH_MAX;
}

enum err
child_check_program(const char *program_dir, const char *kind, struct why *why)
{
	char path[PATH_MAX];

	if (!program_path(program_dir, kind, path) || access(path, X_OK) != 0)
		return why_set(why, ERR_CONFIG,
			       "chatello-%s is not beside this program in "
			       "%.200s: run `make`",
			       kind, program_dir);
	return ERR_OK;
}

static void
set_number(const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	setenv(name, text, 1);
}

static void
set_secret(const char *name, const char *value, bool is_for_it)
{
	if (is_for_it && value[0])
		setenv(name, value, 1);
	else
		unsetenv(name);
}

/* Every setting as the launcher has it, whether it came from a flag, a file or
 * the environment. */
static void
set_environment(const struct child_launch *launch)
{
	const struct conf *conf = launch->conf;
	bool is_proxy = strcmp(launch->kind, "proxy") == 0;

#define SET_TEXT(env, value) setenv(env, value, 1)
#define SET_PATH(env, value) setenv(env, value, 1)
#define SET_ADDRESS(env, value) setenv(env, value, 1)
#define SET_INT(env, value) set_number(env, value)
#define SET_BYTES(env, value) set_number(env, value)
#define SET_SECRET(env, value) set_secret(env, value, is_proxy)
#define CONF(field, kind, env, def, min, max, help)                            \
	SET_##kind(#env, conf->field);
#include "lib/conf.def"
#undef CONF
	set_number("CHATELLO_INDEX", launch->index);
	setenv("NOTIFY_SOCKET", launch->notify, 1);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (!launch->has_listeners)
		return;
	set_number("LISTEN_PID", getpid());
	set_number("LISTEN_FDS", CHILD_LISTENERS);
	setenv("LISTEN_FDNAMES", "public:admin:internal", 1);
}

/* The listeners to 3, 4, 5; everything else of ours closes at exec. */
static bool
place_descriptors(const struct child_launch *launch)
{
	int spare[CHILD_LISTENERS];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* Standard output is for the launcher's one line. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return false;
	if (!launch->has_listeners)
		return true;
	for (int i = 0; i < CHILD_LISTENERS; i++) {
		spare[i] =
		    fcntl(launch->listeners[i], F_DUPFD_CLOEXEC, SPARE_FD);
		if (spare[i] < 0)
			return false;
	}
	for (int i = 0; i < CHILD_LISTENERS; i++)
		if (dup2(spare[i], FIRST_FD + i) < 0)
			return false;
	return true;
}

/* The edge and the validator wake each other all the time. On two processors
 * they have one each: the kernel often lets one wait behind the other while the
 * second one is idle. Among more it finds a free one, and several edges it
 * spreads better itself. doc/decisions/022-two-processors.md */
static void
choose_processor(const struct child_launch *launch)
{
	bool is_edge = strcmp(launch->kind, "edge") == 0;
	cpu_set_t allowed, one;
	size_t at = 0;

	if ((!is_edge && strcmp(launch->kind, "validate") != 0) ||
	    launch->conf->edges != 1 || launch->conf->validators != 1 ||
	    sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
	    CPU_COUNT(&allowed) != 2)
		return;
	while (!CPU_ISSET(at, &allowed))
		at++;
	CPU_ZERO(&one);
	CPU_SET(at, &one);
	if (!is_edge)
		CPU_XOR(&one, &one, &allowed);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

_Noreturn static void
become(const struct child_launch *launch, pid_t launcher)
{
	char path[PATH_MAX], name[64];
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launcher)
		_exit(EXIT_NO_EXEC); /* it died before the line above */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_environment(launch);
	choose_processor(launch);
	snprintf(name, sizeof(name), "chatello-%s", launch->kind);
	if (place_descriptors(launch) &&
	    program_path(launch->program_dir, launch->kind, path))
		execl(path, name, (char *)NULL);
	_exit(EXIT_NO_EXEC);
}

pid_t
child_start(const struct child_launch *launch)
{
	pid_t launcher = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(launch, launcher);
	return pid;
}
