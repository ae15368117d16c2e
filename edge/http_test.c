/*
 * http_test: a listener with small handlers behind it, and raw clients in the
 * same thread: the loop is turned until they have what they wait for.
 */
#include "edge/http.h"

#include "edge/talk_test.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "lib/test.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNTIL(expr) TALK_UNTIL(world.loop, expr)
#define GET_ "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

struct world {
	struct loop *loop;
	struct http *http;
	size_t bodies_held;
	struct http_request *waiting; /* the last one left without answer */
	unsigned ended;
	unsigned begun;
	unsigned handled;
	size_t consumed;
	struct http_options options;
};

static struct world world;

/* --- handlers by path ---------------------------------------------------- */

static void
on_begin(struct http_request *r, enum err err, const char *fault)
{
	world.begun++;
	r->body_limit_bytes = 1000;
	if (err != ERR_OK)
		http_reply(r, err_row(err)->http_status, "text/plain",
			   str_of(fault));
	else if (str_eq(r->path, STR("/none")))
		http_reply(r, 404, "text/plain", STR("none"));
}

static void
on_handle(struct http_request *r)
{
	world.handled++;
	if (str_eq(r->path, STR("/wait"))) {
		r->is_watched = true;
		world.waiting = r;
	} else if (str_eq(r->path, STR("/soon"))) {
		world.waiting = r;
	} else if (str_eq(r->path, STR("/stream"))) {
		r->is_watched = true;
		world.waiting = r;
		http_stream(r, 200, "text/event-stream");
	} else if (str_eq(r->path, STR("/big"))) {
		buf_reserve(&r->out, 8u << 20);
		memset(r->out.p, 'x', 8u << 20);
		r->out.n = 8u << 20;
		http_reply(r, 200, "text/plain", buf_str(&r->out));
	} else {
		http_header(r, "x-test", "1");
		buf_add_str(&r->out, buf_str(&r->body));
		buf_add_z(&r->out, "hello");
		http_reply(r, 200, "text/plain", buf_str(&r->out));
	}
}

static void
on_overflow(struct http_request *r, bool is_full)
{
	http_reply(r, is_full ? 503 : 413, "text/plain", STR("no"));
}

static void
on_broken(struct http_request *r, const char *fault)
{
	http_reply(r, 400, "text/plain", str_of(fault));
}

static void
on_consumed(struct http_request *r, size_t bytes)
{
	(void)r;
	world.consumed += bytes;
}

static void
on_end(struct http_request *r)
{
	if (world.waiting == r)
		world.waiting = NULL;
	world.ended++;
}

static const struct http_calls calls = {on_begin,  on_handle,	on_overflow,
					on_broken, on_consumed, on_end};

/* --- the world ----------------------------------------------------------- */

static void
defaults(void)
{
	world.options = (struct http_options){
	    .calls = &calls,
	    .connections = 4096,
	    .connections_per_ip = 4096,
	    .head_ms = 5000,
	    .body_ms = 5000,
	    .write_ms = 5000,
	    .idle_ms = 5000,
	    .bodies_held = &world.bodies_held,
	    .bodies_held_max = 1u << 20,
	};
}

static void
begin(void)
{
	struct why why;

	if (world.options.calls == NULL)
		defaults();
	CHECK_OK(loop_open(&world.loop));
	world.options.loop = world.loop;
	CHECK_OK(proc_listen("127.0.0.1:0", &world.options.listen_fd, &why));
	CHECK_OK(http_open(&world.http, &world.options, &why));
}

static void
finish(void)
{
	http_close(world.http);
	loop_close(world.loop);
	CHECK_INT(world.begun, world.ended);
	CHECK_INT(world.bodies_held, 0);
}

static int
client(void)
{
	return talk_connect(world.options.listen_fd);
}

static bool
hear(int fd, const char *text)
{
	return talk_hear(world.loop, fd, text);
}

/* --- tests --------------------------------------------------------------- */

TEST(http_keeps_alive)
{
	int fd, i;

	begin();
	fd = client();
	for (i = 0; i < 3; i++) {
		talk_say(fd, GET_);
		CHECK(hear(fd, "\r\n\r\nhello"));
		CHECK(strncmp(talk_got, "HTTP/1.1 200 ", 13) == 0);
		CHECK(strstr(talk_got, "x-test: 1\r\n"));
		CHECK(strstr(talk_got, "Content-Length: 5\r\n"));
	}
	CHECK_INT(http_connections(world.http), 1);
	close(fd);
	finish();
}

TEST(http_takes_bodies_in_parts)
{
	int fd;

	begin();
	fd = client();
	talk_say(
	    fd,
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
	loop_turn(world.loop, 20);
	talk_say(fd, "def");
	CHECK(hear(fd, "\r\n\r\nabcdefhello"));
	talk_say(
	    fd,
	    "POST /hello HTTP/1.1\r\nHost: a\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n");
	CHECK(hear(fd, "\r\n\r\nxyzhello"));
	close(fd);
	finish();
}

TEST(http_answers_later)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	http_reply(world.waiting, 200, "text/plain", STR("late"));
	CHECK(hear(fd, "\r\n\r\nlate"));
	talk_say(fd, GET_);
	CHECK(hear(fd, "hello"));
	close(fd);
	finish();
}

/* What is answered soon lingers; what is not rests, and is woken. */
TEST(http_lingers_then_rests)
{
	int fd, i;

	begin();
	fd = client();
	for (i = 0; i < 4; i++) {
		talk_say(fd, "GET /soon HTTP/1.1\r\nHost: a\r\n\r\n");
		UNTIL(world.waiting != NULL);
		CHECK(world.waiting->is_lingering);
		CHECK(!world.waiting->is_suspended);
		if (i % 2)
			UNTIL(world.waiting->is_suspended);
		http_reply(world.waiting, 200, "text/plain", STR("late"));
		CHECK(hear(fd, "\r\n\r\nlate"));
		world.waiting = NULL;
	}
	talk_say(fd, "GET /soon HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	close(fd);
	finish();
}

static void
answer_waiting(int fd)
{
	http_reply(world.waiting, 200, "text/plain", STR("late"));
	CHECK(hear(fd, "\r\n\r\nlate"));
	world.waiting = NULL;
}

/* What is watched lingers, too, while the others of it are answered soon: one
 * late answer, and the next one rests at once. */
TEST(http_lingers_when_watched_ones_are_answered_soon)
{
	static const char get[] = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
	static const bool lingers[] = {true, true, false, true};
	int fd;
	size_t i;

	begin();
	fd = client();
	for (i = 0; i < sizeof(lingers) / sizeof(lingers[0]); i++) {
		talk_say(fd, get);
		UNTIL(world.waiting != NULL);
		CHECK_INT(world.waiting->is_lingering, lingers[i]);
		CHECK_INT(world.waiting->is_suspended, !lingers[i]);
		if (i == 1)
			UNTIL(loop_now_ns(world.loop) -
				  world.waiting->began_ns >=
			      160 * NS_PER_MS);
		answer_waiting(fd);
	}
	close(fd);
	finish();
}

TEST(http_notices_who_leaves_while_lingering)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	CHECK(world.waiting->is_lingering);
	close(fd);
	while (world.waiting && world.waiting->is_lingering)
		loop_turn(world.loop, 1000);
	CHECK(world.waiting == NULL); /* it did not have to rest for that */
	finish();
}

/* One refusal in our words, and no more. */
static bool
is_refusal(const char *at, const char *status)
{
	return (strncmp(at, "HTTP/1.1 ", 9) == 0 ||
		strncmp(at, "HTTP/1.0 ", 9) == 0) &&
	       strncmp(at + 9, status, strlen(status)) == 0 &&
	       strstr(strstr(at, "\r\nDate:") + 1, "\r\nDate:") == NULL &&
	       strstr(at, "text/plain") && strstr(at, "Connection: close");
}

/* What comes behind the answer of GET_, or NULL when that is none. */
static const char *
behind_hello(void)
{
	const char *at = strstr(talk_got, "\r\n\r\nhello");

	if (at == NULL || strncmp(talk_got + 8, " 200 ", 5) != 0)
		return NULL;
	return at + sizeof("\r\n\r\nhello") - 1;
}

/* One answer for each good request before it, then the refusal. */
static bool
is_refused_once(const char *said, const char *status)
{
	const char *at = talk_got;

	if (strncmp(said, GET_, sizeof(GET_) - 1) == 0)
		at = behind_hello();
	return at && is_refusal(at, status);
}

TEST(http_refuses_what_the_audit_refuses)
{
	static const char *const bad[] = {
	    "GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET / HTTP/1.1\r\n\r\n",
	    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
	    "Content-Length: 2\r\n\r\nxx",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
	    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
	    "GET / HTTP/1.1\r\nno colon\r\n\r\n",
	    "hello\r\n\r\n",
	    "GET\r\n\r\n",
	    "GET /\r\n\r\n",
	    "GET / HTTP/1\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\nab",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nab",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab",
	    GET_ "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	    GET_ "hello\r\n\r\n",
	};
	size_t i;

	begin();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = client();

		talk_say(fd, bad[i]);
		shutdown(fd, SHUT_WR);
		if (!hear(fd, NULL))
			test_fail(__FILE__, __LINE__, "row %zu stays open", i);
		if (!is_refused_once(bad[i], "400 "))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i,
				  talk_got);
		close(fd);
	}
	finish();
}

/* Answered, then a wrong head behind it, as long as the connection stays; once
 * it closes nobody is answered any more. */
TEST(http_refuses_a_wrong_head_behind_any_that_keeps_the_connection)
{
	static const struct {
		const char *first;
		bool stays;
	} rows[] = {
	    {"GET /hello HTTP/1.1\r\nHost: a\r\n", true},
	    {"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n",
	     true},
	    {"GET /hello HTTP/1.1\r\nHost: a\r\n"
	     "Connection: TE, X-Close\r\nConnection: closed\r\n",
	     true},
	    {"GET /hello HTTP/1.1\r\nHost: a\r\n"
	     "Connection: TE\r\nConnection: keep-alive ,Close\t\r\n",
	     false},
	    {"GET /hello HTTP/1.0\r\n", false},
	    {"GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n", true},
	    {"GET /hello HTTP/1.0\r\nConnection: TE\r\n", false},
	};
	size_t i;

	begin();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf all;
		const char *at;
		int fd = client();

		buf_init(&all, 4096);
		buf_printf(&all, "%s\r\nhello\r\n\r\n%c", rows[i].first, '\0');
		talk_say(fd, all.p);
		if (!hear(fd, NULL))
			test_fail(__FILE__, __LINE__, "row %zu stays open", i);
		at = behind_hello();
		CHECK(at != NULL);
		if (rows[i].stays ? !is_refusal(at, "400 ") : *at != '\0')
			test_fail(__FILE__, __LINE__, "row %zu: %s", i,
				  talk_got);
		buf_fini(&all);
		close(fd);
	}
	finish();
}

/* In HTTP/1.0 it is the end of the connection that ends a stream: what comes
 * behind must not be taken for more of it. */
TEST(http_says_nothing_behind_a_stream_that_ends_with_its_connection)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		     "hello\r\n\r\n");
	UNTIL(world.waiting != NULL);
	CHECK(http_stream_write(world.waiting, STR("part")));
	http_stream_end(world.waiting, true);
	CHECK(hear(fd, NULL));
	CHECK(strstr(talk_got, "\r\n\r\npart"));
	CHECK(strstr(strstr(talk_got, "\r\n\r\npart"), "HTTP/1") == NULL);
	close(fd);
	finish();
}

TEST(http_refuses_other_versions_and_lengths_beyond_numbers)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	shutdown(fd, SHUT_WR);
	CHECK(hear(fd, NULL) && is_refused_once("", "505 "));
	close(fd);
	fd = client();
	talk_say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
		     "99999999999999999999\r\n\r\nab");
	shutdown(fd, SHUT_WR);
	CHECK(hear(fd, NULL) && is_refused_once("", "413 "));
	close(fd);
	finish();
}

/* Turns that so many milliseconds take; those of a loop that spins are
 * thousands. */
static unsigned
turns_within(int64_t ms)
{
	int64_t end_ms = clock_mono_ms() + ms;
	unsigned turns = 0;

	for (; clock_mono_ms() < end_ms; turns++)
		CHECK_OK(loop_turn(world.loop, 50));
	return turns;
}

static void
wait_for_a_descriptor(bool is_first)
{
	struct rlimit most, now;
	int open_one = is_first ? -1 : client(), fd = client(), spare;

	if (!is_first) {
		talk_say(open_one, GET_);
		CHECK(hear(open_one, "\r\n\r\nhello"));
	}
	CHECK(getrlimit(RLIMIT_NOFILE, &most) == 0);
	spare = dup(fd);
	close(spare);
	now = (struct rlimit){(rlim_t)spare, most.rlim_max};
	talk_say(fd, GET_);
	CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
	CHECK(turns_within(300) < 50);
	CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
	if (!is_first)
		close(open_one);
	CHECK(hear(fd, "\r\n\r\nhello"));
	close(fd);
}

/* Without a descriptor to spare who connects waits, and nobody spins. */
TEST(http_waits_for_descriptors)
{
	begin();
	wait_for_a_descriptor(false);
	finish();
}

TEST(http_waits_for_descriptors_for_its_first_connection)
{
	begin();
	wait_for_a_descriptor(true);
	finish();
}

/* In pieces, so that the library has its beginning; and who stays is cut off
 * when its time is over. */
TEST(http_refuses_heads_in_pieces)
{
	static const char head[] = "POST /hello HTTP/1.1\r\nHost: a\r\n"
				   "Content-Length: 12x\r\n\r\nab";
	int fd, cut;

	defaults();
	world.options.head_ms = 300;
	begin();
	for (cut = 1; cut < (int)sizeof(head) - 6; cut += 23) {
		char first[sizeof(head)] = "";

		memcpy(first, head, (size_t)cut);
		fd = client();
		talk_say(fd, first);
		loop_turn(world.loop, 10);
		loop_turn(world.loop, 0);
		talk_say(fd, head + cut);
		CHECK(hear(fd, "Content-Length is not a number"));
		CHECK(is_refused_once("", "400 "));
		talk_say(fd, GET_);
		CHECK(hear(fd, NULL));
		CHECK_INT(talk_got_n, 0);
		UNTIL(http_connections(world.http) == 0);
		close(fd);
	}
	finish();
}

/* RFC 9112, section 9.3.2: answered in order. */
TEST(http_answers_pipelined_requests_in_order)
{
	static const char post[] =
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
	struct buf all;
	const char *at;
	int fd, i;

	begin();
	buf_init(&all, 1u << 16);
	for (i = 0; i < 4; i++)
		buf_printf(&all, "%s%03dGET /soon HTTP/1.1\r\nHost: a\r\n\r\n",
			   post, i);
	buf_printf(&all, "%s004%c", post, '\0');
	fd = client();
	talk_say(fd, all.p);
	for (i = 0; i < 4; i++) {
		UNTIL(world.waiting != NULL);
		http_reply(world.waiting, 200, "text/plain", STR("late"));
		world.waiting = NULL;
	}
	CHECK(hear(fd, "004hello"));
	at = talk_got;
	for (i = 0; i < 5; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%03dhello", i);
		at = strstr(at, text);
		CHECK(at != NULL);
		if (i < 4)
			at = strstr(at, "\r\n\r\nlate");
		CHECK(at != NULL);
	}
	CHECK_INT(world.handled, 9);
	talk_say(fd, GET_);
	CHECK(hear(fd, "\r\n\r\nhello"));
	close(fd);
	buf_fini(&all);
	finish();
}

/* A head with so many times the text in its target, then in its headers. */
static bool
is_handled_and_answered(const char *argument, const char *line, int times)
{
	unsigned handled = world.handled;
	int fd = client(), i;
	struct buf text;
	bool is_ok;

	buf_init(&text, 1u << 16);
	buf_add_z(&text, "GET /hello?");
	for (i = 0; i < times; i++)
		buf_add_z(&text, argument);
	buf_add_z(&text, " HTTP/1.1\r\nHost: a\r\nCookie: a=a");
	for (i = 0; i < times; i++)
		buf_add_z(&text, line);
	buf_add(&text, "\r\n\r\n", 5);
	talk_say(fd, text.p);
	hear(fd, "\r\n\r\n");
	is_ok = strncmp(talk_got, "HTTP/1.1 200 ", 13) == 0;
	CHECK(is_ok || is_refused_once("", "431 "));
	CHECK_INT(world.handled - handled, is_ok);
	buf_fini(&text);
	close(fd);
	return is_ok;
}

/* Between what fits and what does not there is no size at which a request is
 * handled and its answer finds no room. */
TEST(http_answers_every_head_that_it_handles)
{
	static const struct {
		const char *argument;
		const char *line;
		int fit;  /* so many do */
		int most; /* so many do not */
	} rows[] = {
	    {"aaaaaaaaaaaaaaaa", "", 400, 500},
	    {"", "\r\nx: y", 80, 120},
	    {"", "\r\nx: 0123456789012345678901234567890123456789", 55, 80},
	    {"a&", "", 80, 125},
	    {"", "; a=b", 70, 120},
	};
	size_t i;

	defaults();
	begin();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int times;

		for (times = rows[i].fit; times < rows[i].most; times++)
			CHECK(is_handled_and_answered(rows[i].argument,
						      rows[i].line, times) ||
			      times > rows[i].fit);
		CHECK(!is_handled_and_answered(rows[i].argument, rows[i].line,
					       times));
	}
	finish();
}

TEST(http_keeps_the_connection_of_a_small_refusal)
{
	int fd;

	begin();
	fd = client();
	talk_say(
	    fd,
	    "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
	CHECK(hear(fd, "none"));
	CHECK(strstr(talk_got, "HTTP/1.1 404"));
	talk_say(fd, GET_);
	CHECK(hear(fd, "hello"));
	close(fd);
	finish();
}

TEST(http_limits_bodies)
{
	char part[1024];
	int fd;

	begin();
	memset(part, 'a', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	fd = client();
	talk_say(
	    fd,
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1023\r\n\r\n");
	talk_say(fd, part);
	CHECK(hear(fd, "\r\n\r\nno"));
	CHECK(strstr(talk_got, "413"));
	close(fd);
	finish();
}

/* Says up to so many KiB in chunks; how many went. */
static int
say_chunks(int fd, int count)
{
	char part[1024];
	int i;

	memset(part, 'a', sizeof(part));
	for (i = 0; i < count; i++) {
		if (send(fd, "400\r\n", 5, MSG_NOSIGNAL) < 0 ||
		    send(fd, part, sizeof(part), MSG_NOSIGNAL) < 0 ||
		    send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0)
			break;
		loop_turn(world.loop, 0);
	}
	return i;
}

/* Who is cut off is told why, also one that says all before it listens. */
TEST(http_answers_endless_bodies_then_cuts_them_off)
{
	static const char head[] = "POST /hello HTTP/1.1\r\nHost: a\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	int fd;

	begin();
	fd = client();
	talk_say(fd, head);
	CHECK_INT(say_chunks(fd, 2048), 2048);
	talk_say(fd, "0\r\n\r\n");
	CHECK(hear(fd, "\r\n\r\nno"));
	CHECK(strncmp(talk_got, "HTTP/1.1 413 ", 13) == 0);
	CHECK(strstr(talk_got, "\r\nDate: "));
	CHECK(strstr(talk_got, "\r\nContent-Type: text/plain\r\n"));
	CHECK(strstr(talk_got, "\r\nContent-Length: 2\r\n"));
	CHECK(strstr(talk_got, "\r\nConnection: close\r\n"));
	CHECK(hear(fd, NULL));
	CHECK_INT(talk_got_n, 0); /* once */
	UNTIL(http_connections(world.http) == 0);
	close(fd);
	/* Without an end: not read for ever. */
	fd = client();
	talk_say(fd, head);
	CHECK_INT(say_chunks(fd, 512), 512);
	CHECK(hear(fd, "\r\n\r\nno"));
	CHECK(say_chunks(fd, 65536) < 65536);
	UNTIL(http_connections(world.http) == 0);
	close(fd);
	finish();
}

TEST(http_bounds_all_bodies_together)
{
	int fd;

	defaults();
	world.options.bodies_held_max = 100;
	begin();
	fd = client();
	talk_say(
	    fd,
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n");
	talk_say(fd,
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	CHECK(hear(fd, "\r\n\r\nno"));
	CHECK(strstr(talk_got, "503"));
	close(fd);
	finish();
}

TEST(http_streams)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	CHECK(hear(fd, "\r\n\r\n"));
	CHECK(strstr(talk_got, "Transfer-Encoding: chunked\r\n"));
	CHECK(http_stream_write(world.waiting, STR("one\n")));
	CHECK(hear(fd, "one\n"));
	CHECK(http_stream_write(world.waiting, STR("two\n")));
	CHECK(hear(fd, "two\n"));
	CHECK_INT(world.consumed, 8);
	http_stream_end(world.waiting, true);
	CHECK(hear(fd, "0\r\n\r\n"));
	talk_say(fd, GET_);
	CHECK(hear(fd, "hello"));
	close(fd);
	finish();
}

TEST(http_cuts_a_broken_stream)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	CHECK(http_stream_write(world.waiting, STR("one\n")));
	http_stream_end(world.waiting, false);
	CHECK(hear(fd, NULL));
	CHECK(strstr(talk_got, "one\n"));
	CHECK(strstr(talk_got, "0\r\n\r\n") == NULL);
	loop_turn(world.loop, 20);
	CHECK_INT(http_connections(world.http), 0);
	close(fd);
	finish();
}

TEST(http_bounds_a_stream)
{
	static char part[1u << 16];
	unsigned i;
	int fd;

	begin();
	fd = client();
	talk_say(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	for (i = 0; i < HTTP_STREAM_BYTES_MAX / sizeof(part); i++)
		CHECK(http_stream_write(world.waiting,
					str_bytes(part, sizeof(part))));
	CHECK(!http_stream_write(world.waiting, STR("x")));
	close(fd);
	UNTIL(world.ended >= 1);
	finish();
}

TEST(http_notices_who_leaves)
{
	int fd, i;

	begin();
	for (i = 0; i < 4; i++) {
		fd = client();
		talk_say(fd, i < 2 ? "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
				   : "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		UNTIL(world.waiting != NULL);
		if (i % 2)
			shutdown(fd, SHUT_WR);
		else
			close(fd);
		UNTIL(world.ended > (unsigned)i);
		CHECK(world.waiting == NULL);
		if (i % 2)
			close(fd);
	}
	finish();
}

static int64_t
ms_until_closed(int fd)
{
	int64_t began_ms = clock_mono_ms();

	CHECK(hear(fd, NULL));
	return clock_mono_ms() - began_ms;
}

TEST(http_ends_slow_heads)
{
	int slow, silent, kept;

	defaults();
	world.options.head_ms = 200;
	begin();
	silent = client();
	slow = client();
	kept = client();
	talk_say(slow, "GET / HTTP/1.1\r\nHos");
	talk_say(kept, GET_);
	CHECK(hear(kept, "hello"));
	CHECK(ms_until_closed(silent) < 1000);
	CHECK(ms_until_closed(slow) < 1000);
	/* Kept alive it may be silent for longer, but not begin a head. */
	talk_say(kept, GET_);
	CHECK(hear(kept, "hello"));
	loop_turn(world.loop, 50);
	talk_say(kept, "GE");
	CHECK(ms_until_closed(kept) < 1500);
	close(slow);
	close(silent);
	close(kept);
	finish();
}

/* The part of a head that came behind a request, in the same write or right
 * behind the answer. */
TEST(http_ends_heads_that_began_behind_a_request)
{
	int same, behind;

	defaults();
	world.options.head_ms = 200;
	begin();
	same = client();
	talk_say(same, GET_ "GET /he");
	CHECK(hear(same, "hello"));
	behind = client();
	talk_say(behind, GET_);
	CHECK(hear(behind, "hello"));
	talk_say(behind, "\r\n");
	CHECK(ms_until_closed(same) < 1500);
	CHECK(ms_until_closed(behind) < 1500);
	close(same);
	close(behind);
	finish();
}

TEST(http_ends_slow_bodies_and_idle_connections)
{
	int body, idle;

	defaults();
	world.options.body_ms = 200;
	world.options.idle_ms = 300;
	begin();
	body = client();
	talk_say(
	    body,
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\na");
	CHECK(ms_until_closed(body) < 1000);
	idle = client();
	talk_say(idle, GET_);
	CHECK(hear(idle, "hello"));
	CHECK(ms_until_closed(idle) < 1500);
	close(body);
	close(idle);
	finish();
}

TEST(http_ends_stalled_readers)
{
	int64_t began_ms;
	int small = 4096, fd;

	defaults();
	world.options.write_ms = 300;
	begin();
	fd = client();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	talk_say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	began_ms = clock_mono_ms();
	UNTIL(world.ended >= 1);
	CHECK(clock_mono_ms() - began_ms >= 250);
	close(fd);
	finish();
}

TEST(http_does_not_end_slow_readers)
{
	int fd;
	size_t total = 0;
	int64_t began_ms;

	defaults();
	world.options.write_ms = 200;
	begin();
	fd = client();
	talk_say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	began_ms = clock_mono_ms();
	while (total < 8u << 20) {
		ssize_t n = recv(fd, talk_got, sizeof(talk_got), MSG_DONTWAIT);

		CHECK(n != 0);
		if (n > 0)
			total += (size_t)n;
		CHECK(clock_mono_ms() - began_ms < 20000);
		loop_turn(world.loop, 5);
	}
	close(fd);
	finish();
}

TEST(http_drains)
{
	int busy, idle;

	begin();
	busy = client();
	idle = client();
	talk_say(idle, GET_);
	CHECK(hear(idle, "hello"));
	talk_say(busy, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	http_drain(world.http);
	http_reply(world.waiting, 200, "text/plain", STR("late"));
	CHECK(hear(busy, NULL));
	CHECK(strstr(talk_got, "late"));
	CHECK(strstr(talk_got, "Connection: close\r\n"));
	CHECK(hear(idle, NULL));
	UNTIL(http_connections(world.http) == 0);
	close(busy);
	close(idle);
	finish();
}

/* Whoever else holds the socket goes on accepting. */
TEST(http_drain_leaves_the_socket_open)
{
	int held, fd;
	struct http_options options;
	struct why why;

	begin();
	held = dup(world.options.listen_fd);
	http_drain(world.http);
	fd = talk_connect(held);
	talk_say(fd, GET_);
	loop_turn(world.loop, 20);
	http_close(world.http);
	options = world.options;
	options.listen_fd = held;
	CHECK_OK(http_open(&world.http, &options, &why));
	CHECK(hear(fd, "hello"));
	close(fd);
	finish();
}

TEST(http_close_cuts_everybody_off)
{
	int fds[3], i;

	begin();
	fds[0] = client();
	fds[1] = client();
	fds[2] = client();
	talk_say(fds[0], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(world.waiting != NULL);
	talk_say(fds[1], "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(hear(fds[1], "\r\n\r\n"));
	talk_say(fds[2], "GET /wa");
	loop_turn(world.loop, 10);
	finish();
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

TEST_LIMITED(http_serves_beside_a_slowloris, 60)
{
	static int slow[2000];
	size_t i;
	int fd, rounds;

	defaults();
	world.options.head_ms = 1000;
	begin();
	for (i = 0; i < 2000; i++) {
		slow[i] = client();
		talk_say(slow[i], "GET / HTTP/1.1\r\nX: ");
		loop_turn(world.loop, 0);
	}
	fd = client();
	for (rounds = 0; rounds < 100; rounds++) {
		talk_say(fd, GET_);
		CHECK(hear(fd, "hello"));
	}
	CHECK(hear(slow[1999], NULL));
	for (i = 0; i < 2000; i++)
		close(slow[i]);
	close(fd);
	finish();
}

/* Whether it comes with its head or behind it, whole or byte by byte, the
 * answer is ours, once, and the connection closes. */
TEST(http_refuses_chunks_that_are_none)
{
	static const char head[] = "POST /hello HTTP/1.1\r\nHost: a\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	static const char *const bad[] = {
	    "zz\r\n{}\r\n0\r\n\r\n", "2\r\nxyz\r\n0\r\n\r\n", "2\nxy\r\n",
	    "0\r\nx-a: b\r\n\r\n",   "2;a\x01\r\nxy\r\n",     "-1\r\n",
	    "2\r\nxy\r\nzz\r\n"};

	begin();
	for (size_t i = 0; i < 3 * sizeof(bad) / sizeof(bad[0]); i++) {
		const char *body = bad[i / 3];
		char text[256];
		int fd = client();

		snprintf(text, sizeof(text), "%s%s", head, body);
		if (i % 3 == 0) {
			talk_say(fd, text);
		} else if (i % 3 == 1) {
			talk_say(fd, head);
			loop_turn(world.loop, 20);
			talk_say(fd, body);
		}
		for (size_t at = 0; i % 3 == 2 && at < strlen(text); at++) {
			char one[] = {text[at], '\0'};

			talk_say(fd, one);
			loop_turn(world.loop, 1);
		}
		shutdown(fd, SHUT_WR);
		CHECK(hear(fd, NULL));
		if (!is_refused_once("", "400 "))
			test_fail(__FILE__, __LINE__, "%zu: %s", i, talk_got);
		CHECK(!strstr(talk_got, "<html>"));
		close(fd);
	}
	CHECK_INT(world.handled, 0);
	finish();
	CHECK_INT(world.begun, world.ended);
}

TEST(http_takes_requests_behind_chunks)
{
	int fd;

	begin();
	fd = client();
	talk_say(fd, "POST /hello HTTP/1.1\r\nHost: a\r\n"
		     "Transfer-Encoding: chunked\r\n\r\n"
		     "0000000000000002; a=\"b;c\" ;ddddddddddddddddddddddddd"
		     "eeeeeeeeeeeeeeeeeeeeeeee\r\nxy\r\n00\r\n\r\n"
		     "POST /hello HTTP/1.1\r\nHost: a\r\n"
		     "Transfer-Encoding: chunked\r\n\r\n1;e\r\nz\r\n0\r\n\r\n"
		     "POST /hello HTTP/1.1\r\nHost: a\r\n"
		     "Transfer-Encoding: chunked\r\n\r\nq\r\n");
	shutdown(fd, SHUT_WR);
	CHECK(hear(fd, NULL));
	CHECK(strstr(talk_got, "\r\n\r\nxyhello"));
	CHECK(strstr(talk_got, "\r\n\r\nzhello"));
	CHECK(strstr(talk_got, "zhelloHTTP/1.1 400 "));
	CHECK_INT(world.handled, 2);
	close(fd);
	finish();
}
