/*
 * upstream: see upstream.h. curl tells which sockets and which timer it wants;
 * the loop watches them and hands events back (multi_socket_action). What ended
 * is reported behind each such step, outside of curl's own callbacks, so that
 * handlers may call again. Targets and calls: upstream_target, upstream_call.
 */
#include "workers/upstream_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A socket that curl wants watched. */
struct socket_watch {
	struct upstream *upstream;
	struct loop_fd *fd;
};

/* --- the loop -------------------------------------------------------- */

static void
report_ended(struct upstream *upstream)
{
	CURLMsg *message;
	int left;

	/* A handler that calls again does not come back here. */
	if (upstream->is_reporting)
		return;
	upstream->is_reporting = true;
	while ((message = curl_multi_info_read(upstream->multi, &left))) {
		CURLcode code = message->data.result;
		struct upstream_call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &call);
		upstream_call_end(call, code);
	}
	upstream->is_reporting = false;
}

static void
on_timer(void *ctx)
{
	struct upstream *upstream = ctx;
	int running;

	curl_multi_socket_action(upstream->multi, CURL_SOCKET_TIMEOUT, 0,
				 &running);
	report_ended(upstream);
}

static int
on_timer_wish(CURLM *multi, long timeout_ms, void *ctx)
{
	struct upstream *upstream = ctx;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_clear(upstream->loop, &upstream->timer);
	else
		loop_timer_set(upstream->loop, &upstream->timer, timeout_ms,
			       on_timer, upstream);
	return 0;
}

static void
on_socket(void *ctx, int fd, uint32_t events)
{
	struct socket_watch *watch = ctx;
	struct upstream *upstream = watch->upstream;
	int mask = 0;
	int running;

	if (events & (EPOLLIN | EPOLLRDHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
	curl_multi_socket_action(upstream->multi, fd, mask, &running);
	report_ended(upstream);
}

static uint32_t
events_of_poll(int what)
{
	uint32_t events = 0;

	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	return events;
}

/* -1 makes curl fail every call: the loop has no memory or no descriptor. */
static int
on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *ctx, void *own)
{
	struct upstream *upstream = ctx;
	struct socket_watch *watch = own;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			loop_fd_remove(upstream->loop, watch->fd);
		free(watch);
		return 0;
	}
	if (watch)
		return loop_fd_change(upstream->loop, watch->fd,
				      events_of_poll(what)) == ERR_OK
			   ? 0
			   : -1;
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return -1;
	watch->upstream = upstream;
	if (loop_fd_add(upstream->loop, fd, events_of_poll(what), on_socket,
			watch, &watch->fd) != ERR_OK) {
		free(watch);
		return -1;
	}
	curl_multi_assign(upstream->multi, fd, watch);
	return 0;
}

/* --- open and close -------------------------------------------------- */

enum err
upstream_open(struct upstream **out, struct loop *loop, int64_t connect_ms,
	      struct why *why)
{
	struct upstream *upstream;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return why_set(why, ERR_NO_MEMORY,
			       "the HTTP library does not start");
	upstream = calloc(1, sizeof(*upstream));
	if (upstream)
		upstream->multi = curl_multi_init();
	if (upstream == NULL || upstream->multi == NULL) {
		free(upstream);
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	}
	upstream->loop = loop;
	upstream->connect_ms = connect_ms;
	curl_multi_setopt(upstream->multi, CURLMOPT_SOCKETFUNCTION,
			  on_socket_wish);
	curl_multi_setopt(upstream->multi, CURLMOPT_SOCKETDATA, upstream);
	curl_multi_setopt(upstream->multi, CURLMOPT_TIMERFUNCTION,
			  on_timer_wish);
	curl_multi_setopt(upstream->multi, CURLMOPT_TIMERDATA, upstream);
	curl_multi_setopt(upstream->multi, CURLMOPT_PIPELINING,
			  (long)CURLPIPE_NOTHING);
	curl_multi_setopt(upstream->multi, CURLMOPT_MAXCONNECTS,
			  (long)UPSTREAM_IDLE_MAX);
	*out = upstream;
	return ERR_OK;
}

enum err
upstream_trust(struct upstream *upstream, const char *ca_file, struct why *why)
{
	if (ca_file[0] && access(ca_file, R_OK) != 0)
		return why_set(why, ERR_CONFIG, "cannot read %.200s: %s",
			       ca_file, strerror(errno));
	upstream->ca_file = ca_file[0] ? ca_file : NULL;
	return ERR_OK;
}

void
upstream_close(struct upstream *upstream)
{
	if (upstream == NULL)
		return;
	curl_multi_cleanup(upstream->multi);
	loop_timer_clear(upstream->loop, &upstream->timer);
	free(upstream);
}
