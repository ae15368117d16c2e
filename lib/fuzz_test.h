/*
 * fuzz_test: makes a unit test of a fuzzer: what is in its corpus,
 * NAME_fuzz_corpus beside NAME_fuzz.c, and beginnings of it are run through it
 * without libFuzzer. The Makefile includes this in front of each fuzzer, says
 * its path (FUZZ_PATH, without ".c") and gives its function another name, since
 * all of them are in one binary.
 */
#ifndef LIB_FUZZ_TEST_H
#define LIB_FUZZ_TEST_H

#include "lib/test.h"

#include <stdint.h>

typedef int fuzz_fn(const uint8_t *data, size_t size);

/* Fails when the corpus has no input. The name of the one that is under way is
 * in the file `input` of the test's folder: TEST_KEEP=1 keeps it. */
void fuzz_replay(fuzz_fn *fn, const char *path);

#ifdef FUZZ_PATH
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_corpus(void)
{
	fuzz_replay(LLVMFuzzerTestOneInput, FUZZ_PATH);
}

__attribute__((constructor)) static void
replay_register(void)
{
	static struct test test = {FUZZ_PATH, FUZZ_PATH ".c", replay_corpus, 60,
				   NULL};

	test_register(&test);
}
#endif

#endif
