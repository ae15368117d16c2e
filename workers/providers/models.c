/*
 * models: see models.h.
 */
#include "workers/providers/models.h"

#include <assert.h>

#define TAKES true
#define REFUSES false

static const struct model_facts table[] = {
#define MODEL(pattern, sampling, effort, thinking, image)                      \
	{pattern, sampling, effort, thinking, image},
#include "workers/providers/models.def"
#undef MODEL
};

static bool
is_char(char c, char of_pattern)
{
	return of_pattern == '#' ? c >= '0' && c <= '9' : c == of_pattern;
}

/* Behind a star that did not hold, only the last one is tried again, one
 * character further: at most model.n times pattern.n steps. */
bool
model_matches(struct str model, struct str pattern)
{
	size_t m = 0, p = 0, star = SIZE_MAX, star_m = 0;

	while (m < model.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_m = m;
		} else if (p < pattern.n && is_char(model.p[m], pattern.p[p])) {
			m++;
			p++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			m = ++star_m;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

const struct model_facts *
model_facts(struct str model)
{
	const struct model_facts *facts = table;

	while (!model_matches(model, str_of(facts->pattern))) {
		facts++;
		assert(facts < table + sizeof(table) / sizeof(table[0]));
	}
	return facts;
}

/* True when s ends in the form; 'd' is a digit, all else itself. */
static bool
has_form(struct str s, const char *form)
{
	size_t n = strlen(form);

	if (s.n <= n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s.p[s.n - n + i];

		if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i])
			return false;
	}
	return true;
}

struct str
model_undated(struct str model)
{
	static const char *const forms[] = {"-dddd-dd-dd", "-dddddddd",
					    "-dddd"};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (has_form(model, forms[i]))
			return str_bytes(model.p, model.n - strlen(forms[i]));
	return model;
}
