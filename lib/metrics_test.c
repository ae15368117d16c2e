/* metrics: values, the text of one process, the page of several. */
#include "lib/metrics.h"

#include "lib/series.h"
#include "lib/test.h"

TEST(metrics_text_of_one_process)
{
	struct buf out;

	buf_init(&out, 65536);
	metrics_add(METRIC_HTTP_4XX, 2);
	metrics_add(METRIC_HTTP_4XX, 1);
	metrics_set(METRIC_HTTP_CONNECTIONS, 5);
	metrics_set(METRIC_HTTP_CONNECTIONS, 4);
	CHECK_INT(metrics_get(METRIC_HTTP_4XX), 3);
	metrics_print(&out, "edge-0");
	CHECK(!out.is_failed);
	CHECK_INT(test_count(buf_str(&out),
			     "# TYPE chatello_http_responses_total counter\n"),
		  1);
	CHECK_INT(test_count(buf_str(&out),
			     "chatello_http_responses_total{process=\"edge-0\","
			     "class=\"4xx\"} 3\n"),
		  1);
	CHECK_INT(test_count(buf_str(&out),
			     "\nchatello_http_connections{process="
			     "\"edge-0\"} 4\n"),
		  1);
	buf_fini(&out);
}

static void
check_text(const struct buf *text, const char *what, unsigned want)
{
	unsigned found = test_count(buf_str(text), what);

	if (found != want)
		test_fail(__FILE__, __LINE__, "%u of %s in:\n%.*s", found, what,
			  (int)text->n, text->p);
}

TEST(metrics_join_names_each_family_once)
{
	struct buf a, b, c, page;
	struct str prints[4];

	buf_init(&a, 65536);
	buf_init(&b, 65536);
	buf_init(&c, 65536);
	buf_init(&page, 131072);
	metrics_set(METRIC_COMMITS, 7);
	metrics_print(&a, "usage-0");
	metrics_set(METRIC_COMMITS, 0);
	series_add(series_provider(STR("demo")), SERIES_UPSTREAM_CALLS, 3);
	metrics_print(&b, "proxy-0");
	metrics_print_up(&c, "proxy-1", false);
	metrics_print_up(&c, "proxy-2", true);
	prints[0] = buf_str(&a);
	prints[1] = buf_str(&b);
	prints[2] = buf_str(&c);
	/* Of another version: a family that is not known here is left out, what
	 * stands behind it is not. */
	prints[3] =
	    STR("# HELP chatello_new_total x\n# TYPE chatello_new_total "
		"counter\nchatello_new_total 4\n"
		"# HELP chatello_events_seq x\n# TYPE "
		"chatello_events_seq gauge\n"
		"chatello_events_seq{process=\"usage-9\"} 8\n");
	metrics_join(&page, prints, 4);
	check_text(&page, "# HELP chatello_store_commits_total ", 1);
	check_text(&page,
		   "chatello_store_commits_total{process=\"usage-0\"} "
		   "7\nchatello_store_commits_total{process=\"proxy-0\"} 0\n",
		   1);
	check_text(&page,
		   "chatello_up{process=\"usage-0\"} 1\n"
		   "chatello_up{process=\"proxy-0\"} 1\n"
		   "chatello_up{process=\"proxy-1\"} 0\n"
		   "chatello_up{process=\"proxy-2\"} 1\n",
		   1);
	check_text(&page,
		   "counter\nchatello_upstream_calls_total{process="
		   "\"proxy-0\",provider=\"demo\"} 3\n",
		   1);
	check_text(&page, "chatello_events_seq{process=\"usage-9\"} 8\n", 1);
	check_text(&page, "chatello_new", 0);
	/* Every line is there, and a name that another begins with
	 * (chatello_store_commit...) is not taken for it. */
	check_text(&page, "{process=", 2 * METRIC_COUNT + 4);
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&c);
	buf_fini(&page);
}
