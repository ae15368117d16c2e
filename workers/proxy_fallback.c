/*
 * proxy_fallback: what is tried when a model fails before anything can be
 * billed: the next one of its route that the ledger has admitted. The request
 * is read again as it came and made anew for that model, which may be one of
 * another shape. Each model that was tried is told on the ledger line. See
 * proxy.h.
 *
 * Always holds: no model is tried that the reservation does not cover.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "workers/proxy.h"

#define REQUEST_ARENA_BYTES_MAX (16u << 20)

/* Those that can be called now: the ledger knows their prices. */
void
job_plan(struct job *job, const struct proxy_asked *asked)
{
	const struct route_setting *route = asked->route;
	const struct proxy *proxy = job->proxy;

	if (route == NULL || route->fallbacks_count == 0 || job->is_count)
		return;
	for (uint32_t i = 0; i < route->fallbacks_count; i++) {
		struct route_target target =
		    routes_resolve(&proxy->routes, route->fallbacks[i]);
		const struct provider_row *row =
		    providers_find(&proxy->providers, target.provider);
		struct job_model *model = &job->plan[job->plan_count + 1];

		if (row == NULL || job->plan_count == ROUTE_FALLBACKS_MAX ||
		    !provider_is_on(&proxy->providers, row))
			continue;
		model->row = row;
		model->model =
		    job_keep(model->text, sizeof(model->text), target.model);
		job->plan_count++;
	}
	if (job->plan_count && job->origin.n == 0)
		schema_encode(&ai_request_schema, asked->in, &job->origin);
	if (job->origin.is_failed)
		job->plan_count = 0;
	job->plan[0].row = job->row;
	job->plan[0].model =
	    job_keep(job->plan[0].text, sizeof(job->plan[0].text), job->model);
}

/* --- what was tried ------------------------------------------------------ */

/* The model that is asked now, with what became of it. */
static void
tell_try(const struct job *job, struct usage_try *out)
{
	*out = (struct usage_try){
	    .provider = str_of(job->row->name),
	    .model = job->model,
	    .status = job->status ? job->status : SCHEMA_INT_NONE,
	    .calls = job->sends - job->plan_sends,
	};
}

uint32_t
job_tries(const struct job *job, struct usage_try tries[JOB_MODELS_MAX])
{
	if (job->try_count == 0)
		return 0;
	for (unsigned i = 0; i < job->try_count; i++)
		tries[i] = job->done[i];
	tell_try(job, &tries[job->try_count]);
	return job->try_count + 1;
}

/* --- the next one -------------------------------------------------------- */

static enum err
fill_again(struct job *job, const struct job_model *to)
{
	struct failure failure;
	struct ai_request in;
	struct arena arena;
	struct proxy_asked asked = {.in = &in,
				    .arena = &arena,
				    .failure = &failure,
				    .row = to->row,
				    .model = to->model};
	struct why why = {"", ""};
	enum err err;

	arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
	schema_clear(&failure_schema, &failure);
	err = schema_decode(&ai_request_schema, buf_str(&job->origin), &in,
			    &arena, NULL);
	if (err == ERR_OK)
		err = proxy_read_request(&asked);
	if (err == ERR_OK)
		err = job_make_body(job, &asked, &why);
	if (err == ERR_OK)
		err = job_grant(job);
	arena_fini(&arena);
	return err;
}

static void
start_anew(struct job *job)
{
	job->tries = 0;
	job->switches = 0;
	job->has_waited_for_key = false;
	job->plan_sends = job->sends;
	job->plan_called_ns = clock_mono_ns();
	job->is_observed = false;
	loop_timer_set(job->proxy->loop, &job->step, 0, job_call_once, job);
}

/* plan[i] is asked now; false: the request cannot be made for it. */
static bool
turn_to(struct job *job, unsigned i)
{
	const struct job_model *from = &job->plan[job->plan_now];
	const struct job_model *to = &job->plan[i];
	struct usage_try tried;
	enum err err;

	job_observe(job);
	tell_try(job, &tried);
	tried.model = from->model; /* its own text is made anew */
	err = fill_again(job, to);
	if (err != ERR_OK) {
		JOB_WARN(job, "fallback-skipped", "provider=%s error=%s",
			 to->row->name, err_code(err));
		job->row = from->row;
		job->model = from->model;
		return false;
	}
	JOB_WARN(job, "fallback", "from=%s to=%s status=%d", from->row->name,
		 to->row->name, job->status);
	series_add(series_model(str_of(from->row->name), from->model),
		   SERIES_AI_FALLBACKS, 1);
	job->done[job->try_count++] = tried;
	job->plan_now = i;
	start_anew(job);
	return true;
}

bool
job_fall_back(struct job *job)
{
	while (job->plan_at < job->plan_count &&
	       clock_mono_ns() < job->total_ns) {
		unsigned i = job->plan_at++;

		if (job->reserved.fallbacks != SCHEMA_INT_NONE &&
		    (job->reserved.fallbacks >> i & 1) && turn_to(job, i + 1))
			return true;
	}
	return false;
}
