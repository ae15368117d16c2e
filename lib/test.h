/*
 * test: the runner. Each TEST runs in a process of its own, in an empty
 * temporary folder that is its working directory and is removed behind it, with
 * a time limit. `unit-tests [-j N] [name part ...]`; ends with a line
 * `N passed, N failed`.
 */
#ifndef LIB_TEST_H
#define LIB_TEST_H

#include "lib/err.h"

struct test {
	const char *name;
	const char *file;
	void (*run)(void);
	int timeout_s;
	struct test *next;
};

void test_register(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* How often the text has the part. */
unsigned test_count(struct str text, const char *part);
/* Skips this test and says why; a test may only skip for what the machine
 * cannot do, never for a failure. */
_Noreturn void test_skip(const char *why);

#define TEST_LIMITED(fn, seconds)                                              \
	static void fn(void);                                                  \
	__attribute__((constructor)) static void fn##_register(void)           \
	{                                                                      \
		static struct test t = {#fn, __FILE__, fn, seconds, NULL};     \
		test_register(&t);                                             \
	}                                                                      \
	static void fn(void)
#define TEST(fn) TEST_LIMITED(fn, 30)

#define CHECK(expr)                                                            \
	do {                                                                   \
		if (!(expr))                                                   \
			test_fail(__FILE__, __LINE__, "%s", #expr);            \
	} while (0)
#define CHECK_INT(got, want)                                                   \
	do {                                                                   \
		long long g_ = (long long)(got), w_ = (long long)(want);       \
		if (g_ != w_)                                                  \
			test_fail(__FILE__, __LINE__, "%s is %lld, not %lld",  \
				  #got, g_, w_);                               \
	} while (0)
#define CHECK_STR(got, want)                                                   \
	do {                                                                   \
		struct str g_ = (got), w_ = (want);                            \
		if (!str_eq(g_, w_))                                           \
			test_fail(__FILE__, __LINE__,                          \
				  "%s is \"%.*s\", not \"%.*s\"", #got,        \
				  STR_ARG(g_), STR_ARG(w_));                   \
	} while (0)
#define CHECK_ERR(got, want)                                                   \
	do {                                                                   \
		enum err g_ = (got), w_ = (want);                              \
		if (g_ != w_)                                                  \
			test_fail(__FILE__, __LINE__, "%s is %s, not %s",      \
				  #got, err_code(g_), err_code(w_));           \
	} while (0)
#define CHECK_OK(got) CHECK_ERR(got, ERR_OK)

#endif
