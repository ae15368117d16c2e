/*
 * licenses: may this key be used on this site, and on which sites it is in use.
 * Asked by every plugin, once a day or on each page: the hot path.
 */
#include "edge/ask.h"
#include "edge/routes.h"

static void
on_validated(struct http_request *r, const struct bus_answer *answer)
{
	struct validate_answer out;
	enum err verdict;

	if (!ask_take(r, answer, &validate_answer_schema, &out))
		return;
	verdict = out.err >= 0 && out.err < ERR_COUNT ? (enum err)out.err
						      : ERR_INTERNAL;
	if (out.retry_after_ms >= 0)
		reply_retry_after(r, out.retry_after_ms);
	else if (verdict == ERR_RATE_LIMITED)
		reply_retry_after(r, 0);
	if (verdict == ERR_RATE_LIMITED)
		reply_rate(r, &(struct reply_rate){out.rate_limit,
						   out.rate_remaining,
						   out.rate_reset_ms});
	if (err_row(verdict)->http_status == 401)
		http_header(r, "WWW-Authenticate", "Bearer");
	reply_schema(r, err_row(verdict)->http_status, &validate_answer_schema,
		     &out);
}

void
serve_validate(struct http_request *r)
{
	struct validate_license question = {.key = r->key, .domain = r->domain};

	ask(r, &(struct ask){
		   .schema = &validate_license_schema,
		   .in = &question,
		   .is_repeatable = true,
		   .fn = on_validated,
	       });
}

static void
on_activation(struct http_request *r, const struct bus_answer *answer)
{
	struct activation_answer out;

	if (ask_take(r, answer, &activation_answer_schema, &out))
		reply_schema(r, 200, &activation_answer_schema, &out);
}

static bool
has_domain(struct http_request *r)
{
	if (r->domain.n == 0)
		reply_field(r, "domain",
			    "no site: send it as `domain` or X-Site-Url");
	return r->domain.n > 0;
}

static void
ask_activation(struct http_request *r, const struct schema *schema,
	       const void *in)
{
	ask(r, &(struct ask){
		   .schema = schema,
		   .in = in,
		   .fn = on_activation,
	       });
}

void
serve_activate(struct http_request *r)
{
	struct activate question = {.key = r->key, .domain = r->domain};

	if (has_domain(r))
		ask_activation(r, &activate_schema, &question);
}

void
serve_deactivate(struct http_request *r)
{
	struct deactivate question = {.key = r->key, .domain = r->domain};

	if (has_domain(r))
		ask_activation(r, &deactivate_schema, &question);
}
