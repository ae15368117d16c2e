/* chatello-analytics: the wiring of the analytics process. */
#include "analytics/analytics.h"

int
main(int argc, char **argv)
{
	return pool_main(&analytics_worker, argc, argv);
}
