/*
 * translate_parts: what the files of translate share. Who does what:
 *   translate_fields.c     a request's top-level fields by their rules
 *   translate_anthropic.c  a request for Anthropic's shape, without messages
 *   translate_system.c     its system prompt, from messages anywhere
 *   translate_turns.c      its messages
 *   translate_blocks.c     their contents
 *   translate_openai.c     a request for OpenAI's shape, without messages
 *   translate_messages.c   its messages
 *   translate_user.c       of them, what the user says
 *   translate_tools.c      tools and their choice, both ways
 *   translate_answer.c     JSON answers, both ways
 *   translate_stream.c     streams: what is common, and of one shape
 *   translate_chunks.c     streams to an OpenAI client
 *   translate_events.c     streams to an Anthropic client
 *   translate_pieces.c     of them, the pieces of tool calls
 *   translate_error.c      errors
 *   translate_text.c       small things of all of them
 */
#ifndef WORKERS_TRANSLATE_PARTS_H
#define WORKERS_TRANSLATE_PARTS_H

#include "workers/translate.h"

/* --- translate_text.c */
/* A name in a table for translate_pick. */
#define PICK(literal)                                                          \
	{                                                                      \
		"" literal "", sizeof(literal) - 1                             \
	}

/* Which of the names a raw key is; -1: none. */
int translate_place_of(struct str key, const struct str *names, unsigned count);
/* The members of those names, each the last one of its name; absent (raw.p ==
 * NULL) when missing, null, or when object is none. One walk. */
void translate_pick(struct json_value object, const struct str *names,
		    unsigned count, struct json_value *values);
/* Appends ,"key":value for the members of object that have none of the names.
 */
void translate_write_others(struct json_value object, const struct str *names,
			    unsigned count, struct buf *out);
/* Whether a raw string is empty or has only blanks and their escapes. */
bool translate_is_blank(struct json_value string);
/* -1, 0, 1: the number's magnitude is below, is, or is above 1. */
int translate_compare_to_one(struct json_value number);

static inline bool
translate_is_there(struct json_value value)
{
	return value.raw.p != NULL;
}

static inline bool
translate_is_string(struct json_value value)
{
	return value.raw.p && value.type == JSON_STRING;
}

/* The raw text between a string's quotes. */
static inline struct str
translate_inner(struct json_value string)
{
	return str_bytes(string.raw.p + 1, string.raw.n - 2);
}

static inline bool
translate_string_is(struct json_value value, struct str text)
{
	return translate_is_string(value) &&
	       str_eq(translate_inner(value), text);
}

/* A string as it is written, or an empty one. */
static inline struct str
translate_raw_string(struct json_value value)
{
	return translate_is_string(value) ? value.raw : STR("\"\"");
}

/* A string that says something. */
static inline bool
translate_has_text(struct json_value value)
{
	return translate_is_string(value) && value.raw.n > 2;
}

/* --- requests */
enum translate_openai_field {
#define OPENAI(name, rule, only, text) OPENAI_##name,
#define ANTHROPIC(name, rule, only, text)
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
	OPENAI_FIELDS
};

enum translate_anthropic_field {
#define OPENAI(name, rule, only, text)
#define ANTHROPIC(name, rule, only, text) ANTHROPIC_##name,
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
	ANTHROPIC_FIELDS
};

#define TRANSLATE_FIELDS_MAX 64u
_Static_assert((unsigned)OPENAI_FIELDS <= TRANSLATE_FIELDS_MAX &&
		   (unsigned)ANTHROPIC_FIELDS <= TRANSLATE_FIELDS_MAX,
	       "the fields of a shape have room");

/* One request on its way; message and part are where it is, for refusals. */
struct translation {
	struct translate_call *call;
	struct buf *out;
	struct json_value fields[TRANSLATE_FIELDS_MAX]; /* absent when null */
	struct translate_message *messages;		/* OpenAI's */
	unsigned message_count;
	unsigned message;
	int part; /* of its content; -1 = the message itself */
};

/* --- translate_fields.c */
/* Finds the fields; refuses what must be. */
enum err translate_collect(struct translation *t);
/* Appends the fields without a rule, as they are. */
void translate_write_kept(struct translation *t);
/* BAD_FIELD; field is "temperature", say. */
enum err translate_refuse(struct translation *t, const char *field,
			  const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Likewise at the message and part at hand: member is ".type", say. */
enum err translate_refuse_here(struct translation *t, const char *member,
			       const char *text);
/* A number of tokens, at least 1; absent leaves *out. */
enum err translate_take_tokens(struct translation *t, unsigned field,
			       const char *name, int64_t *out);
/* The hash of the string as hex, in quotes. NO_MEMORY. */
enum err translate_write_hashed(struct translation *t, struct json_value user);

/* --- translate_anthropic.c, translate_openai.c: all of it */
enum err translate_to_anthropic(struct translation *t);
enum err translate_to_openai(struct translation *t);

/* --- translate_turns.c */
enum translate_role {
	TRANSLATE_SYSTEM,
	TRANSLATE_USER,
	TRANSLATE_TOOL,
	TRANSLATE_ASSISTANT
};

/* A message of OpenAI's shape that says something. */
struct translate_message {
	enum translate_role role;
	unsigned index; /* among all */
	struct json_value content;
	struct json_value tool_calls;
	struct json_value tool_call_id;
	struct json_value refusal;
};

/* Finds them all, in the arena. */
enum err translate_collect_messages(struct translation *t);
/* Appends ,"messages":[...]. */
enum err translate_write_turns(struct translation *t);

/* --- translate_system.c */
/* The sentence that stands for response_format json_object. */
#define TRANSLATE_JSON_ONLY                                                    \
	"Answer with one JSON object and nothing else: no text around it and " \
	"no code fence."
/* Appends ,"system":... when there is any. */
enum err translate_write_system(struct translation *t, bool is_json_only);

/* --- translate_blocks.c: each appends to a list of blocks; *is_first says
 * whether that is still empty. */
/* A text, with what its part has beside it (cache_control). */
void translate_write_text(struct translation *t, struct json_value text,
			  struct json_value part, bool *is_first);
/* The text of a part; absent when it is of another type. */
enum err translate_part_text(struct translation *t, struct json_value part,
			     struct json_value *text);
enum err translate_refuse_content(struct translation *t);
enum err translate_refuse_part(struct translation *t);
enum err translate_write_blocks(struct translation *t,
				struct json_value content, bool *is_first);
enum err translate_write_result(struct translation *t,
				const struct translate_message *message,
				bool *is_first);
enum err translate_write_tool_uses(struct translation *t,
				   struct json_value calls, bool *is_first);

/* --- translate_messages.c */
/* A content block of Anthropic's shape. */
struct translate_block {
	struct json_value type;
	struct json_value text;
	struct json_value source; /* image, document */
	struct json_value title;
	struct json_value id; /* tool_use */
	struct json_value name;
	struct json_value input;
	struct json_value tool_use_id; /* tool_result */
	struct json_value content;
	bool is_error;
	struct json_value thinking;
};
void translate_read_block(struct json_value item, struct translate_block *out);
bool translate_block_is(const struct translate_block *block, struct str type);
/* The text of a text block, else absent. */
struct json_value translate_block_text(const struct translate_block *block);
/* A walk over the blocks of content (none, when it is a string); t->part is
 * the one at hand. */
struct json_walk translate_blocks_of(struct translation *t,
				     struct json_value content);
bool translate_next_block(struct translation *t, struct json_walk *walk,
			  struct translate_block *out);
enum err translate_refuse_block(struct translation *t);
/* The texts of content as one string: head, then they with the separator
 * between them (both as they stand inside a JSON string). t->part = -1. */
void translate_write_joined(struct translation *t, struct json_value content,
			    const char *head, const char *separator);
void translate_begin_message(struct translation *t, unsigned *count,
			     const char *role);
/* Appends ,"reasoning_content":"..." of the thinking blocks. */
void translate_write_thoughts(struct translation *t, struct json_value content);
/* Appends ,"tool_calls":[...] of the tool_use blocks, of which there is one. */
void translate_write_calls(struct translation *t, struct json_value content);
/* Appends ,"messages":[...], the system message first. */
enum err translate_write_messages(struct translation *t);

/* --- translate_user.c */
/* Appends the messages of one turn; *count grows by theirs. */
enum err translate_write_user(struct translation *t, struct json_value content,
			      unsigned *count);

/* --- translate_tools.c */
/* The arguments of a call as an object: {} for a blank text; absent when they
 * are none. False: no memory. */
bool translate_arguments(struct json_value arguments, struct arena *arena,
			 struct str *object);
/* Append the tools and their choice, if there are any. */
enum err translate_write_tools_anthropic(struct translation *t);
enum err translate_write_tools_openai(struct translation *t);

/* --- translate_answer.c */
/* Why an answer ended, in the other shape's word. */
const char *translate_stop_for_openai(struct json_value reason);
const char *translate_stop_for_anthropic(struct json_value reason,
					 bool has_tools);
/* An object with what was counted. */
void translate_write_usage_openai(const struct provider_usage *usage,
				  struct buf *out);
/* What was not counted is 0, the prompt its estimate. */
void translate_write_usage_anthropic(const struct provider_usage *usage,
				     int64_t prompt_estimate, struct buf *out);
/* The raw string when there is one of a sane length, else the text. */
void translate_write_name(struct json_value raw, struct str otherwise,
			  struct buf *out);

/* --- translate_stream.c */
/* The place of the call with that index of the provider; -1: none. */
int translate_tool_of(const struct translate_stream *s, int64_t index);
/* Adds one; -1: TRANSLATE_CALLS_MAX are there. */
int translate_tool_add(struct translate_stream *s, int64_t index);
/* The index member of a call, a block or a choice; 0 when it has none. */
int64_t translate_index_of(struct json_value index);
/* The provider's error in the client's shape; the stream is over. */
enum err translate_stream_fail(struct translate_stream *s, struct str body,
			       struct buf *out);

/* --- translate_chunks.c: an OpenAI client */
enum err translate_chunks_take(struct translate_stream *s,
			       struct json_value root,
			       const struct provider_usage *usage,
			       struct buf *out);
/* Remembers what each chunk begins with. */
void translate_chunks_head(struct translate_stream *s, struct json_value id,
			   struct json_value model);
/* The last frames; reason is for choices that have none yet. */
void translate_chunks_end(struct translate_stream *s, const char *reason,
			  const struct provider_usage *usage, struct buf *out);

/* --- translate_events.c: an Anthropic client */
enum err translate_events_take(struct translate_stream *s,
			       struct json_value root, struct buf *out);
void translate_events_end(struct translate_stream *s, const char *reason,
			  const struct provider_usage *usage, struct buf *out);

/* Ends the open block, if there is one. */
void translate_events_close(struct translate_stream *s, struct buf *out);
/* Begins a block, up to its type's name. */
void translate_events_open(struct translate_stream *s, enum translate_open kind,
			   struct buf *out);
/* delta: its type's name and the member's, up to the raw value. */
void translate_events_delta(struct translate_stream *s, const char *delta,
			    struct str raw, struct buf *out);

/* --- translate_pieces.c: of tool calls, for an Anthropic client */
/* One piece of delta.tool_calls. */
enum err translate_piece_take(struct translate_stream *s,
			      struct json_value piece, struct buf *out);
/* Writes what waits; no call is open behind it. */
void translate_pieces_flush(struct translate_stream *s, struct buf *out);

#endif
