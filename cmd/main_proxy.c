/* chatello-proxy: the wiring of the proxy process. */
#include "workers/workers.h"

int
main(int argc, char **argv)
{
	return pool_main(&proxy_worker, argc, argv);
}
