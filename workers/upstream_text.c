/*
 * upstream_text: see upstream_text.h.
 */
#include "workers/upstream_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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
