/*
 * client: HTTP/1.1 over a raw socket, so that a test decides each byte that is
 * sent and sees each that comes. Blocking, with a time limit on each read. A
 * connection that ends early is an answer like any other: status 0.
 */
#ifndef INTEGRATION_CLIENT_H
#define INTEGRATION_CLIENT_H

#include "lib/buf.h"
#include "lib/err.h"

#define CLIENT_WAIT_MS 20000

struct client {
	int fd;	       /* -1 = closed */
	struct buf in; /* received, not yet taken */
	bool is_ended; /* the peer closed or the time was up */
	/* of the answer that is being read */
	bool is_chunked;
	bool is_until_close;
	bool is_body_done;
	size_t left;	  /* bytes of the body, or of its chunk */
	struct buf lines; /* SSE text that is no whole event yet */
};

struct answer {
	int status; /* 0: the connection ended before a whole answer */
	struct buf head_bytes, body_bytes;
	struct str head, body;
};

/* host:port. False when it is refused. */
bool client_open(struct client *client, const char *address);
void client_close(struct client *client);
/* False when the peer is gone. */
bool client_send(struct client *client, struct str bytes);
/* headers: "Name: value\r\n..." or "". Host is added, Content-Length when there
 * is a body. */
bool client_ask(struct client *client, const char *method, const char *path,
		const char *headers, struct str body);
/* Reads a whole answer; the connection stays open. answer_free it. */
void client_answer(struct client *client, struct answer *answer);
/* Only its head; then the body by client_event or client_rest. */
void client_head(struct client *client, struct answer *answer);
/* The next SSE event: its lines without the blank one, in answer->body. False
 * at the end of the stream; answer->status is 0 when it ended without the last
 * chunk. */
bool client_event(struct client *client, struct answer *answer);
/* True when the peer closes within the time, whatever it sends before. */
bool client_is_closed_within(struct client *client, int wait_ms);

void answer_free(struct answer *answer);
/* A header's value; absent: STR_NONE. */
struct str answer_header(const struct answer *answer, const char *name);

/* One question on a connection of its own. */
void http(struct answer *answer, const char *address, const char *method,
	  const char *path, const char *headers, struct str body);

#endif
