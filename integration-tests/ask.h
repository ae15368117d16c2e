/*
 * ask: the questions that many tests put to a house, and what they look for in
 * its answers.
 */
#ifndef INTEGRATION_ASK_H
#define INTEGRATION_ASK_H

#include "integration-tests/client.h"
#include "integration-tests/house.h"

#define MODEL "gpt-test"
#define DEEPSEEK_MODEL "deepseek-test"
#define CLAUDE_MODEL "claude-test"
/* Prices that house_sell sets, in micro-units per million tokens. */
#define PRICE_INPUT 1000000
#define PRICE_OUTPUT 2000000
#define PRICE_CACHE_READ 500000
#define PRICE_PER_REQUEST 5000

/* Sets the price of all three models and makes the plan `big`: ai_proxy, a
 * million requests an hour, no limit a month. */
void house_sell(void);
/* A plan with ai_proxy and these limits. */
void house_plan(const char *code, const char *limit_month,
		const char *limit_hour);

/* One of the vendor's keys for openai. */
void vendor_key(const char *name, const char *key);
/* The upstream's last request had the text in its head. */
bool upstream_saw(const struct house *house, const char *text);

struct chat {
	const char *key;     /* licence key */
	const char *script;  /* of the upstream; NULL = none */
	const char *model;   /* NULL = MODEL */
	const char *headers; /* more of them; NULL = none */
	const char *members; /* more of the body: ",\"n\":1"; NULL = none */
	bool is_stream;
};
/* The body of POST /v1/chat/completions. */
void chat_body(const struct chat *chat, struct buf *out);
/* Sends it on an open connection. */
bool chat_send(struct client *client, const struct chat *chat);
/* A connection of its own, the whole answer. */
void chat(struct answer *answer, const struct house *house,
	  const struct chat *chat);
/* POST /api/validate with the key as X-License-Key; returns the status. */
int validate(const struct house *house, const char *key);

/* The body as JSON; the caller's. */
json_t *answer_json(const struct answer *answer);
/* "error.code" of a refusal's body, static storage. */
const char *answer_code(const struct answer *answer);
/* The ledger line of that request id, borrowed; NULL when there is none. */
json_t *ledger_line(const json_t *ledger, const char *request_id);
/* How many lines have that status. */
int ledger_count(const json_t *ledger, const char *status);
/* How many files below the folder hold the text. */
int files_with(const char *folder, const char *text);

#endif
