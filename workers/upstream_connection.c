/*
 * upstream_connection: a connection that curl has made (CURLOPT_CONNECT_ONLY:
 * resolved, connected, encrypted, the peer verified) and that carries one call
 * after another. curl's handle stays in its multi handle as long as the
 * connection is to live. Those that wait are watched: whoever closes one that
 * waits takes no call with it.
 */
#include "workers/upstream_internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define IDLE_MS_MAX 118000    /* what waits longer is as good as closed */
#define SEND_BYTES_MAX 65536u /* at a time: TLS wants it again as it was */

struct upstream_connection {
	struct upstream_origin *origin;
	struct upstream_multi *multi;
	CURL *easy;
	struct upstream_call *call;		     /* NULL: it waits */
	struct upstream_connection *next, *previous; /* of those that wait */
	int64_t idle_since_ms;
	int fd;
	struct loop_fd *watch;
	uint32_t events;
};

static struct loop *
loop_of(const struct upstream_connection *connection)
{
	return connection->origin->upstream->loop;
}

/* --- making one ------------------------------------------------------ */

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

/* The address is known here. */
static curl_socket_t
on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct upstream_origin *origin = ctx;

	(void)purpose;
	if (origin->is_plain && !address_is_loopback(address))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

static bool
easy_prepare(struct upstream_connection *connection)
{
	struct upstream_origin *origin = connection->origin;
	struct upstream *upstream = origin->upstream;
	CURL *easy = connection->easy;

	if (curl_easy_setopt(easy, CURLOPT_URL, origin->url) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
			     origin->is_plain ? "http" : "https") != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_NOPROXY, "") != CURLE_OK)
		return false;
	if (upstream->ca_file &&
	    (curl_easy_setopt(easy, CURLOPT_CAINFO, upstream->ca_file) !=
		 CURLE_OK ||
	     curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) != CURLE_OK))
		return false;
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_SHARE, upstream->share);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, connection);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION,
			 (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)upstream->connect_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
			 (long)UPSTREAM_RECEIVE_BYTES);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	/* A call that is given up must not wait for its name's resolver. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, origin);
	return true;
}

static struct upstream_connection *
connection_open(struct upstream_call *call)
{
	struct upstream_connection *connection = calloc(1, sizeof(*connection));
	struct upstream_target *target = call->target;

	if (connection == NULL)
		return NULL;
	connection->origin = target->origin;
	connection->call = call;
	connection->fd = -1;
	connection->easy = curl_easy_init();
	if (connection->easy && easy_prepare(connection))
		connection->multi = upstream_multi_take(target->upstream);
	if (connection->multi == NULL ||
	    curl_multi_add_handle(connection->multi->curl, connection->easy) !=
		CURLM_OK) {
		upstream_connection_close(connection);
		return NULL;
	}
	return connection;
}

static enum err
err_of_curl(CURLcode code)
{
	return code == CURLE_OPERATION_TIMEDOUT ? ERR_UPSTREAM_TIMEOUT
						: ERR_UPSTREAM_FAILED;
}

void
upstream_connection_made(struct upstream_connection *connection, CURLcode code)
{
	struct upstream_call *call = connection->call;
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (code != CURLE_OK) {
		upstream_call_end(call, err_of_curl(code),
				  curl_easy_strerror(code));
		return;
	}
	curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &fd);
	connection->fd = fd;
	if (fd == CURL_SOCKET_BAD ||
	    upstream_connection_watch(connection, EPOLLIN) != ERR_OK)
		upstream_call_end(call, ERR_UPSTREAM_FAILED,
				  "out of memory or descriptors");
	else
		upstream_call_connected(call);
}

/* --- its bytes ------------------------------------------------------- */

static enum io
io_of(CURLcode code)
{
	if (code == CURLE_OK)
		return IO_DONE;
	return code == CURLE_AGAIN ? IO_BLOCKED : IO_BROKEN;
}

enum io
upstream_connection_send(struct upstream_connection *connection,
			 struct str bytes, size_t *done)
{
	size_t n = bytes.n < SEND_BYTES_MAX ? bytes.n : SEND_BYTES_MAX;

	*done = 0;
	return io_of(curl_easy_send(connection->easy, bytes.p, n, done));
}

enum io
upstream_connection_receive(struct upstream_connection *connection, size_t *n)
{
	struct upstream *upstream = connection->origin->upstream;

	*n = 0;
	return io_of(curl_easy_recv(connection->easy, upstream->in,
				    sizeof(upstream->in), n));
}

/* Of one that waits: TLS may talk to TLS, but there is nothing to say to us,
 * and whoever ends is gone. Overwrites upstream->in. */
static bool
is_quiet(struct upstream_connection *connection)
{
	size_t n;

	return upstream_connection_receive(connection, &n) == IO_BLOCKED;
}

/* --- those that wait ------------------------------------------------- */

static void
idle_add(struct upstream_connection *connection)
{
	struct upstream_origin *origin = connection->origin;

	connection->previous = NULL;
	connection->next = origin->idle;
	if (origin->idle)
		origin->idle->previous = connection;
	origin->idle = connection;
	origin->upstream->idle_count++;
	connection->idle_since_ms = loop_now_ms(loop_of(connection));
}

static void
idle_remove(struct upstream_connection *connection)
{
	struct upstream_origin *origin = connection->origin;

	if (connection->next)
		connection->next->previous = connection->previous;
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		origin->idle = connection->next;
	origin->upstream->idle_count--;
}

/* The one that has waited the shortest; NULL: none waits. */
static struct upstream_connection *
idle_pop(struct upstream_origin *origin)
{
	struct upstream_connection *connection = origin->idle;

	if (connection == NULL)
		return NULL;
	origin->idle = connection->next;
	if (origin->idle)
		origin->idle->previous = NULL;
	origin->upstream->idle_count--;
	return connection;
}

/* What came before a request is no answer to it: whatever the loop has not seen
 * yet is looked for here. */
static struct upstream_connection *
idle_take(struct upstream_origin *origin)
{
	int64_t now_ms = loop_now_ms(origin->upstream->loop);

	struct upstream_connection *connection;

	if (origin->idle && now_ms - origin->idle->idle_since_ms > IDLE_MS_MAX)
		upstream_origin_drain(origin); /* the others wait longer */
	while ((connection = idle_pop(origin))) {
		if (is_quiet(connection))
			break;
		upstream_connection_close(connection);
	}
	return connection;
}

struct upstream_connection *
upstream_connection_take(struct upstream_call *call, bool is_new)
{
	struct upstream_connection *connection =
	    is_new ? NULL : idle_take(call->target->origin);

	call->is_kept = connection != NULL;
	if (connection == NULL)
		return connection_open(call);
	connection->call = call;
	return connection;
}

void
upstream_connection_keep(struct upstream_connection *connection)
{
	if (connection->origin->upstream->idle_count >= UPSTREAM_IDLE_MAX ||
	    upstream_connection_watch(connection, EPOLLIN) != ERR_OK) {
		upstream_connection_close(connection);
		return;
	}
	connection->call = NULL;
	idle_add(connection);
}

void
upstream_connection_close(struct upstream_connection *connection)
{
	loop_fd_remove(loop_of(connection), connection->watch);
	if (connection->multi) {
		curl_multi_remove_handle(connection->multi->curl,
					 connection->easy);
		connection->multi->count--;
	}
	curl_easy_cleanup(connection->easy);
	free(connection);
}

void
upstream_origin_drain(struct upstream_origin *origin)
{
	struct upstream_connection *connection;

	while ((connection = idle_pop(origin)))
		upstream_connection_close(connection);
}

/* --- its socket ------------------------------------------------------ */

static void
on_ready(void *ctx, int fd, uint32_t events)
{
	struct upstream_connection *connection = ctx;

	(void)fd;
	if (connection->call) {
		upstream_call_ready(connection->call, events);
	} else if (!is_quiet(connection)) {
		idle_remove(connection);
		upstream_connection_close(connection);
	}
}

enum err
upstream_connection_watch(struct upstream_connection *connection,
			  uint32_t events)
{
	enum err err = ERR_OK;

	if (events == connection->events)
		return ERR_OK;
	if (events == 0) {
		loop_fd_remove(loop_of(connection), connection->watch);
		connection->watch = NULL;
	} else if (connection->watch) {
		err = loop_fd_change(loop_of(connection), connection->watch,
				     events);
	} else {
		err = loop_fd_add(loop_of(connection), connection->fd, events,
				  on_ready, connection, &connection->watch);
	}
	if (err == ERR_OK)
		connection->events = events;
	return err;
}
