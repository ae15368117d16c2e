/*
 * usage: what a licence has used and what remains, for the plugin's own page.
 */
#include "edge/ask.h"
#include "edge/routes.h"

static void
on_report(struct http_request *r, const struct bus_answer *answer)
{
	struct usage_report report;

	if (!ask_take(r, answer, &usage_report_schema, &report))
		return;
	http_header(r, "Cache-Control", "no-store");
	reply_schema(r, 200, &usage_report_schema, &report);
}

void
serve_usage(struct http_request *r)
{
	struct usage_get question = {.key = r->key, .domain = r->domain};

	ask(r, &(struct ask){
		   .schema = &usage_get_schema,
		   .in = &question,
		   .is_repeatable = true,
		   .fn = on_report,
	       });
}
