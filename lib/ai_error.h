/*
 * ai_error: refusals in the two shapes that AI clients know, so that the
 * official libraries raise their proper classes. Sources: the providers'
 * published specifications; in OpenAI's shape all four members are always
 * there, in Anthropic's only the names of its own list are used. Pure.
 */
#ifndef LIB_AI_ERROR_H
#define LIB_AI_ERROR_H

#include "lib/buf.h"
#include "lib/err.h"

enum ai_shape {
	AI_OPENAI, /* chat completions: {"error":{message,type,param,code}} */
	AI_ANTHROPIC, /* messages: {"type":"error","error":{type,message}} */
};

struct ai_error {
	int status;	  /* HTTP: names the type */
	const char *type; /* OpenAI's own; NULL: the status's */
	const char *code; /* OpenAI's own; NULL: the status's */
	struct str message;
	struct str param; /* the field at fault; absent = null */
	struct str request_id;
	const char *details; /* Anthropic's, as JSON; NULL: none */
	bool is_raw; /* message and param are raw JSON strings, quotes included
		      */
};
/* Appends one JSON object. */
void ai_error_write(enum ai_shape shape, const struct ai_error *error,
		    struct buf *out);

/* A failure of our own: message absent = the error's own text, field absent or
 * empty = none. */
struct ai_failure {
	enum err err;
	struct str message;
	struct str field;
	struct str request_id;
};
void ai_error_write_own(enum ai_shape shape, const struct ai_failure *failure,
			struct buf *out);

/* The status that goes with an error's type (or code) in that shape, where no
 * status came with it: in mid-stream. 500 for a name that is not known. */
int ai_error_status(enum ai_shape shape, struct str name);

#endif
