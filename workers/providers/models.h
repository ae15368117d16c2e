/*
 * models: patterns of model names, and what is known of the models that have
 * them (models.def). Pure.
 */
#ifndef WORKERS_PROVIDERS_MODELS_H
#define WORKERS_PROVIDERS_MODELS_H

#include "lib/str.h"

/* Whether the whole name has that pattern: * is any text, also none, # is a
 * digit, all else is itself. */
bool model_matches(struct str model, struct str pattern);

/* "gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022", "gpt-4-0613": the name
 * without the date; the same name when it has none. */
struct str model_undated(struct str model);

struct model_facts {
	const char *pattern;
	bool takes_sampling; /* temperature and top_p */
	bool takes_effort;
	bool takes_thinking; /* DeepSeek's switch, and reasoning_content back */
	int64_t image_tokens; /* the most that it counts for one image */
};

/* Every name has some. */
const struct model_facts *model_facts(struct str model);

#endif
