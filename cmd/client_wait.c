/*
 * client_wait: see client_wait.h. Whoever gives the lease back closes its file,
 * which it had open to write; so does everybody whose try fails. Therefore an
 * event is only a reason to look, and looking opens the file to read.
 */
#include "cmd/client_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/clock.h"

enum err
client_wait_open(struct client_wait *wait, const struct conf *conf,
		 struct why *why)
{
	int lock = -1;

	snprintf(wait->lock, sizeof(wait->lock), "%s/store/writer.lock",
		 conf->data);
	wait->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (wait->fd >= 0)
		lock = inotify_add_watch(wait->fd, wait->lock, IN_CLOSE_WRITE);
	if (lock < 0) {
		why_set(why, ERR_IO, "cannot watch %.200s: %s", wait->lock,
			strerror(errno));
		client_wait_close(wait);
		return ERR_IO;
	}
	wait->run_dir =
	    inotify_add_watch(wait->fd, conf->run_dir, IN_CREATE | IN_MOVED_TO);
	return ERR_OK;
}

void
client_wait_close(struct client_wait *wait)
{
	if (wait->fd >= 0)
		close(wait->fd);
	wait->fd = -1;
}

static bool
is_free(const struct client_wait *wait)
{
	int fd = open(wait->lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool is_locked;

	if (fd < 0)
		return true; /* who tries is told why */
	is_locked = flock(fd, LOCK_SH | LOCK_NB) == 0;
	close(fd);
	return is_locked;
}

/* Takes what has come; true: a socket is new. */
static bool
take_events(const struct client_wait *wait)
{
	union {
		struct inotify_event first;
		char bytes[4096];
	} events;
	bool is_new = false;
	ssize_t n;

	while ((n = read(wait->fd, &events, sizeof(events))) > 0) {
		size_t at = 0;

		while (at + sizeof(events.first) <= (size_t)n) {
			struct inotify_event event;

			memcpy(&event, events.bytes + at, sizeof(event));
			is_new |= event.wd == wait->run_dir;
			at += sizeof(event) + event.len;
		}
	}
	return is_new;
}

bool
client_wait_for(struct client_wait *wait, int64_t until_ms)
{
	struct pollfd p = {.fd = wait->fd, .events = POLLIN};

	for (;;) {
		int64_t left_ms = until_ms - clock_mono_ms();

		if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0)
			return false;
		if (take_events(wait) || is_free(wait))
			return true;
	}
}
