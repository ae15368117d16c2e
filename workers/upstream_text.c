/*
 * upstream_text: see upstream_text.h.
 */
#include "workers/upstream_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

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

/* What follows the host: nothing, "/...", or ":PORT" in front of that. */
static bool
is_port_or_path(struct str rest)
{
	unsigned port = 0;
	size_t n = 1;

	if (rest.n == 0 || rest.p[0] == '/')
		return true;
	if (rest.p[0] != ':')
		return false;
	while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9' &&
	       port <= UINT16_MAX)
		port = port * 10 + (unsigned)(rest.p[n++] - '0');
	return port > 0 && port <= UINT16_MAX &&
	       (n == rest.n || rest.p[n] == '/');
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
	if (!is_port_or_path(str_bytes(rest.p + host.n, rest.n - host.n)))
		return why_set(why, ERR_CONFIG,
			       "the base URL %.100s: behind the host comes a "
			       "path, or a port from 1 to 65535",
			       base);
	if (is_http && !host_is_loopback(host))
		return why_set(why, ERR_CONFIG,
			       "the base URL %.100s is not encrypted: http: is "
			       "for loopback addresses only, use https:",
			       base);
	return ERR_OK;
}

enum err
upstream_ca_check(const char *ca_file, struct why *why)
{
	FILE *file = fopen(ca_file, "re");
	bool has_one = false;
	char *line = NULL;
	size_t room = 0;

	if (file == NULL)
		return why_set(why, ERR_CONFIG, "cannot read %.200s: %s",
			       ca_file, strerror(errno));
	while (!has_one && getline(&line, &room, file) >= 0)
		has_one = strstr(line, "-----BEGIN CERTIFICATE-----") ||
			  strstr(line, "-----BEGIN TRUSTED CERTIFICATE-----");
	free(line);
	fclose(file);
	if (has_one)
		return ERR_OK;
	return why_set(why, ERR_CONFIG,
		       "%.200s has no certificate: it is to be a PEM file",
		       ca_file);
}
