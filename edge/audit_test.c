/*
 * audit_test: tables of requests that must pass and that must not.
 */
#include "edge/audit.h"

#include "lib/test.h"

struct target_row {
	const char *target;
	const char *fault; /* a part of it; NULL: passes */
};

static const struct target_row targets[] = {
    {"/", NULL},
    {"/api/validate", NULL},
    {"/api/validate/", NULL},
    {"/api/validate?u=http://x.example//a\\b", NULL},
    {"/.well-known/chatello.json", NULL},
    {"/a/...", NULL},
    {"/a/..b/c", NULL},
    {"", "not a path"},
    {"*", "not a path"},
    {"http://shop.example/", "not a path"},
    {"api/validate", "not a path"},
    {"//", "//"},
    {"//api", "//"},
    {"/api//validate", "//"},
    {"/./", "dot"},
    {"/.", "dot"},
    {"/..", "dot"},
    {"/a/../b", "dot"},
    {"/a/./b", "dot"},
    {"/a/..?x=1", "dot"},
    {"/a\\b", "backslash"},
    {"/a%00b", "%00"},
    {"/a%00", "%00"},
    {"/a\tb", "control"},
    {"/a b", "space"},
    {"/a ", "space"},
    {"/a?b c", "space"},
    {"/a?b=\x7f", "control"},
};

static bool
says(const char *fault, const char *want)
{
	if (want == NULL || fault == NULL)
		return fault == want;
	return strstr(fault, want) != NULL;
}

TEST(audit_targets)
{
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const char *fault = audit_target(str_of(targets[i].target));

		if (!says(fault, targets[i].fault))
			test_fail(__FILE__, __LINE__, "%s: %s",
				  targets[i].target, fault ? fault : "passes");
	}
}

struct head_row {
	const char *version;
	const char *fault;
	const char *headers[9]; /* name, value, ... */
};

static const struct head_row heads[] = {
    {"HTTP/1.1", NULL, {"Host", "a"}},
    {"HTTP/1.0", NULL, {NULL}},
    {"HTTP/1.0", NULL, {"Host", "a"}},
    {"HTTP/1.1", NULL, {"Host", "a", "Content-Length", "12"}},
    {"HTTP/1.1", NULL, {"Host", "a", "Transfer-Encoding", "Chunked"}},
    {"HTTP/1.1", NULL, {"Host", "a", "X-A", "tab\there \xc3\xa9"}},
    {"HTTP/1.1", "Host", {NULL}},
    {"HTTP/1.1", "Host", {"Host", "a", "host", "a"}},
    {"HTTP/1.0", "Host", {"Host", "a", "Host", "b"}},
    {"HTTP/2.0", "neither", {"Host", "a"}},
    {"HTTP/1.2", "neither", {"Host", "a"}},
    {"HTTP/1.1",
     "both",
     {"Host", "a", "Content-Length", "1", "Transfer-Encoding", "chunked"}},
    {"HTTP/1.1",
     "more than one Content-Length",
     {"Host", "a", "Content-Length", "1", "content-length", "1"}},
    {"HTTP/1.1",
     "more than one Transfer",
     {"Host", "a", "Transfer-Encoding", "chunked", "Transfer-Encoding",
      "chunked"}},
    {"HTTP/1.1", "not chunked", {"Host", "a", "Transfer-Encoding", "gzip"}},
    {"HTTP/1.1",
     "not chunked",
     {"Host", "a", "Transfer-Encoding", "gzip, chunked"}},
    {"HTTP/1.0", "HTTP/1.0", {"Transfer-Encoding", "chunked"}},
    {"HTTP/1.1", "number", {"Host", "a", "Content-Length", "-1"}},
    {"HTTP/1.1", "number", {"Host", "a", "Content-Length", "+1"}},
    {"HTTP/1.1", "number", {"Host", "a", "Content-Length", "1,1"}},
    {"HTTP/1.1", "number", {"Host", "a", "Content-Length", ""}},
    {"HTTP/1.1",
     "number",
     {"Host", "a", "Content-Length", "99999999999999999999"}},
    {"HTTP/1.1", "token", {"Host", "a", "X A", "1"}},
    {"HTTP/1.1", "token", {"Host", "a", "X-A ", "1"}},
    {"HTTP/1.1", "token", {"Host", "a", "X\x80", "1"}},
    {"HTTP/1.1", "without a name", {"Host", "a", "", "1"}},
    {"HTTP/1.1", "control", {"Host", "a", "X-A", "1\x01"}},
    {"HTTP/1.1",
     "more than one X-License-Key",
     {"Host", "a", "X-License-Key", "K1", "x-license-key", "K2"}},
    {"HTTP/1.1",
     "more than one X-License-Key",
     {"Host", "a", "X-License-Key", "", "X-License-Key", "K2"}},
    {"HTTP/1.1",
     "more than one Authorization",
     {"Host", "a", "Authorization", "Bearer K1", "Authorization", "Basic x"}},
    {"HTTP/1.1",
     "more than one x-api-key",
     {"Host", "a", "x-api-key", "K1", "X-API-Key", "K2"}},
    {"HTTP/1.1",
     "more than one Idempotency-Key",
     {"Host", "a", "Idempotency-Key", "1", "Idempotency-Key", "2"}},
    {"HTTP/1.1",
     NULL,
     {"Host", "a", "X-License-Key", "K1", "X-License-Key", " K1 "}},
    {"HTTP/1.1",
     NULL,
     {"Host", "a", "X-License-Key", "K1", "Authorization", "Bearer K2"}},
    {"HTTP/1.1",
     NULL,
     {"Host", "a", "X-Site-Url", "a.example", "X-Site-Url", "b.example"}},
    {"HTTP/1.1", "control", {"Host", "a", "X-A", "1\r2"}},
    {"HTTP/1.1", "control", {"Host", "a", "X-A", "\x7f"}},
};

TEST(audit_heads)
{
	struct audit audit;
	size_t i, j;

	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		const struct head_row *row = &heads[i];
		const char *fault;

		audit_begin(&audit);
		for (j = 0; row->headers[j]; j += 2)
			audit_add(&audit, str_of(row->headers[j]),
				  str_of(row->headers[j + 1]));
		fault = audit_end(&audit, str_of(row->version));
		if (!says(fault, row->fault))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i,
				  fault ? fault : "passes");
	}
}

TEST(audit_knows_lists_of_tokens)
{
	static const char *const good[] = {"a", "a,b", "x-stainless-os, a ,\tb",
					   "content-type"};
	static const char *const bad[] = {"",	  ",",	 "a,",	    ",a",
					  "a,,b", "a b", "a:b",	    "a, b\"c",
					  "a;b",  "(a)", "\xc3\xa9"};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!audit_is_token_list(str_of(good[i])))
			test_fail(__FILE__, __LINE__, "%s", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (audit_is_token_list(str_of(bad[i])))
			test_fail(__FILE__, __LINE__, "%s", bad[i]);
}

TEST(audit_keeps_headers)
{
	struct audit audit;

	audit_begin(&audit);
	audit_add(&audit, STR("HOST"), STR("a"));
	audit_add(&audit, STR("x-license-KEY"), STR(" CHA-1 "));
	audit_add(&audit, STR("X-Site-Url"), STR("a.example"));
	audit_add(&audit, STR("X-Site-Url"), STR("b.example"));
	audit_add(&audit, STR("Origin"), STR(""));
	audit_add(&audit, STR("Content-Length"), STR("17"));
	CHECK(audit_end(&audit, STR("HTTP/1.1")) == NULL);
	CHECK_STR(audit.header[AUDIT_LICENSE_KEY], STR("CHA-1"));
	CHECK(audit.header[AUDIT_ORIGIN].p != NULL);
	CHECK_INT(audit.header[AUDIT_ORIGIN].n, 0);
	CHECK_STR(audit.header[AUDIT_SITE_URL], STR("a.example"));
	CHECK(audit.header[AUDIT_API_KEY].p == NULL);
	CHECK_INT(audit.content_length, 17);
	CHECK(!audit.is_chunked);
}
