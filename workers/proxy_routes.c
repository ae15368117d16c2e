/*
 * proxy_routes: which provider and which model a request means, by the routes
 * that came with the vendor's keys. A name that nobody knows may be newer than
 * what is known here: the ledger is asked once more, not more often than each
 * PROXY_ROUTES_FRESH_MS, and the request waits for its answer. See proxy.h.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "workers/proxy.h"

#define ARENA_BYTES_MAX (1u << 20)
#define REQUEST_ARENA_BYTES_MAX (16u << 20)

/* --- what the ledger said ------------------------------------------------ */

void
proxy_routes_open(struct proxy *proxy)
{
	arena_init(&proxy->routes_arena, ARENA_BYTES_MAX);
	routes_build(&proxy->routes, NULL, 0);
}

void
proxy_routes_close(struct proxy *proxy)
{
	loop_timer_clear(proxy->loop, &proxy->routes_next);
	arena_fini(&proxy->routes_arena);
}

void
proxy_routes_take(struct proxy *proxy, const struct vendor_keys *said,
		  struct arena *arena)
{
	struct why why = {"", ""};

	if (providers_take(&proxy->providers, said->providers,
			   said->providers_count, &why) != ERR_OK)
		log_error("provider-left-out", "why=\"%s\"", why.text);
	routes_build(&proxy->routes, said->routes, said->routes_count);
	arena_fini(&proxy->routes_arena);
	proxy->routes_arena = *arena;
}

/* --- which provider, which model ----------------------------------------- */

static enum err
refuse(struct failure *failure, enum err err, const char *field,
       struct str message)
{
	failure->field = str_of(field);
	failure->message = message;
	return err;
}

static enum err
check_is_on(struct proxy_asked *asked, const struct proxy *proxy)
{
	if (provider_is_on(&proxy->providers, asked->row))
		return ERR_OK;
	asked->is_unknown = true; /* it may have been switched on since */
	return refuse(asked->failure, ERR_MODEL_UNKNOWN, "model",
		      arena_printf(asked->arena,
				   asked->row->is_inside
				       ? "%s only answers while no provider "
					 "is switched on"
				       : "%s cannot be called as it is set",
				   asked->row->name));
}

/* Only /api/chat leaves the model out. */
static enum err
take_default(struct proxy_asked *asked, const struct proxy *proxy)
{
	const struct provider_row *first = providers_first(&proxy->providers);

	/* A house without any provider has one answer for all. */
	if (asked->row == NULL || first->is_inside)
		asked->row = first;
	asked->model = str_of(asked->row->default_model);
	if (asked->row->default_model[0])
		return ERR_OK;
	return refuse(asked->failure, ERR_BAD_FIELD, "model",
		      arena_printf(asked->arena,
				   "name a model: %s has no default",
				   asked->row->name));
}

static enum err
choose(struct proxy_asked *asked, const struct proxy *proxy)
{
	const struct request *request = &asked->request;
	struct route_target target;
	enum err err = ERR_OK;

	asked->row = NULL;
	asked->is_unknown = false;
	if (request->api_provider.p) {
		asked->row =
		    providers_find(&proxy->providers, request->api_provider);
		asked->is_unknown = asked->row == NULL;
	}
	if (asked->is_unknown)
		return refuse(asked->failure, ERR_BAD_FIELD, "api_provider",
			      STR("api_provider is openai, anthropic, "
				  "deepseek, demo or a provider that the "
				  "vendor has set"));
	asked->model = request->model;
	if (request->model.p == NULL)
		err = take_default(asked, proxy);
	if (err != ERR_OK)
		return err;
	target = routes_resolve(&proxy->routes, asked->model);
	if (asked->row == NULL)
		asked->row = providers_find(&proxy->providers, target.provider);
	asked->is_unknown = asked->row == NULL;
	if (asked->is_unknown)
		return refuse(asked->failure, ERR_MODEL_UNKNOWN, "model",
			      arena_printf(asked->arena,
					   "no provider serves the model %.*s",
					   STR_ARG(asked->model)));
	asked->model = target.model;
	asked->route = target.row;
	return check_is_on(asked, proxy);
}

enum err
proxy_read_request(struct proxy_asked *asked)
{
	enum request_shape shape = REQUEST_ANTHROPIC;
	struct why why = {"", ""};
	enum err err = ERR_OK;

	asked->is_count = str_eq(asked->in->shape, STR("count"));
	if (!asked->is_count && !request_shape_of(asked->in->shape, &shape))
		err = why_field(&why, ERR_BAD_FIELD, "shape",
				"this version does not speak that shape");
	if (err == ERR_OK)
		err = request_read(&asked->request, shape, asked->in->body,
				   asked->arena, &why);
	if (err != ERR_OK)
		proxy_refuse(asked, &why);
	return err;
}

enum err
proxy_read(struct proxy_asked *asked, const struct proxy *proxy)
{
	enum err err;

	asked->is_unknown = false;
	err = proxy_read_request(asked);
	asked->is_read = err == ERR_OK;
	return asked->is_read ? choose(asked, proxy) : err;
}

void
proxy_refuse(struct proxy_asked *asked, const struct why *why)
{
	if (why->text[0])
		asked->failure->message =
		    arena_str(asked->arena, str_of(why->text));
	if (why->field[0])
		asked->failure->field =
		    arena_str(asked->arena, str_of(why->field));
}

/* --- a request that waits for news --------------------------------------- */

static void
fail(struct job *job, enum err err, const struct failure *failure)
{
	struct buf *scratch = &job->proxy->scratch;

	buf_reset(scratch);
	schema_encode(&failure_schema, failure, scratch);
	job_refuse(job, err, scratch->is_failed ? STR_NONE : buf_str(scratch));
}

static void
read_again(void *ctx)
{
	struct job *job = ctx;
	struct failure failure;
	struct ai_request in;
	struct arena arena;
	struct proxy_asked asked = {
	    .in = &in, .arena = &arena, .failure = &failure};
	enum err err;

	job->is_waiting_for_routes = false;
	arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
	schema_clear(&failure_schema, &failure);
	err = schema_decode(&ai_request_schema, buf_str(&job->origin), &in,
			    &arena, NULL);
	if (err == ERR_OK)
		err = proxy_read(&asked, job->proxy);
	if (err == ERR_OK)
		err = job_start(job, &asked);
	if (err != ERR_OK)
		fail(job, err, &failure);
	arena_fini(&arena);
}

static void
ask_now(void *ctx)
{
	struct proxy *proxy = ctx;

	proxy->routes_asked_ms = clock_mono_ms();
	proxy_keys_renew(proxy);
}

void
proxy_routes_renew(struct proxy *proxy)
{
	int64_t wait_ms =
	    proxy->routes_asked_ms + PROXY_ROUTES_GAP_MS - clock_mono_ms();

	if (proxy->routes_asked_ms == 0 || wait_ms <= 0)
		ask_now(proxy);
	else if (proxy->routes_next.heap_index == 0)
		loop_timer_set(proxy->loop, &proxy->routes_next, wait_ms,
			       ask_now, proxy);
}

enum err
job_wait_for_routes(struct job *job, const struct ai_request *in)
{
	struct proxy *proxy = job->proxy;

	schema_encode(&ai_request_schema, in, &job->origin);
	if (job->origin.is_failed)
		return ERR_NO_MEMORY;
	job->stage = JOB_RESERVING;
	job->is_waiting_for_routes = true;
	job->request_id = job_keep(
	    job->request_id_text, sizeof(job->request_id_text), in->request_id);
	loop_timer_set(proxy->loop, &job->step, PROXY_ASK_MS, read_again, job);
	proxy_routes_renew(proxy);
	return ERR_OK;
}

void
proxy_routes_wake(struct proxy *proxy)
{
	for (struct job *job = proxy->jobs; job; job = job->next)
		if (job->is_waiting_for_routes && job->from)
			loop_timer_set(proxy->loop, &job->step, 0, read_again,
				       job);
}
