/* trace: what is a traceparent, and what the next one gets. */
#include "lib/trace.h"

#include "lib/test.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

TEST(trace_reads_strictly)
{
	static const struct {
		const char *text;
		bool is_valid;
	} rows[] = {
	    {"00-" ID "-" SPAN "-01", true},
	    {"00-" ID "-" SPAN "-00", true},
	    {"00-" ID "-" SPAN "-ff", true},
	    /* A later version may have more behind it. */
	    {"cc-" ID "-" SPAN "-01", true},
	    {"cc-" ID "-" SPAN "-01-more", true},
	    {"cc-" ID "-" SPAN "-01.more", false},
	    {"00-" ID "-" SPAN "-01-more", false},
	    {"ff-" ID "-" SPAN "-01", false},
	    {"", false},
	    {"00-" ID "-" SPAN "-0", false},
	    {"00-" ID "-" SPAN "-0g", false},
	    {"00-" ID "-" SPAN "_01", false},
	    {"00-" ID "_" SPAN "-01", false},
	    {"00_" ID "-" SPAN "-01", false},
	    {"0x-" ID "-" SPAN "-01", false},
	    {"00-00000000000000000000000000000000-" SPAN "-01", false},
	    {"00-" ID "-0000000000000000-01", false},
	    {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
	    {"00-" ID "-B7AD6B7169203331-01", false},
	    {"00-" ID "-b7ad6b716920333\r-01", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (trace_is_valid(str_of(rows[i].text)) != rows[i].is_valid)
			test_fail(__FILE__, __LINE__, "%s", rows[i].text);
	CHECK(!trace_is_valid(STR_NONE));
	/* A NUL among the digits. */
	CHECK(!trace_is_valid(str_bytes("00-" ID "-b7ad6b716920333\0-01", 55)));
	CHECK_STR(trace_id(STR("00-" ID "-" SPAN "-01")), STR(ID));
}

TEST(trace_passes_on_with_a_parent_of_its_own)
{
	char first[TRACE_PARENT_CHARS + 1], second[TRACE_PARENT_CHARS + 1];

	trace_next(STR("cc-" ID "-" SPAN "-ff-more"), first);
	trace_next(STR("00-" ID "-" SPAN "-02"), second);
	CHECK_INT(strlen(first), TRACE_PARENT_CHARS);
	CHECK(trace_is_valid(str_of(first)));
	CHECK(trace_is_valid(str_of(second)));
	CHECK(str_starts(str_of(first), STR("00-" ID "-")));
	CHECK(strcmp(first + 52, "-01") == 0);
	CHECK(strcmp(second + 52, "-00") == 0);
	CHECK(!strstr(first, SPAN));
	CHECK(memcmp(first + 36, second + 36, 16) != 0);
}

TEST(trace_state_is_bounded_and_plain)
{
	static const struct {
		const char *text;
		bool is_valid;
	} rows[] = {
	    {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
	    {"a=1", true},
	    {"0@b-*/_=!\"#~ x", true},
	    {" a=1 ,, b=2,", true},
	    {"", false},
	    {", ,", false},
	    {"a", false},
	    {"a=", false},
	    {"=1", false},
	    {"@a=1", false},
	    {"A=1", false},
	    {"a b=1", false},
	    {"a=1=2", false},
	    {"a=\xc3\xa8", false},
	    {"a=1\tb", false},
	    {"a=1,b", false},
	};
	char longest[TRACE_STATE_CHARS_MAX + 2] = "a=";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (trace_state_is_valid(str_of(rows[i].text)) !=
		    rows[i].is_valid)
			test_fail(__FILE__, __LINE__, "%s", rows[i].text);
	CHECK(!trace_state_is_valid(STR_NONE));
	memset(longest + 2, 'x', TRACE_STATE_CHARS_MAX - 1);
	CHECK(trace_state_is_valid(str_bytes(longest, TRACE_STATE_CHARS_MAX)));
	CHECK(!trace_state_is_valid(str_of(longest)));
}
