/*
 * processors: on two of them the edge and the validator have one each; what
 * else there is, and several of a kind, go where there is room.
 */
#include <sched.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

/* Leaves this process, and what it starts, the first `most` of what it has.
 * Returns how many those are. */
static int
take_processors(int most, cpu_set_t *taken)
{
	cpu_set_t allowed;

	CHECK_INT(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	CPU_ZERO(taken);
	for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(taken) < most; i++)
		if (CPU_ISSET(i, &allowed))
			CPU_SET(i, taken);
	CHECK_INT(sched_setaffinity(0, sizeof(*taken), taken), 0);
	return CPU_COUNT(taken);
}

static cpu_set_t
processors_of(const struct house *house, const char *name)
{
	cpu_set_t set;

	CHECK_INT(sched_getaffinity(house_pid(house, name), sizeof(set), &set),
		  0);
	return set;
}

TEST_LIMITED(processors_are_one_each_for_edge_and_validator_of_two, 60)
{
	cpu_set_t taken, edge, validator, both, other;
	struct house house;
	int count = take_processors(2, &taken);

	house_init(&house);
	house_prepare(&house);
	house_up(&house);
	edge = processors_of(&house, "edge-0");
	validator = processors_of(&house, "validate-0");
	CPU_OR(&both, &edge, &validator);
	CHECK(CPU_EQUAL(&both, &taken));
	CHECK_INT(CPU_COUNT(&edge), 1);
	CHECK_INT(CPU_COUNT(&validator), 1);
	other = processors_of(&house, "usage-0");
	CHECK(CPU_EQUAL(&other, &taken));
	other = processors_of(&house, "proxy-0");
	CHECK(CPU_EQUAL(&other, &taken));
	CHECK_INT(sched_getscheduler(house_pid(&house, "validate-0")),
		  SCHED_BATCH);
	CHECK_INT(sched_getscheduler(house_pid(&house, "edge-0")), SCHED_OTHER);
	CHECK(CPU_EQUAL(&edge, &validator) == (count == 1));
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(processors_are_left_to_the_kernel_with_several_edges, 60)
{
	cpu_set_t taken, one;
	struct house house;

	take_processors(2, &taken);
	house_set("CHATELLO_EDGES", "2");
	house_init(&house);
	house_prepare(&house);
	house_up(&house);
	one = processors_of(&house, "edge-1");
	CHECK(CPU_EQUAL(&one, &taken));
	one = processors_of(&house, "validate-0");
	CHECK(CPU_EQUAL(&one, &taken));
	CHECK_INT(house_down(&house), 0);
}
