/*
 * proxy_observe: what the proxy knows for /metrics: how long providers took,
 * what is open at them, whether they are called and with which of the vendor's
 * keys. Gauges are read off the jobs, breakers and keys when they are asked
 * for. See proxy.h.
 */
#include "lib/clock.h"
#include "workers/proxy.h"

#define NS_PER_US 1000

/* The model had a price when the request was admitted. One that failed is told
 * of before the next one is asked, unless there is none. */
void
job_observe(struct job *job)
{
	struct series_subject *model;

	if (job->is_observed || job->sends == job->plan_sends || job->is_count)
		return;
	job->is_observed = true;
	model = series_model(str_of(job->row->name), job->model);
	series_observe(model, SERIES_AI_UPSTREAM,
		       (clock_mono_ns() - job->plan_called_ns) / NS_PER_US);
	if (job->first_token_ns)
		series_observe(model, SERIES_AI_FIRST_TOKEN,
			       (job->first_token_ns - job->plan_called_ns) /
				   NS_PER_US);
}

static void
observe_keys(const struct proxy *proxy)
{
	const struct key_pool *pool = &proxy->keys.pool;
	int64_t now_ms = clock_mono_ms();

	series_forget(SERIES_ABOUT_KEY);
	for (unsigned i = 0; i < pool->count; i++) {
		const struct pool_key *key = &pool->keys[i];
		const struct provider_row *row =
		    providers_at(&proxy->providers, key->provider);
		struct series_subject *subject =
		    series_key(str_of(row->name), str_of(key->name));

		series_set(subject, SERIES_KEY_AVAILABLE,
			   key->rests_until_ms <= now_ms);
	}
}

void
proxy_observe(void *state)
{
	const struct proxy *proxy = state;

	static const int64_t breaker_states[] = {
	    [BREAKER_CLOSED] = 0, [BREAKER_HALF_OPEN] = 1, [BREAKER_OPEN] = 2};

	for (unsigned i = 0; i < PROVIDER_COUNT + proxy->providers.slot_count;
	     i++) {
		const struct provider_row *row =
		    providers_at(&proxy->providers, i);
		struct series_subject *provider;

		/* One that was removed may still have calls. */
		if (row->is_inside)
			continue;
		provider = series_provider(str_of(row->name));
		series_set(provider, SERIES_UPSTREAM_OPEN, 0);
		series_set(provider, SERIES_AI_STREAMS, 0);
		series_set(provider, SERIES_BREAKER,
			   breaker_states[proxy_breaker_state(proxy, i)]);
	}
	for (const struct job *job = proxy->jobs; job; job = job->next) {
		if (job->call == NULL)
			continue;
		series_add(job_series(job), SERIES_UPSTREAM_OPEN, 1);
		series_add(job_series(job), SERIES_AI_STREAMS, job->is_sse);
	}
	observe_keys(proxy);
}
