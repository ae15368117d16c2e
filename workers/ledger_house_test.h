/*
 * ledger_house: a ledger over the memory engine with one licence, for tests of
 * its handlers.
 */
#ifndef WORKERS_LEDGER_HOUSE_TEST_H
#define WORKERS_LEDGER_HOUSE_TEST_H

#include "lib/test.h"
#include "workers/ledger_parts.h"

#define T0 INT64_C(1795248000000) /* 2026-11-21T08:00:00Z */

struct ledger_house {
	struct ledger ledger;
	struct arena arena;
	const char *peer;
	struct failure failure; /* of the last call */
	bool is_in_turn;	/* calls are not committed */
	struct license_issued license;
};

/* Asks as `peer`, and commits unless in a turn; the answer lives in the house's
 * arena. */
enum err ledger_house_call(struct ledger_house *house, unsigned type,
			   const void *in, void *out);
void ledger_house_open(struct ledger_house *house);
void ledger_house_close(struct ledger_house *house);

#endif
