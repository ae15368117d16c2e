/*
 * validate: what a plugin is told about its key, by every way to send it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

struct question {
	const char *headers;
	const char *body;
};

/* The answer's JSON; the caller's. Its status must be the code's. */
static json_t *
ask(const struct house *house, const struct question *question, int status,
    const char *code)
{
	struct answer answer;
	json_t *body;

	http(&answer, house->public, "POST", "/api/validate", question->headers,
	     str_of(question->body));
	if (answer.status != status)
		test_fail(__FILE__, __LINE__, "%s%s: %d, not %d: %.*s",
			  question->headers, question->body, answer.status,
			  status, STR_ARG(answer.body));
	body = answer_json(&answer);
	CHECK_STR(json_str_at(body, "code"), str_of(code));
	CHECK(json_is_boolean(json_at(body, "valid")));
	CHECK_INT(json_is_true(json_at(body, "valid")), status == 200);
	CHECK(json_str_at(body, "message").n > 0);
	CHECK_INT(json_str_at(body, "checked_at").n, 20); /* whole seconds */
	CHECK_INT(json_str_at(body, "cache_until").n, 20);
	answer_free(&answer);
	return body;
}

/* Asks with the key in X-License-Key. */
static json_t *
ask_key(const struct house *house, const char *key, const char *domain,
	int status, const char *code)
{
	char headers[256], body[256];

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	snprintf(body, sizeof(body), "{\"domain\":\"%s\"}", domain);
	return ask(house, &(struct question){headers, body}, status, code);
}

TEST_LIMITED(validate_says_what_the_licence_is, 60)
{
	struct house house;
	char masked[64];
	json_t *body;

	house_init(&house);
	const char *key = house_license("pro");

	house_up(&house);
	body = ask_key(&house, key, "", 200, "VALID");
	snprintf(masked, sizeof(masked), "CHA-****-****-****-%s",
		 key + strlen(key) - 4);
	CHECK_STR(json_str_at(body, "license.key"), str_of(masked));
	CHECK_JSON_STR(body, "license.status", "active");
	CHECK(str_starts(json_str_at(body, "license.id"), STR("lic_")));
	CHECK(json_str_at(body, "license.expires_at").n >= 20);
	CHECK_JSON_STR(body, "plan.code", "pro");
	CHECK_JSON_STR(body, "plan.features.0", "ai_proxy");
	CHECK_JSON_INT(body, "plan.limits.requests_month", 1000);
	CHECK_JSON_INT(body, "usage.requests_month.used", 0);
	CHECK_JSON_INT(body, "usage.requests_month.limit", 1000);
	CHECK_JSON_INT(body, "usage.requests_month.remaining", 1000);
	CHECK(str_ends(json_str_at(body, "usage.requests_month.resets_at"),
		       STR(":00")));
	CHECK(json_str_at(body, "cache_until").n == 20);
	json_decref(body);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_takes_the_key_every_way, 60)
{
	struct house house;
	char text[256], lower[128];

	house_init(&house);
	const char *key = house_license("pro");

	snprintf(lower, sizeof(lower), "%s", key);
	for (char *p = lower; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	house_up(&house);
	snprintf(text, sizeof(text), "X-License-Key: %s\r\n", key);
	json_decref(ask(&house, &(struct question){text, "{}"}, 200, "VALID"));
	json_decref(ask(&house, &(struct question){text, ""}, 200, "VALID"));
	snprintf(text, sizeof(text), "Authorization: Bearer %s\r\n", key);
	json_decref(ask(&house, &(struct question){text, "{}"}, 200, "VALID"));
	snprintf(text, sizeof(text), "x-api-key:   %s  \r\n", lower);
	json_decref(ask(&house, &(struct question){text, "{}"}, 200, "VALID"));
	snprintf(text, sizeof(text), "{\"license_key\":\"%s\"}", key);
	json_decref(ask(&house, &(struct question){"", text}, 200, "VALID"));
	snprintf(text, sizeof(text), "{\"key\":\" %s\\n\"}", lower);
	json_decref(ask(&house, &(struct question){"", text}, 200, "VALID"));
	/* and without one, or with one that is none */
	json_decref(
	    ask(&house, &(struct question){"", "{}"}, 401, "KEY_MISSING"));
	json_decref(
	    ask_key(&house, "CHA-AAAA-BBBB-CCCC-DDDD", "", 401, "NOT_FOUND"));
	json_decref(ask_key(&house, "'; drop table--", "", 401, "NOT_FOUND"));
	json_decref(ask_key(&house, "CHA-%00-\xc3\xa9", "", 401, "NOT_FOUND"));
	CHECK_INT(house_down(&house), 0);
}

/* A key that is too long to be one is answered as one that nobody has. */
TEST_LIMITED(validate_answers_long_keys_like_unknown_ones, 60)
{
	struct house house;
	json_t *unknown, *by_header, *by_body;
	char key[400], text[512];

	house_init(&house);
	house_up(&house);
	memset(key, 'A', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	unknown =
	    ask_key(&house, "CHA-AAAA-BBBB-CCCC-DDDD", "", 401, "NOT_FOUND");
	by_header = ask_key(&house, key, "", 401, "NOT_FOUND");
	snprintf(text, sizeof(text), "{\"license_key\":\"%s\"}", key);
	by_body = ask(&house, &(struct question){"", text}, 401, "NOT_FOUND");
	/* The second may have passed in between. */
	for (size_t i = 0; i < 2; i++) {
		static const char *const times[] = {"checked_at",
						    "cache_until"};

		json_object_del(unknown, times[i]);
		json_object_del(by_header, times[i]);
		json_object_del(by_body, times[i]);
	}
	CHECK(json_equal(unknown, by_header));
	CHECK(json_equal(unknown, by_body));
	json_decref(unknown);
	json_decref(by_header);
	json_decref(by_body);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_holds_to_the_domain, 60)
{
	static const struct {
		const char *headers;
		const char *body;
		int status;
	} rows[] = {
	    {"", "{\"domain\":\"shop.example\"}", 200},
	    {"", "{\"domain\":\"https://WWW.Shop.Example:8443/wp\"}", 200},
	    {"X-Site-Url: https://shop.example/\r\n", "{}", 200},
	    {"Origin: https://www.shop.example\r\n", "{}", 200},
	    {"", "{\"domain\":\"staging.shop.example\"}", 200},
	    {"", "{\"domain\":\"localhost\"}", 200},
	    {"", "{\"domain\":\"my.test\"}", 200},
	    {"", "{\"domain\":\"192.168.1.20\"}", 200},
	    {"", "{\"domain\":\"other.example\"}", 403},
	    {"", "{\"domain\":\"shop.example.evil.example\"}", 403},
	    {"X-Site-Url: https://other.example\r\n", "{}", 403},
	    {"Origin: https://other.example\r\n", "{}", 403},
	};
	struct house house;
	char headers[512];
	json_t *issued;

	house_init(&house);
	issued = tool("license", "issue", "--email", "owner@shop.example",
		      "--plan", "pro", "--domain", "shop.example", NULL);
	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(headers, sizeof(headers), "X-License-Key: %.*s\r\n%s",
			 STR_ARG(json_str_at(issued, "license_key")),
			 rows[i].headers);
		json_decref(
		    ask(&house, &(struct question){headers, rows[i].body},
			rows[i].status,
			rows[i].status == 200 ? "VALID" : "DOMAIN_MISMATCH"));
	}
	json_decref(issued);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_follows_the_licence_through_its_life, 60)
{
	struct house house;

	house_init(&house);
	const char *key = house_license("pro");

	house_up(&house);
	json_decref(ask_key(&house, key, "", 200, "VALID"));
	json_decref(tool("license", "suspend", key, NULL));
	json_decref(ask_key(&house, key, "", 403, "SUSPENDED"));
	json_decref(tool("license", "resume", key, NULL));
	json_decref(ask_key(&house, key, "", 200, "VALID"));
	json_decref(tool("license", "renew", key, "--months", "2", NULL));
	json_decref(tool("license", "cancel", key, "--at-end", NULL));
	json_decref(ask_key(&house, key, "", 200, "VALID"));
	json_decref(tool("license", "cancel", key, NULL));
	json_decref(ask_key(&house, key, "", 403, "CANCELLED"));
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_activations_are_counted_and_limited, 60)
{
	struct house house;
	struct answer answer;
	char headers[256];
	json_t *body;

	house_init(&house);
	json_decref(
	    tool("plan", "set", "one", "--limit", "activations=1", NULL));
	const char *key = house_license("one");

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	house_up(&house);
	for (int i = 0; i < 2; i++) { /* idempotent */
		http(&answer, house.public, "POST", "/api/activate", headers,
		     STR("{\"domain\":\"a.example\"}"));
		CHECK_INT(answer.status, 200);
		body = answer_json(&answer);
		CHECK_JSON_INT(body, "activations", 1);
		json_decref(body);
		answer_free(&answer);
	}
	/* A local site never counts. */
	http(&answer, house.public, "POST", "/api/activate", headers,
	     STR("{\"domain\":\"shop.local\"}"));
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	http(&answer, house.public, "POST", "/api/activate", headers,
	     STR("{\"domain\":\"b.example\"}"));
	CHECK_INT(answer.status, 403);
	CHECK_STR(str_of(answer_code(&answer)), STR("TOO_MANY_ACTIVATIONS"));
	answer_free(&answer);
	/* and a validation says the same */
	json_decref(ask_key(&house, key, "a.example", 200, "VALID"));
	json_decref(ask_key(&house, key, "shop.local", 200, "VALID"));
	json_decref(ask_key(&house, key, "", 200, "VALID"));
	json_decref(
	    ask_key(&house, key, "b.example", 403, "TOO_MANY_ACTIVATIONS"));
	for (int i = 0; i < 2; i++) {
		http(&answer, house.public, "POST", "/api/deactivate", headers,
		     STR("{\"domain\":\"https://www.a.example/\"}"));
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	http(&answer, house.public, "POST", "/api/activate", headers,
	     STR("{\"domain\":\"b.example\"}"));
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_rate_is_limited, 60)
{
	struct house house;
	struct answer answer;
	char headers[256];

	house_init(&house);
	json_decref(
	    tool("plan", "set", "few", "--limit", "validations_hour=3", NULL));
	const char *key = house_license("few");

	house_up(&house);
	for (int i = 0; i < 3; i++)
		json_decref(ask_key(&house, key, "a.example", 200, "VALID"));
	json_decref(ask_key(&house, key, "a.example", 429, "RATE_LIMITED"));
	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(&answer, house.public, "POST", "/api/validate", headers,
	     STR("{\"domain\":\"a.example\"}"));
	CHECK_INT(answer.status, 429);
	CHECK(atoi(answer_header(&answer, "Retry-After").p) > 600);
	CHECK_STR(answer_header(&answer, "RateLimit-Limit"), STR("3"));
	CHECK_STR(answer_header(&answer, "RateLimit-Remaining"), STR("0"));
	CHECK(atoi(answer_header(&answer, "RateLimit-Reset").p) > 3000);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_usage_page_and_tool_say_the_same, 60)
{
	struct house house;
	struct answer answer;
	char headers[256];
	json_t *page, *shown;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	for (int i = 0; i < 3; i++) {
		chat(&answer, &house, &(struct chat){.key = key});
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	CHECK_INT(house_down(&house), 0); /* everything is settled */
	house_up(&house);
	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(&answer, house.public, "GET", "/api/usage", headers, STR_NONE);
	CHECK_INT(answer.status, 200);
	page = answer_json(&answer);
	answer_free(&answer);
	shown = tool("usage", "show", key, NULL);
	CHECK_JSON_INT(page, "today.requests", 3);
	CHECK_JSON_INT(page, "month.input_tokens", 36);
	CHECK(json_equal(page, shown));
	json_decref(page);
	json_decref(shown);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(validate_pages_around_it, 60)
{
	struct house house;
	struct answer answer;
	char headers[256];
	json_t *body;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	http(&answer, house.public, "GET", "/", "", STR_NONE);
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK(json_str_at(body, "version").n > 0);
	json_decref(body);
	answer_free(&answer);
	http(&answer, house.public, "GET", "/api/health", "", STR_NONE);
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK_JSON_STR(body, "status", "ok");
	json_decref(body);
	answer_free(&answer);
	http(&answer, house.public, "OPTIONS", "/api/validate",
	     "Origin: https://shop.example\r\nAccess-Control-Request-Method: "
	     "POST\r\nAccess-Control-Request-Headers: x-stainless-os\r\n",
	     STR_NONE);
	CHECK_INT(answer.status, 204);
	CHECK(answer_header(&answer, "Access-Control-Allow-Origin").n > 0);
	CHECK(answer_header(&answer, "Access-Control-Allow-Methods").n > 0);
	CHECK_STR(answer_header(&answer, "Access-Control-Allow-Headers"),
		  STR("x-stainless-os"));
	answer_free(&answer);
	snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n", key);
	http(&answer, house.public, "GET", "/v1/models", headers, STR_NONE);
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK_JSON_STR(body, "object", "list");
	CHECK(memmem(answer.body.p, answer.body.n, MODEL, strlen(MODEL)));
	json_decref(body);
	answer_free(&answer);
	http(&answer, house.internal, "GET", "/metrics", "", STR_NONE);
	CHECK_INT(answer.status, 200);
	CHECK(memmem(answer.body.p, answer.body.n, "process=\"usage-0\"", 17));
	CHECK(memmem(answer.body.p, answer.body.n, "process=\"proxy-0\"", 17));
	answer_free(&answer);
	/* The wrong listener has no such route. */
	http(&answer, house.public, "GET", "/metrics", "", STR_NONE);
	CHECK_INT(answer.status, 404);
	answer_free(&answer);
	http(&answer, house.internal, "POST", "/v1/chat/completions", headers,
	     STR("{}"));
	CHECK_INT(answer.status, 404);
	answer_free(&answer);
	http(&answer, house.public, "GET", "/api/validate", "", STR_NONE);
	CHECK_INT(answer.status, 405);
	CHECK(answer_header(&answer, "Allow").n > 0);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}
