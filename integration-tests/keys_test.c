/*
 * keys: provider keys from the command line and the public API to the header
 * that a provider sees: whose is used, what becomes of one that is refused, and
 * that no key can be led or read anywhere else.
 */
#include <signal.h>
#include <stdio.h>

#include "integration-tests/ask.h"

#define OWN_CANARY "sk-own-canary-8d21f7-WXYZ"
#define OWN_CANARY_2 "sk-own-canary-19c4aa-QRST"
#define VENDOR_CANARY "sk-vendor-canary-5be0-HIJK"
#define VENDOR_CANARY_2 "sk-vendor-canary-77fa-LMNO"

/* One question about the licence's keys; the status. */
static int
ask_key(struct answer *answer, const struct house *house, const char *key,
	const char *method, const char *path, const char *body)
{
	char headers[256];

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(answer, house->public, method, path, headers, str_of(body));
	return answer->status;
}

static int
key_status(const struct house *house, const char *key, const char *method,
	   const char *path, const char *body)
{
	struct answer answer;
	int status = ask_key(&answer, house, key, method, path, body);

	CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
	answer_free(&answer);
	return status;
}

static int
chat_status(const struct house *house, const struct chat *question)
{
	struct answer answer;

	chat(&answer, house, question);
	CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
	CHECK(!memmem(answer.head.p, answer.head.n, "canary", 6));
	answer_free(&answer);
	return answer.status;
}

static void
check_nowhere(const struct house *house, const char *text)
{
	struct answer answer;

	CHECK_INT(files_with("data", text), 0);
	CHECK_INT(files_with("up.log", text), 0);
	http(&answer, house->internal, "GET", "/metrics", "", STR(""));
	CHECK_INT(answer.status, 200);
	CHECK(!memmem(answer.body.p, answer.body.n, text, strlen(text)));
	answer_free(&answer);
}

TEST_LIMITED(keys_of_a_customer_come_before_the_vendors, 60)
{
	struct house house;
	struct answer answer;
	json_t *body, *ledger, *line;
	const char *key, *other;

	house_init(&house);
	house_sell();
	key = house_license("big");
	other = house_license("big");
	house_up(&house);
	CHECK_INT(key_status(&house, key, "GET", "/api/keys/openai", ""), 404);
	CHECK_INT(ask_key(&answer, &house, key, "PUT", "/api/keys/openai",
			  "{\"api_key\":\"" OWN_CANARY "\"}"),
		  200);
	body = answer_json(&answer);
	CHECK_JSON_STR(body, "provider", "openai");
	CHECK_JSON_STR(body, "key", "****WXYZ");
	json_decref(body);
	answer_free(&answer);
	CHECK_INT(
	    chat_status(&house, &(struct chat){.key = key,
					       .script = "in=9 out=4",
					       .headers = "Idempotency-Key: "
							  "own\r\n"}),
	    200);
	CHECK(upstream_saw(&house, "Bearer " OWN_CANARY "\r\n"));
	CHECK(!upstream_saw(&house, OPENAI_CANARY));
	/* Another customer's, and another provider's, are the vendor's. */
	CHECK_INT(chat_status(&house, &(struct chat){.key = other}), 200);
	CHECK(upstream_saw(&house, "Bearer " OPENAI_CANARY "\r\n"));
	CHECK_INT(chat_status(&house, &(struct chat){.key = key,
						     .model = DEEPSEEK_MODEL}),
		  200);
	CHECK(upstream_saw(&house, "Bearer " DEEPSEEK_CANARY "\r\n"));
	/* Set again, and taken away. */
	CHECK_INT(key_status(&house, key, "PUT", "/api/keys/openai",
			     "{\"api_key\":\"" OWN_CANARY_2 "\"}"),
		  200);
	CHECK_INT(
	    chat_status(&house, &(struct chat){.key = key, .is_stream = true}),
	    200);
	CHECK(upstream_saw(&house, "Bearer " OWN_CANARY_2 "\r\n"));
	ask_key(&answer, &house, key, "GET", "/api/keys", "");
	body = answer_json(&answer);
	CHECK_JSON_STR(body, "keys.0.key", "****QRST");
	json_decref(body);
	answer_free(&answer);
	CHECK_INT(key_status(&house, key, "DELETE", "/api/keys/openai", ""),
		  200);
	CHECK_INT(key_status(&house, key, "DELETE", "/api/keys/openai", ""),
		  404);
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	CHECK(upstream_saw(&house, "Bearer " OPENAI_CANARY "\r\n"));
	check_nowhere(&house, OWN_CANARY);
	check_nowhere(&house, OWN_CANARY_2);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", OWN_CANARY), 0);
	CHECK_INT(files_with(".", OWN_CANARY_2), 0);

	ledger = house_ledger();
	line = ledger_line(ledger, "own");
	CHECK_JSON_STR(line, "status", "settled");
	CHECK(json_is_true(json_at(line, "own_key")));
	CHECK_JSON_INT(line, "input_tokens", 9);
	CHECK_JSON_INT(line, "output_tokens", 4);
	CHECK_JSON_INT(line, "cost", 0);
	CHECK_JSON_INT(line, "price", 0);
	json_decref(ledger);
}

/* Of a provider of the settings that the vendor has no key for; and not of
 * another one that comes under its name. */
TEST_LIMITED(keys_of_a_customer_are_for_further_providers_too, 60)
{
	struct chat ask = {.model = "small",
			   .headers = "Idempotency-Key: own\r\n"};
	struct house house;
	char base[128];
	json_t *ledger, *line;
	const char *key;

	house_init(&house);
	house_sell();
	key = ask.key = house_license("big");
	snprintf(base, sizeof(base), "http://%s/v1", house.upstream_address);
	json_decref(tool("provider", "set", "near", "--base-url", base, NULL));
	json_decref(tool("price", "set", "near", "small", "--input", "1",
			 "--output", "2", NULL));
	json_decref(tool("route", "set", "small", "--provider", "near", NULL));
	house_up(&house);
	CHECK_INT(chat_status(&house, &ask), 404); /* whose key? */
	CHECK_INT(key_status(&house, key, "PUT", "/api/keys/near",
			     "{\"api_key\":\"" OWN_CANARY "\"}"),
		  200);
	CHECK_INT(key_status(&house, key, "GET", "/api/keys/near", ""), 200);
	CHECK_INT(chat_status(&house, &ask), 200);
	CHECK(upstream_saw(&house, "Bearer " OWN_CANARY "\r\n"));
	json_decref(tool("route", "remove", "small", NULL));
	json_decref(tool("provider", "remove", "near", NULL));
	json_decref(tool("provider", "set", "near", "--base-url", base, NULL));
	json_decref(tool("route", "set", "small", "--provider", "near", NULL));
	CHECK_INT(key_status(&house, key, "GET", "/api/keys/near", ""), 404);
	ask.headers = NULL;
	CHECK_INT(chat_status(&house, &ask), 404);
	CHECK_INT(key_status(&house, key, "DELETE", "/api/keys/near", ""), 200);
	check_nowhere(&house, OWN_CANARY);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "settled"), 1);
	line = ledger_line(ledger, "own");
	CHECK_JSON_STR(line, "provider", "near");
	CHECK(json_is_true(json_at(line, "own_key")));
	CHECK_JSON_INT(line, "cost", 0);
	json_decref(ledger);
}

TEST_LIMITED(keys_that_are_refused_say_why, 60)
{
	static const struct {
		const char *path, *body;
		int status;
		const char *code;
	} rows[] = {
	    {"/api/keys/opanai", "{\"api_key\":\"sk-canary-1\"}", 400,
	     "BAD_FIELD"},
	    {"/api/keys/demo", "{\"api_key\":\"sk-canary-1\"}", 400,
	     "BAD_FIELD"},
	    {"/api/keys/open%20ai", "{\"api_key\":\"sk-canary-1\"}", 400,
	     "BAD_FIELD"},
	    {"/api/keys/openai", "", 400, "BAD_REQUEST"},
	    {"/api/keys/openai", "{}", 400, "BAD_FIELD"},
	    {"/api/keys/openai", "{\"api_key\":\"\"}", 400, "BAD_FIELD"},
	    {"/api/keys/openai", "{\"api_key\":\"  \"}", 400, "BAD_FIELD"},
	    {"/api/keys/openai", "{\"api_key\":7}", 400, "BAD_FIELD"},
	    {"/api/keys/openai", "{\"api_key\":\"sk-canary 1\"}", 400,
	     "BAD_FIELD"},
	    {"/api/keys/openai",
	     "{\"api_key\":\"sk-canary-1\\r\\nHost: evil.example\"}", 400,
	     "BAD_FIELD"},
	};
	struct house house;
	struct answer answer;
	char body[5000], filler[4900];
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_key(&answer, &house, key, "PUT", rows[i].path,
			rows[i].body);
		CHECK_INT(answer.status, rows[i].status);
		CHECK_STR(str_of(answer_code(&answer)), str_of(rows[i].code));
		CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
		answer_free(&answer);
	}
	for (int n = 600; n <= 4800; n += 4200) {
		memset(filler, 'k', sizeof(filler));
		snprintf(body, sizeof(body), "{\"api_key\":\"%.*s\"}", n,
			 filler);
		CHECK_INT(
		    key_status(&house, key, "PUT", "/api/keys/openai", body),
		    400);
	}
	CHECK_INT(key_status(&house, "", "PUT", "/api/keys/openai",
			     "{\"api_key\":\"sk-canary-1\"}"),
		  401);
	CHECK_INT(key_status(&house, "CHA-AAAA-BBBB-CCCC-DDDD", "GET",
			     "/api/keys", ""),
		  401);
	CHECK_INT(key_status(&house, key, "POST", "/api/keys/openai", ""), 405);
	CHECK_INT(key_status(&house, key, "GET", "/api/keys/openai", ""), 404);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", "sk-canary-1"), 0);
}

/* A customer's key that its provider refuses is the customer's to mend: the
 * vendor's does not stand in for it. */
TEST_LIMITED(keys_of_a_customer_are_not_replaced_by_the_vendors, 60)
{
	struct house house;
	struct answer answer;
	json_t *counts;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	CHECK_INT(key_status(&house, key, "PUT", "/api/keys/openai",
			     "{\"api_key\":\"" OWN_CANARY "\"}"),
		  200);
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "status=401"});
	CHECK_INT(answer.status, 403);
	CHECK_STR(str_of(answer_code(&answer)), STR("OWN_KEY_REFUSED"));
	CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
	answer_free(&answer);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 1);
	json_decref(counts);
	/* It is not put aside: the next request tries it again. */
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	CHECK(upstream_saw(&house, OWN_CANARY));
	CHECK_INT(house_down(&house), 0);
}

static void
two_keys(struct house *house, const char **key)
{
	house_init(house);
	house_sell();
	*key = house_license("big");
	house_set("OPENAI_API_KEY", "");
	vendor_key("first", VENDOR_CANARY); /* while no ledger runs */
	house_up(house);
	vendor_key("second", VENDOR_CANARY_2); /* and while one does */
}

TEST_LIMITED(keys_of_the_vendor_stand_in_for_each_other, 60)
{
	struct house house;
	json_t *counts;
	const char *key;

	two_keys(&house, &key);
	/* Brings the news of the second key to the proxy. */
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	for (int i = 0; i < 8; i++) {
		CHECK_INT(chat_status(&house,
				      &(struct chat){.key = key,
						     .script = "status=429 "
							       "auth=0-HIJK"}),
			  200);
		CHECK(upstream_saw(&house, VENDOR_CANARY_2));
	}
	counts = upstream_counts(&house);
	CHECK(json_int_at(counts, "requests") <= 12);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(keys_that_all_rest_are_said_with_a_time, 60)
{
	struct house house;
	struct answer answer;
	json_t *counts, *listed;
	const char *key;

	two_keys(&house, &key);
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	/* One is refused, then the other; the same request has met both. */
	for (int i = 0; i < 2; i++)
		chat_status(&house,
			    &(struct chat){.key = key, .script = "status=401"});
	chat(&answer, &house, &(struct chat){.key = key});
	CHECK_INT(answer.status, 503);
	CHECK_STR(str_of(answer_code(&answer)), STR("KEYS_RESTING"));
	CHECK(answer_header(&answer, "Retry-After").n > 0);
	answer_free(&answer);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 3);
	json_decref(counts);
	/* A removed key is used no more, one that is set is used at once. */
	json_decref(tool("key", "remove", "openai", "--name", "second", NULL));
	vendor_key("first", "sk-vendor-canary-new0-PQRS");
	chat_status(&house, &(struct chat){.key = key});
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	CHECK(upstream_saw(&house, "canary-new0-PQRS"));
	listed = tool("key", "list", NULL);
	CHECK_JSON_STR(listed, "key", "****PQRS");
	CHECK_JSON_STR(listed, "name", "first");
	json_decref(listed);
	check_nowhere(&house, VENDOR_CANARY);
	check_nowhere(&house, VENDOR_CANARY_2);
	check_nowhere(&house, "sk-vendor-canary");
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", "sk-vendor-canary"), 0);
}

static struct output
key_test(const char *provider, const char *name)
{
	struct output output =
	    run("chatello", "key", "test", "--json", provider, name, NULL);

	CHECK(!strstr(output.out, "canary") && !strstr(output.err, "canary"));
	return output;
}

static void
check_tested(struct output output, int code, const char *line)
{
	CHECK_INT(output.code, code);
	if (!strstr(output.out, line) && !strstr(output.err, line))
		test_fail(__FILE__, __LINE__, "no %s in %s%s", line, output.out,
			  output.err);
	output_free(&output);
}

/* A real call with each key, which costs nothing; what the provider says to it
 * is shown, of the key itself its last letters at most. */
TEST_LIMITED(keys_are_tried_at_their_providers, 60)
{
	struct house house;
	struct output output;
	const char *key;
	json_t *ledger;

	two_keys(&house, &key);
	/* It was set a moment ago, and no request has told the proxy. */
	check_tested(key_test("openai", "second"), 0,
		     "\"key\":\"****LMNO\",\"outcome\":\"ok\",\"status\":200");
	CHECK(upstream_saw(&house, "GET /v1/models HTTP/1.1\r\n"));
	CHECK(upstream_saw(&house, "Bearer " VENDOR_CANARY_2 "\r\n"));
	check_tested(key_test("anthropic", NULL), 0, "\"environment\"");
	CHECK(upstream_saw(&house, "GET /anthropic/v1/models HTTP/1.1\r\n"));
	CHECK(upstream_saw(&house, "x-api-key: " ANTHROPIC_CANARY "\r\n"));
	CHECK(upstream_saw(&house, "anthropic-version: 2023-06-01\r\n"));
	check_tested(key_test("deepseek", NULL), 0, "\"ok\"");
	CHECK(upstream_saw(&house, "GET /deepseek/models HTTP/1.1\r\n"));
	vendor_key("bad", "sk-bad-canary-0000-PQRS");
	vendor_key("echo", "sk-echo-canary-0000-TUVW");
	output = key_test(NULL, NULL);
	CHECK_INT(output.code, 1);
	CHECK(strstr(output.out, "\"bad\",\"key\":\"****PQRS\",\"outcome\":"
				 "\"refused\",\"status\":401,\"reason\":"
				 "\"Incorrect API key provided: PQRS.\""));
	CHECK(strstr(output.out, "that is not shown"));
	CHECK(strstr(output.err, "2 of 6 keys"));
	output_free(&output);
	/* A test puts no key aside. */
	CHECK_INT(chat_status(&house, &(struct chat){.key = key}), 200);
	check_tested(key_test("openai", "none"), 1, "key list");
	check_tested(key_test("opanai", NULL), 1, "openai, anthropic");
	CHECK(kill(house.upstream, SIGKILL) == 0);
	wait_for(house.upstream);
	check_tested(key_test("deepseek", NULL), 1, "\"failed\"");
	CHECK_INT(house_down(&house), 0);
	check_tested(key_test("openai", NULL), 1, "chatello up");
	CHECK_INT(files_with("up.log", "canary"), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "settled"), 1);
	json_decref(ledger);
}

/* Whatever a request names, its key goes to the operator's base URL, and the
 * headers that the provider sees are ours. */
TEST_LIMITED(keys_cannot_be_led_elsewhere, 60)
{
	static const char *const members[] = {
	    ",\"base_url\":\"http://127.0.0.1:1/v1\"",
	    ",\"api_base\":\"http://127.0.0.1:1/v1\"",
	    ",\"api_key\":\"sk-mine\"",
	    ",\"\\u0062ase_url\":\"http://127.0.0.1:1/v1\"",
	};
	static const char *const headers[] = {
	    "X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 1.2.3.4\r\n"
	    "Forwarded: host=evil.example\r\n",
	    "Proxy-Authorization: Basic eA==\r\nVia: evil.example\r\n",
	    "OpenAI-Organization: org-mine\r\nOpenAI-Project: mine\r\n",
	    "Cookie: a=b\r\nX-Base-Url: http://evil.example\r\n",
	    "x-api-key: sk-mine\r\n",
	    "api-key: sk-mine\r\nX-Api-Base: http://evil.example\r\n",
	};
	static const char *const refused[] = {
	    "Authorization: Bearer sk-mine\r\n",
	    "Host: evil.example\r\n",
	};
	struct house house;
	json_t *counts;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		CHECK_INT(
		    chat_status(&house, &(struct chat){.key = key,
						       .members = members[i]}),
		    400);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		CHECK_INT(
		    chat_status(&house, &(struct chat){.key = key,
						       .headers = refused[i]}),
		    400);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 0);
	json_decref(counts);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		CHECK_INT(
		    chat_status(&house, &(struct chat){.key = key,
						       .headers = headers[i]}),
		    200);
		CHECK(upstream_saw(&house, "Bearer " OPENAI_CANARY "\r\n"));
		CHECK(!upstream_saw(&house, "evil"));
		CHECK(!upstream_saw(&house, "mine"));
		CHECK(!upstream_saw(&house, "Cookie"));
		CHECK(!upstream_saw(&house, "Basic"));
	}
	CHECK_INT(house_down(&house), 0);
}
