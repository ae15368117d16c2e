/* chatello: the command line. The table of commands is in command_table.c. */
#include "cmd/command.h"

int
main(int argc, char **argv)
{
	return command_main(argc, argv);
}
