/*
 * rows: see rows.h. A key: 'g', the generation, a letter of the kind, then the
 * parts, text ended by a 0 byte. Numbers are big-endian with the sign bit
 * turned, so that bytes sort as numbers do.
 */
#include "analytics/rows.h"

#include <assert.h>

/* clang-format off */
#define SCHEMA_DEF_TABLES
#include "lib/schema_def.h"
#include "analytics/rows.def"
#include "lib/schema_undef.h"
/* clang-format on */

#define NUMBER_BYTES 8u

static void
add(struct key *key, const void *p, size_t n)
{
	assert(key->n + n <= sizeof(key->p));
	if (n)
		memcpy(key->p + key->n, p, n);
	key->n += n;
}

static void
add_text(struct key *key, struct str s)
{
	add(key, s.p, s.n);
	add(key, "", 1);
}

static void
add_number(struct key *key, int64_t i)
{
	uint64_t bits = (uint64_t)i ^ UINT64_C(0x8000000000000000);
	unsigned char bytes[NUMBER_BYTES];

	for (unsigned b = 0; b < NUMBER_BYTES; b++)
		bytes[b] = (unsigned char)(bits >> (56 - 8 * b));
	add(key, bytes, sizeof(bytes));
}

static int64_t
read_number(const char *p)
{
	uint64_t bits = 0;

	for (unsigned b = 0; b < NUMBER_BYTES; b++)
		bits = bits << 8 | (unsigned char)p[b];
	return (int64_t)(bits ^ UINT64_C(0x8000000000000000));
}

static void
begin(struct key *key, int64_t generation, char kind)
{
	row_key_generation(key, generation);
	add(key, &kind, 1);
}

void
row_key_state(struct key *key)
{
	key->n = 0;
	add(key, "!", 1);
}

void
row_key_generation(struct key *key, int64_t generation)
{
	key->n = 0;
	add(key, "g", 1);
	add_number(key, generation);
}

void
row_key_progress(struct key *key, int64_t generation)
{
	begin(key, generation, '!');
}

void
row_key_tally(struct key *key, int64_t generation, struct str workspace)
{
	begin(key, generation, 't');
	add_text(key, workspace);
}

void
row_key_payer(struct key *key, int64_t generation, struct str customer_id)
{
	begin(key, generation, 'c');
	add_text(key, customer_id);
}

void
row_key_stake(struct key *key, int64_t generation, struct str subscription_id)
{
	begin(key, generation, 's');
	add_text(key, subscription_id);
}

void
row_key_provisional(struct key *key, int64_t generation, struct str license_id,
		    struct str request_id)
{
	begin(key, generation, 'i');
	add_text(key, license_id);
	add_text(key, request_id);
}

void
row_key_day(struct key *key, int64_t generation, struct str workspace,
	    struct str date)
{
	begin(key, generation, 'd');
	add_text(key, workspace);
	add(key, date.p, date.n);
}

void
row_key_end(struct key *key, int64_t generation, struct str workspace,
	    int64_t ends_at_ms, struct str subscription_id)
{
	begin(key, generation, 'e');
	add_text(key, workspace);
	if (subscription_id.p == NULL)
		return;
	add_number(key, ends_at_ms);
	add(key, subscription_id.p, subscription_id.n);
}

bool
row_end_of(struct str key, const struct key *prefix, int64_t *ends_at_ms,
	   struct str *subscription_id)
{
	if (!str_starts(key, key_str(prefix)) ||
	    key.n <= prefix->n + NUMBER_BYTES)
		return false;
	*ends_at_ms = read_number(key.p + prefix->n);
	*subscription_id = str_bytes(key.p + prefix->n + NUMBER_BYTES,
				     key.n - prefix->n - NUMBER_BYTES);
	return true;
}

void
day_clear(struct day *day)
{
	schema_clear(&day_schema, day);
	day->customers = day->paying_customers = 0;
	day->new_mrr = day->expansion_mrr = day->contraction_mrr = 0;
	day->churn_mrr = day->reactivation_mrr = 0;
	day->ai_requests = day->input_tokens = day->output_tokens = 0;
	day->cost = day->notes_left_out = day->revision = 0;
}

void
tally_clear(struct tally *tally)
{
	schema_clear(&tally_schema, tally);
	tally->timezone = STR("Europe/Rome");
	tally->currency = STR("EUR");
	tally->locale = STR("it");
	tally->customers = tally->active_licenses = 0;
	tally->told_customers = tally->told_licenses = 0;
}

void
payer_clear(struct payer *payer)
{
	schema_clear(&payer_schema, payer);
	payer->mrr = payer->subscriptions = 0;
}

void
stake_clear(struct stake *stake)
{
	schema_clear(&stake_schema, stake);
	stake->mrr = 0;
}
