/* proc: hardening, the supervisor's conventions, listeners, locks. */
#include "lib/proc.h"

#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TEST(proc_harden_does_what_it_says)
{
	struct rlimit limit;
	int fd;

	close(STDIN_FILENO);
	proc_harden();
	CHECK_INT(prctl(PR_GET_DUMPABLE), 0);
	CHECK_INT(getrlimit(RLIMIT_CORE, &limit), 0);
	CHECK_INT(limit.rlim_cur, 0);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK(limit.rlim_cur == limit.rlim_max);
	CHECK_INT(umask(0), 027);
	CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd > STDERR_FILENO);
	close(fd);
	CHECK_INT(raise(SIGPIPE), 0); /* we are still here */
}

TEST(proc_schedules_as_batch)
{
	CHECK_INT(sched_getscheduler(0), SCHED_OTHER);
	proc_schedule_as_batch();
	CHECK_INT(sched_getscheduler(0), SCHED_BATCH);
}

static int
notify_socket(const char *path, bool is_abstract)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(at.sun_path + is_abstract, path, strlen(path));
	CHECK_INT(bind(fd, (struct sockaddr *)&at,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				   is_abstract + strlen(path))),
		  0);
	return fd;
}

TEST(proc_notify_reaches_the_supervisor)
{
	char path[128], cwd[64], text[64] = "", abstract[64];
	int fd;

	unsetenv("NOTIFY_SOCKET");
	proc_notify("READY=1"); /* nobody asked: nothing happens */
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(path, sizeof(path), "%s/notify", cwd);
	fd = notify_socket(path, false);
	setenv("NOTIFY_SOCKET", path, 1);
	proc_notify("READY=1");
	CHECK_INT(recv(fd, text, sizeof(text), 0), 7);
	CHECK_STR(str_bytes(text, 7), STR("READY=1"));
	close(fd);
	snprintf(abstract, sizeof(abstract), "@chatello-test-%ld",
		 (long)getpid());
	fd = notify_socket(abstract + 1, true);
	setenv("NOTIFY_SOCKET", abstract, 1);
	proc_notify("STOPPING=1");
	CHECK_INT(recv(fd, text, sizeof(text), 0), 10);
	CHECK_STR(str_bytes(text, 10), STR("STOPPING=1"));
	close(fd);
	setenv("NOTIFY_SOCKET", "relative", 1);
	proc_notify("READY=1");
}

TEST(proc_listen_fd_takes_only_what_was_passed_to_this_process)
{
	char pid[32];
	int fd = open("/dev/null", O_RDWR);

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	CHECK_INT(dup2(fd, 3), 3);
	CHECK_INT(dup2(fd, 4), 4);
	unsetenv("LISTEN_FDS");
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDNAMES", "public:admin:internal", 1);
	CHECK_INT(proc_listen_fd("public"), -1);
	setenv("LISTEN_FDS", "2", 1);
	CHECK_INT(proc_listen_fd("public"), 3);
	CHECK_INT(proc_listen_fd("admin"), 4);
	CHECK(fcntl(4, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(4, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(proc_listen_fd("internal"), -1); /* named, not passed */
	CHECK_INT(proc_listen_fd("adm"), -1);
	CHECK_INT(proc_listen_fd(""), -1);
	setenv("LISTEN_PID", "1", 1);
	CHECK_INT(proc_listen_fd("public"), -1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2x", 1);
	CHECK_INT(proc_listen_fd("public"), -1);
}

TEST(proc_listen_binds_names_and_refuses)
{
	struct why why = {0};
	char name[64], want[192];
	int fd = -1, other = -1, on = 0;
	socklen_t n = sizeof(on);

	CHECK_OK(proc_listen("127.0.0.1:0", &fd, &why));
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
	CHECK(on != 0);
	proc_listen_name(fd, name, sizeof(name));
	CHECK(str_starts(str_of(name), STR("127.0.0.1:")));
	CHECK(!str_ends(str_of(name), STR(":0")));
	CHECK_ERR(proc_listen(name, &other, &why), ERR_IO);
	CHECK_INT(other, -1);
	snprintf(want, sizeof(want),
		 "port %s (%s) is in use: stop what listens there, or choose "
		 "another port",
		 strrchr(name, ':') + 1, name);
	CHECK_STR(str_of(why.text), str_of(want));
	close(fd);
	CHECK_OK(proc_listen(":0", &fd, NULL));
	proc_listen_name(fd, name, sizeof(name));
	CHECK(str_starts(str_of(name), STR("127.0.0.1:")));
	close(fd);
	CHECK_OK(proc_listen("localhost:0", &fd, NULL));
	close(fd);
	if (proc_listen("[::1]:0", &fd, NULL) == ERR_OK) {
		proc_listen_name(fd, name, sizeof(name));
		CHECK(str_starts(str_of(name), STR("[::1]:")));
		close(fd);
	}
}

TEST(proc_listen_refuses_what_is_no_address)
{
	static const char *const bad[] = {
	    "",	      "5010",	      "127.0.0.1",	"127.0.0.1:",
	    ":65536", ":-1",	      ":5010x",		"shop.example:80",
	    "::1:80", "[::1:80",      "[]:80",		"[127.0.0.1]:80",
	    ": 5010", "1.2.3.4.5:80", "300.0.0.1:5010",
	};
	struct why why;
	int fd = -1;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = (struct why){0};
		CHECK_ERR(proc_listen(bad[i], &fd, &why), ERR_CONFIG);
		CHECK(strstr(why.text, "write host:port") != NULL);
		CHECK_INT(fd, -1);
	}
	CHECK_ERR(proc_listen("192.0.2.1:0", &fd, &why), ERR_IO);
	CHECK(strstr(why.text, "no address of this machine") != NULL);
}

TEST(proc_lock_has_one_holder)
{
	struct why why = {0};
	struct stat st;
	int fd = -1, other = -1;

	umask(027);
	CHECK_OK(proc_lock("edge-0.lock", &fd, &why));
	CHECK_INT(stat("edge-0.lock", &st), 0);
	CHECK_INT(st.st_mode & 0777, 0640);
	CHECK_ERR(proc_lock("edge-0.lock", &other, &why), ERR_EXISTS);
	CHECK_STR(str_of(why.text), STR("edge-0.lock is held by a running "
					"process: stop that one first"));
	CHECK_INT(other, -1);
	close(fd);
	CHECK_OK(proc_lock("edge-0.lock", &other, &why));
	close(other);
	CHECK_ERR(proc_lock("no/such/folder.lock", &other, &why), ERR_IO);
	CHECK(strstr(why.text, "no/such/folder.lock") != NULL);
}

TEST(proc_resident_bytes_is_plausible)
{
	int64_t bytes = proc_resident_bytes();

	CHECK(bytes > 100000);
	CHECK(bytes < ((int64_t)1 << 40));
}
