/*
 * ledger_observe: what the ledger's lines came to, by provider and model, for
 * /metrics. The model is the one that was asked for, which had a price: a name
 * that only the provider says is no label. Counters never fall: of a line that
 * was interrupted and is settled after all, what is more than its estimate is
 * added.
 */
#include "workers/ledger_parts.h"

#include "lib/series.h"

struct part {
	enum series series;
	int64_t before, after;
};

/* Nothing of a line that is only reserved, or has failed, was counted. */
static void
add(struct series_subject *subject, const struct part *parts, size_t count,
    bool was_counted)
{
	for (size_t i = 0; i < count; i++) {
		int64_t more = schema_count(parts[i].after);

		if (was_counted)
			more -= schema_count(parts[i].before);
		if (more > 0)
			series_add(subject, parts[i].series, more);
	}
}

static enum series
status_of(const struct usage_line *line)
{
	if (str_eq(line->status, STR("settled")))
		return SERIES_AI_SETTLED;
	if (str_eq(line->status, STR("interrupted")))
		return SERIES_AI_INTERRUPTED;
	return SERIES_AI_FAILED;
}

void
ledger_observe(const struct usage_line *before, const struct usage_line *after)
{
	const struct part tokens[] = {
	    {SERIES_AI_INPUT, before->input_tokens, after->input_tokens},
	    {SERIES_AI_OUTPUT, before->output_tokens, after->output_tokens},
	    {SERIES_AI_CACHE_READ, before->cache_read_tokens,
	     after->cache_read_tokens},
	    {SERIES_AI_CACHE_WRITE, before->cache_write_tokens,
	     after->cache_write_tokens},
	};
	const struct part money[] = {
	    {SERIES_AI_COST, before->cost, after->cost},
	    {SERIES_AI_PRICE, before->price, after->price},
	};
	bool was_counted = limits_is_used(before);
	struct series_subject *model =
	    series_model(before->provider, before->model);

	series_add(model, status_of(after), 1);
	if (!limits_is_used(after))
		return;
	add(model, tokens, sizeof(tokens) / sizeof(tokens[0]), was_counted);
	add(series_charge(before->provider, before->model, after->currency),
	    money, sizeof(money) / sizeof(money[0]), was_counted);
}
