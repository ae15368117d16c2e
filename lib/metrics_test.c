/* metrics: values, the text of one process, the page of several. */
#include "lib/metrics.h"

#include "lib/test.h"

static unsigned
count_of(struct str in, const char *what)
{
	unsigned found = 0;
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= in.n; i++)
		found += memcmp(in.p + i, what, n) == 0;
	return found;
}

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
	CHECK_INT(count_of(buf_str(&out),
			   "# TYPE chatello_http_responses_total counter\n"),
		  1);
	CHECK_INT(count_of(buf_str(&out),
			   "chatello_http_responses_total{process=\"edge-0\","
			   "class=\"4xx\"} 3\n"),
		  1);
	CHECK_INT(count_of(buf_str(&out), "\nchatello_http_connections{process="
					  "\"edge-0\"} 4\n"),
		  1);
	buf_fini(&out);
}

TEST(metrics_join_names_each_family_once)
{
	struct buf a, b, page;
	struct str prints[2];

	buf_init(&a, 65536);
	buf_init(&b, 65536);
	buf_init(&page, 131072);
	metrics_set(METRIC_COMMITS, 7);
	metrics_print(&a, "usage-0");
	metrics_set(METRIC_COMMITS, 0);
	metrics_print(&b, "edge-0");
	prints[0] = buf_str(&a);
	prints[1] = buf_str(&b);
	metrics_join(&page, prints, 2);
	CHECK_INT(
	    count_of(buf_str(&page), "# HELP chatello_store_commits_total "),
	    1);
	CHECK_INT(count_of(buf_str(&page),
			   "chatello_store_commits_total{process=\"usage-0\"} "
			   "7\nchatello_store_commits_total{process=\"edge-0\"}"
			   " 0\n"),
		  1);
	/* Every line of both is there, and a name that another begins with
	 * (chatello_store_commit...) is not taken for it. */
	CHECK_INT(count_of(buf_str(&page), "{process="), 2 * METRIC_COUNT);
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&page);
}
