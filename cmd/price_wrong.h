/*
 * price_wrong: what is wrong in a price list, told in the file's order, each
 * entry with its line: some of it this command finds, some only the house.
 */
#ifndef CMD_PRICE_WRONG_H
#define CMD_PRICE_WRONG_H

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

struct price_fault {
	const char *at; /* in the file */
	struct str name, what;
};

struct price_wrongs {
	struct arena *arena;
	struct price_fault *faults;
	unsigned kept, count;
};

/* ERR_NO_MEMORY. What is added lives in the arena. */
enum err price_wrongs_init(struct price_wrongs *wrongs, struct arena *arena);
/* Counts it, and keeps it while there is room; `name` and `at` are the
 * caller's, `what` is copied. */
void price_wrongs_add(struct price_wrongs *wrongs, const char *at,
		      struct str name, struct str what);
/* To standard error, the first hundred; `file` is the text that all of `at`
 * point into. Puts them in order. */
void price_wrongs_print(struct price_wrongs *wrongs, struct str file);

#endif
