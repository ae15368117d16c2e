/*
 * routes: which model and which provider a name means, and what is tried when
 * that fails: the settings' rows in front of those that are built in
 * (routes.def). Pure. Used by the proxy, which asks for each request, and by
 * the ledger, which lets nothing in that leads nowhere.
 *
 * Of the rows that have the name, an exact one counts before a pattern, and of
 * patterns the one with the most characters that are themselves. A row without
 * a provider leaves it to the row that its model has. A row's model and its
 * fallbacks are names of models: no row's model is looked up twice, so that
 * nothing goes round in a circle.
 */
#ifndef WORKERS_ROUTES_H
#define WORKERS_ROUTES_H

#include "lib/msg.h"

#define ROUTES_MAX 256u /* of the settings; lib/msg.def */
#define ROUTES_BUILT_IN 7u
#define ROUTE_NAME_BYTES_MAX 128u
#define ROUTE_FALLBACKS_MAX 3u

struct routes {
	struct route_setting rows[ROUTES_MAX + ROUTES_BUILT_IN];
	unsigned count;
};

/* settings: at most ROUTES_MAX; their strings and lists are pointed into. */
void routes_build(struct routes *routes, const struct route_setting *settings,
		  size_t count);

/* The built-in rows, in order; NULL behind the last. */
const struct route_setting *routes_built_in(size_t i);

struct route_target {
	struct str model;
	struct str provider;		 /* absent: nobody serves it */
	const struct route_setting *row; /* NULL: no row has the name */
};
/* Points into routes and name. */
struct route_target routes_resolve(const struct routes *routes,
				   struct str name);

/* Whether the name has a * or a #. */
bool route_is_pattern(struct str name);

#endif
