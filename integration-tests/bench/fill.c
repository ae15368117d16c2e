/*
 * fill: many licences at once, for the bench: the ledger's own handlers, run
 * in this process while no ledger runs, a few thousand to a commit. Prints the
 * keys, one a line. The house must have been made and its plan set.
 *
 * fill COUNT PLAN    (the house is CHATELLO_DATA's)
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "workers/ledger.h"

#define A_GROUP 2000
#define ARENA_BYTES (64u << 20)

static enum err
issue_one(struct context *context, unsigned long number, const char *plan)
{
	struct license_issue in;
	struct license_issued out;
	struct str email;
	enum err e;

	schema_clear(&license_issue_schema, &in);
	email = arena_printf(context->arena, "owner%lu@shop.example", number);
	in.email = email;
	in.plan = str_of(plan);
	in.months = 12;
	e = pool_call(ledger_rows, ledger_row_count, context, MSG_license_issue,
		      &in, &out);
	if (e == ERR_OK)
		printf("%.*s\n", STR_ARG(out.license_key));
	return e;
}

static enum err
issue_group(struct ledger *ledger, struct arena *arena, unsigned long from,
	    unsigned long to, const char *plan)
{
	struct context context = {.state = ledger,
				  .arena = arena,
				  .now_ms = clock_wall_ms(),
				  .peer = "tools"};
	enum err e = store_view_begin(ledger->store);
	unsigned events;

	for (unsigned long i = from; i < to && e == ERR_OK; i++)
		e = issue_one(&context, i, plan);
	store_view_end(ledger->store);
	if (e == ERR_OK)
		e = ledger_commit(ledger, &events);
	else
		fprintf(stderr, "fill: %.*s\n",
			STR_ARG(context.failure.message));
	arena_reset(arena);
	return e;
}

int
main(int argc, char **argv)
{
	unsigned long count = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	static char *none[] = {NULL, NULL};
	struct ledger ledger;
	struct arena arena;
	struct conf conf;
	struct why why;
	int no_args = 1;
	enum err e;

	none[0] = argv[0];
	if (count == 0 || conf_load(&conf, &no_args, none, &why) ||
	    ledger_open(&ledger, &conf, &why)) {
		fprintf(stderr, "fill: %s\n",
			count ? why.text : "usage: fill COUNT PLAN");
		return 1;
	}
	arena_init(&arena, ARENA_BYTES);
	e = ERR_OK;
	for (unsigned long i = 0; i < count && e == ERR_OK; i += A_GROUP)
		e = issue_group(&ledger, &arena, i,
				i + A_GROUP < count ? i + A_GROUP : count,
				argv[2]);
	ledger_close(&ledger);
	arena_fini(&arena);
	if (e)
		fprintf(stderr, "fill: %s\n", err_text(e));
	return e != ERR_OK;
}
