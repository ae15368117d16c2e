/*
 * movements: see movements.h.
 */
#include "analytics/movements.h"

static const struct {
	struct str cycle;
	int64_t units; /* 1/24 of a month's price each */
} cycles[] = {
    {{"month", 5}, 24},
    {{"year", 4}, 2},
};

int64_t
movements_mrr(int64_t price, struct str cycle)
{
	int64_t mrr;

	if (price <= 0)
		return 0;
	for (size_t i = 0; i < sizeof(cycles) / sizeof(cycles[0]); i++)
		if (str_eq(cycles[i].cycle, cycle))
			return __builtin_mul_overflow(price, cycles[i].units,
						      &mrr)
				   ? 0
				   : mrr;
	return 0;
}

int64_t
movements_shown(int64_t mrr)
{
	int64_t half = mrr < 0 ? -MRR_UNIT / 2 : MRR_UNIT / 2;

	return mrr / MRR_UNIT + (mrr % MRR_UNIT + half) / MRR_UNIT;
}

struct movement
movements_of(int64_t before, int64_t after, bool has_paid)
{
	struct movement m = {0};

	if (after > before && before == 0 && !has_paid)
		m.new_mrr = after;
	else if (after > before && before == 0)
		m.reactivation_mrr = after;
	else if (after > before)
		m.expansion_mrr = after - before;
	else if (after < before && after == 0)
		m.churn_mrr = before;
	else
		m.contraction_mrr = before - after;
	return m;
}
