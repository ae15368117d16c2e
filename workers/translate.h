/*
 * translate: between OpenAI's chat completions and Anthropic's messages:
 * requests, answers, streams and errors, both ways, for the proxy when the
 * provider's shape is not the client's. Sources: the providers' published
 * specifications. What is done with each field of a request is in
 * translate.def; the rules of contents are here:
 *
 * - Strings are copied as they are written, escapes and all; only tool
 *   arguments change between a string and an object. Arguments of an answer
 *   that are no object become {"arguments": the string}.
 * - Blank texts (which Anthropic refuses) are left out, and a message that
 *   says nothing else with them. System texts anywhere are joined with LF.
 * - Tool messages and the user messages around them become one user turn,
 *   results first; images inside a result move to the user message behind it.
 * - Texts alone become one string in OpenAI's shape (DeepSeek takes no parts):
 *   those of a user or a result joined with LF, the assistant's as they are.
 * - A result that is an error begins with "Error: " in OpenAI's shape.
 * - Thinking: to an OpenAI client as reasoning_content; to an Anthropic client
 *   as a thinking block without signature if it asked for thinking. In a
 *   request it is left out, but for a provider that takes it back
 *   (takes_thinking).
 * - Signatures, citations, names of participants, an image's detail and,
 *   towards OpenAI's shape, cache_control have no place in the other shape and
 *   are left out; towards Anthropic's shape, what a part or tool has beside
 *   its own members stays with it.
 * - A content part or block of another kind is refused by name in a request,
 *   and left out of an answer.
 * - In a stream to an Anthropic client one block is open at a time: pieces of
 *   other tool calls wait until the open call's JSON is whole.
 *
 * Pure: no I/O, no clock, no state but struct translate_stream. Iterative, one
 * to three walks over the input; output is bounded by the buffer's limit.
 */
#ifndef WORKERS_TRANSLATE_H
#define WORKERS_TRANSLATE_H

#include "lib/ai_error.h"
#include "lib/json.h"
#include "workers/providers/providers.h"
#include "workers/sse.h"

#define TRANSLATE_MAX_TOKENS 4096 /* where OpenAI's client names none */
#define TRANSLATE_CALLS_MAX 128u  /* tool calls in one streamed answer */
#define TRANSLATE_PENDING_BYTES_MAX (1u << 20) /* of calls that are mixed */
#define TRANSLATE_HASH_BYTES 32

/* --- requests ------------------------------------------------------------- */

/* SHA-256 or the like, keyed or not: whom the provider is told. */
typedef void translate_hash_fn(void *ctx, struct str text,
			       unsigned char out[TRANSLATE_HASH_BYTES]);

/* What is known of the model that is asked. */
struct translate_target {
	struct str model;	     /* its name there; absent: as it came */
	const char *max_tokens_name; /* OpenAI's shape: the member's name */
	int64_t max_tokens;	     /* at most; 0 = what was asked for */
	bool refuses_sampling;	     /* temperature and top_p are left out */
	bool takes_effort;	     /* else the wish for effort is left out */
	bool takes_thinking; /* DeepSeek: thinking is switched on and off, and
				reasoning_content is wanted back */
	translate_hash_fn *hash; /* NULL: no user is named */
	void *hash_ctx;
};

struct translate_call {
	enum ai_shape from;	/* the client's; the other one is written */
	struct json_value root; /* of the body: json_check passed it */
	struct translate_target target;
	struct arena *arena; /* for the list of messages, tool arguments */
	struct why *why;
	/* What came out. */
	int64_t max_tokens;	 /* that the provider is asked for */
	bool is_thinking_wanted; /* by an Anthropic client */
};

/* Appends the request in the other shape; streams ask for usage. BAD_FIELD:
 * the field in why; NO_MEMORY: arena or buffer. */
enum err translate_request(struct translate_call *call, struct buf *out);

/* --- answers -------------------------------------------------------------- */

/* What the client is to get. The strings live as long as it is used. */
struct translate_how {
	enum ai_shape from;	 /* the provider's */
	enum ai_shape to;	 /* the client's */
	int64_t created_s;	 /* wall clock, for OpenAI's shape */
	struct str id;		 /* where the provider gave none */
	struct str model;	 /* likewise */
	bool is_usage_wanted;	 /* OpenAI's stream: a chunk with it */
	bool is_thinking_wanted; /* Anthropic's shape */
	int64_t prompt_tokens;	 /* estimate, until the provider counts */
};

/* A whole JSON answer (from differs from to). usage is what the provider's
 * wire read in it. UPSTREAM_FAILED: this is no answer; NO_MEMORY. */
enum err translate_answer(const struct translate_how *how, struct str body,
			  const struct provider_usage *usage,
			  struct arena *arena, struct buf *out);

/* --- streams -------------------------------------------------------------- */

/* A tool call of a streamed answer. */
struct translate_tool {
	int64_t index;	/* the provider's: of the call, or of the block */
	bool is_closed; /* nothing more can be written of it */
	bool is_whole;	/* its arguments were a whole JSON object */
	bool has_input; /* its arguments are not empty so far */
	bool is_given;	/* its input came whole, with the block's start */
};

/* How far the JSON of the open call's arguments has come. */
struct translate_scan {
	unsigned depth;
	bool is_in_string;
	bool is_escaped;
	bool is_whole; /* the outermost bracket was closed */
};

enum translate_open {
	TRANSLATE_OPEN_NONE,
	TRANSLATE_OPEN_THINKING,
	TRANSLATE_OPEN_TEXT,
	TRANSLATE_OPEN_TOOL,
};

struct translate_stream {
	struct translate_how how;
	struct buf head;    /* what each chunk in OpenAI's shape begins with */
	struct buf pending; /* pieces of calls that wait for their turn */
	struct translate_tool tools[TRANSLATE_CALLS_MAX];
	unsigned tool_count;
	unsigned open_tool; /* while open is TRANSLATE_OPEN_TOOL */
	struct translate_scan scan;
	enum translate_open open; /* Anthropic's client: the open block */
	int64_t block;		  /* its index, or that of the next one */
	const char *stop_reason;  /* Anthropic's client: NULL = not said yet */
	uint64_t choices;	  /* OpenAI's client: seen */
	uint64_t ended_choices;	  /* likewise: with their finish_reason */
	bool has_started;
	bool has_stopped; /* the stop reason was passed on */
	bool is_over;	  /* the last frame was written, or a failure */
};

/* Takes no memory yet. from may be to: events pass as they came, and only
 * translate_stream_finish makes frames. */
void translate_stream_init(struct translate_stream *stream,
			   const struct translate_how *how);
void translate_stream_fini(struct translate_stream *stream);

/* Appends what the client gets for one event of the provider; *usage is what
 * the provider's wire has read so far, this event included. UPSTREAM_FAILED:
 * the provider failed in mid-answer; its error was appended in the client's
 * shape, and the stream is over. NO_MEMORY: out or a limit. Behind the end
 * events are ignored. */
enum err translate_stream_event(struct translate_stream *stream,
				const struct sse_event *event,
				const struct provider_usage *usage,
				struct buf *out);

/* Ends the client's stream before the provider did, with valid last frames
 * that say that the tokens are used up (length, max_tokens). */
void translate_stream_finish(struct translate_stream *stream,
			     const struct provider_usage *usage,
			     struct buf *out);

/* A sign of life, at any time between two events. */
void translate_stream_ping(enum ai_shape to, struct buf *out);

/* --- errors --------------------------------------------------------------- */

/* A provider's error (any body; status 0: it came in mid-stream) as an error
 * object of the other shape. */
void translate_error(enum ai_shape from, int status, struct str body,
		     struct str request_id, struct buf *out);

/* An error object as an event of a stream of that shape, of our own or, with
 * translate_error, the provider's. */
void translate_error_event(enum ai_shape to, const struct ai_failure *failure,
			   struct buf *out);

#endif
