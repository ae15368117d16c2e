/*
 * usage_test: the writing process as a whole, in a child, over a real bus and
 * LMDB: what is answered is in the store, the doorbell rings, and reservations
 * that nobody settles are closed.
 */
#include "workers/workers.h"

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/id.h"
#include "lib/test.h"
#include "workers/ledger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct house {
	struct conf conf;
	struct arena arena;
	struct ledger_init init;
	pid_t worker;
	struct loop *loop;
	struct bus *bus;
	struct bus_pool *pool;
	unsigned rings;
	struct str key, license_id;
};

struct got {
	const struct schema *schema;
	struct arena *arena;
	void *out;
	bool is_there;
	enum err err;
};

static void
on_answer(void *ctx, const struct bus_answer *answer)
{
	struct got *got = ctx;
	struct str body = arena_str(got->arena, answer->body);

	got->is_there = true;
	got->err = answer->err;
	if (answer->err == ERR_OK)
		CHECK_OK(schema_decode(got->schema, body, got->out, got->arena,
				       NULL));
}

static enum err
ask(struct house *house, const struct schema *schema, const void *in,
    const struct schema *out_schema, void *out)
{
	struct got got = {
	    .schema = out_schema, .arena = &house->arena, .out = out};
	struct bus_ask question = {.type = schema->number,
				   .deadline_ms = 10000,
				   .fn = on_answer,
				   .ctx = &got};
	struct buf body;
	uint64_t id;

	buf_init(&body, 65536);
	schema_encode(schema, in, &body);
	question.body = buf_str(&body);
	CHECK_OK(bus_ask(house->pool, &question, &id));
	buf_fini(&body);
	while (!got.is_there)
		CHECK_OK(loop_turn(house->loop, 100));
	return got.err;
}

static void
on_ring(void *ctx)
{
	struct house *house = ctx;

	house->rings++;
}

static pid_t
worker_start(void)
{
	static char name[] = "chatello-usage";
	char *argv[] = {name, NULL};
	pid_t pid = fork();

	if (pid == 0)
		_exit(pool_main(&usage_worker, 1, argv));
	CHECK(pid > 0);
	return pid;
}

static int
worker_wait(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
house_conf(struct house *house)
{
	char name[] = "test";
	char *argv[] = {name, NULL};
	int argc = 1;

	setenv("CHATELLO_DATA", "house", 1);
	setenv("CHATELLO_MAP_BYTES", "64M", 1);
	setenv("CHATELLO_LOG_LEVEL", "error", 1);
	arena_init(&house->arena, 16u << 20);
	CHECK_OK(conf_load(&house->conf, &argc, argv, NULL));
}

/* An initialised house with its ledger running, asked by a process of that
 * name, and one licence. */
static void
house_open(struct house *house, const char *name)
{
	struct bus_peer_state state = {.is_alive = false};
	struct license_issued issued;
	struct license_issue issue;
	struct why why = {"", ""};

	*house = (struct house){.rings = 0};
	house_conf(house);
	CHECK_OK(ledger_init(&house->conf, &house->arena, &house->init, &why));
	house->worker = worker_start(); /* before this process has threads */
	CHECK_OK(loop_open(&house->loop));
	CHECK_OK(bus_open(&house->bus, house->loop, house->conf.run_dir, name,
			  &why));
	CHECK_OK(bus_pool_open(house->bus, "usage", 1, 2, &house->pool));
	CHECK_OK(bus_doorbell_listen(house->bus, "usage-0", on_ring, house));
	while (!state.is_alive) {
		CHECK_OK(loop_turn(house->loop, 100));
		bus_pool_state(house->pool, 0, &state);
	}
	schema_clear(&license_issue_schema, &issue);
	issue.email = STR("owner@shop.example");
	issue.plan = STR("pro");
	CHECK_OK(ask(house, &license_issue_schema, &issue,
		     &license_issued_schema, &issued));
	house->key = issued.license_key;
	house->license_id = issued.license_id;
}

static void
house_close(struct house *house)
{
	bus_close(house->bus);
	loop_close(house->loop);
	CHECK(kill(house->worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(house->worker), 0);
	arena_fini(&house->arena);
}

static struct store *
store_read(struct house *house)
{
	struct store_conf conf = {.engine = "lmdb",
				  .dir = "house/store",
				  .map_bytes = house->conf.map_bytes};
	struct store *store;
	struct why why = {"", ""};

	CHECK_OK(store_open(&store, &conf, &why));
	return store;
}

/* Its status as a reader of the store sees it; STR_NONE: no such line. */
static struct str
status_read(struct house *house, struct store *store, const char *request_id)
{
	struct usage_line line;
	struct str at, value;
	struct key key;

	key_usage_line(&key, str_of(request_id), house->license_id);
	at = key_str(&key);
	CHECK_OK(store_load(store, &at, 1, &value, &house->arena));
	if (value.p == NULL)
		return STR_NONE;
	CHECK_OK(schema_decode(&usage_line_schema, value, &line, &house->arena,
			       NULL));
	return line.status;
}

static void
reserve(struct house *house, const char *request_id, const char *owner,
	int64_t expires_ms)
{
	struct reserved out;
	struct reserve in;

	schema_clear(&reserve_schema, &in);
	in.request_id = str_of(request_id);
	in.key = house->key;
	in.provider = STR("demo");
	in.model = STR("demo");
	in.owner = str_of(owner);
	in.owner_start = 1; /* no incarnation of these tests */
	in.expires_ms = expires_ms;
	CHECK_OK(ask(house, &reserve_schema, &in, &reserved_schema, &out));
}

static void
await(struct house *house, struct store *store, const char *request_id,
      const char *status)
{
	while (!str_eq(status_read(house, store, request_id), str_of(status)))
		CHECK_OK(loop_turn(house->loop, 20));
}

/* --- tests --------------------------------------------------------------- */

TEST(usage_answers_what_is_in_the_store_soon)
{
	struct house house;
	struct store *store;
	uint64_t seq;

	house_open(&house, "edge-0");
	store = store_read(&house);
	CHECK_OK(store_head(store, &seq));
	CHECK_INT(seq, 3); /* the workspace, the customer, the licence */
	reserve(&house, "r1", "proxy-9", 600000);
	await(&house, store, "r1", "reserved");
	store_close(store);
	house_close(&house);
}

TEST(usage_rings_when_there_are_events)
{
	char request_id[ID_TEXT_BYTES];
	struct house house;
	struct settled out;
	struct settle in;

	house_open(&house, "edge-0");
	/* What rings before we are connected is not heard. */
	while (house.rings == 0) {
		id_new("", clock_wall_ms(), request_id);
		reserve(&house, request_id, "proxy-9", 600000);
		schema_clear(&settle_schema, &in);
		in.license_id = house.license_id;
		in.request_id = str_of(request_id);
		in.status = STR("settled");
		CHECK_OK(
		    ask(&house, &settle_schema, &in, &settled_schema, &out));
		CHECK_OK(loop_turn(house.loop, 100));
	}
	house_close(&house);
}

TEST(usage_closes_what_expired)
{
	struct house house;
	struct store *store;

	house_open(&house, "edge-0");
	reserve(&house, "late", "proxy-9", 600000);
	reserve(&house, "soon", "proxy-9", 30);
	store = store_read(&house);
	await(&house, store, "soon", "interrupted");
	CHECK_STR(status_read(&house, store, "late"), STR("reserved"));
	store_close(store);
	house_close(&house);
}

TEST(usage_closes_what_a_dead_proxy_left)
{
	struct house house;
	struct store *store;

	/* Another start of proxy-0 than the one that reserves. */
	house_open(&house, "proxy-0");
	reserve(&house, "other", "proxy-1", 600000);
	reserve(&house, "mine", "proxy-0", 600000);
	bus_close(house.bus);
	CHECK_OK(bus_open(&house.bus, house.loop, house.conf.run_dir, "proxy-0",
			  NULL));
	CHECK_OK(bus_pool_open(house.bus, "usage", 1, 2, &house.pool));
	store = store_read(&house);
	await(&house, store, "mine", "interrupted");
	CHECK_STR(status_read(&house, store, "other"), STR("reserved"));
	store_close(store);
	house_close(&house);
}

/* As a reader of the store sees it; 0: no meter. */
static int64_t
reserved_read(struct house *house, struct store *store)
{
	struct str at, value;
	struct meter meter;
	struct key key;

	key_meter(&key, house->license_id);
	at = key_str(&key);
	CHECK_OK(store_load(store, &at, 1, &value, &house->arena));
	if (value.p == NULL)
		return 0;
	CHECK_OK(
	    schema_decode(&meter_schema, value, &meter, &house->arena, NULL));
	return meter.month_reserved;
}

TEST(usage_writes_counters_when_it_is_idle_and_after_a_kill)
{
	struct ledger ledger;
	struct house house;
	struct store *store;

	house_open(&house, "edge-0");
	store = store_read(&house);
	reserve(&house, "r1", "proxy-9", 600000);
	while (reserved_read(&house, store) != 1)
		CHECK_OK(loop_turn(house.loop, 20));
	reserve(&house, "r2", "proxy-9", 600000);
	CHECK(kill(house.worker, SIGKILL) == 0);
	CHECK(waitpid(house.worker, NULL, 0) == house.worker);
	store_close(store);
	CHECK_OK(ledger_open(&ledger, &house.conf, NULL));
	CHECK_STR(status_read(&house, ledger.store, "r2"), STR("reserved"));
	CHECK_INT(reserved_read(&house, ledger.store), 2);
	ledger_close(&ledger);
	bus_close(house.bus);
	loop_close(house.loop);
	arena_fini(&house.arena);
}

TEST(usage_needs_a_store)
{
	struct house house;

	house_conf(&house);
	CHECK(mkdir("house", 0750) == 0 && mkdir("house/run", 0750) == 0);
	CHECK(freopen("errors", "w", stderr) != NULL);
	CHECK_INT(worker_wait(worker_start()), 1);
	arena_fini(&house.arena);
}

TEST(ledger_init_makes_a_house_once)
{
	struct house house = {.rings = 0};
	struct ledger ledger, second;
	struct why why = {"", ""};
	struct stat before, after;

	house_conf(&house);
	CHECK_ERR(ledger_open(&ledger, &house.conf, &why), ERR_STORE_MISSING);
	CHECK_OK(ledger_init(&house.conf, &house.arena, &house.init, &why));
	CHECK(stat("house/master.key", &before) == 0);
	CHECK_INT(before.st_mode & 0777, 0600);
	CHECK_ERR(ledger_init(&house.conf, &house.arena, &house.init, &why),
		  ERR_EXISTS);
	CHECK(stat("house/master.key", &after) == 0);
	CHECK_INT(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	CHECK_OK(ledger_open(&ledger, &house.conf, &why));
	CHECK_ERR(ledger_open(&second, &house.conf, &why), ERR_STORE_LOCKED);
	ledger_close(&ledger);
	/* A lost master key is not replaced by another. */
	CHECK(unlink("house/master.key") == 0);
	CHECK_ERR(ledger_init(&house.conf, &house.arena, &house.init, &why),
		  ERR_EXISTS);
	CHECK(access("house/master.key", F_OK) != 0);
	CHECK_ERR(ledger_open(&ledger, &house.conf, &why), ERR_CONFIG);
	arena_fini(&house.arena);
}
