/*
 * routes: see routes.h.
 */
#include "workers/routes.h"

#include "workers/providers/models.h"

#include <stdlib.h>

static const struct route_setting built_in[ROUTES_BUILT_IN] = {
#define ROUTE(pattern, to)                                                     \
	{.name = {pattern, sizeof(pattern) - 1},                               \
	 .provider = {to, sizeof(to) - 1}},
#include "workers/routes.def"
#undef ROUTE
};

const struct route_setting *
routes_built_in(size_t i)
{
	return i < ROUTES_BUILT_IN ? &built_in[i] : NULL;
}

bool
route_is_pattern(struct str name)
{
	return memchr(name.p, '*', name.n) || memchr(name.p, '#', name.n);
}

/* --- the order ----------------------------------------------------------- */

static size_t
plain_chars(struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++)
		n += name.p[i] != '*' && name.p[i] != '#';
	return n;
}

static int
order(const void *a_, const void *b_)
{
	const struct route_setting *a = a_, *b = b_;
	bool a_is_pattern = route_is_pattern(a->name);
	bool b_is_pattern = route_is_pattern(b->name);
	size_t a_plain, b_plain;

	if (a_is_pattern != b_is_pattern)
		return a_is_pattern - b_is_pattern;
	a_plain = plain_chars(a->name);
	b_plain = plain_chars(b->name);
	if (a_plain != b_plain)
		return a_plain > b_plain ? -1 : 1;
	return str_cmp(a->name, b->name);
}

static bool
has_row(const struct route_setting *settings, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(settings[i].name, name))
			return true;
	return false;
}

void
routes_build(struct routes *routes, const struct route_setting *settings,
	     size_t count)
{
	routes->count = 0;
	for (size_t i = 0; i < count && i < ROUTES_MAX; i++)
		routes->rows[routes->count++] = settings[i];
	for (size_t i = 0; i < ROUTES_BUILT_IN; i++)
		if (!has_row(settings, count, built_in[i].name))
			routes->rows[routes->count++] = built_in[i];
	qsort(routes->rows, routes->count, sizeof(routes->rows[0]), order);
}

/* --- asking -------------------------------------------------------------- */

static const struct route_setting *
row_of(const struct routes *routes, struct str name)
{
	for (unsigned i = 0; i < routes->count; i++)
		if (model_matches(name, routes->rows[i].name))
			return &routes->rows[i];
	return NULL;
}

/* Of the rows that name one for the model itself. */
static struct str
provider_of(const struct routes *routes, struct str model)
{
	for (unsigned i = 0; i < routes->count; i++) {
		const struct route_setting *row = &routes->rows[i];

		if (row->provider.n && row->model.n == 0 &&
		    model_matches(model, row->name))
			return row->provider;
	}
	return STR_NONE;
}

struct route_target
routes_resolve(const struct routes *routes, struct str name)
{
	const struct route_setting *row = row_of(routes, name);
	struct route_target target = {name, STR_NONE, row};

	if (row == NULL)
		return target;
	if (row->model.n)
		target.model = row->model;
	target.provider =
	    row->provider.n ? row->provider : provider_of(routes, target.model);
	return target;
}
