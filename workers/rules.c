/*
 * rules: the decisions of rules.h. Values in, values out: no clock, no store,
 * no log. validate answers by them and the ledger admits by them.
 */
#include "workers/rules.h"

#include "lib/clock.h"

#include <arpa/inet.h>

#define DAY_MS INT64_C(86400000)
#define HOST_BYTES_MAX 253u
#define LABEL_BYTES_MAX 63u
/* A tat may lie so much beyond its window before it is taken for the trace of
 * a clock that was set back. */
#define TAT_SLACK_NS INT64_C(1000000000)

/* --- status ------------------------------------------------------------ */

static bool
has_ended(const struct subscription *subscription, int64_t now_ms)
{
	return subscription->ends_at != SCHEMA_INT_NONE &&
	       subscription->ends_at <= now_ms;
}

const char *
rules_status(const struct subscription *subscription, int64_t now_ms)
{
	bool ended = has_ended(subscription, now_ms);

	if (str_eq(subscription->status, STR("cancelled")) ||
	    (ended && subscription->cancels_at_end))
		return "cancelled";
	if (str_eq(subscription->status, STR("suspended")))
		return "suspended";
	if (ended)
		return "expired";
	if (str_eq(subscription->status, STR("trial")))
		return "trial";
	if (str_eq(subscription->status, STR("past_due")))
		return "past_due";
	return "active";
}

static bool
is_in_grace(const struct subscription *subscription, int64_t now_ms)
{
	int64_t grace_ms, until;

	if (subscription->grace_days == SCHEMA_INT_NONE ||
	    subscription->grace_days <= 0)
		return false;
	if (__builtin_mul_overflow(subscription->grace_days, DAY_MS,
				   &grace_ms) ||
	    __builtin_add_overflow(subscription->ends_at, grace_ms, &until))
		return true;
	return now_ms < until;
}

enum err
rules_standing(const struct subscription *subscription, int64_t now_ms,
	       bool *is_grace)
{
	const char *status = rules_status(subscription, now_ms);

	*is_grace = false;
	if (strcmp(status, "cancelled") == 0)
		return ERR_CANCELLED;
	if (strcmp(status, "suspended") == 0)
		return ERR_SUSPENDED;
	if (strcmp(status, "expired") != 0)
		return ERR_OK;
	*is_grace = is_in_grace(subscription, now_ms);
	return *is_grace ? ERR_OK : ERR_EXPIRED;
}

/* --- domains ------------------------------------------------------------ */

static bool
is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

/* Lower-case host name of dotted labels; a dotted quad is one, too. */
static bool
is_host_name(struct str host)
{
	size_t label = 0;

	if (host.n == 0 || host.n > HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		if (host.p[i] == '.') {
			if (label == 0 || host.p[i - 1] == '-')
				return false;
			label = 0;
		} else if (!is_label_char(host.p[i]) ||
			   (label == 0 && host.p[i] == '-') ||
			   ++label > LABEL_BYTES_MAX) {
			return false;
		}
	}
	return label > 0 && host.p[host.n - 1] != '-';
}

static bool
is_port(struct str s)
{
	if (s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* "https://Shop.example:8080/x" -> "Shop.example:8080" */
static struct str
authority_of(struct str site)
{
	const char *scheme = NULL;

	if (site.n >= 3)
		scheme = memmem(site.p, site.n, "://", 3);
	if (scheme) {
		site.n -= (size_t)(scheme + 3 - site.p);
		site.p = scheme + 3;
	}
	for (size_t i = 0; i < site.n; i++)
		if (site.p[i] == '/' || site.p[i] == '?' || site.p[i] == '#')
			site.n = i;
	return site;
}

/* Takes the port off, and the brackets of an IPv6 address. */
static bool
split_port(struct str authority, struct str *host, bool *is_ipv6)
{
	const char *colon, *close;

	*host = authority;
	*is_ipv6 = authority.n && authority.p[0] == '[';
	if (*is_ipv6) {
		close = memchr(authority.p, ']', authority.n);
		if (close == NULL)
			return false;
		*host = str_bytes(authority.p + 1,
				  (size_t)(close - authority.p) - 1);
		authority.n -= (size_t)(close + 1 - authority.p);
		authority.p = close + 1;
		return authority.n == 0 ||
		       (authority.p[0] == ':' &&
			is_port(str_bytes(authority.p + 1, authority.n - 1)));
	}
	colon = authority.n ? memchr(authority.p, ':', authority.n) : NULL;
	if (colon == NULL)
		return true;
	host->n = (size_t)(colon - authority.p);
	return is_port(str_bytes(colon + 1, authority.n - host->n - 1));
}

static bool
is_ipv6_text(struct str host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

/* "www.shop.example" and "shop.example" are one site; "www.com" is itself. */
static struct str
without_www(struct str host)
{
	if (host.n > 4 && strncasecmp(host.p, "www.", 4) == 0 &&
	    memchr(host.p + 4, '.', host.n - 4))
		return str_bytes(host.p + 4, host.n - 4);
	return host;
}

bool
rules_domain(struct str site, struct arena *arena, struct str *host)
{
	struct str raw, lower;
	bool is_ipv6;
	char *p;

	if (!split_port(authority_of(str_trim(site)), &raw, &is_ipv6))
		return false;
	if (raw.n && raw.p[raw.n - 1] == '.')
		raw.n--;
	if (raw.n == 0 || raw.n > HOST_BYTES_MAX)
		return false;
	p = arena_alloc(arena, raw.n + 1);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < raw.n; i++)
		p[i] = raw.p[i] >= 'A' && raw.p[i] <= 'Z'
			   ? (char)(raw.p[i] + ('a' - 'A'))
			   : raw.p[i];
	lower = str_bytes(p, raw.n);
	if (is_ipv6 ? !is_ipv6_text(lower) : !is_host_name(lower))
		return false;
	/* What a browser sends as the Origin of no site at all. */
	if (str_eq(lower, STR("null")))
		return false;
	*host = is_ipv6 ? lower : without_www(lower);
	return true;
}

/* RFC 1918, RFC 3927, RFC 4193, loopback and "this host". */
static bool
is_private_address(struct str host)
{
	unsigned char a[sizeof(struct in6_addr)];
	static const unsigned char loopback[16] = {[15] = 1};
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, a) == 1)
		return a[0] == 10 || a[0] == 127 || a[0] == 0 ||
		       (a[0] == 172 && (a[1] & 0xf0) == 16) ||
		       (a[0] == 192 && a[1] == 168) ||
		       (a[0] == 169 && a[1] == 254);
	if (memchr(text, ':', host.n) && inet_pton(AF_INET6, text, a) == 1)
		return memcmp(a, loopback, sizeof(loopback)) == 0 ||
		       (a[0] & 0xfe) == 0xfc ||
		       (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
	return false;
}

/* The licensed domain without "*." and "www.". */
static struct str
licensed_base(struct str licensed)
{
	if (str_starts(licensed, STR("*.")))
		return str_bytes(licensed.p + 2, licensed.n - 2);
	return without_www(licensed);
}

static bool
is_below(struct str host, struct str head, struct str base)
{
	return base.n && host.n == head.n + base.n && str_starts(host, head) &&
	       strncasecmp(host.p + head.n, base.p, base.n) == 0;
}

bool
rules_domain_is_local(struct str host, struct str licensed)
{
	struct str base = licensed_base(licensed);

	if (host.n == 0)
		return false;
	return str_eq(host, STR("localhost")) ||
	       str_ends(host, STR(".localhost")) ||
	       str_ends(host, STR(".local")) || str_ends(host, STR(".test")) ||
	       is_below(host, STR("staging."), base) ||
	       is_below(host, STR("dev."), base) || is_private_address(host);
}

bool
rules_domain_matches(struct str host, struct str licensed)
{
	struct str base = licensed_base(licensed);

	if (str_is_empty(licensed))
		return true;
	if (str_eq_nocase(host, base))
		return true; /* also of "*.": www.example.com lost its www. */
	if (str_starts(licensed, STR("*.")) && host.n > base.n + 1 &&
	    host.p[host.n - base.n - 1] == '.' &&
	    str_eq_nocase(str_bytes(host.p + host.n - base.n, base.n), base))
		return true;
	return rules_domain_is_local(host, licensed);
}

/* --- plans --------------------------------------------------------------- */

bool
rules_has_feature(const struct plan *plan, struct str feature)
{
	for (uint32_t i = 0; i < plan->features_count; i++)
		if (str_eq(plan->features[i], feature))
			return true;
	return false;
}

int64_t
rules_limit(const struct plan *plan, const char *name, int64_t fallback)
{
	struct str wanted = str_of(name);

	for (uint32_t i = 0; i < plan->limits_count; i++)
		if (str_eq(plan->limits[i].name, wanted))
			return plan->limits[i].value;
	return fallback;
}

/* --- rates and meters ---------------------------------------------------- */

static int64_t
ceil_ms(int64_t ns)
{
	return ns <= 0 ? 0 : (ns - 1) / NS_PER_MS + 1;
}

struct rules_rate
rules_gcra(int64_t *tat_ns, int64_t now_ns, int64_t limit, int64_t window_ms)
{
	int64_t window_ns = window_ms * NS_PER_MS, step_ns, burst_ns, tat;
	struct rules_rate rate = {0};

	if (limit == SCHEMA_INT_NONE)
		return (struct rules_rate){true, SCHEMA_INT_NONE, 0, 0};
	if (limit <= 0)
		return (struct rules_rate){false, 0, window_ms, window_ms};
	if (limit > window_ns)
		limit = window_ns;
	/* Rounded up: never faster than the limit. */
	step_ns = (window_ns - 1) / limit + 1;
	burst_ns = step_ns * limit;
	tat = *tat_ns == SCHEMA_INT_NONE || *tat_ns < now_ns ? now_ns : *tat_ns;
	/* No admission leaves it so far ahead: the clock was set back. */
	if (tat - now_ns > burst_ns + TAT_SLACK_NS)
		tat = now_ns;
	if (tat + step_ns - now_ns > burst_ns) {
		rate.retry_after_ms =
		    ceil_ms(tat + step_ns - now_ns - burst_ns);
		rate.reset_ms = ceil_ms(tat - now_ns);
		return rate;
	}
	tat += step_ns;
	*tat_ns = tat;
	rate.is_admitted = true;
	rate.remaining = (burst_ns - (tat - now_ns)) / step_ns;
	rate.reset_ms = ceil_ms(tat - now_ns);
	return rate;
}

void
rules_meter_roll(struct meter *meter, int64_t now_ms, const char *zone)
{
	/* A clock that was set back by less than a day must not open the old
	 * month anew, with nothing used. */
	if (meter->month_start != SCHEMA_INT_NONE &&
	    meter->month_end != SCHEMA_INT_NONE &&
	    meter->month_start - DAY_MS <= now_ms && now_ms < meter->month_end)
		return;
	calendar_window(WINDOW_MONTH, now_ms, zone, &meter->month_start,
			&meter->month_end);
	meter->month_used = 0;
	meter->month_reserved = 0;
	meter->month_held = 0;
	meter->month_spent = 0;
}
