/*
 * upstream_text: what upstream reads of texts, without curl: base URLs and
 * header lines.
 */
#include "workers/upstream_text.h"

#include "lib/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_AFTER_MAX_S 86400

/* --- base URLs ------------------------------------------------------- */

static bool
host_is_loopback(struct str host)
{
	char text[64];
	struct in_addr v4;
	struct in6_addr v6;

	if (str_eq_nocase(host, STR("localhost")))
		return true;
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_bytes(host.p + 1, host.n - 2);
	if (host.n == 0 || host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* The host of what follows "scheme://"; with its brackets when it has some. */
static struct str
host_of(struct str rest)
{
	size_t n = 0;

	if (rest.n && rest.p[0] == '[') {
		while (n < rest.n && rest.p[n] != ']')
			n++;
		return str_bytes(rest.p, n < rest.n ? n + 1 : n);
	}
	while (n < rest.n && rest.p[n] != ':' && rest.p[n] != '/')
		n++;
	return str_bytes(rest.p, n);
}

enum err
upstream_base_check(const char *base, struct why *why)
{
	struct str url = str_of(base);
	bool is_https = str_starts(url, STR("https://"));
	bool is_http = str_starts(url, STR("http://"));
	struct str rest, host;

	for (size_t i = 0; i < url.n; i++) {
		unsigned char c = (unsigned char)url.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("@?#\\", c))
			return why_set(why, ERR_CONFIG,
				       "a base URL is https://host[:port]"
				       "[/path] without user, query or blanks");
	}
	if (!is_https && !is_http)
		return why_set(why, ERR_CONFIG,
			       "the base URL %.100s does not begin with "
			       "https://",
			       base);
	rest = is_https ? str_bytes(url.p + 8, url.n - 8)
			: str_bytes(url.p + 7, url.n - 7);
	host = host_of(rest);
	if (host.n == 0)
		return why_set(why, ERR_CONFIG,
			       "the base URL %.100s has no host", base);
	if (is_http && !host_is_loopback(host))
		return why_set(why, ERR_CONFIG,
			       "the base URL %.100s is not encrypted: http: is "
			       "for loopback addresses only, use https:",
			       base);
	return ERR_OK;
}

/* --- header lines ---------------------------------------------------- */

static bool
header_is(struct str line, const char *name, struct str *value)
{
	struct str head = str_of(name);

	if (line.n <= head.n || line.p[head.n] != ':' ||
	    !str_eq_nocase(str_bytes(line.p, head.n), head))
		return false;
	*value = str_trim(str_bytes(line.p + head.n + 1, line.n - head.n - 1));
	return true;
}

/* Seconds or a date (RFC 9110, 10.2.3) in milliseconds; -1 when neither. */
static int64_t
retry_after_ms(struct str value, int64_t unit_ms)
{
	char text[64];
	struct tm date = {.tm_sec = 0};
	char *end;
	int64_t n;

	if (value.n == 0 || value.n >= sizeof(text))
		return -1;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno == 0 && end != text && (*end == '\0' || *end == '.')) {
		if (n < 0 || n > RETRY_AFTER_MAX_S * INT64_C(1000) / unit_ms)
			return n < 0 ? 0 : RETRY_AFTER_MAX_S * INT64_C(1000);
		return n * unit_ms;
	}
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
	if (end == NULL || *end != '\0')
		return -1;
	n = (int64_t)timegm(&date) * 1000 - clock_wall_ms();
	return n < 0 ? 0 : n;
}

void
upstream_read_status(struct upstream_head *head, struct str line)
{
	const char *blank = memchr(line.p, ' ', line.n);
	size_t at = blank ? (size_t)(blank - line.p) + 1 : line.n;
	int status = 0;

	for (size_t i = at; i < line.n && i < at + 3; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			break;
		status = status * 10 + (line.p[i] - '0');
	}
	*head = (struct upstream_head){status, STR_NONE, -1, false};
}

void
upstream_read_header(struct upstream_head *head, struct str line, char *type,
		     size_t type_room)
{
	struct str value;

	if (header_is(line, "content-type", &value)) {
		size_t n = value.n < type_room ? value.n : type_room;

		memcpy(type, value.p, n);
		head->content_type = str_bytes(type, n);
	} else if (header_is(line, "content-encoding", &value)) {
		head->is_coded = !str_eq_nocase(value, STR("identity"));
	} else if (header_is(line, "retry-after-ms", &value)) {
		head->retry_after_ms = retry_after_ms(value, 1);
	} else if (header_is(line, "retry-after", &value) &&
		   head->retry_after_ms < 0) {
		head->retry_after_ms = retry_after_ms(value, 1000);
	}
}
