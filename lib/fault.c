/*
 * fault: see fault.h. Rules are few and looked through at each point; that is
 * for test builds only. Loop thread only.
 */
#include "lib/fault.h"

#include <stddef.h>

#ifdef CHATELLO_FAULTS
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 16
#define POINT_BYTES 48

static struct rule {
	char point[POINT_BYTES];
	uint64_t nth;	 /* that pass fails; 0 = by chance */
	uint64_t chance; /* one in so many */
	uint64_t passes;
} rules[RULES_MAX];
static size_t rule_count;
static bool is_read;
static uint64_t seed;

/* SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere. */
static uint64_t
next_random(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void
read_rule(const char *text, size_t n)
{
	struct rule *rule = &rules[rule_count];
	const char *colon = memchr(text, ':', n);
	const char *number = colon ? colon + 1 : "";
	bool is_chance = strncmp(number, "1/", 2) == 0;
	uint64_t value = strtoull(number + (is_chance ? 2 : 0), NULL, 10);

	if (colon == NULL || value == 0 || rule_count == RULES_MAX ||
	    (size_t)(colon - text) >= sizeof(rule->point)) {
		fprintf(stderr,
			"fault-rule \"%.*s\" is not POINT:N or "
			"POINT:1/N\n",
			(int)n, text);
		abort();
	}
	*rule = (struct rule){.nth = is_chance ? 0 : value,
			      .chance = is_chance ? value : 0};
	memcpy(rule->point, text, (size_t)(colon - text));
	rule_count++;
}

void
fault_set(const char *text)
{
	const char *seed_text = getenv("CHATELLO_FAULT_SEED");

	rule_count = 0;
	is_read = true;
	seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
	while (text && *text) {
		size_t n = strcspn(text, ",");

		read_rule(text, n);
		text += n;
		text += *text == ',';
	}
}

bool
fault(const char *point)
{
	bool fails = false;

	if (!is_read)
		fault_set(getenv("CHATELLO_FAULT"));
	for (size_t i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (strcmp(rule->point, point) != 0)
			continue;
		rule->passes++;
		if (rule->nth ? rule->passes == rule->nth
			      : next_random() % rule->chance == 0)
			fails = true;
	}
	return fails;
}
#endif
