/*
 * auth_test: where the key and the site come from, in which order.
 */
#include "edge/auth.h"

#include "lib/test.h"

struct row {
	const char *headers[7]; /* name, value, ... */
	const char *body;	/* NULL: not looked at */
	const char *key;	/* NULL: absent */
	const char *domain;
	enum err err;
};

static const struct row rows[] = {
    {{NULL}, "", NULL, NULL, ERR_OK},
    {{NULL}, "{}", NULL, NULL, ERR_OK},
    {{NULL}, " \r\n", NULL, NULL, ERR_OK},
    {{"X-License-Key", "K1"}, NULL, "K1", NULL, ERR_OK},
    {{"Authorization", "Bearer K1"}, NULL, "K1", NULL, ERR_OK},
    {{"Authorization", "bearer  K1 "}, NULL, "K1", NULL, ERR_OK},
    {{"Authorization", "Basic K1"}, NULL, NULL, NULL, ERR_OK},
    {{"Authorization", "Bearer"}, NULL, NULL, NULL, ERR_OK},
    {{"x-api-key", "K1"}, NULL, "K1", NULL, ERR_OK},
    {{"X-License-Key", "K1", "Authorization", "Bearer K2", "x-api-key", "K3"},
     "{\"key\":\"K4\"}",
     "K1",
     NULL,
     ERR_OK},
    {{"X-License-Key", "", "x-api-key", "K3"}, NULL, "K3", NULL, ERR_OK},
    {{NULL}, "{\"key\":\"K4\"}", "K4", NULL, ERR_OK},
    {{NULL}, "{\"license_key\":\"K5\",\"key\":\"K4\"}", "K5", NULL, ERR_OK},
    {{NULL}, "{\"license_key\":\" K\\u0035 \"}", "K5", NULL, ERR_OK},
    {{NULL}, "{\"license_key\":null,\"key\":\"K4\"}", "K4", NULL, ERR_OK},
    {{"X-Site-Url", "https://a.example/x", "Origin", "https://b.example"},
     "{\"domain\":\"c.example\"}",
     NULL,
     "c.example",
     ERR_OK},
    {{"X-Site-Url", "https://a.example:8080/x?y", "Origin", "http://b.example"},
     "{}",
     NULL,
     "a.example:8080",
     ERR_OK},
    {{"Origin", "https://b.example"}, NULL, NULL, "b.example", ERR_OK},
    {{"Origin", "null"}, NULL, NULL, NULL, ERR_OK},
    {{"X-Site-Url", "a.example#x"}, NULL, NULL, "a.example", ERR_OK},
    {{"X-Site-Url", "a b"}, NULL, NULL, NULL, ERR_BAD_FIELD},
    {{"X-Site-Url", "b\xfc.example"}, NULL, NULL, NULL, ERR_BAD_FIELD},
    {{"X-License-Key", "K \xc3\xa9"}, NULL, NULL, NULL, ERR_NOT_FOUND},
    {{NULL}, "{\"key\":1}", NULL, NULL, ERR_BAD_FIELD},
    {{NULL}, "{\"domain\":[]}", NULL, NULL, ERR_BAD_FIELD},
    {{NULL}, "{\"domain\":\"a\\u0000.b\"}", NULL, NULL, ERR_BAD_FIELD},
    {{NULL}, "{\"domain\":\"\\u0000\"}", NULL, NULL, ERR_BAD_FIELD},
    {{NULL}, "[]", NULL, NULL, ERR_BAD_REQUEST},
    {{NULL}, "{", NULL, NULL, ERR_BAD_REQUEST},
    {{NULL}, "key=K1", NULL, NULL, ERR_BAD_REQUEST},
};

static void
check(size_t i, const struct row *row, struct arena *arena)
{
	struct str key = STR_NONE, domain = STR_NONE;
	struct audit head;
	struct why why;
	size_t j;
	enum err e;

	audit_begin(&head);
	for (j = 0; row->headers[j]; j += 2)
		audit_add(&head, str_of(row->headers[j]),
			  str_of(row->headers[j + 1]));
	e = auth_read(&head, str_of(row->body), &key, &domain, arena, &why);
	if (e != row->err)
		test_fail(__FILE__, __LINE__, "row %zu: %s", i, err_code(e));
	if (e == ERR_OK && (!str_eq(key, str_of(row->key)) ||
			    !str_eq(domain, str_of(row->domain))))
		test_fail(__FILE__, __LINE__, "row %zu: key %.*s domain %.*s",
			  i, STR_ARG(key), STR_ARG(domain));
}

TEST(auth_reads_key_and_site)
{
	struct arena arena;
	size_t i;

	arena_init(&arena, 65536);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(i, &rows[i], &arena);
	arena_fini(&arena);
}

TEST(auth_bounds_key_and_site)
{
	char text[300];
	struct str key, domain;
	struct audit head;
	struct why why;

	memset(text, 'a', sizeof(text));
	audit_begin(&head);
	audit_add(&head, STR("x-api-key"), str_bytes(text, AUTH_KEY_BYTES_MAX));
	audit_add(&head, STR("Origin"), str_bytes(text, AUTH_DOMAIN_BYTES_MAX));
	CHECK_OK(auth_read(&head, STR_NONE, &key, &domain, NULL, &why));
	audit_begin(&head);
	audit_add(&head, STR("x-api-key"),
		  str_bytes(text, AUTH_KEY_BYTES_MAX + 1));
	CHECK_ERR(auth_read(&head, STR_NONE, &key, &domain, NULL, &why),
		  ERR_NOT_FOUND);
	audit_begin(&head);
	audit_add(&head, STR("Origin"),
		  str_bytes(text, AUTH_DOMAIN_BYTES_MAX + 1));
	CHECK_ERR(auth_read(&head, STR_NONE, &key, &domain, NULL, &why),
		  ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("domain"));
}
