/*
 * upstream: see upstream.h. While curl connects it tells which sockets and
 * which timer it wants; the loop watches them and hands events back
 * (multi_socket_action). What ended is reported behind each such step, outside
 * of curl's own callbacks, so that handlers may call again.
 */
#include "workers/upstream_internal.h"
#include "workers/upstream_text.h"

#include <stdlib.h>
#include <sys/epoll.h>

/* A socket that curl wants watched while it connects. */
struct socket_watch {
	struct upstream_multi *multi;
	struct loop_fd *fd;
};

/* --- the loop -------------------------------------------------------- */

static void
report_ended(struct upstream_multi *multi)
{
	CURLMsg *message;
	int left;

	/* A handler that calls again does not come back here. */
	if (multi->is_reporting)
		return;
	multi->is_reporting = true;
	while ((message = curl_multi_info_read(multi->curl, &left))) {
		CURLcode code = message->data.result;
		struct upstream_connection *connection = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &connection);
		upstream_connection_made(connection, code);
	}
	multi->is_reporting = false;
}

static void
on_timer(void *ctx)
{
	struct upstream_multi *multi = ctx;
	int running;

	curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	report_ended(multi);
}

static int
on_timer_wish(CURLM *curl, long timeout_ms, void *ctx)
{
	struct upstream_multi *multi = ctx;
	struct loop *loop = multi->upstream->loop;

	(void)curl;
	if (timeout_ms < 0)
		loop_timer_clear(loop, &multi->timer);
	else
		loop_timer_set(loop, &multi->timer, timeout_ms, on_timer,
			       multi);
	return 0;
}

static void
on_socket(void *ctx, int fd, uint32_t events)
{
	struct socket_watch *watch = ctx;
	struct upstream_multi *multi = watch->multi;
	int mask = 0;
	int running;

	if (events & (EPOLLIN | EPOLLRDHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
	curl_multi_socket_action(multi->curl, fd, mask, &running);
	report_ended(multi);
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

/* -1 makes curl fail: the loop has no memory or no descriptor. */
static int
on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *ctx, void *own)
{
	struct upstream_multi *multi = ctx;
	struct loop *loop = multi->upstream->loop;
	struct socket_watch *watch = own;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			loop_fd_remove(loop, watch->fd);
		free(watch);
		return 0;
	}
	if (watch)
		return loop_fd_change(loop, watch->fd, events_of_poll(what)) ==
			       ERR_OK
			   ? 0
			   : -1;
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return -1;
	watch->multi = multi;
	if (loop_fd_add(loop, fd, events_of_poll(what), on_socket, watch,
			&watch->fd) != ERR_OK) {
		free(watch);
		return -1;
	}
	curl_multi_assign(multi->curl, fd, watch);
	return 0;
}

static struct upstream_multi *
multi_open(struct upstream *upstream)
{
	struct upstream_multi *multi = calloc(1, sizeof(*multi));

	if (multi)
		multi->curl = curl_multi_init();
	if (multi == NULL || multi->curl == NULL) {
		free(multi);
		return NULL;
	}
	multi->upstream = upstream;
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_PIPELINING,
			  (long)CURLPIPE_NOTHING);
	/* None of them is curl's to close. */
	curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS,
			  2L * (long)UPSTREAM_MULTI_CONNECTIONS);
	multi->next = upstream->multis;
	upstream->multis = multi;
	return multi;
}

struct upstream_multi *
upstream_multi_take(struct upstream *upstream)
{
	struct upstream_multi *multi = upstream->multis;

	while (multi && multi->count >= UPSTREAM_MULTI_CONNECTIONS)
		multi = multi->next;
	if (multi == NULL)
		multi = multi_open(upstream);
	if (multi)
		multi->count++;
	return multi;
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
		upstream->share = curl_share_init();
	if (upstream == NULL || upstream->share == NULL) {
		free(upstream);
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	}
	curl_share_setopt(upstream->share, CURLSHOPT_SHARE,
			  (int)CURL_LOCK_DATA_DNS);
	curl_share_setopt(upstream->share, CURLSHOPT_SHARE,
			  (int)CURL_LOCK_DATA_SSL_SESSION);
	upstream->loop = loop;
	upstream->connect_ms = connect_ms;
	*out = upstream;
	return ERR_OK;
}

enum err
upstream_trust(struct upstream *upstream, const char *ca_file, struct why *why)
{
	enum err err = ca_file[0] ? upstream_ca_check(ca_file, why) : ERR_OK;

	if (err == ERR_OK)
		upstream->ca_file = ca_file[0] ? ca_file : NULL;
	return err;
}

void
upstream_close(struct upstream *upstream)
{
	if (upstream == NULL)
		return;
	while (upstream->multis) {
		struct upstream_multi *multi = upstream->multis;

		upstream->multis = multi->next;
		curl_multi_cleanup(multi->curl);
		loop_timer_clear(upstream->loop, &multi->timer);
		free(multi);
	}
	curl_share_cleanup(upstream->share);
	free(upstream);
}
