/*
 * proc: what every process does at its start and for its supervisor: no core
 * dumps, no inherited rubbish, readiness and listening sockets by the systemd
 * conventions (sd_notify(3), sd_listen_fds(3)), which `chatello up` speaks too.
 */
#ifndef LIB_PROC_H
#define LIB_PROC_H

#include "lib/err.h"

/* umask 027, PR_SET_DUMPABLE 0, RLIMIT_CORE 0, SIGPIPE ignored, standard
 * descriptors open, RLIMIT_NOFILE raised to its hard limit. */
void proc_harden(void);
/* Sends e.g. "READY=1" to $NOTIFY_SOCKET; nothing without one. */
void proc_notify(const char *message);
/* The listening sockets that the supervisor passed, by name ($LISTEN_FDS,
 * $LISTEN_FDNAMES, $LISTEN_PID); -1 when there is none of that name. */
int proc_listen_fd(const char *name);
/* Is it what proc_listen takes? */
bool proc_is_address(const char *host_port);
/* "127.0.0.1:5010", "[::1]:0", ":5012" (= loopback). Binds and listens,
 * non-blocking, close-on-exec. A port in use: ERR_IO, why says what to do. */
enum err proc_listen(const char *host_port, int *fd, struct why *why);
/* The bound "host:port" of a listening socket. */
void proc_listen_name(int fd, char *out, size_t out_bytes);
/* Takes an exclusive flock on path (made 0640). ERR_EXISTS: it is held. */
enum err proc_lock(const char *path, int *fd, struct why *why);
/* Gives freed memory that malloc keeps back to the kernel; for a process that
 * has nothing to do. */
void proc_trim(void);
/* From now on this thread takes no CPU away from who runs when it wakes: it
 * waits for a free one, or for its share. For a worker, which then finds more
 * requests at once, and leaves those that feed it alone. sched(7), SCHED_BATCH;
 * where that is not permitted nothing changes. */
void proc_schedule_as_batch(void);
/* Resident set of this process in bytes, 0 when unknown. */
int64_t proc_resident_bytes(void);

#endif
