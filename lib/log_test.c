/* log: the shape of a line in both formats, and what must not get through. */
#include "lib/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/test.h"

static char got[65536];

static void
begin(void)
{
	int fd = open("log", O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
}

static const char *
lines(void)
{
	ssize_t n = pread(STDERR_FILENO, got, sizeof(got) - 1, 0);

	CHECK(n >= 0);
	got[n] = '\0';
	return got;
}

/* The test's own standard error is the log by now. */
#define WANT(expr)                                                             \
	do {                                                                   \
		if (!(expr)) {                                                 \
			printf("%s:%d: %s\n%s\n", __FILE__, __LINE__, #expr,   \
			       got);                                           \
			fflush(stdout);                                        \
			_exit(1);                                              \
		}                                                              \
	} while (0)

TEST(log_text_line)
{
	const char *text;

	begin();
	log_open("edge-0", LOG_INFO, LOG_TEXT);
	log_info("edge-listen", "listener=%s port=%d", "public", 5010);
	log_debug("edge-quiet", "x=1");
	text = lines();
	WANT(strncmp(text, "edge-listen time=20", 19) == 0);
	WANT(strstr(text, "Z level=info process=edge-0 listener=public "
			  "port=5010\n"));
	WANT(!strstr(text, "quiet"));
	WANT(strchr(text, '\n') == text + strlen(text) - 1);
}

TEST(log_text_stays_one_line)
{
	begin();
	log_open("edge-0", LOG_INFO, LOG_TEXT);
	log_warn("edge-odd", "path=\"%s\"", "a\nforged level=error\r\x1b[2J");
	WANT(strchr(lines(), '\n') == got + strlen(got) - 1);
	WANT(!strchr(got, '\x1b') && !strchr(got, '\r'));
}

TEST(log_request_id_is_on_lines_until_reset)
{
	begin();
	log_open("edge-0", LOG_INFO, LOG_TEXT);
	log_request(STR("01ABC"));
	log_info("one", "a=1");
	log_request(STR_NONE);
	log_info("two", "a=1");
	WANT(strstr(lines(), " request_id=01ABC a=1\ntwo "));
	WANT(!strstr(strstr(got, "two"), "request_id"));
	WANT(!strstr(got, "trace_id"));
	log_trace(STR("0af7"));
	log_info("three", "a=1");
	log_trace(STR_NONE);
	log_info("four", "a=1");
	WANT(strstr(lines(), " trace_id=0af7 a=1\nfour "));
	WANT(!strstr(strstr(got, "four"), "trace_id"));
}

static const char *
member(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

TEST(log_json_line_parses_whatever_it_holds)
{
	json_t *object;

	begin();
	log_open("usage-0", LOG_INFO, LOG_JSON);
	log_request(STR("r\"1"));
	log_error("usage-odd", "why=\"disk \\ full\" word n=%d bytes=%s", 3,
		  "\x01\xff\xc3\xa9\xed\xa0\x80z");
	object = json_loads(lines(), JSON_REJECT_DUPLICATES, NULL);
	WANT(object);
	WANT(strcmp(member(object, "event"), "usage-odd") == 0);
	WANT(strcmp(member(object, "level"), "error") == 0);
	WANT(strcmp(member(object, "process"), "usage-0") == 0);
	WANT(strcmp(member(object, "request_id"), "r\"1") == 0);
	WANT(strcmp(member(object, "why"), "disk \\ full") == 0);
	WANT(strcmp(member(object, "note"), "word") == 0);
	WANT(strcmp(member(object, "n"), "3") == 0);
	WANT(strcmp(member(object, "bytes"),
		    "\x01\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
		    "\xef\xbf\xbdz") == 0);
	json_decref(object);
}

TEST(log_long_lines_are_cut_not_broken)
{
	static char big[20000];
	json_t *object;

	memset(big, '\x02', sizeof(big) - 1);
	begin();
	log_open("usage-0", LOG_INFO, LOG_JSON);
	log_info("big", "x=%s", big);
	object = json_loads(lines(), 0, NULL);
	WANT(object);
	WANT(strlen(member(object, "x")) > 1000);
	json_decref(object);
}
