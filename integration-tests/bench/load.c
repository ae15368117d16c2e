/*
 * load: a closed loop of N connections, each with one request under way, for
 * the bench. One thread, epoll, no allocation while it runs. Prints one line:
 *
 *   requests errors per_second p50_us p99_us event_p50_us event_p99_us
 *   first_p50_us first_p99_us
 *
 * load [options] HOST:PORT PATH
 *
 *   -n CONNECTIONS  64
 *   -s SECONDS      5, behind half a second of warm-up
 *   -r REQUESTS     ends with so many answers, good or not, however long they
 *                   take; all of them count
 *   -k KEYS_FILE    licence keys of one length, a line each, sent as
 *                   X-License-Key in turn
 *   -b BODY         POST this body; without it GET
 *   -c              Connection: close, a new connection for each request
 *   -w MS           between an answer and the connection's next request
 *
 * Events of a stream that hold the upstream's `stamp` are timed one by one.
 * first: until the first byte of the answer's body.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define REQUEST_BYTES 4096
#define IN_BYTES 65536
#define BUCKETS 2000000 /* of 1 us */
#define WARM_UP_NS 500000000

struct connection {
	int fd;
	bool is_head_done, is_chunked, is_begun;
	int64_t ask_at_ns; /* 0 = a request is under way */
	size_t n;	   /* bytes in `in` */
	size_t left;	   /* of a body with a length */
	int64_t began_ns;
	char in[IN_BYTES];
};

struct histogram {
	uint64_t count;
	uint32_t buckets[BUCKETS];
};

static struct connection *connections;
static struct histogram answers, events, firsts;
static struct sockaddr_in to = {.sin_family = AF_INET};
static char request[REQUEST_BYTES];
static size_t request_n;
static char *key_at; /* where in request the key stands */
static const char *keys;
static size_t key_n, key_count, next_key;
static bool is_closing;
static uint64_t errors;
static int64_t counts_from_ns, wait_ns;
static int epoll_fd;

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
add(struct histogram *h, int64_t ns)
{
	int64_t us = ns / 1000;

	h->count++;
	h->buckets[us < 0 ? 0 : us < BUCKETS ? us : BUCKETS - 1]++;
}

static unsigned
percentile(const struct histogram *h, unsigned percent)
{
	uint64_t want = h->count * percent / 100, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > want)
			return i;
	}
	return 0;
}

static void
dial(struct connection *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 ||
	    connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		fail("epoll_ctl");
}

static void
ask(struct connection *c)
{
	c->n = c->left = 0;
	c->is_head_done = c->is_chunked = c->is_begun = false;
	c->ask_at_ns = 0;
	c->began_ns = now_ns();
	if (is_closing)
		dial(c);
	if (key_count) {
		memcpy(key_at, keys + next_key * (key_n + 1), key_n);
		next_key = (next_key + 1) % key_count;
	}
	if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
		errors++;
}

static void
again(struct connection *c, bool is_good, bool is_open)
{
	int64_t now = now_ns();

	if (now >= counts_from_ns) {
		errors += !is_good;
		if (is_good)
			add(&answers, now - c->began_ns);
	}
	if (is_closing || !is_open)
		close(c->fd);
	if (!is_closing && !is_open)
		dial(c);
	if (wait_ns)
		c->ask_at_ns = now + wait_ns;
	else
		ask(c);
}

/* False: not all of it is here yet. */
static bool
read_head(struct connection *c, bool *is_good)
{
	char *end, *length;

	c->in[c->n] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (end == NULL)
		return false;
	*is_good = memcmp(c->in, "HTTP/1.1 200", 12) == 0;
	*end = '\0';
	length = strcasestr(c->in, "\r\nContent-Length:");
	c->is_chunked = length == NULL;
	c->left = length ? strtoul(length + 17, NULL, 10) : 0;
	end += 4;
	c->n -= (size_t)(end - c->in);
	memmove(c->in, end, c->n);
	c->is_head_done = true;
	return true;
}

/* Times the events that are stamped with the moment of their sending. */
static void
time_events(const struct connection *c, size_t from)
{
	const char *at = c->in + from;
	int64_t now = now_ns();

	if (now < counts_from_ns)
		return;
	while ((at = strstr(at, "\"stamp=")) != NULL) {
		at += 7;
		add(&events, now - strtoll(at, NULL, 10));
	}
}

/* Behind the first line of a chunk, which comes with its bytes. */
static void
time_first(struct connection *c)
{
	int64_t now;

	if (c->is_begun || c->n == 0)
		return;
	c->is_begun = true;
	now = now_ns();
	if (now >= counts_from_ns)
		add(&firsts, now - c->began_ns);
}

static void
on_bytes(struct connection *c, size_t n)
{
	static bool is_good[CONNECTIONS_MAX];
	bool *good = &is_good[c - connections];
	size_t from = c->n;

	c->n += n;
	if (!c->is_head_done) {
		if (!read_head(c, good)) {
			if (c->n + 1 >= IN_BYTES)
				again(c, false, false);
			return;
		}
		from = 0;
	}
	time_first(c);
	if (!c->is_chunked) {
		if (c->n >= c->left) {
			again(c, *good, true);
		} else {
			c->left -= c->n;
			c->n = 0;
		}
		return;
	}
	c->in[c->n] = '\0';
	time_events(c, from);
	if (c->n >= 5 && memcmp(c->in + c->n - 5, "0\r\n\r\n", 5) == 0) {
		again(c, *good, true);
	} else if (c->n > IN_BYTES / 2) {
		memmove(c->in, c->in + c->n - 8, 8);
		c->n = 8;
	}
}

static void
on_event(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->n, IN_BYTES - 1 - c->n, 0);

	if (n > 0)
		on_bytes(c, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		again(c, false, false);
}

static void
read_keys(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		fail(path);
	keys = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (keys == MAP_FAILED)
		fail(path);
	key_n = strcspn(keys, "\n");
	key_count = (size_t)st.st_size / (key_n + 1);
	close(fd);
}

static void
make_request(const char *host, const char *path, const char *body)
{
	char blank[128];
	int n;

	memset(blank, 'X', sizeof(blank));
	n = snprintf(request, sizeof(request),
		     "%s %s HTTP/1.1\r\nHost: %s\r\n%s", body ? "POST" : "GET",
		     path, host, is_closing ? "Connection: close\r\n" : "");
	if (key_count) {
		n += snprintf(request + n, sizeof(request) - (size_t)n,
			      "X-License-Key: %.*s\r\n", (int)key_n, blank);
		key_at = request + n - 2 - key_n;
	}
	if (body)
		n += snprintf(request + n, sizeof(request) - (size_t)n,
			      "Content-Type: application/json\r\n"
			      "Content-Length: %zu\r\n",
			      strlen(body));
	n += snprintf(request + n, sizeof(request) - (size_t)n, "\r\n%s",
		      body ? body : "");
	if ((size_t)n >= sizeof(request)) {
		errno = EMSGSIZE;
		fail("request");
	}
	request_n = (size_t)n;
}

static void
ask_those_due(int count)
{
	int64_t now = now_ns();

	for (int i = 0; i < count; i++)
		if (connections[i].ask_at_ns && connections[i].ask_at_ns <= now)
			ask(&connections[i]);
}

static void
turn(int64_t end_ns, uint64_t end_requests, int count)
{
	struct epoll_event ready[256];

	while (now_ns() < end_ns && answers.count + errors < end_requests) {
		int n = epoll_wait(epoll_fd, ready, 256, wait_ns ? 1 : 100);

		if (wait_ns)
			ask_those_due(count);

		for (int i = 0; i < n; i++)
			on_event(ready[i].data.ptr);
	}
}

int
main(int argc, char **argv)
{
	int count = 64, seconds = 5, option;
	const char *body = NULL, *colon;
	uint64_t requests = UINT64_MAX;

	while ((option = getopt(argc, argv, "n:s:r:k:b:cw:")) != -1) {
		if (option == 'n')
			count = atoi(optarg);
		else if (option == 's')
			seconds = atoi(optarg);
		else if (option == 'r')
			requests = strtoull(optarg, NULL, 10);
		else if (option == 'k')
			read_keys(optarg);
		else if (option == 'b')
			body = optarg;
		else if (option == 'c')
			is_closing = true;
		else if (option == 'w')
			wait_ns = atoi(optarg) * INT64_C(1000000);
		else
			return 2;
	}
	if (optind + 2 != argc || count < 1 || count > CONNECTIONS_MAX)
		return 2;
	colon = strrchr(argv[optind], ':');
	to.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0"));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	make_request(argv[optind], argv[optind + 1], body);
	connections = calloc((size_t)count, sizeof(*connections));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (connections == NULL || epoll_fd < 0)
		fail("start");
	counts_from_ns = now_ns();
	if (requests == UINT64_MAX)
		counts_from_ns += WARM_UP_NS;
	for (int i = 0; i < count; i++) {
		if (!is_closing)
			dial(&connections[i]);
		ask(&connections[i]);
	}
	turn(requests == UINT64_MAX
		 ? counts_from_ns + (int64_t)seconds * 1000000000
		 : INT64_MAX,
	     requests, count);
	printf("%llu %llu %.0f %u %u %u %u %u %u\n",
	       (unsigned long long)answers.count, (unsigned long long)errors,
	       (double)answers.count * 1e9 /
		   (double)(now_ns() - counts_from_ns),
	       percentile(&answers, 50), percentile(&answers, 99),
	       percentile(&events, 50), percentile(&events, 99),
	       percentile(&firsts, 50), percentile(&firsts, 99));
	return 0;
}
