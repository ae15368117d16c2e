/*
 * pairs: how many reservations with their settlements the ledger takes, each
 * step flushed. It speaks to usage-0 over the bus as proxy-0 does, so no proxy
 * may run. Prints: pairs errors per_second reserve_p50_us
 *
 * pairs OUTSTANDING SECONDS KEYS_FILE   (the house is CHATELLO_DATA's)
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/bus.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/id.h"
#include "lib/msg.h"

#define OUTSTANDING_MAX 1024
#define KEYS_MAX 100000
#define ASK_MS 5000
#define BUCKETS 1000000 /* of 1 us */
#define START_MS 10000

struct slot {
	char id[ID_TEXT_BYTES];
	char license_id[33];
	int64_t began_ns;
};

static struct loop *loop;
static struct bus *bus;
static struct bus_pool *usage;
static struct slot slots[OUTSTANDING_MAX];
static char keys[KEYS_MAX][32];
static size_t key_count, next_key;
static uint64_t pairs, errors;
static uint32_t buckets[BUCKETS];
static uint64_t reserves;
static bool is_over;
static struct buf body;
static struct arena arena;

static void begin(struct slot *slot);

static void
ask(const struct schema *schema, const void *in, bus_answer_fn *fn,
    struct slot *slot)
{
	uint64_t id;
	enum err e;

	buf_reset(&body);
	schema_encode(schema, in, &body);
	e = bus_ask(usage,
		    &(struct bus_ask){.type = schema->number,
				      .deadline_ms = ASK_MS,
				      .body = buf_str(&body),
				      .fn = fn,
				      .ctx = slot},
		    &id);
	if (e != ERR_OK) {
		fprintf(stderr, "pairs: %s\n", err_text(e));
		exit(1);
	}
}

static void
on_settled(void *context, const struct bus_answer *answer)
{
	if (answer->err == ERR_OK)
		pairs++;
	else
		errors++;
	begin(context);
}

static void
on_reserved(void *context, const struct bus_answer *answer)
{
	struct slot *slot = context;
	int64_t us = (clock_mono_ns() - slot->began_ns) / 1000;
	struct reserved out;
	struct settle in;

	arena_reset(&arena);
	if (answer->err ||
	    schema_decode(&reserved_schema, answer->body, &out, &arena, NULL)) {
		errors++;
		begin(slot);
		return;
	}
	reserves++;
	buckets[us < BUCKETS ? us : BUCKETS - 1]++;
	schema_clear(&settle_schema, &in);
	in.license_id = out.license_id;
	in.request_id = str_of(slot->id);
	in.attempt = 1;
	in.status = STR("settled");
	in.source = STR("provider");
	in.input_tokens = 12;
	in.output_tokens = 34;
	in.attempts = 1;
	in.latency_ms = 5;
	ask(&settle_schema, &in, on_settled, slot);
}

static void
begin(struct slot *slot)
{
	struct reserve in;

	if (is_over)
		return;
	schema_clear(&reserve_schema, &in);
	in.request_id = id_new("", clock_wall_ms(), slot->id);
	in.key = str_of(keys[next_key++ % key_count]);
	in.feature = STR("ai_proxy");
	in.provider = STR("openai");
	in.model = STR("gpt-test");
	in.owner = STR("proxy-0");
	in.owner_start = (int64_t)(bus_incarnation(bus) & INT64_MAX);
	in.attempt = 1;
	in.expires_ms = 600000;
	in.input_tokens = 12;
	slot->began_ns = clock_mono_ns();
	ask(&reserve_schema, &in, on_reserved, slot);
}

static bool
read_keys(const char *path)
{
	FILE *file = fopen(path, "re");

	while (file && key_count < KEYS_MAX &&
	       fscanf(file, "%31s", keys[key_count]) == 1)
		key_count++;
	if (file)
		fclose(file);
	return key_count > 0;
}

static bool
wait_for_usage(void)
{
	int64_t end = clock_mono_ms() + START_MS;
	struct bus_peer_state state;

	do {
		loop_turn(loop, 50);
		bus_pool_state(usage, 0, &state);
	} while (!state.is_alive && clock_mono_ms() < end);
	return state.is_alive;
}

static unsigned
reserve_p50_us(void)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		if ((seen += buckets[i]) * 2 > reserves)
			return i;
	return 0;
}

int
main(int argc, char **argv)
{
	int outstanding = argc == 4 ? atoi(argv[1]) : 0, no_args = 1;
	static char *none[] = {NULL, NULL};
	struct conf conf;
	struct why why = {.text = "usage: pairs OUTSTANDING SECONDS KEYS"};
	int64_t began, end;

	none[0] = argv[0];
	buf_init(&body, 65536);
	arena_init(&arena, 65536);
	if (outstanding < 1 || outstanding > OUTSTANDING_MAX ||
	    !read_keys(argv[3]) || conf_load(&conf, &no_args, none, &why) ||
	    loop_open(&loop) ||
	    bus_open(&bus, loop, conf.run_dir, "proxy-0", &why) ||
	    bus_pool_open(bus, "usage", 1, 1, &usage) || !wait_for_usage()) {
		fprintf(stderr, "pairs: %s\n", why.text);
		return 1;
	}
	began = clock_mono_ns();
	end = began + atoi(argv[2]) * INT64_C(1000000000);
	for (int i = 0; i < outstanding; i++)
		begin(&slots[i]);
	while (clock_mono_ns() < end)
		loop_turn(loop, 100);
	is_over = true;
	printf("%llu %llu %.0f %u\n", (unsigned long long)pairs,
	       (unsigned long long)errors,
	       (double)pairs * 1e9 / (double)(clock_mono_ns() - began),
	       reserve_p50_us());
	bus_close(bus);
	loop_close(loop);
	return 0;
}
