/*
 * audit: see audit.h. One pass over each byte; no memory, no clock. The first
 * fault stays, so that the answer names what came first.
 */
#include "edge/audit.h"
#include "edge/head.h"

static bool
is_token(struct str name)
{
	size_t i;

	for (i = 0; i < name.n; i++)
		if (!head_is_token[(unsigned char)name.p[i]])
			return false;
	return name.n > 0;
}

bool
audit_is_token_list(struct str list)
{
	const char *comma;

	while (list.n > 0 && (comma = memchr(list.p, ',', list.n)) != NULL) {
		size_t n = (size_t)(comma - list.p);

		if (!is_token(str_trim(str_bytes(list.p, n))))
			return false;
		list = str_bytes(comma + 1, list.n - n - 1);
	}
	return is_token(str_trim(list));
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static void
fault_set(struct audit *audit, const char *fault)
{
	if (audit->fault == NULL)
		audit->fault = fault;
}

static bool
is_hex_zero(struct str s, size_t at)
{
	return s.n - at >= 3 && s.p[at] == '%' && s.p[at + 1] == '0' &&
	       s.p[at + 2] == '0';
}

/* A segment that is `.` or `..` begins at `at`, behind its slash. */
static bool
is_dot_segment(struct str path, size_t at)
{
	size_t dots = 0;

	while (at + dots < path.n && path.p[at + dots] == '.' && dots < 3)
		dots++;
	return (dots == 1 || dots == 2) &&
	       (at + dots == path.n || path.p[at + dots] == '/');
}

const char *
audit_target(struct str target)
{
	const char *query;
	struct str path = target;
	size_t i;

	if (target.n == 0 || target.p[0] != '/')
		return "the request target is not a path";
	for (i = 0; i < target.n; i++) {
		if (is_control((unsigned char)target.p[i]))
			return "a control byte in the request target";
		if (target.p[i] == ' ')
			return "a space in the request target";
	}
	query = memchr(target.p, '?', target.n);
	if (query)
		path.n = (size_t)(query - target.p);
	for (i = 0; i < path.n; i++) {
		if (path.p[i] == '\\')
			return "a backslash in the path";
		if (is_hex_zero(path, i))
			return "%00 in the path";
		if (path.p[i] != '/')
			continue;
		if (i + 1 < path.n && path.p[i + 1] == '/')
			return "// in the path";
		if (is_dot_segment(path, i + 1))
			return "a dot segment in the path";
	}
	return NULL;
}

void
audit_begin(struct audit *audit)
{
	*audit = (struct audit){.content_length = AUDIT_LENGTH_NONE};
}

static void
add_length(struct audit *audit, struct str value)
{
	int64_t length = 0;
	size_t i;

	if (audit->lengths++ > 0)
		fault_set(audit, "more than one Content-Length");
	if (value.n == 0)
		fault_set(audit, "Content-Length is not a number");
	for (i = 0; i < value.n; i++) {
		unsigned digit = (unsigned char)value.p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(length, 10, &length) ||
		    __builtin_add_overflow(length, (int64_t)digit, &length)) {
			fault_set(audit, "Content-Length is not a number");
			return;
		}
	}
	audit->content_length = length;
}

static void
add_encoding(struct audit *audit, struct str value)
{
	if (audit->encodings++ > 0)
		fault_set(audit, "more than one Transfer-Encoding");
	audit->is_chunked = str_eq_nocase(value, STR("chunked"));
	if (!audit->is_chunked)
		fault_set(audit, "Transfer-Encoding is not chunked");
}

/* Two that differ are a fault where they say who asks or for what: another
 * reader of the same head could take the other one. */
static const struct {
	struct str name;
	enum audit_header header;
	const char *fault;
} kept[] = {
    {{"x-license-key", 13},
     AUDIT_LICENSE_KEY,
     "more than one X-License-Key, and they differ"},
    {{"authorization", 13},
     AUDIT_AUTHORIZATION,
     "more than one Authorization, and they differ"},
    {{"x-api-key", 9},
     AUDIT_API_KEY,
     "more than one x-api-key, and they differ"},
    {{"x-site-url", 10}, AUDIT_SITE_URL, NULL},
    {{"origin", 6}, AUDIT_ORIGIN, NULL},
    {{"idempotency-key", 15},
     AUDIT_IDEMPOTENCY_KEY,
     "more than one Idempotency-Key, and they differ"},
    {{"traceparent", 11}, AUDIT_TRACEPARENT, NULL},
    {{"access-control-request-headers", 30}, AUDIT_CORS_HEADERS, NULL},
    {{"anthropic-version", 17},
     AUDIT_ANTHROPIC_VERSION,
     "more than one anthropic-version, and they differ"},
    {{"anthropic-beta", 14},
     AUDIT_ANTHROPIC_BETA,
     "more than one anthropic-beta: join them with commas"},
    {{"tracestate", 10}, AUDIT_TRACESTATE, NULL},
};

static void
keep(struct audit *audit, struct str name, struct str value)
{
	struct str *first;
	size_t i;

	value = str_trim(value);
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (!str_eq_nocase(name, kept[i].name))
			continue;
		first = &audit->header[kept[i].header];
		if (first->p == NULL)
			*first = value;
		else if (kept[i].fault && !str_eq(*first, value))
			fault_set(audit, kept[i].fault);
		return;
	}
}

void
audit_add(struct audit *audit, struct str name, struct str value)
{
	size_t i;

	if (name.n == 0)
		fault_set(audit, "a header without a name");
	for (i = 0; i < name.n; i++)
		if (!head_is_token[(unsigned char)name.p[i]])
			fault_set(audit, "a header's name is no token");
	for (i = 0; i < value.n; i++)
		if (is_control((unsigned char)value.p[i]) && value.p[i] != '\t')
			fault_set(audit, "a control byte in a header's value");
	if (str_eq_nocase(name, STR("host")))
		audit->hosts++;
	else if (str_eq_nocase(name, STR("content-length")))
		add_length(audit, str_trim(value));
	else if (str_eq_nocase(name, STR("transfer-encoding")))
		add_encoding(audit, str_trim(value));
	else
		keep(audit, name, value);
}

const char *
audit_end(struct audit *audit, struct str version)
{
	bool is_1_0 = str_eq(version, STR("HTTP/1.0"));

	audit->is_1_0 = is_1_0;
	if (!is_1_0 && !str_eq(version, STR("HTTP/1.1")))
		fault_set(audit, "neither HTTP/1.1 nor HTTP/1.0");
	if (audit->lengths && audit->encodings)
		fault_set(audit, "both Content-Length and Transfer-Encoding");
	if (audit->encodings && is_1_0)
		fault_set(audit, "Transfer-Encoding in HTTP/1.0");
	if (is_1_0 ? audit->hosts > 1 : audit->hosts != 1)
		fault_set(audit, "not exactly one Host");
	return audit->fault;
}
