/*
 * validate_rates: see validate_rates.h. Sets of four slots; a slot is the hash
 * of licence and site, and its theoretical arrival time. An entry whose time
 * has passed says no more than an empty one, so the smallest time is the one
 * to overwrite.
 */
#include "workers/validate_rates.h"

#include "lib/clock.h"
#include "lib/id.h"

#include <stdlib.h>

#define WAYS 4u
#define HOUR_MS INT64_C(3600000)

struct rates_slot {
	uint64_t hash;
	int64_t tat_ns; /* 0 = never used */
};

struct rates {
	uint64_t seed; /* so that nobody outside can choose collisions */
	struct rates_slot slots[RATES_SLOTS];
};

struct rates *
rates_open(void)
{
	struct rates *rates = calloc(1, sizeof(*rates));

	if (rates)
		id_random(&rates->seed, sizeof(rates->seed));
	return rates;
}

void
rates_close(struct rates *rates)
{
	free(rates);
}

/* FNV-1a, seeded, with the last byte mixed into all bits. */
static uint64_t
hash_add(uint64_t hash, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		hash ^= (unsigned char)s.p[i];
		hash *= UINT64_C(0x100000001b3);
	}
	hash ^= hash >> 29;
	hash *= UINT64_C(0xbf58476d1ce4e5b9);
	return hash ^ hash >> 32;
}

static struct rates_slot *
slot_of(struct rates *rates, uint64_t hash)
{
	struct rates_slot *set =
	    &rates->slots[(hash % (RATES_SLOTS / WAYS)) * WAYS];
	struct rates_slot *oldest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].tat_ns < oldest->tat_ns)
			oldest = &set[i];
	}
	*oldest = (struct rates_slot){.hash = hash};
	return oldest;
}

struct rules_rate
rates_take(struct rates *rates, struct str license_id, struct str host,
	   int64_t now_ms, int64_t limit)
{
	uint64_t hash = hash_add(hash_add(rates->seed, license_id), host);
	struct rates_slot *slot = slot_of(rates, hash);

	return rules_gcra(&slot->tat_ns, now_ms * NS_PER_MS, limit, HOUR_MS);
}
