/*
 * main_edge: chatello-edge.
 */
#include "edge/edge.h"

int
main(int argc, char **argv)
{
	return edge_main(argc, argv);
}
