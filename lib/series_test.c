/* series: subjects and their limit, numbers, the text. */
#include "lib/series.h"

#include <stdio.h>

#include "lib/test.h"

static void
check_has(const struct buf *text, const char *what, bool is_there)
{
	if ((memmem(text->p, text->n, what, strlen(what)) != NULL) != is_there)
		test_fail(__FILE__, __LINE__, "%s%s in:\n%.*s",
			  is_there ? "no " : "", what, (int)text->n, text->p);
}

TEST(series_are_counted_by_their_subject)
{
	struct series_subject *a = series_model(STR("openai"), STR("gpt"));
	struct series_subject *b = series_model(STR("demo"), STR("gpt"));
	struct buf text;

	CHECK(a && b && a != b);
	CHECK(series_model(STR("openai"), STR("gpt")) == a);
	series_add(a, SERIES_AI_SETTLED, 2);
	series_add(a, SERIES_AI_SETTLED, 1);
	series_add(b, SERIES_AI_SETTLED, 5);
	series_add(NULL, SERIES_AI_SETTLED, 5);
	series_add(series_charge(STR("openai"), STR("gpt"), STR("EUR")),
		   SERIES_AI_COST, 1234567);
	buf_init(&text, 65536);
	series_print(&text, "usage-0");
	CHECK(!text.is_failed);
	check_has(&text, "# TYPE chatello_ai_requests_total counter\n", true);
	check_has(&text,
		  "\nchatello_ai_requests_total{process=\"usage-0\","
		  "provider=\"openai\",model=\"gpt\",status=\"settled\"} 3\n"
		  "chatello_ai_requests_total{process=\"usage-0\","
		  "provider=\"demo\",model=\"gpt\",status=\"settled\"} 5\n",
		  true);
	check_has(&text,
		  "\nchatello_ai_cost_total{process=\"usage-0\",provider="
		  "\"openai\",model=\"gpt\",currency=\"EUR\"} 1.234567\n",
		  true);
	/* What was never counted has no line, and no family. */
	check_has(&text, "failed", false);
	check_has(&text, "chatello_ai_tokens_total", false);
	buf_fini(&text);
}

TEST(series_histograms_add_up)
{
	struct series_subject *subject = series_provider(STR("openai"));
	struct buf text;

	series_observe(subject, SERIES_AI_OVERHEAD, 0);
	series_observe(subject, SERIES_AI_OVERHEAD, 100);
	series_observe(subject, SERIES_AI_OVERHEAD, 101);
	series_observe(subject, SERIES_AI_OVERHEAD, 5000001);
	buf_init(&text, 65536);
	series_print(&text, "edge-0");
	check_has(&text, "# TYPE chatello_ai_overhead_seconds histogram\n",
		  true);
#define LINE(le, n)                                                            \
	"chatello_ai_overhead_seconds_bucket{process=\"edge-0\",provider="     \
	"\"openai\",le=\"" le "\"} " n "\n"
	check_has(&text, LINE("0.0001", "2") LINE("0.00025", "3"), true);
	check_has(&text, LINE("5", "3") LINE("+Inf", "4"), true);
#undef LINE
	check_has(&text,
		  "chatello_ai_overhead_seconds_sum{process=\"edge-0\","
		  "provider=\"openai\"} 5.000202\n"
		  "chatello_ai_overhead_seconds_count{process=\"edge-0\","
		  "provider=\"openai\"} 4\n",
		  true);
	buf_fini(&text);
}

TEST(series_names_from_outside_are_escaped)
{
	struct series_subject *subject =
	    series_model(STR("openai"), STR("a\"b\\c\nd\xc3\xa9"));
	struct buf text;

	series_add(subject, SERIES_AI_SETTLED, 1);
	buf_init(&text, 65536);
	series_print(&text, "usage-0");
	check_has(&text, "model=\"a\\\"b\\\\c?d??\"", true);
	buf_fini(&text);
}

/* However many models there are, the page stays small and no number is lost. */
TEST(series_beyond_the_limit_are_other)
{
	struct series_subject *other;
	char name[300];
	struct buf text;

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "model-%d", i);
		series_add(series_model(STR("openai"), str_of(name)),
			   SERIES_AI_SETTLED, 1);
	}
	other = series_model(STR("openai"), STR("other"));
	CHECK(series_model(STR("openai"), STR("model-7")) != other);
	/* Another provider has its own, as far as that goes. */
	CHECK(series_model(STR("demo"), STR("x")) ==
	      series_model(STR("demo"), STR("other")));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "provider-%d", i);
		CHECK(series_model(str_of(name), STR("x")) != NULL);
	}
	CHECK(series_model(STR("provider-99"), STR("x")) ==
	      series_model(STR("other"), STR("other")));
	memset(name, 'n', sizeof(name));
	CHECK(series_provider(str_bytes(name, sizeof(name))) ==
	      series_provider(str_bytes(name, SERIES_LABEL_BYTES_MAX)));
	buf_init(&text, 65536);
	series_print(&text, "usage-0");
	CHECK(!text.is_failed);
	snprintf(name, sizeof(name),
		 "provider=\"openai\",model=\"other\",status=\"settled\"} %u\n",
		 500 - SERIES_SUBJECTS_MAX);
	check_has(&text, name, true);
	buf_fini(&text);
}

TEST(series_that_are_set_anew_are_forgotten)
{
	struct buf text;

	series_set(series_key(STR("openai"), STR("old")), SERIES_KEY_AVAILABLE,
		   1);
	series_forget(SERIES_ABOUT_KEY);
	series_set(series_key(STR("openai"), STR("new")), SERIES_KEY_AVAILABLE,
		   0);
	buf_init(&text, 65536);
	series_print(&text, "proxy-0");
	check_has(&text, "key=\"old\"", false);
	check_has(&text, "key=\"new\"} 0\n", true);
	buf_fini(&text);
}
