/*
 * routes_test: the table as it is looked up, and the shapes of refusals.
 */
#include "edge/routes.h"

#include "lib/test.h"

struct row {
	enum edge_listener listener;
	const char *method;
	const char *path;
	void (*handle)(struct http_request *); /* NULL: none */
	bool is_path;
};

static const struct row rows[] = {
    {LISTENER_PUBLIC, "GET", "/", serve_root, true},
    {LISTENER_PUBLIC, "HEAD", "/", serve_root, true},
    {LISTENER_PUBLIC, "POST", "/", NULL, true},
    {LISTENER_PUBLIC, "POST", "/api/validate", serve_validate, true},
    {LISTENER_PUBLIC, "POST", "/api/validate/", serve_validate, true},
    {LISTENER_PUBLIC, "POST", "/API/validate", NULL, false},
    {LISTENER_PUBLIC, "GET", "/api/validate", NULL, true},
    {LISTENER_PUBLIC, "OPTIONS", "/api/validate", NULL, true},
    {LISTENER_PUBLIC, "POST", "/api", NULL, false},
    {LISTENER_PUBLIC, "POST", "/v1/chat/completions", serve_chat, true},
    {LISTENER_PUBLIC, "GET", "/v1/models", serve_models, true},
    {LISTENER_PUBLIC, "GET", "/v1/models/gpt-x", serve_models, true},
    {LISTENER_PUBLIC, "DELETE", "/v1/models/gpt-x", NULL, true},
    {LISTENER_PUBLIC, "GET", "/v1/models/some/model", serve_models, true},
    {LISTENER_PUBLIC, "HEAD", "/v1/models/some/model/", serve_models, true},
    {LISTENER_PUBLIC, "GET", "/v1/models/", serve_models, true},
    {LISTENER_PUBLIC, "GET", "/v1/modelssome/model", NULL, false},
    {LISTENER_PUBLIC, "GET", "/api/keys", serve_keys, true},
    {LISTENER_PUBLIC, "GET", "/api/keys/", serve_keys, true},
    {LISTENER_PUBLIC, "PUT", "/api/keys", NULL, true},
    {LISTENER_PUBLIC, "GET", "/api/keys/openai", serve_key, true},
    {LISTENER_PUBLIC, "PUT", "/api/keys/openai/", serve_key_set, true},
    {LISTENER_PUBLIC, "DELETE", "/api/keys/x", serve_key_remove, true},
    {LISTENER_PUBLIC, "POST", "/api/keys/openai", NULL, true},
    {LISTENER_PUBLIC, "GET", "/api/keys/openai/x", NULL, false},
    {LISTENER_PUBLIC, "GET", "/api/keysopenai", NULL, false},
    {LISTENER_ADMIN, "PUT", "/api/keys/openai", NULL, false},
    {LISTENER_PUBLIC, "GET", "/metrics", NULL, false},
    {LISTENER_ADMIN, "GET", "/metrics", NULL, false},
    {LISTENER_INTERNAL, "GET", "/metrics", serve_metrics, true},
    {LISTENER_INTERNAL, "GET", "/api/health", serve_health, true},
    {LISTENER_INTERNAL, "POST", "/api/validate", NULL, false},
    {LISTENER_ADMIN, "POST", "/api/chat", NULL, false},
};

TEST(routes_are_found)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		bool is_path;
		const struct route *route =
		    routes_find(row->listener, str_of(row->method),
				str_of(row->path), &is_path);

		if ((route ? route->handle : NULL) != row->handle ||
		    is_path != row->is_path)
			test_fail(__FILE__, __LINE__, "row %zu", i);
	}
}

TEST(routes_say_what_they_allow)
{
	struct buf out;

	buf_init(&out, 256);
	routes_allow(LISTENER_PUBLIC, STR("/"), &out);
	CHECK_STR(buf_str(&out), STR("GET, HEAD, OPTIONS"));
	buf_reset(&out);
	routes_allow(LISTENER_PUBLIC, STR("/api/chat/"), &out);
	CHECK_STR(buf_str(&out), STR("POST, OPTIONS"));
	buf_reset(&out);
	routes_allow(LISTENER_PUBLIC, STR("/api/keys/openai"), &out);
	CHECK_STR(buf_str(&out), STR("GET, HEAD, PUT, DELETE, OPTIONS"));
	buf_fini(&out);
}

TEST(routes_that_cost_take_a_key)
{
	size_t i;

	for (i = 0; i < routes_count; i++) {
		const struct route *route = &routes[i];

		if (route->pool == POOL_PROXY || route->pool == POOL_USAGE)
			CHECK(route->auth != AUTH_NONE);
		CHECK(route->body_limit_bytes <= HTTP_BODY_BYTES_MAX);
		CHECK(route->listeners != 0);
	}
}

static void
check_error(enum route_shape shape, enum err err, const struct failure *failure,
	    const char *want)
{
	struct buf out;

	buf_init(&out, 4096);
	reply_print_error(&out, shape, err, failure, STR("01R"));
	CHECK_STR(buf_str(&out), str_of(want));
	buf_fini(&out);
}

TEST(errors_have_their_shapes)
{
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	check_error(SHAPE_API, ERR_ROUTE_UNKNOWN, NULL,
		    "{\"error\":{\"code\":\"ROUTE_UNKNOWN\",\"message\":\"no "
		    "such route\",\"request_id\":\"01R\"}}");
	check_error(SHAPE_OPENAI, ERR_ROUTE_UNKNOWN, NULL,
		    "{\"error\":{\"message\":\"no such route\",\"type\":"
		    "\"invalid_request_error\",\"param\":null,\"code\":"
		    "\"ROUTE_UNKNOWN\"}}");
	failure.message = STR("say \"please\"");
	failure.field = STR("model");
	check_error(SHAPE_API, ERR_BAD_FIELD, &failure,
		    "{\"error\":{\"code\":\"BAD_FIELD\",\"message\":\"say "
		    "\\\"please\\\"\",\"request_id\":\"01R\",\"field\":"
		    "\"model\"}}");
	check_error(SHAPE_OPENAI, ERR_BAD_FIELD, &failure,
		    "{\"error\":{\"message\":\"say \\\"please\\\"\",\"type\":"
		    "\"invalid_request_error\",\"param\":\"model\",\"code\":"
		    "\"BAD_FIELD\"}}");
	schema_clear(&failure_schema, &failure);
	failure.message = STR("m");
	failure.limit = STR("requests_month");
	failure.line = STR("{\"a\":1}");
	check_error(SHAPE_API, ERR_LIMIT_REACHED, &failure,
		    "{\"error\":{\"code\":\"LIMIT_REACHED\",\"message\":\"m\","
		    "\"request_id\":\"01R\",\"limit\":\"requests_month\","
		    "\"line\":{\"a\":1}}}");
	check_error(SHAPE_OPENAI, ERR_LIMIT_REACHED, &failure,
		    "{\"error\":{\"message\":\"m\",\"type\":"
		    "\"insufficient_quota\",\"param\":null,\"code\":"
		    "\"LIMIT_REACHED\",\"line\":{\"a\":1}}}");
}

static bool
begins(const struct buf *out, const char *head)
{
	return out->n > 0 &&
	       memmem(out->p, out->n, head, strlen(head)) == out->p;
}

/* A client must not take an outage for a verdict. */
TEST(errors_of_validation_are_verdicts_or_not)
{
	struct buf out;

	buf_init(&out, 4096);
	reply_print_error(&out, SHAPE_VALIDATE, ERR_KEY_MISSING, NULL,
			  STR("01R"));
	CHECK(begins(&out, "{\"valid\":false,\"code\":\"KEY_MISSING\","));
	CHECK(memmem(out.p, out.n, "\"checked_at\":\"2", 15));
	CHECK(memmem(out.p, out.n, "\"cache_until\":\"2", 16));
	CHECK(memmem(out.p, out.n, ".", 1) == NULL); /* whole seconds */
	buf_reset(&out);
	reply_print_error(&out, SHAPE_VALIDATE, ERR_UNAVAILABLE, NULL,
			  STR("01R"));
	CHECK(begins(&out, "{\"error\":{\"code\":\"UNAVAILABLE\","));
	buf_fini(&out);
}
