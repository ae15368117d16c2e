/*
 * translate_world_test: what the tests of translation share: JSON written with
 * single quotes, requests, answers and streams translated in one line.
 */
#ifndef WORKERS_TRANSLATE_WORLD_TEST_H
#define WORKERS_TRANSLATE_WORLD_TEST_H

#include "lib/test.h"
#include "workers/translate.h"
#include "workers/translate_client_test.h"

/* The text with ' for "; lives until the process ends. */
struct str world_json(const char *text);
/* An object of both, a comma between them if there are members. */
struct str world_request_of(const char *head, const char *members);
#define OPENAI_HEAD "'model':'m','messages':[{'role':'user','content':'hi'}]"
#define ANTHROPIC_HEAD OPENAI_HEAD ",'max_tokens':9"
/* A chunk of OpenAI's stream, for world_events. */
#define CHUNK(delta, reason)                                                   \
	"{'id':'chatcmpl-1','object':'chat.completion.chunk','created':1,"     \
	"'model':'gpt-x','choices':[{'index':0,'delta':{" delta                \
	"},'logprobs':null,'finish_reason':" reason "}],'usage':null}\n"
bool world_holds(struct str text, const char *part);

/* A target as a rule: everything is taken, hashes are "h" and the text. */
struct translate_target world_target(void);
/* The translated request; it lives until the process ends. The call's arena,
 * why and results are kept in *call, whose target the caller may have set. */
enum err world_request(struct translate_call *call, enum ai_shape from,
		       struct str body, struct str *out);
struct translate_how world_how(enum ai_shape from);
/* Reads the usage with the provider's wire and translates; must work. */
struct str world_answer(const struct translate_how *how, struct str body);

/* A stream of the provider through the SSE reader, its wire and the
 * translation, in parts of so many bytes (0: at once). */
struct world_stream {
	struct translate_stream stream;
	struct provider_usage usage;
	struct sse sse;
	struct buf out;
	enum err err; /* the first failure */
};
void world_stream_open(struct world_stream *w, const struct translate_how *how);
void world_stream_feed(struct world_stream *w, struct str bytes, size_t part);
void world_stream_close(struct world_stream *w);
/* All of it: what the client gets. */
struct str world_stream(const struct translate_how *how, struct str bytes,
			size_t part);

/* Events of the form `{...}` a line, as a provider of that shape sends them. */
struct str world_events(enum ai_shape shape, const char *lines);

#endif
