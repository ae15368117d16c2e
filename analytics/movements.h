/*
 * movements: monthly recurring revenue as pure arithmetic. MRR is kept in 1/24
 * micro-units, in which every billing cycle's share of a month is a whole
 * number; it is rounded only where it is shown. A movement is told of the
 * customer, not of the single subscription.
 */
#ifndef ANALYTICS_MOVEMENTS_H
#define ANALYTICS_MOVEMENTS_H

#include "lib/str.h"

#define MRR_UNIT 24 /* of them in a micro-unit */

/* What a price per cycle ("month", "year") comes to a month; 0 when there is
 * no price, no such cycle, or no room for it in the type. */
int64_t movements_mrr(int64_t price, struct str cycle);
/* In micro-units, half away from zero. */
int64_t movements_shown(int64_t mrr);

/* All in 1/24 micro-units, none negative. */
struct movement {
	int64_t new_mrr;
	int64_t expansion_mrr;
	int64_t contraction_mrr;
	int64_t churn_mrr;
	int64_t reactivation_mrr;
};
/* What a customer's MRR did that was `before` and is `after`. */
struct movement movements_of(int64_t before, int64_t after, bool has_paid);

#endif
