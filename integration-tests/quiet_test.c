/*
 * quiet: what a customer says and is told, its keys and its address stay out of
 * logs at their most verbose, files, events, metrics and refusals; and what the
 * logs do hold is JSON with the ids that lead from one line to another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

#define PROMPT "prompt-canary-41c7 with some words"
#define ANSWER "answer-canary-93d5"
#define OWN_KEY "sk-own-canary-2b8e-WXYZ"
#define BAD_KEY "CHA-BADC-ANAR-Y7Q2-6MZT"
#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"

#define USER(script)                                                           \
	"[{\"role\":\"user\",\"content\":\"" PROMPT " #up say=" ANSWER         \
	" " script "\"}]"
#define BODY(model, script)                                                    \
	"{\"model\":\"" model                                                  \
	"\",\"max_tokens\":9,\"messages\":" USER(script) "}"
#define STREAM(model, script)                                                  \
	"{\"model\":\"" model "\",\"max_tokens\":9,\"stream\":true,"           \
	"\"messages\":" USER(script) "}"
#define OPENAI "/v1/chat/completions"
#define ANTHROPIC "/v1/messages"

static const struct {
	const char *path, *body;
	int status; /* 0: any but 200 */
} calls[] = {
    {OPENAI, BODY(MODEL, "in=9 out=4"), 200},
    {OPENAI, STREAM(MODEL, ""), 200},
    {OPENAI, BODY(CLAUDE_MODEL, ""), 200},
    {ANTHROPIC, STREAM(CLAUDE_MODEL, ""), 200},
    {ANTHROPIC, BODY(DEEPSEEK_MODEL, ""), 200},
    {ANTHROPIC "/count_tokens", BODY(CLAUDE_MODEL, ""), 200},
    {"/api/chat", BODY(MODEL, ""), 200},
    {OPENAI, STREAM(MODEL, "cut=mid"), 200},
    {OPENAI, BODY(MODEL, "status=400"), 0},
    {OPENAI, BODY(CLAUDE_MODEL, "status=503"), 0},
    {"/api/chat", BODY(MODEL, "garbage"), 0},
    {OPENAI, BODY(MODEL, "cut=body"), 0},
    {OPENAI, BODY("gpt-unpriced", ""), 0},
    {OPENAI, BODY("nobodys", ""), 0},
    {OPENAI, "{\"model\":\"" MODEL "\",\"messages\":\"" PROMPT "\"}", 0},
    {ANTHROPIC, "{\"model\":\"" MODEL "\",\"messages\":[\"" PROMPT "\"]}", 0},
    {OPENAI, "{\"model\":\"" MODEL "\",\"messages\":[{\"role\":\"" PROMPT "\"}",
     0},
    {ANTHROPIC, "{\"model\":\"" MODEL "\",\"messages\":\"" PROMPT "\"}", 0},
    {"/api/chat", "{\"messages\":\"" PROMPT "\"}", 0},
    {"/api/chat", PROMPT, 0},
    {"/api/nowhere?q=" BAD_KEY, "\"" PROMPT "\"", 0},
};

static bool
has(struct str text, const char *what)
{
	return memmem(text.p, text.n, what, strlen(what)) != NULL;
}

/* Refusals repeat nothing of what was said. */
static void
check_quiet(const struct answer *answer, const char *key)
{
	static const char *const others[] = {"canary", BAD_KEY};

	for (int i = 0; i < 2; i++)
		if (has(answer->head, others[i]) ||
		    has(answer->body, others[i]))
			test_fail(__FILE__, __LINE__, "%s in: %.*s", others[i],
				  STR_ARG(answer->body));
	CHECK(!has(answer->head, key) && !has(answer->body, key));
}

static void
ask_all(const struct house *house, const char *key)
{
	char headers[512];
	struct answer answer;

	snprintf(headers, sizeof(headers),
		 "Authorization: Bearer %s\r\nanthropic-version: 2023-06-01\r\n"
		 "traceparent: 00-" TRACE_ID "-b7ad6b7169203331-01\r\n",
		 key);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		http(&answer, house->public, "POST", calls[i].path, headers,
		     str_of(calls[i].body));
		/* A stream that breaks off has no whole answer. */
		if (calls[i].status == 0 && answer.status == 200)
			test_fail(__FILE__, __LINE__, "%s was not refused",
				  calls[i].body);
		if (calls[i].status == 0)
			check_quiet(&answer, key);
		if (calls[i].status)
			CHECK(answer_header(&answer, "x-chatello-provider").n);
		CHECK(answer_header(&answer, "x-request-id").n > 0);
		answer_free(&answer);
	}
}

/* Keys that are none, in each place where a key may stand. */
static void
ask_with_bad_keys(const struct house *house)
{
	static const struct {
		const char *path, *headers, *body;
	} asks[] = {
	    {OPENAI, "Authorization: Bearer " BAD_KEY "\r\n", BODY(MODEL, "")},
	    {ANTHROPIC, "x-api-key: " BAD_KEY "\r\n", BODY(MODEL, "")},
	    {"/api/validate", "X-License-Key: " BAD_KEY "\r\n", "{}"},
	    {"/api/validate", "", "{\"key\":\"" BAD_KEY "\"}"},
	    {"/api/activate", "", "{\"key\":\"" BAD_KEY "\"}"},
	    {"/api/validate", "Authorization: Basic " BAD_KEY "\r\n", "{}"},
	    {"/api/validate",
	     "X-License-Key: " BAD_KEY "\r\nX-License-Key: other\r\n", "{}"},
	    {OPENAI, "Idempotency-Key: " BAD_KEY " canary\r\n",
	     BODY(MODEL, "")},
	};
	struct answer answer;

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		http(&answer, house->public, "POST", asks[i].path,
		     asks[i].headers, str_of(asks[i].body));
		CHECK(answer.status >= 400 && answer.status < 500);
		check_quiet(&answer, BAD_KEY);
		answer_free(&answer);
	}
}

static void
set_own_key(const struct house *house, const char *key)
{
	char headers[256];
	struct answer answer;

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(&answer, house->public, "PUT", "/api/keys/deepseek", headers,
	     STR("{\"api_key\":\"" OWN_KEY "\"}"));
	CHECK_INT(answer.status, 200);
	check_quiet(&answer, key);
	answer_free(&answer);
}

static void
check_page(const struct house *house, const char *key)
{
	struct answer answer;

	http(&answer, house->internal, "GET", "/metrics", "", STR(""));
	CHECK_INT(answer.status, 200);
	CHECK(has(answer.body, "chatello_ai_requests_total{"));
	check_quiet(&answer, key);
	answer_free(&answer);
}

static void
check_events(const char *key)
{
	struct output output = run("chatello", "event", "list", "--json", NULL);

	CHECK_INT(output.code, 0);
	CHECK(strstr(output.out, "ai_request"));
	CHECK(!strstr(output.out, "canary") && !strstr(output.out, BAD_KEY) &&
	      !strstr(output.out, key));
	output_free(&output);
}

/* Each line is one JSON object; those of a request have its id. */
static void
check_log(void)
{
	FILE *log = fopen("up.log", "re");
	char line[16384];
	int requests = 0, traces = 0;

	CHECK(log);
	while (fgets(line, sizeof(line), log)) {
		json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (object == NULL)
			test_fail(__FILE__, __LINE__, "no JSON: %s", line);
		if (str_eq(json_str_at(object, "event"), STR("edge-request"))) {
			CHECK(json_str_at(object, "request_id").n > 0);
			requests++;
		}
		if (str_eq(json_str_at(object, "event"),
			   STR("upstream-failed")))
			CHECK_JSON_STR(object, "trace_id", TRACE_ID);
		traces +=
		    str_eq(json_str_at(object, "trace_id"), STR(TRACE_ID));
		json_decref(object);
	}
	fclose(log);
	CHECK(requests > (int)(sizeof(calls) / sizeof(calls[0])));
	CHECK(traces > (int)(sizeof(calls) / sizeof(calls[0])));
}

TEST_LIMITED(quiet_about_prompts_and_keys, 60)
{
	struct house house;
	const char *key, *folders[] = {"data", "up.log"};

	house_set("CHATELLO_LOG_LEVEL", "debug");
	house_set("CHATELLO_LOG_FORMAT", "json");
	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	set_own_key(&house, key);
	ask_all(&house, key);
	ask_with_bad_keys(&house);
	check_page(&house, key);
	CHECK_INT(house_down(&house), 0);
	check_events(key);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(files_with(folders[i], "prompt-canary"), 0);
		CHECK_INT(files_with(folders[i], ANSWER), 0);
		CHECK_INT(files_with(folders[i], OWN_KEY), 0);
		CHECK_INT(files_with(folders[i], BAD_KEY), 0);
		CHECK_INT(files_with(folders[i], key), 0);
	}
	CHECK_INT(files_with("up.log", "@shop.example"), 0);
	CHECK(files_with("data", MODEL) > 0); /* the search finds */
	check_log();
}
