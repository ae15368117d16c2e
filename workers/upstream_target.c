/*
 * upstream_target: a URL with its constant headers, checked and parsed once for
 * all calls.
 */
#include "workers/upstream_internal.h"

#include "workers/upstream_text.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 8u

/* Names and values are the operator's; a line break would be a new header. */
static bool
header_is_clean(const char *header)
{
	for (const char *p = header; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return true;
}

static bool
target_add_header(struct upstream_target *target, const char *header)
{
	struct curl_slist *list = curl_slist_append(target->headers, header);

	if (list)
		target->headers = list;
	return list != NULL;
}

/* Parsed here once for all calls. */
static enum err
target_set_url(struct upstream_target *target, struct str base,
	       const char *path, struct why *why)
{
	CURLUcode code = CURLUE_OUT_OF_MEMORY;
	char *text;

	if (asprintf(&text, "%.*s%s", STR_ARG(base), path) < 0)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	target->url = curl_url();
	if (target->url)
		code = curl_url_set(target->url, CURLUPART_URL, text, 0);
	free(text);
	if (code == CURLUE_OK)
		return ERR_OK;
	return why_set(why, ERR_CONFIG, "the base URL %.*s: %s", STR_ARG(base),
		       curl_url_strerror(code));
}

static enum err
target_fill(struct upstream_target *target, const char *base, const char *path,
	    const char *const *headers, struct why *why)
{
	size_t n = strlen(base);
	enum err err;

	while (n && base[n - 1] == '/')
		n--;
	err = target_set_url(target, str_bytes(base, n), path, why);
	if (err != ERR_OK)
		return err;
	target->is_loopback_only = str_starts(str_of(base), STR("http://"));
	for (unsigned i = 0; i < HEADERS_MAX && headers[i]; i++) {
		if (!header_is_clean(headers[i]))
			return why_set(why, ERR_CONFIG,
				       "a provider's header has line breaks or "
				       "control characters");
		if (!target_add_header(target, headers[i]))
			return why_set(why, ERR_NO_MEMORY, "out of memory");
	}
	/* Nothing is decoded here; and curl would wait for a 100 with large
	 * bodies. */
	if (!target_add_header(target, "Accept-Encoding: identity") ||
	    !target_add_header(target, "Expect:"))
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	return ERR_OK;
}

enum err
upstream_target_open(struct upstream_target **out, struct upstream *upstream,
		     const char *base, const char *path,
		     const char *const *headers, struct why *why)
{
	struct upstream_target *target;
	enum err err = upstream_base_check(base, why);

	if (err != ERR_OK)
		return err;
	target = calloc(1, sizeof(*target));
	if (target == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	target->upstream = upstream;
	err = target_fill(target, base, path, headers, why);
	if (err != ERR_OK) {
		upstream_target_close(target);
		return err;
	}
	*out = target;
	return ERR_OK;
}

void
upstream_target_free(struct upstream_target *target)
{
	while (target->free_calls) {
		struct upstream_call *call = target->free_calls;

		target->free_calls = call->next_free;
		upstream_call_free(call);
	}
	for (struct curl_slist *at = target->headers; at; at = at->next)
		explicit_bzero(at->data, strlen(at->data));
	curl_slist_free_all(target->headers);
	curl_url_cleanup(target->url);
	free(target);
}

void
upstream_target_close(struct upstream_target *target)
{
	if (target == NULL)
		return;
	target->is_closed = true;
	if (target->open_count == 0)
		upstream_target_free(target);
}
