/*
 * upstream_call: one call: curl's handle with its options, what it hands over,
 * how it ends. Handles are kept for the next call of their target.
 */
#include "workers/upstream_internal.h"

#include "workers/upstream_text.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SENDS_MAX 2 /* of one call, by curl */
#define RECEIVE_BYTES 16384L
#define FREE_CALLS_MAX 256u

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

/* The address is known here, and nothing was sent on this connection yet. */
static curl_socket_t
on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct upstream_call *call = ctx;

	(void)purpose;
	call->is_sending = false;
	if (call->target->is_loopback_only && !address_is_loopback(address))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* Connected; the request goes out now. Again, when curl found a kept connection
 * closed by the other side: once, for the provider may have closed it when the
 * request was on its way. Who closes a second one has perhaps read it. */
static int
on_send(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
	struct upstream_call *call = ctx;

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	if (call->sends == SENDS_MAX) {
		call->is_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	call->sends++;
	call->is_sending = true;
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

/* --- the end --------------------------------------------------------- */

void
upstream_call_free(struct upstream_call *call)
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
	target->open_count--;
	if (target->free_count >= FREE_CALLS_MAX || target->is_closed) {
		upstream_call_free(call);
	} else {
		call->next_free = target->free_calls;
		target->free_calls = call;
		target->free_count++;
	}
	if (target->is_closed && target->open_count == 0)
		upstream_target_free(target);
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

void
upstream_call_end(struct upstream_call *call, CURLcode code)
{
	const struct upstream_handler *handler = call->handler;
	struct upstream_end end = {
	    .err = err_of_curl(code),
	    .sends = call->sends,
	    .is_sent = upstream_call_is_sent(call),
	    .text = curl_easy_strerror(code),
	};
	void *ctx = call->ctx;

	call_retire(call);
	handler->end(ctx, &end);
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
	if (target->upstream->ca_file &&
	    (curl_easy_setopt(easy, CURLOPT_CAINFO,
			      target->upstream->ca_file) != CURLE_OK ||
	     curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) != CURLE_OK))
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
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
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
		upstream_call_free(call);
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
	call->is_refused = false;
	call->is_sending = false;
	call->body_bytes = ask->body.n;
	call->head_bytes = 0;
	call->head = (struct upstream_head){0, STR_NONE, -1, false};
	call->is_paused = false;
	if ((ask->extra.n && !extra_set(call, ask->extra)) ||
	    (ask->auth && !auth_set(call, ask->auth)))
		return false;
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
			 (curl_off_t)ask->body.n);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, ask->body.p);
	curl_easy_setopt(call->easy,
			 ask->body.p ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
	return true;
}

enum err
upstream_call(struct upstream_target *target, const struct upstream_ask *ask,
	      struct upstream_call **out)
{
	struct upstream_call *call = call_take(target);

	if (call == NULL)
		return ERR_NO_MEMORY;
	target->open_count++;
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
	CURLcode code;

	if (!call->is_paused)
		return;
	/* What was held back is handed over inside this, and it may pause
	 * again. When it is refused there, curl does not end the transfer. */
	call->is_paused = false;
	code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
	if (code != CURLE_OK)
		upstream_call_end(call, code);
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

bool
upstream_call_is_sent(const struct upstream_call *call)
{
	curl_off_t bytes = 0;

	if (!call->is_sending || call->is_refused)
		return call->is_refused;
	curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &bytes);
	return bytes >= (curl_off_t)call->body_bytes;
}
