/*
 * ai: an AI request from the plugin to the provider and back, counted: what is
 * passed on, what is refused, what is tried again, what it costs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

TEST_LIMITED(ai_answer_is_passed_on_and_counted, 60)
{
	struct house house;
	struct answer answer;
	json_t *body, *counts, *ledger, *line, *shown;
	struct str head;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .headers = "Idempotency-Key: first-1\r\n",
			    .script = "in=100 out=50 cached=40",
			    .members = ",\"x_mine\":{\"a\":[1,2]}"});
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK_JSON_STR(body, "choices.0.message.content",
		       "Hello from upstream. ");
	CHECK(json_is_true(json_at(body, "x_unknown.1.kept")));
	/* What is the provider's own stays with the vendor. */
	CHECK(answer_header(&answer, "Set-Cookie").p == NULL);
	CHECK(answer_header(&answer, "openai-organization").p == NULL);
	json_decref(body);
	answer_free(&answer);

	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 1);
	head = json_str_at(counts, "last_head");
	CHECK(memmem(head.p, head.n, "Bearer " OPENAI_CANARY, 30));
	CHECK(!memmem(head.p, head.n, key, strlen(key)));
	CHECK(str_starts(head, STR("POST /v1/chat/completions HTTP/1.1\r\n")));
	CHECK(strstr(json_str_at(counts, "last_body").p,
		     "\"x_mine\":{\"a\":[1,2]}"));
	json_decref(counts);

	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 1);
	line = ledger_line(ledger, "first-1");
	CHECK(line);
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "source", "provider");
	CHECK_JSON_STR(line, "provider", "openai");
	CHECK_JSON_STR(line, "model", MODEL);
	CHECK_JSON_INT(line, "input_tokens", 60);
	CHECK_JSON_INT(line, "cache_read_tokens", 40);
	CHECK_JSON_INT(line, "output_tokens", 50);
	CHECK_JSON_INT(line, "cost", 60 * 1 + 20 + 50 * 2);
	CHECK_JSON_INT(line, "price", PRICE_PER_REQUEST);
	json_decref(ledger);
	shown = tool("usage", "show", key, NULL);
	CHECK_JSON_INT(shown, "month.requests", 1);
	CHECK_JSON_INT(shown, "month.cost", 180);
	CHECK_JSON_INT(shown, "reserved", 0);
	json_decref(shown);
}

TEST_LIMITED(ai_chat_shape_of_the_plugins, 60)
{
	struct house house;
	struct answer answer;
	char headers[256];
	json_t *body;

	house_init(&house);
	house_sell();
	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n",
		 house_license("big"));
	house_up(&house);
	http(&answer, house.public, "POST", "/api/chat", headers,
	     STR("{\"messages\":[{\"role\":\"user\",\"content\":\"Ciao #up "
		 "in=7 out=3\"}],\"api_provider\":\"deepseek\",\"model\":"
		 "\"" DEEPSEEK_MODEL "\",\"max_tokens\":50}"));
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK(json_is_true(json_at(body, "success")));
	CHECK_JSON_STR(body, "response", "Hello from upstream. ");
	CHECK_JSON_STR(body, "provider", "deepseek");
	CHECK_JSON_STR(body, "model", DEEPSEEK_MODEL);
	CHECK_JSON_INT(body, "usage.prompt_tokens", 7);
	CHECK_JSON_INT(body, "usage.completion_tokens", 3);
	CHECK_JSON_INT(body, "usage.total_tokens", 10);
	CHECK(json_str_at(body, "request_id").n >= 20);
	CHECK(json_at(body, "cost"));
	json_decref(body);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(ai_refusals_reach_no_provider, 60)
{
	struct house house;
	struct answer answer;
	json_t *counts, *ledger;
	const char *key, *starter;

	house_init(&house);
	house_sell();
	key = house_license("big");
	starter = house_license("starter");
	house_up(&house);
	const struct {
		struct chat chat;
		int status;
		const char *code;
	} rows[] = {
	    {{.key = ""}, 401, "KEY_MISSING"},
	    {{.key = "CHA-AAAA-BBBB-CCCC-DDDD"}, 401, "NOT_FOUND"},
	    {{.key = starter}, 403, "FEATURE_MISSING"},
	    {{.key = key, .model = "gpt-without-price"},
	     422,
	     "MODEL_NOT_PRICED"},
	    {{.key = key, .model = "nobody-has-this"}, 404, "MODEL_UNKNOWN"},
	    {{.key = key, .members = ",\"base_url\":\"http://127.0.0.1:1\""},
	     400,
	     NULL},
	    {{.key = key, .members = ",\"api_key\":\"sk-mine\""}, 400, NULL},
	    {{.key = key, .members = ",\"api_base\":\"http://127.0.0.1:1\""},
	     400,
	     NULL},
	    {{.key = key, .members = ",\"x\":[1,"}, 400, NULL},
	    {{.key = key, .headers = "Idempotency-Key: a b\r\n"}, 400, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		chat(&answer, &house, &rows[i].chat);
		if (answer.status != rows[i].status)
			test_fail(__FILE__, __LINE__, "row %zu: %d: %.*s", i,
				  answer.status, STR_ARG(answer.body));
		if (rows[i].code)
			CHECK_STR(str_of(answer_code(&answer)),
				  str_of(rows[i].code));
		answer_free(&answer);
	}
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 0);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 0);
	json_decref(ledger);
}

TEST_LIMITED(ai_failures_are_tried_again_only_when_nothing_was_billed, 90)
{
	static const struct {
		const char *script;
		int status;
		int calls;
		bool is_settled;
	} rows[] = {
	    {"key=a status=503 times=1", 200, 2, true},
	    {"key=b status=429 times=1 retry-after-ms=20", 200, 2, true},
	    {"key=c redirect", 502, 1, false},
	    {"key=d status=400 code=invalid_request_error", 400, 1, false},
	    {"key=e garbage", 502, 1, false},
	    /* Broken off behind its head, it may be billed: it counts. */
	    {"key=f cut=mid", 502, 1, true},
	    {"key=g cut=body by=close", 502, 1, true},
	    /* The last one: it puts the key aside. */
	    {"key=h status=429 code=insufficient_quota", 502, 1, false},
	};
	struct house house;
	struct answer answer;
	json_t *counts, *ledger, *line, *shown;
	const char *key;
	char id[64], path[32];
	int settled = 0;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(id, sizeof(id), "Idempotency-Key: row-%zu\r\n", i);
		chat(&answer, &house,
		     &(struct chat){
			 .key = key, .script = rows[i].script, .headers = id});
		if (answer.status != rows[i].status)
			test_fail(__FILE__, __LINE__, "%s: %d: %.*s",
				  rows[i].script, answer.status,
				  STR_ARG(answer.body));
		/* The vendor's key and the provider's words stay inside. */
		CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
		answer_free(&answer);
		counts = upstream_counts(&house);
		snprintf(path, sizeof(path), "keys.%c", (char)('a' + i));
		CHECK_JSON_INT(counts, path, rows[i].calls);
		json_decref(counts);
		settled += rows[i].is_settled;
	}
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), sizeof(rows) / sizeof(rows[0]));
	CHECK_INT(ledger_count(ledger, "settled"), settled);
	CHECK_INT(ledger_count(ledger, "reserved"), 0);
	for (size_t i = 5; i < 7; i++) {
		snprintf(id, sizeof(id), "row-%zu", i);
		line = ledger_line(ledger, id);
		CHECK_JSON_STR(line, "source", "partial");
		CHECK_JSON_STR(line, "error", "UPSTREAM_FAILED");
		CHECK(json_int_at(line, "cost") > 0);
	}
	json_decref(ledger);
	/* What failed was given back. */
	shown = tool("usage", "show", key, NULL);
	CHECK_JSON_INT(shown, "month.requests", settled);
	CHECK_JSON_INT(shown, "reserved", 0);
	json_decref(shown);
}

TEST_LIMITED(ai_silent_provider_is_given_up, 60)
{
	static const char *const scripts[] = {
	    "cut=head by=silence", "cut=body by=silence", "cut=mid by=silence"};
	struct house house;
	struct answer answer;
	json_t *ledger;
	const char *key;

	house_set("CHATELLO_UPSTREAM_FIRST_BYTE_MS", "400");
	house_set("CHATELLO_UPSTREAM_SILENCE_MS", "400");
	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	for (int i = 0; i < 3; i++) {
		long long began = now_ms();

		chat(&answer, &house,
		     &(struct chat){.key = key, .script = scripts[i]});
		CHECK_INT(answer.status, 504);
		CHECK_STR(str_of(answer_code(&answer)),
			  STR("UPSTREAM_TIMEOUT"));
		CHECK(now_ms() - began < 5000);
		answer_free(&answer);
	}
	json_decref(upstream_wait(&house, "closed_early", 3));
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	/* Each had its question whole: it may have worked on it. */
	CHECK_INT(ledger_count(ledger, "failed"), 0);
	CHECK_INT(ledger_count(ledger, "settled"), 3);
	json_decref(ledger);
}

TEST_LIMITED(ai_same_request_id_is_done_once, 60)
{
	struct house house;
	struct answer answer;
	struct chat ask = {.headers = "Idempotency-Key: once-1\r\n"};
	json_t *counts;
	const char *other;

	house_init(&house);
	house_sell();
	ask.key = house_license("big");
	other = house_license("big");
	house_up(&house);
	/* A failure frees the id, a success takes it for good. */
	ask.script = "key=a status=400";
	chat(&answer, &house, &ask);
	CHECK_INT(answer.status, 400);
	answer_free(&answer);
	ask.script = "key=b";
	chat(&answer, &house, &ask);
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	for (int i = 0; i < 3; i++) {
		chat(&answer, &house, &ask);
		CHECK_INT(answer.status, 409);
		CHECK_STR(str_of(answer_code(&answer)),
			  STR("DUPLICATE_REQUEST"));
		CHECK(memmem(answer.body.p, answer.body.n, "once-1", 6));
		answer_free(&answer);
	}
	/* Another licence's id is another id. */
	ask.key = other;
	chat(&answer, &house, &ask);
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "keys.b", 2);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(ai_deepseek_blank_lines_and_cache_tokens, 60)
{
	struct house house;
	struct answer answer;
	json_t *ledger, *line, *body;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .model = DEEPSEEK_MODEL,
			    .headers = "Idempotency-Key: ds-1\r\n",
			    .script = "blank=5 gap=20 in=30 cached=10 out=4"});
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK_JSON_INT(body, "usage.prompt_cache_hit_tokens", 10);
	json_decref(body);
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .model = DEEPSEEK_MODEL,
			    .headers = "Idempotency-Key: ds-2\r\n",
			    .script = "finish=insufficient_system_resource"});
	CHECK_INT(answer.status, 502);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	line = ledger_line(ledger, "ds-1");
	CHECK_JSON_STR(line, "provider", "deepseek");
	CHECK_JSON_INT(line, "input_tokens", 20);
	CHECK_JSON_INT(line, "cache_read_tokens", 10);
	CHECK_JSON_INT(line, "output_tokens", 4);
	line = ledger_line(ledger, "ds-2"); /* it counted what it generated */
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "source", "partial");
	CHECK(json_int_at(line, "cost") > 0);
	json_decref(ledger);
}

TEST_LIMITED(ai_answers_of_any_size, 90)
{
	struct house house;
	struct answer answer;
	json_t *body;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "size=2000000"});
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK_INT(json_str_at(body, "choices.0.message.content").n, 2000000);
	json_decref(body);
	answer_free(&answer);
	/* Without an end: refused, in bounded memory. */
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "flood=104857600"});
	CHECK_INT(answer.status, 502);
	answer_free(&answer);
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(ai_demo_model_needs_no_provider, 60)
{
	struct house house;
	struct answer answer;
	json_t *body, *ledger;
	const char *key;

	house_prepare(&house);
	json_decref(tool("init", NULL));
	key = house_license("pro");
	house_up(&house);
	chat(&answer, &house, &(struct chat){.key = key, .model = "demo"});
	CHECK_INT(answer.status, 200);
	body = answer_json(&answer);
	CHECK(json_str_at(body, "choices.0.message.content").n > 0);
	json_decref(body);
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key, .model = "demo", .is_stream = true});
	CHECK_INT(answer.status, 200);
	CHECK(memmem(answer.body.p, answer.body.n, "data: [DONE]", 12));
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "settled"), 2);
	json_decref(ledger);
}

TEST_LIMITED(ai_secrets_are_in_no_file, 60)
{
	struct house house;
	struct answer answer;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "prompt-canary"});
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key, .members = ",\"p\":\"prompt-canary\""});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "status=401"});
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", key), 0);
	CHECK_INT(files_with(".", OPENAI_CANARY), 0);
	CHECK_INT(files_with(".", "prompt-canary"), 0);
	CHECK_INT(files_with("up.log", "@shop.example"), 0);
}
