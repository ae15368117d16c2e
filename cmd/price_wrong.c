/*
 * price_wrong: see price_wrong.h.
 */
#include "cmd/price_wrong.h"

#include <stdio.h>
#include <stdlib.h>

#define FAULTS_KEPT_MAX 2048u
#define FAULTS_SHOWN_MAX 100u

enum err
price_wrongs_init(struct price_wrongs *wrongs, struct arena *arena)
{
	struct price_fault *faults =
	    arena_array(arena, FAULTS_KEPT_MAX, sizeof(*faults));

	if (faults == NULL)
		return ERR_NO_MEMORY;
	*wrongs = (struct price_wrongs){.arena = arena, .faults = faults};
	return ERR_OK;
}

void
price_wrongs_add(struct price_wrongs *wrongs, const char *at, struct str name,
		 struct str what)
{
	wrongs->count++;
	if (wrongs->kept < FAULTS_KEPT_MAX)
		wrongs->faults[wrongs->kept++] = (struct price_fault){
		    at, name, arena_str(wrongs->arena, what)};
}

static int
compare(const void *a_, const void *b_)
{
	const struct price_fault *a = a_, *b = b_;

	return (a->at > b->at) - (a->at < b->at);
}

void
price_wrongs_print(struct price_wrongs *wrongs, struct str file)
{
	const char *p = file.p;
	unsigned line = 1;

	qsort(wrongs->faults, wrongs->kept, sizeof(*wrongs->faults), compare);
	for (unsigned i = 0; i < wrongs->kept && i < FAULTS_SHOWN_MAX; i++) {
		const struct price_fault *fault = &wrongs->faults[i];

		for (; p < fault->at; p++)
			line += *p == '\n';
		fprintf(stderr, "line %u: %.*s: %.*s\n", line,
			STR_ARG(fault->name), STR_ARG(fault->what));
	}
}
