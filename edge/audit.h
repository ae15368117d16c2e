/*
 * audit: what a request's line and headers must be before anybody acts on
 * them, and the few headers that this house reads. Pure: bytes in, a fault or
 * NULL out. edge/http feeds it what libmicrohttpd parsed, which accepts more
 * than RFC 9112 does: two lengths, two hosts, control bytes in values.
 */
#ifndef EDGE_AUDIT_H
#define EDGE_AUDIT_H

#include "lib/str.h"

/* Headers that are kept; the first of each counts. Keys and Idempotency-Key may
 * come twice only if they are the same. */
enum audit_header {
	AUDIT_LICENSE_KEY,	 /* X-License-Key */
	AUDIT_AUTHORIZATION,	 /* Authorization */
	AUDIT_API_KEY,		 /* x-api-key */
	AUDIT_SITE_URL,		 /* X-Site-Url */
	AUDIT_ORIGIN,		 /* Origin */
	AUDIT_IDEMPOTENCY_KEY,	 /* Idempotency-Key */
	AUDIT_TRACEPARENT,	 /* traceparent, W3C Trace Context */
	AUDIT_CORS_HEADERS,	 /* Access-Control-Request-Headers */
	AUDIT_ANTHROPIC_VERSION, /* anthropic-version */
	AUDIT_ANTHROPIC_BETA,	 /* anthropic-beta */
	AUDIT_TRACESTATE,	 /* tracestate, likewise W3C's */
	AUDIT_HEADERS
};

#define AUDIT_LENGTH_NONE (-1)

struct audit {
	struct str header[AUDIT_HEADERS]; /* absent: p == NULL */
	int64_t content_length; /* AUDIT_LENGTH_NONE: no such header */
	bool is_chunked;
	bool is_1_0; /* known behind audit_end */
	unsigned hosts;
	unsigned lengths;
	unsigned encodings;
	const char *fault; /* the first one, a sentence for the client */
};

/* The target as it came, before anything is unescaped: origin form, no `//`,
 * `/./`, `/../`, `\`, `%00` in its path, no space or
 * control byte at all. NULL or the fault. */
const char *audit_target(struct str target);

void audit_begin(struct audit *audit);
/* Once for each header, in order. The strs must outlive the audit. */
void audit_add(struct audit *audit, struct str name, struct str value);
/* Behind the last one; version "HTTP/1.1". NULL or the fault.
 * RFC 9112, sections 3.2, 5.1, 6.1 to 6.3; RFC 9110, section 5.6.2. */
const char *audit_end(struct audit *audit, struct str version);

/* "a, b-c": names, each a token (RFC 9110, section 5.6.2), none empty. */
bool audit_is_token_list(struct str list);

#endif
