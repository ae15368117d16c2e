/*
 * translate_random_test: dice for the property tests of translation: the same
 * numbers for the same seed, texts of every kind of character, objects.
 */
#ifndef WORKERS_TRANSLATE_RANDOM_TEST_H
#define WORKERS_TRANSLATE_RANDOM_TEST_H

#include <jansson.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline struct dice
dice_of(uint64_t seed)
{
	return (struct dice){seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
}

/* 0 to n - 1 */
unsigned dice_roll(struct dice *dice, unsigned n);
/* Up to so many characters; "" and blank ones among them. */
json_t *random_text(struct dice *dice, unsigned characters);
/* Of members a, b, c... with all kinds of values, a few levels deep. */
json_t *random_object(struct dice *dice);
/* As text, in one of the ways that clients write JSON. */
struct str random_print(struct dice *dice, const json_t *json);

#endif
