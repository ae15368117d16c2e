/*
 * proxy_house: a proxy as the process that it is, for its tests, between an
 * edge, a ledger and a validator, which are played here on the real bus, and
 * a scripted provider that answers by the model's name.
 */
#ifndef WORKERS_PROXY_HOUSE_TEST_H
#define WORKERS_PROXY_HOUSE_TEST_H

#include "lib/test.h"
#include "workers/proxy.h"
#include "workers/scripted_test.h"

#define BODY_BYTES_MAX (8u << 20)
#define LICENSE_KEY "CHA-TEST-1234-5678-ABCD"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]"
#define USAGE                                                                  \
	"{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"   \
	"\"prompt_tokens_details\":{\"cached_tokens\":8},"                     \
	"\"completion_tokens_details\":{\"reasoning_tokens\":2}}"
#define ANSWER_HEAD                                                            \
	"{\"id\":\"c1\",\"model\":\"gpt-json-1\",\"choices\":[{\"index\":0,"   \
	"\"message\":{\"role\":\"assistant\",\"content\":\"Hi \\u00e8\"},"     \
	"\"finish_reason\":\"stop\"}]"
#define HALF_ANSWER                                                            \
	"{\"id\":\"c1\",\"model\":\"gpt-json-1\",\"choices\":[{\"index\":0,"   \
	"\"message\":{\"role\":\"assistant\",\"content\":\"Half of"
#define ANSWER ANSWER_HEAD ",\"usage\":" USAGE "}"
#define REFUSAL                                                                \
	"{\"error\":{\"message\":\"bad stop\",\"type\":"                       \
	"\"invalid_request_error\",\"param\":\"stop\",\"code\":null}}"
#define DELTA(text)                                                            \
	"data: {\"model\":\"gpt-s\",\"choices\":[{\"index\":0,\"delta\":{"     \
	"\"content\":\"" text "\"}}],\"usage\":null}\n\n"
#define STREAM_END                                                             \
	"data: {\"choices\":[],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n"

/* Of the provider of Anthropic's shape: 20 tokens in, of them 8 read from and 4
 * written to a cache; 5 out. */
#define CLAUDE_USAGE                                                           \
	"{\"input_tokens\":8,\"cache_creation_input_tokens\":4,"               \
	"\"cache_read_input_tokens\":8,\"output_tokens\":5}"
#define CLAUDE_ANSWER                                                          \
	"{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","       \
	"\"model\":\"claude-json-1\",\"content\":[{\"type\":\"text\","         \
	"\"text\":\"Hi \\u00e8\"}],\"stop_reason\":\"end_turn\","              \
	"\"stop_sequence\":null,\"usage\":" CLAUDE_USAGE "}"
#define CLAUDE_REFUSAL                                                         \
	"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","   \
	"\"message\":\"bad stop\"},\"request_id\":\"req_1\"}"
#define CLAUDE_EVENT(type, members)                                            \
	"event: " type "\ndata: {\"type\":\"" type "\"" members "}\n\n"
#define CLAUDE_DELTA(text)                                                     \
	CLAUDE_EVENT("content_block_delta",                                    \
		     ",\"index\":0,\"delta\":{\"type\":\"text_delta\","        \
		     "\"text\":\"" text "\"}")
#define CLAUDE_START                                                           \
	CLAUDE_EVENT("message_start",                                          \
		     ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","    \
		     "\"role\":\"assistant\",\"model\":\"claude-s-1\","        \
		     "\"content\":[],\"stop_reason\":null,\"usage\":{"         \
		     "\"input_tokens\":3,\"output_tokens\":1}}")               \
	CLAUDE_EVENT("content_block_start",                                    \
		     ",\"index\":0,\"content_block\":{\"type\":\"text\","      \
		     "\"text\":\"\"}")
#define CLAUDE_END                                                             \
	CLAUDE_EVENT("content_block_stop", ",\"index\":0")                     \
	CLAUDE_EVENT("message_delta",                                          \
		     ",\"delta\":{\"stop_reason\":\"end_turn\","               \
		     "\"stop_sequence\":null},\"usage\":" CLAUDE_USAGE)        \
	CLAUDE_EVENT("message_stop", "")

#define CLAUDE(model)                                                          \
	STR("{\"model\":\"" model "\",\"max_tokens\":99," MESSAGES "}")
#define CLAUDE_STREAM(model)                                                   \
	STR("{\"model\":\"" model                                              \
	    "\",\"max_tokens\":99,\"stream\":true," MESSAGES "}")
#define OPENAI(model) STR("{\"model\":\"" model "\"," MESSAGES "}")
#define OPENAI_STREAM(model)                                                   \
	STR("{\"model\":\"" model "\",\"stream\":true," MESSAGES "}")

struct house {
	struct scripted provider;
	pid_t proxy;
	struct loop *loop;
	struct bus *edge, *ledger, *validate;
	struct bus_pool *pool;
	struct arena arena;

	/* What the ledger does and saw. */
	enum err reserve_err;
	unsigned reserve_failures; /* so many times before it answers */
	unsigned settle_failures;
	enum err away_err;
	bool is_settle_held;
	struct bus_from *held_settle;
	bool is_reserve_held;
	struct bus_from *held_reserve;
	unsigned reserves, settles;
	unsigned admits;	/* the validator's; with reserve_err, too */
	struct reserve reserve; /* the last ones */
	struct settle settle;

	/* The keys that it gives. */
	int64_t keys_version;
	struct sealed_key keys[4];
	uint32_t keys_count;
	unsigned keys_gets;
	bool is_keys_held; /* the next one */
	struct bus_from *held_keys;
	struct provider_setting providers[4];
	uint32_t providers_count;
	struct route_setting routes[8];
	uint32_t routes_count;
	struct str own_key; /* sealed; absent: none */
	int64_t fallbacks;  /* that may be tried; 0: none */

	int64_t granted; /* output tokens; 0: any */
};

/* What came back. */
struct reply {
	struct house *house;
	uint64_t id;
	bool is_over;
	enum err err;
	bool has_head;
	struct ai_head head;
	struct failure failure;
	struct buf body;
	size_t uncredited;
	bool gives_no_credit;
	unsigned parts;
};

/* Headers that a client of Anthropic's shape sends. */
struct house_headers {
	const char *version;
	const char *beta;
};

/* The provider of the next house; NULL: the one that answers by the model. */
extern scripted_fn *house_provider;

/* The keys that the next house's proxy asks for at its start are held. */
extern bool house_keys_held;

bool text_has(struct str s, const char *text);

/* openai_key "": no provider is on. Returns when the proxy can be asked. */
void house_open_with(struct house *house, const char *openai_key,
		     const char *silence_ms);
void house_open(struct house *house);
/* Waits until nothing is in flight: the proxy exits well only then. */
void house_close(struct house *house);

/* Asks as edge-0 with the request id req-1; house_ask_whole until it is over.
 */
void house_ask(struct house *house, struct reply *reply, const char *shape,
	       struct str body);
void house_ask_whole(struct house *house, struct reply *reply,
		     const char *shape, struct str body);
void house_ask_with(struct house *house, struct reply *reply, const char *shape,
		    struct str body, const struct house_headers *headers);
void house_turn_until(struct house *house, const bool *flag);
void house_turn_until_settled(struct house *house, unsigned settles);

/* The ledger's answers, for questions that were held. */
void house_answer_reserved(struct house *house, struct bus_from *from);
void house_answer_settled(struct house *house, struct bus_from *from);
void house_answer_keys(struct house *house, struct bus_from *from);
/* A sealed OpenAI key; owner: "vendor" or "cus_1". */
struct str house_seal(struct house *house, const char *owner, const char *name,
		      const char *key);
/* The decoded struct's strings live in the house's arena. */
void house_decode(struct house *house, const struct schema *schema,
		  struct str body, void *out);

#endif
