/*
 * request: what the proxy must know of a request body that it otherwise passes
 * on, found in one walk over its top-level members, and the body that goes to
 * a provider of OpenAI's shape. Pure: bytes in, bytes out. The body is a
 * stranger's: members that could hide others (duplicates) or redirect the call
 * (base_url, api_base, api_key) are refused.
 */
#ifndef WORKERS_REQUEST_H
#define WORKERS_REQUEST_H

#include "lib/err.h"
#include "lib/json.h"
#include "lib/schema.h"

#define REQUEST_MODEL_BYTES_MAX 128
#define REQUEST_OUTPUT_TOKENS_MAX 1000000

enum request_shape {
	REQUEST_CHAT,	   /* POST /api/chat */
	REQUEST_OPENAI,	   /* POST /v1/chat/completions */
	REQUEST_ANTHROPIC, /* POST /v1/messages */
};

/* How much it wants to be generated. SCHEMA_INT_NONE: it does not say, or what
 * it says is no such number, and the provider tells. */
struct output_wish {
	int64_t tokens;	 /* at most, of each choice */
	int64_t min;	 /* fewer are refused by the provider */
	int64_t choices; /* n */
};

/* A member that was not there has raw.p == NULL; strings point into the body
 * or the arena. */
struct request {
	enum request_shape shape;
	struct json_value root;
	struct json_value messages;
	struct json_value temperature;	  /* REQUEST_CHAT */
	struct json_value max_tokens;	  /* REQUEST_CHAT */
	struct json_value stream_options; /* REQUEST_OPENAI */
	struct str model;
	struct str api_provider;
	struct str domain;
	bool is_stream;
	bool is_usage_wanted; /* stream_options.include_usage is true */
	bool has_own_members; /* api_provider, domain: not the provider's */
	struct output_wish output;
	int64_t images;	       /* in the messages */
	int64_t prompt_tokens; /* estimate from the bytes of messages, system
				  and tools, without the images */
};

/* "chat", "openai" or "anthropic"; false for another name. */
bool request_shape_of(struct str name, enum request_shape *out);

/* BAD_REQUEST: no JSON object. BAD_FIELD: the field in why. NO_MEMORY. */
enum err request_read(struct request *out, enum request_shape shape,
		      struct str body, struct arena *arena, struct why *why);

/* Appends the body for a provider of the client's shape. REQUEST_OPENAI and
 * REQUEST_ANTHROPIC: the bytes that came, without the members that are for us
 * and with model, where that is another one; the former, for a stream, with
 * stream_options.include_usage forced to true.
 * REQUEST_CHAT: in OpenAI's shape, made of the members that came;
 * max_tokens_name is the member's name at that provider. */
void request_write(const struct request *request, struct str model,
		   const char *max_tokens_name, struct buf *out);

/* Appends the body, in any shape, as it came but for the output that it asks
 * for: at most max tokens. name is the member's where the body has none. */
void request_clamp(struct json_value root, const char *name, int64_t max,
		   struct buf *out);

/* All of the prompt, where the model takes at most so many tokens for an image.
 */
int64_t request_prompt_tokens(const struct request *request,
			      int64_t image_tokens);

/* Tokens in so many bytes of text, where nobody counted them. */
int64_t request_estimate_tokens(size_t bytes);

#endif
