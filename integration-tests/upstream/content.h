/*
 * content: what the scripted upstream's answers are made of: a text, or calls
 * of tools, in the three providers' shapes. See script.h for the words.
 */
#ifndef INTEGRATION_UPSTREAM_CONTENT_H
#define INTEGRATION_UPSTREAM_CONTENT_H

#include "integration-tests/upstream/script.h"

/* Events of a stream in which one call of a tool is told. */
#define CONTENT_TOOL_EVENTS 6

/* Appends the text (of each event, in a stream) as a JSON string's inside. */
void content_text(const struct script *script, struct buf *out);

/* Appends the calls as an answer holds them: the members of `content` in
 * Anthropic's shape, of `tool_calls` in OpenAI's. */
void content_tools(const struct script *script, struct buf *out);

/* Appends what event number `event` of a stream that calls tools says: in
 * Anthropic's shape the whole event but for its end, else `delta`. */
void content_tool_event(const struct script *script, int64_t event,
			struct buf *out);

#endif
