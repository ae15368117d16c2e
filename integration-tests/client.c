/*
 * client: see client.h. Source: RFC 9112 (HTTP/1.1), the HTML standard's
 * server-sent events.
 */
#include "integration-tests/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"

#define IN_BYTES_MAX (256u << 20)
#define READ_BYTES 65536u

bool
client_open(struct client *client, const char *address)
{
	const char *colon = strrchr(address, ':');
	struct sockaddr_in to = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0")),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int one = 1;

	*client = (struct client){.fd = -1};
	buf_init(&client->in, IN_BYTES_MAX);
	buf_init(&client->lines, IN_BYTES_MAX);
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return false;
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(client->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	client_close(client);
	return false;
}

void
client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	buf_fini(&client->in);
	buf_fini(&client->lines);
}

bool
client_send(struct client *client, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = send(client->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return true;
}

bool
client_ask(struct client *client, const char *method, const char *path,
	   const char *headers, struct str body)
{
	struct buf out;
	bool is_sent;

	buf_init(&out, IN_BYTES_MAX);
	buf_printf(&out, "%s %s HTTP/1.1\r\nHost: house.example\r\n%s", method,
		   path, headers);
	if (body.p)
		buf_printf(&out, "Content-Length: %zu\r\n", body.n);
	buf_add_z(&out, "\r\n");
	buf_add_str(&out, body);
	is_sent = !out.is_failed && client_send(client, buf_str(&out));
	buf_fini(&out);
	return is_sent;
}

/* False when nothing more comes. */
static bool
receive(struct client *client, int wait_ms)
{
	struct pollfd p = {.fd = client->fd, .events = POLLIN};
	ssize_t n;

	if (client->is_ended || client->fd < 0 ||
	    !buf_reserve(&client->in, READ_BYTES))
		return false;
	if (poll(&p, 1, wait_ms) != 1) {
		client->is_ended = true;
		return false;
	}
	n = recv(client->fd, client->in.p + client->in.n, READ_BYTES, 0);
	client->is_ended = n <= 0;
	if (n > 0)
		client->in.n += (size_t)n;
	return n > 0;
}

/* The place behind the next `end` in what was received; 0 = it never comes. */
static size_t
receive_until(struct client *client, const char *end)
{
	for (;;) {
		const char *at =
		    client->in.n
			? memmem(client->in.p, client->in.n, end, strlen(end))
			: NULL;

		if (at)
			return (size_t)(at - client->in.p) + strlen(end);
		if (!receive(client, CLIENT_WAIT_MS))
			return 0;
	}
}

struct str
answer_header(const struct answer *answer, const char *name)
{
	struct str head = answer->head;
	size_t name_n = strlen(name);

	while (head.n) {
		const char *end = memmem(head.p, head.n, "\r\n", 2);
		size_t n = end ? (size_t)(end - head.p) : head.n;

		if (n > name_n && head.p[name_n] == ':' &&
		    strncasecmp(head.p, name, name_n) == 0)
			return str_trim(
			    str_bytes(head.p + name_n + 1, n - name_n - 1));
		n += end ? 2 : 0;
		head.p += n;
		head.n -= n;
	}
	return STR_NONE;
}

void
client_head(struct client *client, struct answer *answer)
{
	struct str length;
	size_t n;

	*answer = (struct answer){.status = 0};
	buf_init(&answer->head_bytes, IN_BYTES_MAX);
	buf_init(&answer->body_bytes, IN_BYTES_MAX);
	do {
		n = receive_until(client, "\r\n\r\n");
		if (n < 12)
			return;
		buf_reset(&answer->head_bytes);
		buf_add(&answer->head_bytes, client->in.p, n);
		buf_drop(&client->in, n);
		answer->head = buf_str(&answer->head_bytes);
		answer->status = atoi(answer->head.p + 9);
	} while (answer->status == 100);
	length = answer_header(answer, "Content-Length");
	client->is_chunked = str_eq_nocase(
	    answer_header(answer, "Transfer-Encoding"), STR("chunked"));
	client->is_until_close = !client->is_chunked && length.p == NULL &&
				 answer->status != 204 && answer->status != 304;
	client->left = length.p ? strtoul(length.p, NULL, 10) : 0;
	client->is_body_done =
	    !client->is_chunked && !client->is_until_close && client->left == 0;
}

/* At the start of a chunk: its size. False when it never comes. */
static bool
next_chunk(struct client *client)
{
	size_t n = receive_until(client, "\r\n");

	if (n == 0)
		return false;
	client->left = strtoul(client->in.p, NULL, 16);
	buf_drop(&client->in, n);
	if (client->left == 0) {
		n = receive_until(client, "\r\n");
		buf_drop(&client->in, n);
		client->is_body_done = n > 0;
	}
	return !client->is_body_done && client->left > 0;
}

/* Moves what has come of the body to out. False at its end, or when the
 * connection ended (then is_body_done stays false). */
static bool
take_body(struct client *client, struct buf *out)
{
	size_t n;

	if (client->is_body_done)
		return false;
	if (client->is_chunked && client->left == 0 && !next_chunk(client))
		return false;
	if (client->in.n == 0 && !receive(client, CLIENT_WAIT_MS)) {
		client->is_body_done = client->is_until_close;
		return false;
	}
	n = client->in.n;
	if (!client->is_until_close && n > client->left)
		n = client->left;
	buf_add(out, client->in.p, n);
	buf_drop(&client->in, n);
	client->left -= client->is_until_close ? 0 : n;
	if (client->is_chunked && client->left == 0) {
		n = receive_until(client, "\r\n");
		buf_drop(&client->in, n);
		return n > 0;
	}
	client->is_body_done =
	    !client->is_chunked && client->left == 0 && !client->is_until_close;
	return true;
}

void
client_answer(struct client *client, struct answer *answer)
{
	client_head(client, answer);
	if (answer->status == 0)
		return;
	while (take_body(client, &answer->body_bytes))
		;
	answer->body = buf_str(&answer->body_bytes);
	if (!client->is_body_done)
		answer->status = 0;
}

bool
client_event(struct client *client, struct answer *answer)
{
	for (;;) {
		struct str text = buf_str(&client->lines);
		const char *end = memmem(text.p, text.n, "\n\n", 2);

		if (end) {
			size_t n = (size_t)(end - text.p);

			buf_reset(&answer->body_bytes);
			buf_add(&answer->body_bytes, text.p, n);
			buf_drop(&client->lines, n + 2);
			answer->body = buf_str(&answer->body_bytes);
			return true;
		}
		if (!take_body(client, &client->lines)) {
			if (!client->is_body_done)
				answer->status = 0;
			return false;
		}
	}
}

bool
client_is_closed_within(struct client *client, int wait_ms)
{
	int64_t end = clock_mono_ms() + wait_ms;

	for (;;) {
		struct pollfd p = {.fd = client->fd, .events = POLLIN};
		int64_t left = end - clock_mono_ms();
		char bytes[4096];

		if (left <= 0 || poll(&p, 1, (int)left) != 1)
			return false;
		if (recv(client->fd, bytes, sizeof(bytes), 0) <= 0)
			return true;
	}
}

void
answer_free(struct answer *answer)
{
	buf_fini(&answer->head_bytes);
	buf_fini(&answer->body_bytes);
}

void
http(struct answer *answer, const char *address, const char *method,
     const char *path, const char *headers, struct str body)
{
	struct client client;

	*answer = (struct answer){.status = 0};
	if (!client_open(&client, address))
		return;
	if (client_ask(&client, method, path, headers, body))
		client_answer(&client, answer);
	client_close(&client);
}
