/*
 * upstream: a scripted AI provider for the tests and the bench. It speaks the
 * three providers' shapes by path, answers as the prompt's script says
 * (script.h), and counts. One process, one loop, no limits but memory.
 *
 *   POST /v1/chat/completions  /deepseek/chat/completions
 *        /anthropic/v1/messages  /anthropic/v1/messages/count_tokens (4321)
 *   GET  /v1/models and the others' lists: a key whose text has `bad` in it is
 *        refused with 401 and a message that has the key's last letters, one
 *        with `echo` with the whole key
 *   GET  /count          the counters and the last request's head, as JSON
 *   GET  /wait/NAME/N    the same, as soon as counter NAME has reached N
 *   POST /reset          all counters to zero
 *
 * `upstream [PORT]` prints `ready port=N`.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration-tests/upstream/script.h"
#include "lib/json.h"
#include "lib/loop.h"
#include "lib/proc.h"

#define REQUEST_BYTES_MAX (16u << 20)
#define ANSWER_BYTES_MAX (32u << 20)
#define HEAD_KEPT_BYTES 4096u
#define BODY_KEPT_BYTES 65536u
#define KEYS_MAX 1024

enum counter {
	COUNT_REQUESTS,	    /* that asked for an answer */
	COUNT_STREAMS,	    /* of them streams */
	COUNT_FAILURES,	    /* answered with a scripted failure */
	COUNT_DONE,	    /* answered to the end */
	COUNT_CUT,	    /* ended as the script said */
	COUNT_CLOSED_EARLY, /* the asker left before the end */
	COUNT_OPEN,	    /* in flight */
	COUNT_OPEN_MAX,	    /* at once, the most so far */
	COUNT_CONNECTIONS,  /* accepted */
	COUNTERS
};

static const char *const counter_names[COUNTERS] = {
    "requests",	    "streams", "failures", "done",	 "cut",
    "closed_early", "open",    "open_max", "connections"};

struct connection {
	struct connection *next, **at; /* all of them */
	struct loop_fd *watch;
	struct loop_timer timer;
	struct buf in, out;
	size_t sent;
	struct script script;
	int64_t piece;
	int fd;
	bool is_answering; /* an AI answer is under way */
	bool is_chunked;
	bool is_last;	  /* a dripping answer is whole in out */
	bool is_silent;	  /* says nothing until its peer leaves */
	bool is_writing;  /* EPOLLOUT is asked for */
	bool is_closing;  /* when out is empty */
	int wait_counter; /* /wait; -1 = none */
	int64_t wait_value;
};

static struct loop *loop;
static struct connection *connections;
static int64_t counters[COUNTERS];
static char last_head[HEAD_KEPT_BYTES];
static struct buf last_body;
static struct {
	char name[WORD_BYTES];
	int64_t failures, requests;
} keys[KEYS_MAX];

static void step(void *context);
static void drip(void *context);

static void
drop(struct connection *c)
{
	if (c->is_answering) {
		counters[COUNT_CLOSED_EARLY]++;
		counters[COUNT_OPEN]--;
	}
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	loop_timer_clear(loop, &c->timer);
	loop_fd_remove(loop, c->watch);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

/* False: the connection is gone. */
static bool
flush(struct connection *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			drop(c);
			return false;
		}
		c->sent += (size_t)n;
	}
	if (c->sent == c->out.n) {
		buf_reset(&c->out);
		c->sent = 0;
	}
	if ((c->out.n > 0) != c->is_writing) {
		c->is_writing = !c->is_writing;
		loop_fd_change(loop, c->watch,
			       EPOLLIN | EPOLLRDHUP |
				   (c->is_writing ? EPOLLOUT : 0));
	}
	if (c->out.n == 0 && c->is_closing) {
		drop(c);
		return false;
	}
	return true;
}

/* --- the counters' own routes --------------------------------------------- */

static void
print_counters(struct buf *out)
{
	buf_add_char(out, '{');
	for (int i = 0; i < COUNTERS; i++)
		buf_printf(out, "\"%s\":%lld,", counter_names[i],
			   (long long)counters[i]);
	buf_add_z(out, "\"keys\":{");
	for (int i = 0; i < KEYS_MAX && keys[i].name[0]; i++) {
		buf_add_z(out, i ? "," : "");
		json_write_string(out, str_of(keys[i].name));
		buf_printf(out, ":%lld", (long long)keys[i].requests);
	}
	buf_add_z(out, "},\"last_head\":");
	json_write_string(out, str_of(last_head));
	buf_add_z(out, ",\"last_body\":");
	json_write_string(out, buf_str(&last_body));
	buf_add_char(out, '}');
}

static void
answer_counters(struct connection *c)
{
	struct buf body;

	buf_init(&body, ANSWER_BYTES_MAX);
	print_counters(&body);
	buf_printf(&c->out,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\n\r\n",
		   body.n);
	buf_add_str(&c->out, buf_str(&body));
	buf_fini(&body);
	c->wait_counter = -1;
	flush(c);
}

static void
wake_waiting(void *context)
{
	struct connection *next;

	(void)context;
	for (struct connection *c = connections; c; c = next) {
		next = c->next;
		if (c->wait_counter >= 0 &&
		    counters[c->wait_counter] >= c->wait_value)
			answer_counters(c);
	}
}

static void
begin_wait(struct connection *c, struct str path)
{
	for (int i = 0; i < COUNTERS; i++) {
		size_t n = strlen(counter_names[i]);

		if (path.n > n + 1 &&
		    memcmp(path.p, counter_names[i], n) == 0 &&
		    path.p[n] == '/') {
			c->wait_counter = i;
			c->wait_value = strtoll(path.p + n + 1, NULL, 10);
		}
	}
	if (c->wait_counter < 0) /* a name that is not known: a test's bug */
		c->is_closing = true;
}

/* --- AI answers ----------------------------------------------------------- */

static void
finish(struct connection *c, enum counter outcome)
{
	c->is_answering = false;
	counters[COUNT_OPEN]--;
	counters[outcome]++;
}

/* Ends it as the script says; the connection may be gone behind it. */
static void
cut(struct connection *c)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (c->script.by == BY_SILENCE) {
		c->is_silent = true;
		return;
	}
	finish(c, COUNT_CUT);
	if (c->script.by == BY_RESET)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	drop(c);
}

static void
begin_head(struct connection *c, int64_t status, bool is_failure)
{
	buf_printf(&c->out, "HTTP/1.1 %lld Scripted\r\n", (long long)status);
	while ((int64_t)c->out.n < c->script.pad)
		buf_add_z(&c->out, "x-pad: more of the same, line by line\r\n");
	buf_printf(&c->out,
		   "Content-Type: %s\r\n"
		   "x-request-id: req_upstream\r\nSet-Cookie: c=1\r\n"
		   "openai-organization: org-canary\r\n%s%s",
		   script_type(&c->script, is_failure),
		   c->script.is_gzip ? "Content-Encoding: gzip\r\n" : "",
		   c->script.is_close ? "Connection: close\r\n" : "");
	c->is_closing = c->script.is_close;
}

static void
answer_failure(struct connection *c, int64_t status)
{
	struct buf body;

	buf_init(&body, ANSWER_BYTES_MAX);
	script_failure(&c->script, &body);
	begin_head(c, status, true);
	if (c->script.retry_after_ms >= 0)
		buf_printf(&c->out, "retry-after-ms: %lld\r\n",
			   (long long)c->script.retry_after_ms);
	if (c->script.is_redirect)
		buf_printf(&c->out, "Location: %s\r\n",
			   c->script.location[0] ? c->script.location
						 : "/v1/elsewhere");
	buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", body.n);
	buf_add_str(&c->out, buf_str(&body));
	buf_fini(&body);
	finish(c, COUNT_FAILURES);
	flush(c);
}

/* The head of a good answer; one piece of JSON goes with its length. */
static void
answer_head(struct connection *c)
{
	const struct script *s = &c->script;

	begin_head(c, 200, false);
	c->is_chunked = s->is_stream || s->blank || s->flood || s->cut ||
			s->split || s->is_drip;
	if (c->is_chunked)
		buf_add_z(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
}

/* In HTTP chunks of `split` bytes, or in one. */
static void
add_chunks(struct connection *c, struct str bytes)
{
	while (bytes.n) {
		size_t n = bytes.n;

		if (c->script.split && n > (size_t)c->script.split)
			n = (size_t)c->script.split;
		buf_printf(&c->out, "%zx\r\n", n);
		buf_add(&c->out, bytes.p, n);
		buf_add_z(&c->out, "\r\n");
		bytes = str_bytes(bytes.p + n, bytes.n - n);
	}
}

static enum piece
add_piece(struct connection *c, int64_t *wait_ms)
{
	static struct buf piece; /* one loop, one thread */
	enum piece what;

	piece.limit_bytes = ANSWER_BYTES_MAX;
	buf_reset(&piece);
	what = script_piece(&c->script, c->piece++, &piece, wait_ms);
	if (c->is_chunked) {
		add_chunks(c, buf_str(&piece));
	} else {
		buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", piece.n);
		buf_add_str(&c->out, buf_str(&piece));
	}
	if (c->is_chunked && what == PIECE_LAST)
		buf_add_z(&c->out, "0\r\n\r\n");
	return what;
}

static void
begin_answer(struct connection *c)
{
	const struct script *s = &c->script;

	if (s->cut == CUT_HEAD || s->cut == CUT_REQUEST) {
		cut(c);
		return;
	}
	answer_head(c);
	if (s->cut == CUT_BODY || s->cut == CUT_LINE) {
		if (s->cut == CUT_LINE)
			c->out.n -= 10;
		if (flush(c))
			cut(c);
		return;
	}
	if (!s->is_drip)
		step(c);
	else if (flush(c))
		drip(c);
}

/* Sends pieces until one is to wait, or the socket is full. */
static void
step(void *context)
{
	struct connection *c = context;
	enum piece what = PIECE_MORE;
	int64_t wait_ms = 0;

	while (what == PIECE_MORE && wait_ms == 0) {
		what = add_piece(c, &wait_ms);
		if (what == PIECE_LAST)
			finish(c, COUNT_DONE);
		if (!flush(c) || c->out.n)
			return; /* the next comes when there is room */
	}
	if (what == PIECE_CUT)
		cut(c);
	else if (what == PIECE_MORE)
		loop_timer_set(loop, &c->timer, wait_ms, step, c);
}

/* One byte, and the next behind a gap. */
static void
drip(void *context)
{
	struct connection *c = context;
	bool is_over = c->sent == c->out.n && c->is_last;
	int64_t ignored;

	if (c->sent == c->out.n) {
		buf_reset(&c->out);
		c->sent = 0;
		if (!is_over)
			c->is_last = add_piece(c, &ignored) == PIECE_LAST;
	}
	if (is_over) {
		finish(c, COUNT_DONE);
		flush(c);
	} else if (send(c->fd, c->out.p + c->sent, 1, MSG_NOSIGNAL) != 1) {
		drop(c);
	} else {
		c->sent++;
		loop_timer_set(loop, &c->timer, c->script.gap_ms, drip, c);
	}
}

static void
after_delay(void *context)
{
	begin_answer(context);
}

/* True when the script says that this one fails: the first `times` of a key. */
static bool
is_to_fail(const struct script *s)
{
	char line_end[WORD_BYTES + 2];
	int i = 0;

	snprintf(line_end, sizeof(line_end), "%s\r\n", s->auth);
	if (s->auth[0] && strstr(last_head, line_end) == NULL)
		return false;

	if (s->key[0] == '\0')
		return s->status != 0;
	while (i < KEYS_MAX - 1 && keys[i].name[0] &&
	       strcmp(keys[i].name, s->key) != 0)
		i++;
	snprintf(keys[i].name, sizeof(keys[i].name), "%s", s->key);
	keys[i].requests++;
	if (s->status == 0 || (s->times && keys[i].failures >= s->times))
		return false;
	keys[i].failures++;
	return true;
}

static void
begin_request(struct connection *c, enum shape shape, struct str body,
	      bool is_close)
{
	counters[COUNT_REQUESTS]++;
	counters[COUNT_OPEN]++;
	if (counters[COUNT_OPEN] > counters[COUNT_OPEN_MAX])
		counters[COUNT_OPEN_MAX] = counters[COUNT_OPEN];
	c->is_answering = true;
	c->is_last = false;
	c->piece = 0;
	if (!script_read(&c->script, shape, body)) {
		answer_failure(c, 418);
		return;
	}
	c->script.is_close = is_close;
	c->script.head = last_head;
	counters[COUNT_STREAMS] += c->script.is_stream;
	if (is_to_fail(&c->script))
		answer_failure(c, c->script.status);
	else if (c->script.is_redirect)
		answer_failure(c, 302);
	else if (c->script.delay_ms)
		loop_timer_set(loop, &c->timer, c->script.delay_ms, after_delay,
			       c);
	else
		begin_answer(c);
}

/* --- HTTP in -------------------------------------------------------------- */

/* The list of models; what is said to a key depends on its text. */
static void
answer_models(struct connection *c, struct str head)
{
	const char *key = memmem(head.p, head.n, " sk-", 4);
	const char *body = "{\"object\":\"list\",\"data\":[]}";
	char text[256];
	int n = key ? (int)strcspn(key + 1, "\r\n") : 0;
	bool is_echo = n && memmem(key, (size_t)n, "echo", 4);
	bool is_bad = n && memmem(key, (size_t)n, "bad", 3);

	snprintf(text, sizeof(text),
		 "{\"error\":{\"message\":\"Incorrect API key provided: "
		 "%.*s.\",\"type\":\"invalid_request_error\"}}",
		 is_echo ? n : 4, n ? key + 1 + (is_echo ? 0 : n - 4) : "");
	if (n == 0 || is_echo || is_bad)
		body = text;
	counters[COUNT_REQUESTS]++;
	buf_printf(&c->out,
		   "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\n\r\n%s",
		   body == text ? 401 : 200, strlen(body), body);
	flush(c);
}

static void
keep_last(struct str head, struct str body)
{
	snprintf(last_head, sizeof(last_head), "%.*s", STR_ARG(head));
	buf_reset(&last_body);
	buf_add(&last_body, body.p,
		body.n < BODY_KEPT_BYTES ? body.n : BODY_KEPT_BYTES);
}

static void
dispatch(struct connection *c, struct str head, struct str body)
{
	struct str path = head;
	bool is_close =
	    memmem(head.p, head.n, "\r\nConnection: close", 19) != NULL;

	if (str_starts(head, STR("GET /count ")))
		answer_counters(c);
	else if (str_starts(head, STR("GET /wait/"))) {
		path.p += 10;
		path.n -= 10;
		begin_wait(c, path);
		wake_waiting(NULL);
	} else if (str_starts(head, STR("POST /reset "))) {
		int64_t open = counters[COUNT_OPEN];

		memset(counters, 0, sizeof(counters));
		memset(keys, 0, sizeof(keys));
		counters[COUNT_OPEN] = counters[COUNT_OPEN_MAX] = open;
		answer_counters(c);
	} else if (str_starts(head, STR("GET ")) &&
		   memmem(head.p, head.n, "/models ", 8)) {
		keep_last(head, body);
		answer_models(c, head);
	} else if (memmem(head.p, head.n, "/count_tokens ", 14)) {
		keep_last(head, body);
		counters[COUNT_REQUESTS]++;
		buf_add_z(&c->out,
			  "HTTP/1.1 200 OK\r\nContent-Type: application/json"
			  "\r\nContent-Length: 21\r\n\r\n"
			  "{\"input_tokens\":4321}");
		flush(c);
	} else {
		keep_last(head, body);
		begin_request(c,
			      str_starts(head, STR("POST /deepseek/"))
				  ? SHAPE_DEEPSEEK
			      : str_starts(head, STR("POST /anthropic/"))
				  ? SHAPE_ANTHROPIC
				  : SHAPE_OPENAI,
			      body, is_close);
	}
}

static int64_t
content_length(struct str head)
{
	static const char name[] = "\r\ncontent-length:";

	for (size_t i = 0; i + sizeof(name) < head.n; i++)
		if (strncasecmp(head.p + i, name, sizeof(name) - 1) == 0)
			return strtoll(head.p + i + sizeof(name) - 1, NULL, 10);
	return 0;
}

/* Takes a whole request from in, if there is one and none is under way. The
 * connection may be gone behind it. */
static void
take_request(struct connection *c)
{
	static struct buf request; /* one loop, one thread */
	const char *end;
	size_t head_n, total;

	if (c->is_answering || c->wait_counter >= 0 || c->in.n == 0)
		return;
	end = memmem(c->in.p, c->in.n, "\r\n\r\n", 4);
	if (end == NULL)
		return;
	head_n = (size_t)(end - c->in.p) + 4;
	total = head_n + (size_t)content_length(str_bytes(c->in.p, head_n));
	if (c->in.n < total) {
		if (c->in.n == head_n &&
		    memmem(c->in.p, head_n, "100-continue", 12))
			buf_add_z(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		if (memmem(c->in.p, c->in.n, "cut=request", 11))
			begin_request(c, SHAPE_OPENAI,
				      str_bytes(c->in.p, c->in.n), false);
		else if (c->out.n)
			flush(c);
		return;
	}
	request.limit_bytes = REQUEST_BYTES_MAX + 1;
	buf_reset(&request);
	buf_add(&request, c->in.p, total);
	buf_add_char(&request, '\0'); /* for strcspn */
	buf_drop(&c->in, total);
	dispatch(c, str_bytes(request.p, head_n),
		 str_bytes(request.p + head_n, total - head_n));
}

static void
on_event(void *context, int fd, uint32_t events)
{
	struct connection *c = context;
	ssize_t n = 1;

	if (events & EPOLLIN) {
		if (!buf_reserve(&c->in, 16384)) {
			drop(c);
			return;
		}
		n = recv(fd, c->in.p + c->in.n, 16384, 0);
		if (n > 0)
			c->in.n += (size_t)n;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN) ||
	    (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
		drop(c);
		return;
	}
	if (c->is_writing && (events & EPOLLOUT)) {
		if (!flush(c))
			return;
		if (c->is_answering && !c->is_writing && !c->is_silent) {
			step(c);
			return;
		}
	}
	take_request(c);
}

static void
on_accept(void *context, int listener, uint32_t events)
{
	int fd, one = 1;

	(void)context;
	(void)events;
	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *c = calloc(1, sizeof(*c));

		if (c == NULL)
			abort();
		counters[COUNT_CONNECTIONS]++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		c->wait_counter = -1;
		buf_init(&c->in, REQUEST_BYTES_MAX);
		buf_init(&c->out, ANSWER_BYTES_MAX);
		c->next = connections;
		c->at = &connections;
		if (connections)
			connections->at = &c->next;
		connections = c;
		if (loop_fd_add(loop, fd, EPOLLIN | EPOLLRDHUP, on_event, c,
				&c->watch) != ERR_OK)
			abort();
	}
}

int
main(int argc, char **argv)
{
	char address[32], name[64];
	struct loop_fd *watch;
	struct why why;
	int fd;

	snprintf(address, sizeof(address), "127.0.0.1:%d",
		 argc > 1 ? atoi(argv[1]) : 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	proc_harden();
	buf_init(&last_body, BODY_KEPT_BYTES);
	if (proc_listen(address, &fd, &why)) {
		fprintf(stderr, "upstream: %s\n", why.text);
		return 1;
	}
	if (loop_open(&loop) ||
	    loop_fd_add(loop, fd, EPOLLIN, on_accept, NULL, &watch) ||
	    loop_turn_add(loop, wake_waiting, NULL))
		return 1;
	proc_listen_name(fd, name, sizeof(name));
	printf("ready port=%s\n", strrchr(name, ':') + 1);
	fflush(stdout);
	return loop_run(loop) ? 1 : 0;
}
