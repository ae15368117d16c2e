/* chatello-usage: the wiring of the usage process. */
#include "workers/workers.h"

int
main(int argc, char **argv)
{
	return pool_main(&usage_worker, argc, argv);
}
