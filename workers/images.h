/*
 * images: the images in a request's messages: how many, and how many bytes of
 * the text they are. An image's tokens come from its pixels, not from its
 * bytes, so the estimate of a prompt counts them apart. Pure. Used by request.
 *
 * Sources: the providers' references: OpenAI's content part `image_url`,
 * Anthropic's content block `image`, also in a `tool_result`.
 */
#ifndef WORKERS_IMAGES_H
#define WORKERS_IMAGES_H

#include "lib/ai_error.h"
#include "lib/json.h"

struct images {
	int64_t count;
	size_t inline_bytes; /* of data: URLs and base64 sources */
};

/* messages: an array that json_check passed. What has not the shape of an image
 * is none, and its bytes stay text. */
struct images images_in(enum ai_shape shape, struct json_value messages);

#endif
