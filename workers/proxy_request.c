/*
 * proxy_request: the body and headers that a provider is sent: the bytes that
 * came where it speaks the client's shape, else their translation. See proxy.h.
 */
#include "workers/providers/models.h"
#include "workers/proxy.h"
#include "workers/user_hash.h"

#define TRANSLATION_BYTES_MAX (32u << 20)

/* --- headers --------------------------------------------------------- */

static void
add_header(struct job *job, const char *name, struct str value)
{
	buf_add_z(&job->headers, name);
	buf_add_z(&job->headers, ": ");
	buf_add_str(&job->headers, value);
	buf_add_char(&job->headers, '\0');
}

/* Nothing that ends a header or begins another. */
static enum err
check_header(const char *name, struct str value, struct why *why)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < ' ' || value.p[i] > '~')
			return why_field(why, ERR_BAD_FIELD, name,
					 "the header %s has characters that it "
					 "cannot have",
					 name);
	}
	return ERR_OK;
}

/* Of a client that speaks to Anthropic as it came, what it says; what is made
 * here is of the version that takes all of it. */
static enum err
add_anthropic(struct job *job, const struct ai_request *in, struct why *why)
{
	bool is_its_own = job->shape == REQUEST_ANTHROPIC;
	struct str version = STR(ANTHROPIC_VERSION);
	enum err err;

	err = check_header("anthropic-version", in->anthropic_version, why);
	if (err == ERR_OK)
		err = check_header("anthropic-beta", in->anthropic_beta, why);
	if (err != ERR_OK)
		return err;
	if (is_its_own && in->anthropic_version.n)
		version = in->anthropic_version;
	add_header(job, "anthropic-version", version);
	if (is_its_own && in->anthropic_beta.n)
		add_header(job, "anthropic-beta", in->anthropic_beta);
	return ERR_OK;
}

static enum err
fill_headers(struct job *job, const struct ai_request *in, struct why *why)
{
	enum err err = ERR_OK;

	if (trace_is_valid(in->traceparent)) {
		trace_next(in->traceparent, job->traceparent);
		add_header(job, "traceparent", str_of(job->traceparent));
		if (trace_state_is_valid(in->tracestate))
			add_header(job, "tracestate", in->tracestate);
	}
	if (job->row->wire->shape == AI_ANTHROPIC)
		err = add_anthropic(job, in, why);
	return err == ERR_OK && job->headers.is_failed ? ERR_NO_MEMORY : err;
}

/* --- the body -------------------------------------------------------- */

static void
hash_user(void *ctx, struct str text, unsigned char out[TRANSLATE_HASH_BYTES])
{
	const struct job *job = ctx;

	_Static_assert(TRANSLATE_HASH_BYTES == USER_HASH_BYTES, "one size");
	user_hash(job->key, text, out);
}

static enum err
translate(struct job *job, enum ai_shape from, struct json_value root,
	  struct why *why)
{
	const struct model_facts *facts = model_facts(job->model);
	struct arena arena;
	struct translate_call call = {
	    .from = from,
	    .root = root,
	    .target = {.model = job->model,
		       .max_tokens_name = job->row->max_tokens_name,
		       .refuses_sampling = !facts->takes_sampling,
		       .takes_effort = facts->takes_effort,
		       .takes_thinking = facts->takes_thinking,
		       .hash = hash_user,
		       .hash_ctx = job},
	    .arena = &arena,
	    .why = why,
	};
	enum err err;

	arena_init(&arena, TRANSLATION_BYTES_MAX);
	err = translate_request(&call, &job->body);
	job->is_thinking_wanted = call.is_thinking_wanted;
	/* What the provider of the other shape takes of the wish. */
	if (call.max_tokens > 0)
		job->output.tokens = call.max_tokens;
	job->output.min = SCHEMA_INT_NONE;
	arena_fini(&arena);
	return err;
}

/* /api/chat is made in OpenAI's shape first. */
static enum err
translate_chat(struct job *job, struct why *why)
{
	struct buf *made = &job->in;
	struct json_value root;
	enum err err;

	buf_add_str(made, buf_str(&job->body));
	buf_reset(&job->body);
	if (made->is_failed)
		return ERR_NO_MEMORY;
	if (!json_check(buf_str(made), &root))
		return ERR_INTERNAL;
	err = translate(job, AI_OPENAI, root, why);
	buf_reset(made);
	return err;
}

static enum err
fill_body(struct job *job, const struct request *request, struct why *why)
{
	enum err err = ERR_OK;

	if (job->is_count && job_is_translated(job))
		return ERR_OK; /* it is estimated */
	if (job_is_translated(job)) {
		err = translate(job, job_client_shape(job), request->root, why);
	} else {
		request_write(request, job->model, job->row->max_tokens_name,
			      &job->body);
		if (job->shape == REQUEST_CHAT && !job->body.is_failed &&
		    job->row->wire->shape == AI_ANTHROPIC)
			err = translate_chat(job, why);
	}
	return err == ERR_OK && job->body.is_failed ? ERR_NO_MEMORY : err;
}

enum err
job_make_body(struct job *job, const struct proxy_asked *asked, struct why *why)
{
	enum err err;

	job->row = asked->row;
	job->output = asked->request.output;
	job->model =
	    job_keep(job->model_text, sizeof(job->model_text), asked->model);
	buf_reset(&job->headers);
	buf_reset(&job->body);
	buf_reset(&job->in);
	err = fill_headers(job, asked->in, why);
	return err == ERR_OK ? fill_body(job, &asked->request, why) : err;
}

/* For whichever of its models takes the most. */
static int64_t
prompt_tokens(const struct job *job, const struct request *request)
{
	int64_t most = model_facts(job->model)->image_tokens;

	for (unsigned i = 1; i <= job->plan_count; i++) {
		int64_t own = model_facts(job->plan[i].model)->image_tokens;

		most = own > most ? own : most;
	}
	return request_prompt_tokens(request, most);
}

enum err
job_fill(struct job *job, const struct proxy_asked *asked, struct why *why)
{
	const struct request *request = &asked->request;
	const struct ai_request *in = asked->in;
	struct str domain = request->domain.p ? request->domain : in->domain;
	enum err err;

	job->shape = request->shape;
	job->request_id = job_keep(
	    job->request_id_text, sizeof(job->request_id_text), in->request_id);
	job->key = job_keep(job->key_text, sizeof(job->key_text), in->key);
	job->domain =
	    job_keep(job->domain_text, sizeof(job->domain_text), domain);
	job->is_stream = request->is_stream && !job->is_count;
	job->is_usage_wanted = request->is_usage_wanted;
	err = job_make_body(job, asked, why);
	if (err != ERR_OK)
		return err;
	job_plan(job, asked);
	job->prompt_tokens = prompt_tokens(job, request);
	return ERR_OK;
}
