/*
 * bus_sendmsg: keeps nng 1.5.2's ipc listeners alive. A client that connects
 * and closes before the greeting makes nng's sendmsg(2) fail with EPIPE, which
 * it takes for "this listener was closed" and never accepts again (nng #1518,
 * fixed in 1.6). The library calls the executable's sendmsg, this one, and gets
 * ECONNRESET instead, which means the connection only.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n = syscall(SYS_sendmsg, fd, message, flags | MSG_NOSIGNAL);

	if (n < 0 && errno == EPIPE)
		errno = ECONNRESET;
	return n;
}
