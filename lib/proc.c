/*
 * proc: see proc.h. The systemd conventions are a datagram and three variables
 * of the environment; they are spoken here by hand, without its library.
 */
#include "lib/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MMAP_BYTES (256 << 10) /* a block of that size goes back when freed */
#define TRIM_BYTES (1 << 20)   /* free at the heap's end: it shrinks */
#define BACKLOG 4096
#define LISTEN_FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define LISTEN_FDS_MAX 64
#define HOST_BYTES 64

/* By itself malloc learns from each large block that it is to keep such blocks:
 * one long answer, and the process holds megabytes from then on. And every
 * thread of a library's would have a heap of its own. */
static void
give_memory_back(void)
{
	mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
	mallopt(M_ARENA_MAX, 1);
}

void
proc_harden(void)
{
	const struct rlimit none = {0, 0};
	struct rlimit files;
	int fd;

	give_memory_back();
	umask(027);
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
	/* A socket must never get the number of a standard descriptor. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

void
proc_notify(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd, flags = MSG_NOSIGNAL;

	if (n < 2 || n >= sizeof(to.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* A heartbeat must not wait for a supervisor that stands still; what is
	 * said once must arrive. */
	if (strncmp(message, "WATCHDOG=", 9) == 0)
		flags |= MSG_DONTWAIT;
	sendto(fd, message, strlen(message), flags,
	       (const struct sockaddr *)&to,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* --- listening sockets ---------------------------------------------------- */

static bool
read_number(const char *text, long max, long *out)
{
	char *end;
	long value;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || value > max)
		return false;
	*out = value;
	return true;
}

/* The place of name among names ("public:admin"), or -1. */
static int
place_of(const char *names, const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; names && i < LISTEN_FDS_MAX; i++) {
		size_t part = strcspn(names, ":");

		if (part == n && memcmp(names, name, n) == 0)
			return i;
		if (names[part] == '\0')
			break;
		names += part + 1;
	}
	return -1;
}

int
proc_listen_fd(const char *name)
{
	int place = place_of(getenv("LISTEN_FDNAMES"), name);
	long pid, count;
	int fd, flags;

	if (place < 0 || !read_number(getenv("LISTEN_PID"), INT32_MAX, &pid) ||
	    pid != getpid() ||
	    !read_number(getenv("LISTEN_FDS"), LISTEN_FDS_MAX, &count) ||
	    place >= count)
		return -1;
	fd = LISTEN_FIRST_FD + place;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return fd;
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static enum err
read_address(const char *host_port, union address *out, struct why *why)
{
	const char *colon = strrchr(host_port, ':');
	size_t n = colon ? (size_t)(colon - host_port) : 0;
	char host[HOST_BYTES] = "127.0.0.1";
	long port;

	*out = (union address){0};
	if (colon == NULL || n >= sizeof(host) ||
	    !read_number(colon + 1, UINT16_MAX, &port))
		return why_set(why, ERR_CONFIG,
			       "\"%.128s\" is no listener: write host:port, as "
			       "in 127.0.0.1:5010 or [::1]:5010",
			       host_port);
	if (n > 2 && host_port[0] == '[' && host_port[n - 1] == ']') {
		memcpy(host, host_port + 1, n - 2);
		host[n - 2] = '\0';
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1)
			return ERR_OK;
	} else {
		if (n > 0 &&
		    !str_eq(str_bytes(host_port, n), STR("localhost"))) {
			memcpy(host, host_port, n);
			host[n] = '\0';
		}
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1)
			return ERR_OK;
	}
	return why_set(why, ERR_CONFIG,
		       "\"%.128s\" has no numeric address: write host:port, "
		       "as in 127.0.0.1:5010 or [::1]:5010",
		       host_port);
}

static enum err
explain_bind(struct why *why, const char *host_port, int error)
{
	if (error == EADDRINUSE)
		return why_set(why, ERR_IO,
			       "port %s (%s) is in use: stop what listens "
			       "there, or choose another port",
			       strrchr(host_port, ':') + 1, host_port);
	if (error == EACCES)
		return why_set(why, ERR_IO,
			       "no right to listen on %s: choose a port from "
			       "1024 upwards",
			       host_port);
	if (error == EADDRNOTAVAIL)
		return why_set(why, ERR_IO,
			       "%s is no address of this machine: choose one "
			       "of its own, or 127.0.0.1",
			       host_port);
	return why_set(why, ERR_IO, "cannot listen on %s: %s", host_port,
		       strerror(error));
}

bool
proc_is_address(const char *host_port)
{
	union address address;

	return read_address(host_port, &address, NULL) == ERR_OK;
}

enum err
proc_listen(const char *host_port, int *out, struct why *why)
{
	union address address;
	enum err e = read_address(host_port, &address, why);
	const int on = 1;
	socklen_t n;
	int fd, error;

	if (e != ERR_OK)
		return e;
	n = address.any.sa_family == AF_INET6 ? sizeof(address.v6)
					      : sizeof(address.v4);
	fd = socket(address.any.sa_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return explain_bind(why, host_port, errno);
	/* TCP_NODELAY is inherited by what is accepted. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    bind(fd, &address.any, n) != 0 || listen(fd, BACKLOG) != 0) {
		error = errno;
		close(fd);
		return explain_bind(why, host_port, error);
	}
	*out = fd;
	return ERR_OK;
}

void
proc_listen_name(int fd, char *out, size_t out_bytes)
{
	union address address = {0};
	socklen_t n = sizeof(address);
	char host[HOST_BYTES] = "";

	if (getsockname(fd, &address.any, &n) != 0)
		address.any.sa_family = AF_UNSPEC;
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
		snprintf(out, out_bytes, "[%s]:%u", host,
			 (unsigned)ntohs(address.v6.sin6_port));
	} else if (address.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host));
		snprintf(out, out_bytes, "%s:%u", host,
			 (unsigned)ntohs(address.v4.sin_port));
	} else {
		snprintf(out, out_bytes, "?");
	}
}

/* --- the rest ------------------------------------------------------------- */

enum err
proc_lock(const char *path, int *out, struct why *why)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	int error;

	if (fd < 0)
		return why_set(why, ERR_IO, "cannot open %.200s: %s", path,
			       strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		error = errno;
		close(fd);
		if (error == EWOULDBLOCK)
			return why_set(why, ERR_EXISTS,
				       "%.200s is held by a running process: "
				       "stop that one first",
				       path);
		return why_set(why, ERR_IO, "cannot lock %.200s: %s", path,
			       strerror(error));
	}
	*out = fd;
	return ERR_OK;
}

void
proc_trim(void)
{
	malloc_trim(0);
}

void
proc_schedule_as_batch(void)
{
	const struct sched_param none = {0};

	(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

int64_t
proc_resident_bytes(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128] = "", *second;
	long long pages;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	second = n > 0 ? strchr(text, ' ') : NULL;
	pages = second ? strtoll(second, NULL, 10) : 0;
	return pages > 0 ? (int64_t)pages * sysconf(_SC_PAGESIZE) : 0;
}
