/*
 * proxy_breaker: what a call says of its provider, and whether the next one
 * goes. An answer of any kind says that the provider works; a 5xx, a 408 and
 * no answer at all that it does not. See breaker.h, proxy.h.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "workers/proxy.h"

static struct breaker *
breaker_of(const struct job *job)
{
	return &job->proxy->providers.breakers[job->row->index];
}

bool
job_breaker_take(struct job *job, int64_t *wait_ms)
{
	return breaker_take(breaker_of(job), clock_mono_ms(), &job->is_probe,
			    wait_ms);
}

void
job_breaker_works(struct job *job)
{
	breaker_works(breaker_of(job));
	job->is_probe = false;
}

void
job_breaker_fails(struct job *job)
{
	if (breaker_fails(breaker_of(job), clock_mono_ms(), job->is_probe))
		JOB_WARN(job, "provider-left-alone", "provider=%s times=%u",
			 job->row->name, breaker_of(job)->opens);
	job->is_probe = false;
}

void
job_breaker_leaves(struct job *job)
{
	breaker_leaves(breaker_of(job), job->is_probe);
	job->is_probe = false;
}

enum breaker_state
proxy_breaker_state(const struct proxy *proxy, unsigned provider)
{
	return breaker_state(&proxy->providers.breakers[provider],
			     clock_mono_ms());
}
