/*
 * keys: a customer's own keys of AI providers: set, shown masked, removed. The
 * key passes through to the ledger; here it is in no log and no answer, and the
 * own memory of a request that is served is wiped when it is over: body,
 * question and arena. Not wiped are the buffers of libmicrohttpd and of the bus
 * that it went through, and what a body that came in parts was moved from.
 */
#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/json.h"

#define PROVIDER_BYTES_MAX 32u /* lib/msg.def */
#define QUESTION_BYTES 8192u   /* key, provider and API key are within it */

static bool
provider_take(struct http_request *r, struct str *provider)
{
	*provider = routes_tail(r);
	if (str_is_word(*provider) && provider->n <= PROVIDER_BYTES_MAX)
		return true;
	reply_field(r, "provider", "there is no provider of that name");
	return false;
}

static void
ask_keys(struct http_request *r, const struct schema *schema, const void *in,
	 bool is_read,
	 void (*fn)(struct http_request *r, const struct bus_answer *answer))
{
	ask(r, &(struct ask){
		   .schema = schema,
		   .in = in,
		   .is_repeatable = is_read,
		   .fn = fn,
	       });
}

static void
reply_key(struct http_request *r, const struct own_key_view *view)
{
	http_header(r, "Cache-Control", "no-store");
	reply_schema(r, 200, &own_key_view_schema, view);
}

static void
on_key(struct http_request *r, const struct bus_answer *answer)
{
	struct own_key_view view;

	if (ask_take(r, answer, &own_key_view_schema, &view))
		reply_key(r, &view);
}

static void
on_keys(struct http_request *r, const struct bus_answer *answer)
{
	bool is_one = routes_tail(r).p != NULL;
	struct own_keys keys;

	if (!ask_take(r, answer, &own_keys_schema, &keys))
		return;
	if (is_one && keys.keys_count != 1) {
		reply_error(r, ERR_MALFORMED, NULL);
	} else if (is_one) {
		reply_key(r, &keys.keys[0]);
	} else {
		http_header(r, "Cache-Control", "no-store");
		reply_schema(r, 200, &own_keys_schema, &keys);
	}
}

void
serve_keys(struct http_request *r)
{
	struct own_keys_get question = {.key = r->key};

	ask_keys(r, &own_keys_get_schema, &question, true, on_keys);
}

void
serve_key(struct http_request *r)
{
	struct own_keys_get question = {.key = r->key};

	if (provider_take(r, &question.provider))
		ask_keys(r, &own_keys_get_schema, &question, true, on_keys);
}

void
serve_key_remove(struct http_request *r)
{
	struct own_key_remove question = {.key = r->key};

	if (provider_take(r, &question.provider))
		ask_keys(r, &own_key_remove_schema, &question, false, on_key);
}

/* --- setting one --------------------------------------------------------- */

static void
wipe(struct buf *buf)
{
	if (buf->p)
		explicit_bzero(buf->p, buf->room);
}

static void
forget(struct http_request *r)
{
	wipe(&r->body);
	wipe(&r->scratch); /* the question */
	arena_wipe(&r->arena);
}

void
serve_key_set(struct http_request *r)
{
	struct own_key_set question = {.key = r->key};
	struct own_key_body body;
	struct why why = {"", ""};
	enum err e;

	r->on_end = forget;
	if (!provider_take(r, &question.provider))
		return;
	e = schema_read_json(&own_key_body_schema, buf_str(&r->body), &body,
			     &r->arena, &why);
	if (e != ERR_OK) {
		reply_why(r, e, &why);
		return;
	}
	question.api_key = body.api_key;
	/* At once: what grows leaves a copy behind. */
	buf_reserve(&r->scratch, QUESTION_BYTES);
	ask_keys(r, &own_key_set_schema, &question, false, on_key);
}
