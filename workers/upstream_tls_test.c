/*
 * Tests of upstream over TLS, against a server with a certificate of its own
 * that ends connections as it likes: the key goes to nobody who is not whom the
 * URL names, and a body without its end is no whole one.
 */
#include "workers/upstream.h"

#include "lib/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CA_FILE "ca.pem"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define WHOLE "{\"a\":1}"
#define LARGE_BYTES (3 << 20)

/* --- the server ------------------------------------------------------ */

struct shared {
	atomic_uint connections; /* that were accepted */
	atomic_uint requests;	 /* that were read */
};

static struct shared *shared;

/* Self-signed, for 127.0.0.1 alone; the file has it as the one to trust. */
static X509 *
make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(
	    NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	FILE *file = fopen(CA_FILE, "we");

	CHECK(names && file);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"provider", -1, -1,
				   0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, names, -1);
	CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
	CHECK(PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
	X509_EXTENSION_free(names);
	return certificate;
}

/* How the body ends, by the path. */
static bool
answer(SSL *tls, const char *request)
{
	static const struct {
		const char *path;
		const char *text;
		bool says_goodbye; /* close_notify */
	} rows[] = {
	    {"/length/", HEAD "Content-Length: 7\r\n\r\n" WHOLE, false},
	    {"/chunks/",
	     HEAD "Transfer-Encoding: chunked\r\n\r\n7\r\n" WHOLE
		  "\r\n0\r\n\r\n",
	     false},
	    {"/close/", HEAD "Connection: close\r\n\r\n" WHOLE, true},
	    {"/cut-close/", HEAD "Connection: close\r\n\r\n" WHOLE, false},
	    {"/cut-length/", HEAD "Content-Length: 8\r\n\r\n" WHOLE, false},
	    {"/cut-chunks/",
	     HEAD "Transfer-Encoding: chunked\r\n\r\n7\r\n" WHOLE "\r\n",
	     false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strstr(request, rows[i].path))
			continue;
		SSL_write(tls, rows[i].text, (int)strlen(rows[i].text));
		return rows[i].says_goodbye;
	}
	return false;
}

static bool
read_request(SSL *tls, char *request, int room)
{
	int n = 0, got;

	do {
		got = SSL_read(tls, request + n, room - 1 - n);
		n += got > 0 ? got : 0;
		request[n] = '\0';
	} while (got > 0 && !strstr(request, "\r\n\r\n{}"));
	shared->requests += got > 0;
	return got > 0;
}

/* Large, and the connection stays: true when that was asked for. */
static bool
answer_large(SSL *tls, const char *request)
{
	char head[128];
	char *body;

	if (!strstr(request, "/large/"))
		return false;
	body = calloc(1, LARGE_BYTES);
	snprintf(head, sizeof(head), HEAD "Content-Length: %d\r\n\r\n",
		 LARGE_BYTES);
	SSL_write(tls, head, (int)strlen(head));
	for (int i = 0; i < LARGE_BYTES; i++)
		body[i] = (char)('a' + i % 23);
	SSL_write(tls, body, LARGE_BYTES);
	free(body);
	/* A word from TLS to TLS, while the connection waits. */
	return SSL_new_session_ticket(tls) == 1 && SSL_do_handshake(tls) == 1;
}

static void
serve_connection(SSL_CTX *context, int fd)
{
	char request[4096];
	SSL *tls = SSL_new(context);
	bool is_open;

	shared->connections++;
	SSL_set_fd(tls, fd);
	is_open = SSL_accept(tls) == 1;
	while (is_open && read_request(tls, request, sizeof(request))) {
		is_open = answer_large(tls, request);
		if (!is_open && answer(tls, request))
			SSL_shutdown(tls);
	}
	SSL_free(tls);
	close(fd);
}

static _Noreturn void
serve(int listener, SSL_CTX *context)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			serve_connection(context, fd);
	}
}

/* Returns its port; it dies with the test. */
static int
server_start(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t at_bytes = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key);

	CHECK(listener >= 0 &&
	      bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	      listen(listener, 16) == 0 &&
	      getsockname(listener, (struct sockaddr *)&at, &at_bytes) == 0);
	CHECK(SSL_CTX_use_certificate(context, certificate) == 1 &&
	      SSL_CTX_use_PrivateKey(context, key) == 1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	switch (fork()) {
	case -1:
		test_fail(__FILE__, __LINE__, "fork");
	case 0:
		serve(listener, context);
	default:
		break;
	}
	close(listener);
	X509_free(certificate);
	EVP_PKEY_free(key);
	SSL_CTX_free(context);
	return ntohs(at.sin_port);
}

/* --- a call ---------------------------------------------------------- */

struct seen {
	struct buf body;
	bool is_over;
	enum err err;
	unsigned sends;
};

static void
on_head(void *ctx, const struct upstream_head *head)
{
	(void)ctx;
	CHECK_INT(head->status, 200);
}

static enum upstream_take
on_body(void *ctx, struct str bytes)
{
	struct seen *seen = ctx;

	buf_add_str(&seen->body, bytes);
	return UPSTREAM_TAKEN;
}

static void
on_end(void *ctx, const struct upstream_end *end)
{
	struct seen *seen = ctx;

	seen->is_over = true;
	seen->err = end->err;
	seen->sends = end->sends;
}

static const struct upstream_handler handler = {on_head, on_body, on_end};

/* seen->body is the caller's. */
static void
call(const char *ca_file, const char *host, int port, const char *path,
     struct seen *seen)
{
	static const char *const none[] = {NULL};
	struct upstream_ask ask = {.body = STR("{}"),
				   .extra = STR_NONE,
				   .handler = &handler,
				   .ctx = seen,
				   .auth = "Authorization: Bearer sk-canary"};
	struct upstream_target *target;
	struct upstream_call *started;
	struct upstream *upstream;
	struct loop *loop;
	char base[64];

	*seen = (struct seen){.is_over = false};
	buf_init(&seen->body, 4096);
	snprintf(base, sizeof(base), "https://%s:%d", host, port);
	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 2000, NULL));
	CHECK_OK(upstream_trust(upstream, ca_file, NULL));
	CHECK_OK(
	    upstream_target_open(&target, upstream, base, path, none, NULL));
	CHECK_OK(upstream_call(target, &ask, &started));
	while (!seen->is_over)
		CHECK_OK(loop_turn(loop, 1000));
	upstream_target_close(target);
	upstream_close(upstream);
	loop_close(loop);
}

TEST(upstream_tls_ends)
{
	static const struct {
		const char *path;
		enum err err;
	} rows[] = {
	    {"/length/", ERR_OK},
	    {"/chunks/", ERR_OK},
	    {"/close/", ERR_OK},
	    /* Without close_notify curl takes it for the end: whether such a
	     * body is whole, what is in it must say. */
	    {"/cut-close/", ERR_OK},
	    {"/cut-length/", ERR_UPSTREAM_FAILED},
	    {"/cut-chunks/", ERR_UPSTREAM_FAILED},
	};
	int port = server_start();
	struct seen seen;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		call(CA_FILE, "127.0.0.1", port, rows[i].path, &seen);
		CHECK_ERR(seen.err, rows[i].err);
		CHECK_INT(seen.sends, 1);
		CHECK_STR(buf_str(&seen.body), STR(WHOLE));
		buf_fini(&seen.body);
	}
	CHECK_INT(shared->requests, sizeof(rows) / sizeof(rows[0]));
}

struct large {
	struct upstream_call *call;
	size_t bytes;
	unsigned bodies;
	bool is_paused;
	bool is_over;
	struct upstream_end end;
};

/* Each tenth piece comes twice. */
static enum upstream_take
on_large_body(void *ctx, struct str bytes)
{
	struct large *large = ctx;

	CHECK(!large->is_paused);
	if (++large->bodies % 10 == 0) {
		large->is_paused = true;
		return UPSTREAM_PAUSE;
	}
	for (size_t i = 0; i < bytes.n; i++)
		CHECK(bytes.p[i] == 'a' + (int)((large->bytes + i) % 23));
	large->bytes += bytes.n;
	return UPSTREAM_TAKEN;
}

static void
on_large_end(void *ctx, const struct upstream_end *end)
{
	struct large *large = ctx;

	large->is_over = true;
	large->end = *end;
}

/* What TLS has decrypted already makes no socket ready. */
TEST(upstream_tls_pauses_and_keeps_its_connection)
{
	static const struct upstream_handler large_handler = {
	    on_head, on_large_body, on_large_end};
	static const char *const none[] = {NULL};
	struct upstream_target *target;
	struct upstream *upstream;
	struct loop *loop;
	char base[64];

	snprintf(base, sizeof(base), "https://127.0.0.1:%d", server_start());
	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 2000, NULL));
	CHECK_OK(upstream_trust(upstream, CA_FILE, NULL));
	CHECK_OK(upstream_target_open(&target, upstream, base, "/large/", none,
				      NULL));
	for (int i = 0; i < 3; i++) {
		struct large large = {.bytes = 0};
		struct upstream_ask ask = {.body = STR("{}"),
					   .handler = &large_handler,
					   .ctx = &large};

		CHECK_OK(upstream_call(target, &ask, &large.call));
		while (!large.is_over) {
			if (large.is_paused) {
				large.is_paused = false;
				upstream_resume(large.call);
			} else {
				CHECK_OK(loop_turn(loop, 1000));
			}
		}
		CHECK_OK(large.end.err);
		CHECK_INT(large.end.sends, 1);
		CHECK_INT(large.bytes, LARGE_BYTES);
		CHECK(large.bodies > 100);
		CHECK_OK(loop_turn(loop, 1000)); /* TLS's word comes */
	}
	CHECK_INT(shared->connections, 1);
	CHECK_INT(shared->requests, 3);
	upstream_target_close(target);
	upstream_close(upstream);
	loop_close(loop);
}

/* Whoever cannot show who it is gets no request, and no key. */
TEST(upstream_tls_trusts_nobody_else)
{
	int port = server_start();
	struct upstream *upstream;
	struct loop *loop;
	struct seen seen;
	struct why why;

	call("", "127.0.0.1", port, "/length/", &seen); /* unknown to us */
	CHECK_ERR(seen.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.sends, 0);
	buf_fini(&seen.body);
	call(CA_FILE, "localhost", port, "/length/", &seen); /* another name */
	CHECK_ERR(seen.err, ERR_UPSTREAM_FAILED);
	CHECK_INT(seen.sends, 0);
	buf_fini(&seen.body);
	CHECK_INT(shared->requests, 0);
	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 2000, NULL));
	CHECK_ERR(upstream_trust(upstream, "nowhere.pem", &why), ERR_CONFIG);
	CHECK(strstr(why.text, "nowhere.pem"));
	CHECK_ERR(upstream_trust(upstream, "/etc/passwd", &why), ERR_CONFIG);
	CHECK(strstr(why.text, "no certificate"));
	CHECK_OK(upstream_trust(upstream, CA_FILE, &why));
	upstream_close(upstream);
	loop_close(loop);
}
