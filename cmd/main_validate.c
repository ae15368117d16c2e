/* chatello-validate: the wiring of the validate process. */
#include "workers/workers.h"

int
main(int argc, char **argv)
{
	return pool_main(&validate_worker, argc, argv);
}
