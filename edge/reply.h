/*
 * reply: answers in the shapes that clients expect. Every answer carries
 * x-request-id; every refusal carries its code, a sentence that says what to
 * do, and Retry-After and RateLimit-* where they apply. An AI client is told
 * by x-should-retry where asking again by itself would fail, cost twice or
 * keep it asleep for more than a minute.
 */
#ifndef EDGE_REPLY_H
#define EDGE_REPLY_H

#include "edge/http.h"
#include "lib/msg.h"

enum route_shape {
	SHAPE_API,	 /* {"error":{code,message,request_id}} */
	SHAPE_OPENAI,	 /* {"error":{message,type,param,code}} */
	SHAPE_VALIDATE,	 /* 401, 403, 429 as a validation result; else API */
	SHAPE_ANTHROPIC, /* {"type":"error","error":{type,message},request_id}
			  */
};

/* Appends the body of a refusal. failure may be NULL: the error's own text. */
void reply_print_error(struct buf *out, enum route_shape shape, enum err err,
		       const struct failure *failure, struct str request_id);

/* Sends request->out as JSON. */
void reply_json(struct http_request *request, int status);
/* Prints it and sends it. */
void reply_schema(struct http_request *request, int status,
		  const struct schema *schema, const void *in);
/* Refuses in the request's shape. text NULL: the error's own. */
void reply_error(struct http_request *request, enum err err, const char *text);
void reply_why(struct http_request *request, enum err err,
	       const struct why *why);
/* ERR_BAD_FIELD. */
void reply_field(struct http_request *request, const char *field,
		 const char *text);
void reply_failure(struct http_request *request, enum err err,
		   const struct failure *failure);

/* Headers that every answer needs: for handlers that send with http_reply or
 * http_stream themselves. Once a request. */
void reply_headers(struct http_request *request);
/* One more, left out without memory: text, and us as milliseconds. */
void reply_text(struct http_request *request, const char *name,
		struct str text);
void reply_ms(struct http_request *request, const char *name, int64_t us);
/* RateLimit-Limit, -Remaining, -Reset; absent values are left out.
 * draft-ietf-httpapi-ratelimit-headers-03, the separate fields. */
struct reply_rate {
	int64_t limit, remaining, reset_ms;
};
void reply_rate(struct http_request *request, const struct reply_rate *rate);
/* The same of an AI answer, also under the names that clients of its shape
 * know: requests, and tokens where they are limited. */
void reply_ai_rates(struct http_request *request,
		    const struct reply_rate *requests,
		    const struct reply_rate *tokens);
/* What remains of the limits that have no name of the clients', for every shape
 * of an AI answer: x-ratelimit-limit-NAME and x-ratelimit-remaining-NAME, where
 * there is a limit. Money is in micro-units. */
struct reply_left {
	int64_t limit, remaining;
};
enum reply_left_name {
	LEFT_REQUESTS_MONTH,
	LEFT_SPEND_MONTH,
	LEFT_CONCURRENT,
	REPLY_LEFTS
};
void reply_ai_left(struct http_request *request,
		   const struct reply_left left[REPLY_LEFTS]);
/* Retry-After in whole seconds, at least 1. RFC 9110, section 10.2.3. */
void reply_retry_after(struct http_request *request, int64_t retry_after_ms);

#endif
