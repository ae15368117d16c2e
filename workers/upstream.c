/*
 * upstream: see upstream.h. curl tells which sockets and which timer it wants;
 * the loop watches them and hands events back (multi_socket_action). What ended
 * is reported behind each such step, outside of curl's own callbacks, so that
 * handlers may call again.
 */
#include "workers/upstream.h"

#include "workers/upstream_text.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES 16384L
#define FREE_CALLS_MAX 256u
#define HEADERS_MAX 8u

struct upstream {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	int64_t connect_ms;
	bool is_reporting;
};

struct upstream_target {
	struct upstream *upstream;
	CURLU *url;
	bool is_loopback_only; /* http: */
	struct curl_slist *headers;
	struct upstream_call *free_calls;
	unsigned free_count;
};

struct upstream_call {
	struct upstream_target *target;
	struct upstream_call *next_free;
	CURL *easy;
	const struct upstream_handler *handler;
	void *ctx;
	struct curl_slist *extra; /* in front of target->headers */
	struct curl_slist *auth;  /* one node, in front of all others */
	unsigned sends;
	size_t head_bytes;
	struct upstream_head head;
	char content_type[128];
	bool is_paused;
};

/* A socket that curl wants watched. */
struct socket_watch {
	struct upstream *upstream;
	struct loop_fd *fd;
};

/* --- curl's callbacks ------------------------------------------------ */

static bool
address_is_loopback(const struct curl_sockaddr *address)
{
	const void *bytes = &address->addr;
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (address->family == AF_INET && address->addrlen >= sizeof(v4)) {
		memcpy(&v4, bytes, sizeof(v4));
		return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
	}
	if (address->family == AF_INET6 && address->addrlen >= sizeof(v6)) {
		memcpy(&v6, bytes, sizeof(v6));
		return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
	}
	return false;
}

/* The address is known here, and nothing was sent yet. */
static curl_socket_t
on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct upstream_target *target = ctx;

	(void)purpose;
	if (target->is_loopback_only && !address_is_loopback(address))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* Connected; the request goes out now (again, when curl found a kept
 * connection closed by the other side). */
static int
on_send(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
	struct upstream_call *call = ctx;

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	call->sends++;
	return CURL_PREREQFUNC_OK;
}

static size_t
on_header(char *p, size_t size, size_t count, void *ctx)
{
	struct upstream_call *call = ctx;
	struct str line = str_bytes(p, size * count);
	size_t n = line.n;

	call->head_bytes += n;
	if (call->head_bytes > UPSTREAM_HEAD_BYTES_MAX)
		return 0;
	line = str_trim(line);
	if (str_starts(line, STR("HTTP/")))
		upstream_read_status(&call->head, line);
	else if (line.n)
		upstream_read_header(&call->head, line, call->content_type,
				     sizeof(call->content_type));
	else if (call->head.status >= 200)
		call->handler->head(call->ctx, &call->head);
	return n;
}

static size_t
on_body(char *p, size_t size, size_t count, void *ctx)
{
	struct upstream_call *call = ctx;
	size_t n = size * count;

	if (n == 0)
		return 0;
	switch (call->handler->body(call->ctx, str_bytes(p, n))) {
	case UPSTREAM_TAKEN:
		return n;
	case UPSTREAM_PAUSE:
		call->is_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	case UPSTREAM_STOP:
		break;
	}
	return 0;
}

/* --- the loop -------------------------------------------------------- */

static void
call_free(struct upstream_call *call)
{
	if (call->easy)
		curl_easy_cleanup(call->easy);
	free(call);
}

/* The key does not stay in memory. */
static void
auth_free(struct upstream_call *call)
{
	if (call->auth == NULL)
		return;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->target->headers);
	call->auth->next = NULL;
	explicit_bzero(call->auth->data, strlen(call->auth->data));
	curl_slist_free_all(call->auth);
	call->auth = NULL;
}

/* Those that are the call's own, not the target's behind them. */
static void
extra_free(struct upstream_call *call)
{
	struct curl_slist *node = call->extra;

	while (node->next && node->next != call->target->headers)
		node = node->next;
	node->next = NULL;
	curl_slist_free_all(call->extra);
	call->extra = NULL;
}

/* Takes the call off curl; it waits for the next one or is freed. */
static void
call_retire(struct upstream_call *call)
{
	struct upstream_target *target = call->target;

	curl_multi_remove_handle(target->upstream->multi, call->easy);
	auth_free(call);
	if (call->extra) {
		curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER,
				 target->headers);
		extra_free(call);
	}
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, "");
	if (target->free_count >= FREE_CALLS_MAX) {
		call_free(call);
		return;
	}
	call->next_free = target->free_calls;
	target->free_calls = call;
	target->free_count++;
}

static enum err
err_of_curl(CURLcode code)
{
	if (code == CURLE_OK)
		return ERR_OK;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ERR_UPSTREAM_TIMEOUT;
	return ERR_UPSTREAM_FAILED;
}

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
		const struct upstream_handler *handler;
		struct upstream_end end;
		void *ctx;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &call);
		end.err = err_of_curl(code);
		end.sends = call->sends;
		end.text = curl_easy_strerror(code);
		handler = call->handler;
		ctx = call->ctx;
		call_retire(call);
		handler->end(ctx, &end);
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

void
upstream_close(struct upstream *upstream)
{
	if (upstream == NULL)
		return;
	curl_multi_cleanup(upstream->multi);
	loop_timer_clear(upstream->loop, &upstream->timer);
	free(upstream);
}

/* Names and values are the operator's; a line break would be a new header. */
static bool
header_is_clean(const char *header)
{
	for (const char *p = header; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return true;
}

static bool
target_add_header(struct upstream_target *target, const char *header)
{
	struct curl_slist *list = curl_slist_append(target->headers, header);

	if (list)
		target->headers = list;
	return list != NULL;
}

/* Parsed here once for all calls. */
static enum err
target_set_url(struct upstream_target *target, struct str base,
	       const char *path, struct why *why)
{
	CURLUcode code = CURLUE_OUT_OF_MEMORY;
	char *text;

	if (asprintf(&text, "%.*s%s", STR_ARG(base), path) < 0)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	target->url = curl_url();
	if (target->url)
		code = curl_url_set(target->url, CURLUPART_URL, text, 0);
	free(text);
	if (code == CURLUE_OK)
		return ERR_OK;
	return why_set(why, ERR_CONFIG, "the base URL %.*s: %s", STR_ARG(base),
		       curl_url_strerror(code));
}

static enum err
target_fill(struct upstream_target *target, const char *base, const char *path,
	    const char *const *headers, struct why *why)
{
	size_t n = strlen(base);
	enum err err;

	while (n && base[n - 1] == '/')
		n--;
	err = target_set_url(target, str_bytes(base, n), path, why);
	if (err != ERR_OK)
		return err;
	target->is_loopback_only = str_starts(str_of(base), STR("http://"));
	for (unsigned i = 0; i < HEADERS_MAX && headers[i]; i++) {
		if (!header_is_clean(headers[i]))
			return why_set(why, ERR_CONFIG,
				       "a provider's header has line breaks or "
				       "control characters");
		if (!target_add_header(target, headers[i]))
			return why_set(why, ERR_NO_MEMORY, "out of memory");
	}
	/* curl would wait for a 100 with large bodies. */
	if (!target_add_header(target, "Expect:"))
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	return ERR_OK;
}

enum err
upstream_target_open(struct upstream_target **out, struct upstream *upstream,
		     const char *base, const char *path,
		     const char *const *headers, struct why *why)
{
	struct upstream_target *target;
	enum err err = upstream_base_check(base, why);

	if (err != ERR_OK)
		return err;
	target = calloc(1, sizeof(*target));
	if (target == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	target->upstream = upstream;
	err = target_fill(target, base, path, headers, why);
	if (err != ERR_OK) {
		upstream_target_close(target);
		return err;
	}
	*out = target;
	return ERR_OK;
}

void
upstream_target_close(struct upstream_target *target)
{
	if (target == NULL)
		return;
	while (target->free_calls) {
		struct upstream_call *call = target->free_calls;

		target->free_calls = call->next_free;
		call_free(call);
	}
	for (struct curl_slist *at = target->headers; at; at = at->next)
		explicit_bzero(at->data, strlen(at->data));
	curl_slist_free_all(target->headers);
	curl_url_cleanup(target->url);
	free(target);
}

/* --- calls ----------------------------------------------------------- */

/* Everything that does not change from call to call. */
static bool
easy_prepare(struct upstream_call *call)
{
	struct upstream_target *target = call->target;
	const char *protocol = target->is_loopback_only ? "http" : "https";
	CURL *easy = call->easy;

	if (curl_easy_setopt(easy, CURLOPT_CURLU, target->url) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocol) !=
		CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chatello") != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_NOPROXY, "") != CURLE_OK)
		return false;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION,
			 (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)target->upstream->connect_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	/* A call that is given up must not wait for its name's resolver. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, target);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	return true;
}

static struct upstream_call *
call_take(struct upstream_target *target)
{
	struct upstream_call *call = target->free_calls;

	if (call) {
		target->free_calls = call->next_free;
		target->free_count--;
		return call;
	}
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return NULL;
	call->target = target;
	call->easy = curl_easy_init();
	if (call->easy == NULL || !easy_prepare(call)) {
		call_free(call);
		return NULL;
	}
	return call;
}

/* Behind extra: in front of it. */
static bool
auth_set(struct upstream_call *call, const char *header)
{
	call->auth = curl_slist_append(NULL, header);
	if (call->auth == NULL)
		return false;
	call->auth->next = call->extra ? call->extra : call->target->headers;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->auth);
	return true;
}

static bool
extra_set(struct upstream_call *call, struct str lines)
{
	struct curl_slist **end = &call->extra;

	for (size_t at = 0; at < lines.n; at += strlen(lines.p + at) + 1) {
		*end = curl_slist_append(NULL, lines.p + at);
		if (*end == NULL)
			return false;
		end = &(*end)->next;
	}
	*end = call->target->headers;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->extra);
	return true;
}

static bool
call_set(struct upstream_call *call, const struct upstream_ask *ask)
{
	call->handler = ask->handler;
	call->ctx = ask->ctx;
	call->sends = 0;
	call->head_bytes = 0;
	call->head = (struct upstream_head){0, STR_NONE, -1};
	call->is_paused = false;
	if ((ask->extra.n && !extra_set(call, ask->extra)) ||
	    (ask->auth && !auth_set(call, ask->auth)))
		return false;
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
			 (curl_off_t)ask->body.n);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, ask->body.p);
	return true;
}

enum err
upstream_call(struct upstream_target *target, const struct upstream_ask *ask,
	      struct upstream_call **out)
{
	struct upstream_call *call = call_take(target);

	if (call == NULL)
		return ERR_NO_MEMORY;
	if (!call_set(call, ask) ||
	    curl_multi_add_handle(target->upstream->multi, call->easy) !=
		CURLM_OK) {
		call_retire(call);
		return ERR_NO_MEMORY;
	}
	*out = call;
	return ERR_OK;
}

void
upstream_resume(struct upstream_call *call)
{
	const struct upstream_handler *handler = call->handler;
	struct upstream_end end;
	void *ctx = call->ctx;
	CURLcode code;

	if (!call->is_paused)
		return;
	/* What was held back is handed over inside this, and it may pause
	 * again. When it is refused there, curl does not end the transfer. */
	call->is_paused = false;
	code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
	if (code == CURLE_OK)
		return;
	end.err = err_of_curl(code);
	end.sends = call->sends;
	end.text = curl_easy_strerror(code);
	call_retire(call);
	handler->end(ctx, &end);
}

void
upstream_abort(struct upstream_call *call)
{
	call_retire(call);
}

unsigned
upstream_call_sends(const struct upstream_call *call)
{
	return call->sends;
}
