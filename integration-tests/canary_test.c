/*
 * canary: a provider's key goes to its provider and to nobody else. Requests
 * that name another host in every place there is, a provider that redirects or
 * says the key aloud, an environment with proxies; then every answer, log,
 * file, record and the memory of the other processes is searched for the keys.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration-tests/ask.h"

#define TEXT_BYTES 4096
#define CHUNK_BYTES 65536u
#define MAPPING_BYTES_MAX (1u << 30) /* beyond: a sanitizer's shadow */

static const char *const canaries[] = {OPENAI_CANARY, DEEPSEEK_CANARY,
				       ANTHROPIC_CANARY};

#define CANARIES (sizeof(canaries) / sizeof(canaries[0]))

/* A host that nobody is to call: it listens, and looks at its end. */
struct trap {
	int fd;
	char address[ADDRESS_BYTES];
};

static void
trap_open(struct trap *trap)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	trap->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(trap->fd >= 0 && bind(trap->fd, (struct sockaddr *)&at, n) == 0 &&
	      listen(trap->fd, 16) == 0 &&
	      getsockname(trap->fd, (struct sockaddr *)&at, &n) == 0);
	snprintf(trap->address, sizeof(trap->address), "127.0.0.1:%d",
		 ntohs(at.sin_port));
}

static void
trap_check(const struct trap *trap)
{
	struct pollfd p = {.fd = trap->fd, .events = POLLIN};

	CHECK_INT(poll(&p, 1, 0), 0);
}

/* `from` with the trap's address for each TRAP. */
static void
fill(const struct trap *trap, const char *from, char out[TEXT_BYTES])
{
	size_t n = 0;

	while (*from && n + ADDRESS_BYTES < TEXT_BYTES) {
		if (strncmp(from, "TRAP", 4) == 0) {
			n += (size_t)snprintf(out + n, TEXT_BYTES - n, "%s",
					      trap->address);
			from += 4;
		} else {
			out[n++] = *from++;
		}
	}
	out[n] = '\0';
}

static bool
has_canary(struct str text)
{
	for (size_t i = 0; i < CANARIES; i++)
		if (text.n &&
		    memmem(text.p, text.n, canaries[i], strlen(canaries[i])))
			return true;
	return false;
}

static void
check_quiet(const struct answer *answer, const char *what)
{
	if (has_canary(answer->head) || has_canary(answer->body))
		test_fail(__FILE__, __LINE__, "%s: the answer has a key: %.*s",
			  what, STR_ARG(answer->body));
}

/* What the provider got last: for itself, with its key alone. */
static void
check_head(const struct house *house, const struct trap *trap,
	   const char *license, const char *what)
{
	json_t *counts = upstream_counts(house);
	struct str head = json_str_at(counts, "last_head");
	char host[ADDRESS_BYTES + 16], version[ADDRESS_BYTES + 32];
	unsigned keys = 0;

	snprintf(host, sizeof(host), "\r\nHost: %s\r\n",
		 house->upstream_address);
	/* This header is the client's word, whatever it is. */
	snprintf(version, sizeof(version), "\r\nanthropic-version: %s\r\n",
		 trap->address);
	for (size_t i = 0; i < CANARIES; i++)
		keys += test_count(head, canaries[i]);
	if (keys != 1 || test_count(head, host) != 1 ||
	    test_count(head, "\r\nHost:") != 1 ||
	    test_count(head, trap->address) > test_count(head, version) ||
	    test_count(head, license))
		test_fail(__FILE__, __LINE__, "%s: %.*s", what, STR_ARG(head));
	json_decref(counts);
}

/* --- requests that name another host --------------------------------- */

#define GOOD "{\"model\":\"" MODEL "\",\"messages\":" MESSAGES "}"
#define MESSAGES "[{\"role\":\"user\",\"content\":\"Hello\"}]"
#define WITH(member)                                                           \
	"{\"model\":\"" MODEL "\"," member ",\"messages\":" MESSAGES "}"
#define CLAUDE_WITH(member)                                                    \
	"{\"model\":\"" CLAUDE_MODEL "\",\"max_tokens\":9," member             \
	",\"messages\":" MESSAGES "}"
#define IMAGE(model)                                                           \
	"{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\","           \
	"\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"         \
	"\"http://TRAP/a.png\"}}]}]}"
#define OPENAI "/v1/chat/completions"
#define ANTHROPIC "/v1/messages"
#define CHAT "/api/chat"

struct
try {
	int status; /* 0: any but a server's failure */
	const char *path;
	const char *headers;
	const char *body;
};

static const struct try tries[] = {
    {400, OPENAI, "", WITH("\"base_url\":\"http://TRAP/v1\"")},
    {400, OPENAI, "", WITH("\"api_base\":\"http://TRAP/v1\"")},
    {400, OPENAI, "", WITH("\"api_key\":\"sk-mine\"")},
    {400, OPENAI, "", WITH("\"base\\u005furl\":\"http://TRAP/v1\"")},
    {400, ANTHROPIC, "", CLAUDE_WITH("\"base_url\":\"http://TRAP\"")},
    {400, ANTHROPIC, "", CLAUDE_WITH("\"api_key\":null")},
    {400, CHAT, "", WITH("\"api_base\":\"http://TRAP\"")},
    {400, CHAT, "", WITH("\"api_provider\":\"http://TRAP\"")},
    {0, OPENAI, "", WITH("\"extra_body\":{\"base_url\":\"http://TRAP\"}")},
    {0, OPENAI, "", WITH("\"BASE_URL\":\"http://TRAP\"")},
    {0, OPENAI, "", WITH("\"extra_headers\":{\"Host\":\"TRAP\"}")},
    {0, OPENAI, "", WITH("\"user\":\"\\r\\nHost: TRAP\\r\\n\"")},
    {0, ANTHROPIC, "",
     CLAUDE_WITH("\"metadata\":{\"user_id\":\"\\r\\nHost: TRAP\"}")},
    {404, OPENAI, "",
     "{\"model\":\"http://TRAP/gpt-test\",\"messages\":" MESSAGES "}"},
    {0, OPENAI, "", "{\"model\":\"gpt-@TRAP/\",\"messages\":" MESSAGES "}"},
    {0, OPENAI, "",
     "{\"model\":\"gpt-test\\r\\nHost: TRAP\",\"messages\":" MESSAGES "}"},
    /* Whoever answers fetches it, or nobody. */
    {200, OPENAI, "", IMAGE(MODEL)},
    {200, OPENAI, "", IMAGE(CLAUDE_MODEL)},
    {200, OPENAI,
     "X-Forwarded-Host: TRAP\r\nForwarded: host=TRAP\r\nX-Host: TRAP\r\n"
     "X-Original-URL: http://TRAP/\r\nX-Rewrite-URL: http://TRAP/v1\r\n",
     GOOD},
    {200, OPENAI,
     "X-Base-Url: http://TRAP\r\nX-Api-Base: http://TRAP\r\n"
     "OpenAI-Base-Url: http://TRAP\r\nX-Upstream: TRAP\r\n"
     "api-key: sk-mine\r\nX-Api-Provider: http://TRAP\r\n",
     GOOD},
    {200, OPENAI,
     "Proxy-Authorization: Basic QTpC\r\nProxy-Connection: keep-alive\r\n"
     "Via: 1.1 TRAP\r\nCookie: base_url=http://TRAP\r\nX-Proxy: TRAP\r\n"
     "OpenAI-Organization: TRAP\r\nOpenAI-Project: TRAP\r\n",
     GOOD},
    {200, OPENAI, "Connection: authorization, host, keep-alive\r\n", GOOD},
    {200, OPENAI, "Location: http://TRAP/\r\nReferer: http://TRAP/\r\n", GOOD},
    {0, OPENAI, "traceparent: TRAP\r\ntracestate: a=TRAP\r\n", GOOD},
    {0, OPENAI, "X-Site-Url: http://TRAP/\r\nOrigin: http://TRAP\r\n", GOOD},
    {0, ANTHROPIC, "anthropic-version: TRAP\r\n",
     CLAUDE_WITH("\"temperature\":1")},
    {400, ANTHROPIC, "anthropic-beta: a\r\n Host: TRAP\r\n",
     CLAUDE_WITH("\"temperature\":1")},
    {400, ANTHROPIC, "anthropic-beta: a\rHost: TRAP\r\n",
     CLAUDE_WITH("\"temperature\":1")},
    {400, OPENAI, "Host: TRAP\r\n", GOOD}, /* a second one */
};

static void
try_all(const struct house *house, const struct trap *trap, const char *license)
{
	char headers[TEXT_BYTES], body[TEXT_BYTES], with_key[TEXT_BYTES + 256];
	struct answer answer;

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		const struct try *try = &tries[i];
		char what[32];

		snprintf(what, sizeof(what), "try %zu", i);
		fill(trap, try->headers, headers);
		fill(trap, try->body, body);
		snprintf(with_key, sizeof(with_key),
			 "Authorization: Bearer %s\r\n%s", license, headers);
		http(&answer, house->public, "POST", try->path, with_key,
		     str_of(body));
		if (try->status ? answer.status != try->status
				: answer.status < 200 || answer.status >= 500)
			test_fail(__FILE__, __LINE__, "%s: %d %.*s", what,
				  answer.status, STR_ARG(answer.body));
		check_quiet(&answer, what);
		if (answer.status == 200)
			check_head(house, trap, license, what);
		answer_free(&answer);
	}
}

/* The request's own line and Host name the trap. */
static void
try_lines(const struct house *house, const struct trap *trap,
	  const char *license)
{
	static const char *const heads[] = {
	    "POST " OPENAI " HTTP/1.1\r\nHost: TRAP\r\n",
	    "POST http://TRAP" OPENAI " HTTP/1.1\r\nHost: TRAP\r\n",
	    "POST //TRAP" OPENAI " HTTP/1.1\r\nHost: a.example\r\n",
	    "POST " OPENAI "?base_url=http://TRAP HTTP/1.1\r\n"
	    "Host: a.example\r\n",
	    "CONNECT TRAP HTTP/1.1\r\nHost: TRAP\r\n"};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char head[TEXT_BYTES], request[2 * TEXT_BYTES];
		struct client client;
		struct answer answer;

		fill(trap, heads[i], head);
		snprintf(request, sizeof(request),
			 "%sAuthorization: Bearer %s\r\nContent-Length: %zu"
			 "\r\n\r\n" GOOD,
			 head, license, sizeof(GOOD) - 1);
		CHECK(client_open(&client, house->public));
		CHECK(client_send(&client, str_of(request)));
		client_answer(&client, &answer);
		CHECK(answer.status >= 200 && answer.status < 500);
		check_quiet(&answer, head);
		if (answer.status == 200)
			check_head(house, trap, license, head);
		answer_free(&answer);
		client_close(&client);
	}
}

/* --- what a provider may do with it ---------------------------------- */

static void
try_scripts(const struct house *house, const struct trap *trap,
	    const char *license)
{
	static const char *const models[] = {MODEL, DEEPSEEK_MODEL,
					     CLAUDE_MODEL};
	static const char *const scripts[] = {
	    "redirect location=http://TRAP/v1/chat/completions",
	    "echo status=400",
	    "echo status=404",
	    "echo status=422",
	    "echo status=500",
	    "echo error",
	    "echo status=401"};
	char script[TEXT_BYTES];

	for (size_t i = 0; i < 3 * sizeof(scripts) / sizeof(scripts[0]); i++)
		for (int is_stream = 0; is_stream < 2; is_stream++) {
			struct answer answer;

			fill(trap, scripts[i / 3], script);
			chat(&answer, house,
			     &(struct chat){.key = license,
					    .model = models[i % 3],
					    .script = script,
					    .is_stream = is_stream});
			check_quiet(&answer, script);
			CHECK(answer.status != 200 || is_stream ||
			      strcmp(script, "echo error") == 0);
			answer_free(&answer);
		}
}

/* --- where it must not be -------------------------------------------- */

static void
check_output(struct output output)
{
	CHECK_INT(output.code, 0);
	CHECK(!has_canary(str_of(output.out)) &&
	      !has_canary(str_of(output.err)));
	output_free(&output);
}

static void
check_pages(const struct house *house)
{
	struct answer answer;
	char token[256];

	snprintf(token, sizeof(token), "Authorization: Bearer %s\r\n",
		 house->internal_token);
	http(&answer, house->internal, "GET", "/metrics", token, STR_NONE);
	CHECK_INT(answer.status, 200);
	CHECK(answer.body.n > 100);
	check_quiet(&answer, "/metrics");
	answer_free(&answer);
	http(&answer, house->public, "GET", "/api/health", "", STR_NONE);
	CHECK_INT(answer.status, 200);
	check_quiet(&answer, "/api/health");
	answer_free(&answer);
	check_output(
	    run("chatello", "usage", "export", "--format", "jsonl", NULL));
	check_output(run("chatello", "event", "list", "--json", NULL));
	check_output(run("chatello", "key", "list", "--json", NULL));
	check_output(run("chatello", "status", "--json", NULL));
	check_output(run("chatello", "up", "--conf", NULL));
}

static void
check_files(void)
{
	for (size_t i = 0; i < CANARIES; i++)
		CHECK_INT(files_with(".", canaries[i]), 0);
}

/* One mapping of a process, in pieces that overlap by a key's length. */
static bool
range_has_canary(int mem, unsigned long from, unsigned long to)
{
	static char bytes[CHUNK_BYTES];
	bool is_found = false;

	while (from < to && !is_found) {
		size_t want = to - from < CHUNK_BYTES ? to - from : CHUNK_BYTES;
		ssize_t n = pread(mem, bytes, want, (off_t)from);

		if (n <= 64)
			break;
		is_found = has_canary(str_bytes(bytes, (size_t)n));
		from += n == CHUNK_BYTES ? CHUNK_BYTES - 64 : (size_t)n;
	}
	return is_found;
}

/* Its memory and its environment; false also when it may not be read. */
static bool
process_has_canary(pid_t pid, bool *is_readable)
{
	char path[64], line[512];
	unsigned long from, to;
	bool is_found = false;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	*is_readable = mem >= 0;
	if (mem < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	CHECK(maps);
	while (!is_found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r", &from, &to) == 2 &&
		    !strstr(line, "data.mdb") && to - from < MAPPING_BYTES_MAX)
			is_found = range_has_canary(mem, from, to);
	fclose(maps);
	close(mem);
	return is_found;
}

/* The proxy has them, so that the search is known to find; the others do not.
 */
static void
check_processes(const struct house *house)
{
	static const char *const names[] = {"proxy-0", "edge-0", "validate-0",
					    "usage-0", "analytics-0"};

	for (int i = 0; i < 5; i++) {
		bool is_readable;
		bool is_found = process_has_canary(house_pid(house, names[i]),
						   &is_readable);

		if (geteuid() == 0)
			CHECK(is_readable); /* nobody else may look */
		if (is_readable && is_found != (i == 0))
			test_fail(__FILE__, __LINE__, "%s: %s", names[i],
				  is_found ? "a key is in its memory"
					   : "the search finds nothing");
	}
}

/* It may not dump core, whatever was allowed when it was started. */
static void
check_core(struct house *house, const char *license)
{
	char path[64], line[256];
	long long began = now_ms();
	pid_t pid = house_pid(house, "proxy-0");
	bool is_seen = false;
	struct answer answer;
	FILE *limits;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	limits = fopen(path, "re");
	CHECK(limits);
	while (fgets(line, sizeof(line), limits)) {
		long long soft = -1, hard = -1;

		if (sscanf(line, "Max core file size %lld %lld", &soft, &hard) <
		    1)
			continue;
		CHECK(soft == 0 && hard == 0);
		is_seen = true;
	}
	fclose(limits);
	CHECK(is_seen);
	CHECK(house_kill(house, "proxy-0", SIGABRT));
	do {
		chat(&answer, house, &(struct chat){.key = license});
		answer_free(&answer);
	} while (answer.status != 200 && now_ms() - began < 10000);
	CHECK_INT(answer.status, 200);
	CHECK(house_pid(house, "proxy-0") != pid);
}

TEST_LIMITED(canary_is_seen_by_its_provider_alone, 90)
{
	static const char *const proxies[] = {"http_proxy",  "https_proxy",
					      "HTTPS_PROXY", "all_proxy",
					      "ALL_PROXY",   "HTTP_PROXY"};
	struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
	char url[128], netrc[] = "default login canary password canary\n";
	struct house house;
	struct trap trap;
	int fd;

	setrlimit(RLIMIT_CORE, &any); /* or as much as may be */
	trap_open(&trap);
	snprintf(url, sizeof(url), "http://%s", trap.address);
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		house_set(proxies[i], url);
	house_set("no_proxy", "");
	house_set("HOME", ".");
	fd = open(".netrc", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, netrc, sizeof(netrc) - 1) > 0);
	close(fd);
	house_init(&house);
	house_sell();
	const char *license = house_license("big");

	house_up(&house);
	try_all(&house, &trap, license);
	try_lines(&house, &trap, license);
	check_processes(&house);
	check_core(&house, license);
	try_scripts(&house, &trap, license);
	check_pages(&house);
	check_processes(&house);
	CHECK_INT(house_down(&house), 0);
	check_files();
	trap_check(&trap);
}
