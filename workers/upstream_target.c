/*
 * upstream_target: a URL with its constant headers, checked, parsed and written
 * once for all calls; and the origins that targets share.
 */
#include "workers/upstream_internal.h"

#include "workers/upstream_text.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_BYTES_MAX 8192u

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

/* --- origins --------------------------------------------------------- */

/* The one with this URL, which is made when there is none; NULL: no memory. */
static struct upstream_origin *
origin_take(struct upstream *upstream, const char *url)
{
	struct upstream_origin *origin = upstream->origins;

	while (origin && strcmp(origin->url, url) != 0)
		origin = origin->next;
	if (origin == NULL) {
		origin = calloc(1, sizeof(*origin));
		if (origin == NULL)
			return NULL;
		origin->url = strdup(url);
		if (origin->url == NULL) {
			free(origin);
			return NULL;
		}
		origin->upstream = upstream;
		origin->is_plain = str_starts(str_of(url), STR("http://"));
		origin->next = upstream->origins;
		upstream->origins = origin;
	}
	origin->target_count++;
	return origin;
}

static void
origin_release(struct upstream_origin *origin)
{
	struct upstream_origin **at = &origin->upstream->origins;

	if (--origin->target_count > 0)
		return;
	upstream_origin_drain(origin);
	while (*at != origin)
		at = &(*at)->next;
	*at = origin->next;
	free(origin->url);
	free(origin);
}

/* --- targets --------------------------------------------------------- */

static void
header_add(struct upstream_target *target, const char *header)
{
	buf_add_z(&target->headers, header);
	buf_add_z(&target->headers, "\r\n");
}

static enum err
headers_set(struct upstream_target *target, const char *const *headers,
	    struct why *why)
{
	for (unsigned i = 0; headers[i]; i++) {
		if (!header_is_clean(headers[i]))
			return why_set(why, ERR_CONFIG,
				       "a provider's header has line breaks or "
				       "control characters");
		header_add(target, headers[i]);
	}
	header_add(target, "User-Agent: chatello");
	/* Nothing is decoded here. */
	header_add(target, "Accept-Encoding: identity");
	if (target->headers.is_failed)
		return why_set(why, ERR_CONFIG,
			       "a provider's headers are longer than %u bytes",
			       HEADERS_BYTES_MAX);
	return ERR_OK;
}

/* What the URL's parts are good for: where to connect, whom to name, what to
 * ask for. */
static CURLUcode
target_set_parts(struct upstream_target *target, CURLU *url)
{
	char *host = NULL, *origin = NULL, *line = NULL;
	char *port = NULL;
	CURLUcode code = curl_url_get(url, CURLUPART_PATH, &target->path, 0);

	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_HOST, &host, 0);
	if (code == CURLUE_OK) {
		/* Named when it is not the scheme's own. */
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
		code = curl_url_set(url, CURLUPART_PATH, "/", 0);
	}
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &origin, 0);
	if (code == CURLUE_OK) {
		target->origin = origin_take(target->upstream, origin);
		if (target->origin == NULL ||
		    asprintf(&line, "Host: %s%s%s", host, port ? ":" : "",
			     port ? port : "") < 0)
			code = CURLUE_OUT_OF_MEMORY;
		else
			header_add(target, line);
	}
	free(line);
	curl_free(host);
	curl_free(port);
	curl_free(origin);
	return code;
}

static enum err
target_set_url(struct upstream_target *target, struct str base,
	       const char *path, struct why *why)
{
	CURLUcode code = CURLUE_OUT_OF_MEMORY;
	CURLU *url = curl_url();
	char *text;

	if (asprintf(&text, "%.*s%s", STR_ARG(base), path) < 0)
		text = NULL;
	if (url && text)
		code = curl_url_set(url, CURLUPART_URL, text, 0);
	if (code == CURLUE_OK)
		code = target_set_parts(target, url);
	free(text);
	curl_url_cleanup(url);
	if (code == CURLUE_OK)
		return ERR_OK;
	if (code == CURLUE_OUT_OF_MEMORY)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	return why_set(why, ERR_CONFIG, "the base URL %.*s: %s", STR_ARG(base),
		       curl_url_strerror(code));
}

enum err
upstream_target_open(struct upstream_target **out, struct upstream *upstream,
		     const char *base, const char *path,
		     const char *const *headers, struct why *why)
{
	struct upstream_target *target;
	enum err err = upstream_base_check(base, why);
	size_t n = strlen(base);

	if (err != ERR_OK)
		return err;
	while (n && base[n - 1] == '/')
		n--;
	target = calloc(1, sizeof(*target));
	if (target == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	target->upstream = upstream;
	buf_init(&target->headers, HEADERS_BYTES_MAX);
	err = target_set_url(target, str_bytes(base, n), path, why);
	if (err == ERR_OK)
		err = headers_set(target, headers, why);
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
	if (target->origin)
		origin_release(target->origin);
	buf_fini(&target->headers);
	curl_free(target->path);
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
