/*
 * ledger_house: see ledger_house_test.h.
 */
#include "workers/ledger_house_test.h"

/* An answer points into the group, which the commit empties: as in the pool, it
 * is encoded before. */
static void
keep(struct ledger_house *house, unsigned type, void *out)
{
	const struct schema *schema = NULL;
	struct buf bytes;

	for (size_t i = 0; i < ledger_row_count; i++)
		if (ledger_rows[i].in->number == type)
			schema = ledger_rows[i].out;
	buf_init(&bytes, 1u << 20);
	schema_encode(schema, out, &bytes);
	CHECK_OK(schema_decode(schema,
			       arena_str(&house->arena, buf_str(&bytes)), out,
			       &house->arena, NULL));
	buf_fini(&bytes);
}

enum err
ledger_house_call(struct ledger_house *house, unsigned type, const void *in,
		  void *out)
{
	struct context context = {.state = &house->ledger,
				  .arena = &house->arena,
				  .now_ms = T0,
				  .peer = house->peer};
	unsigned events;
	enum err e =
	    pool_call(ledger_rows, ledger_row_count, &context, type, in, out);

	house->failure = context.failure;
	if (e == ERR_OK)
		keep(house, type, out);
	if (!house->is_in_turn)
		CHECK_OK(ledger_commit(&house->ledger, &events));
	return e;
}

void
ledger_house_open(struct ledger_house *house)
{
	struct store_conf conf = {.engine = "memory"};
	struct license_issue issue;
	struct ledger_init init;
	struct crypto *crypto;
	struct store *store;
	struct why why = {"", ""};

	*house = (struct ledger_house){.peer = "proxy-0"};
	arena_init(&house->arena, 64u << 20);
	CHECK_OK(store_open(&store, &conf, &why));
	CHECK_OK(crypto_make_master_key("master.key", &why));
	CHECK_OK(crypto_open(&crypto, "master.key", &why));
	CHECK_OK(ledger_seed(store, crypto, T0, &house->arena, &init, &why));
	CHECK_OK(ledger_attach(&house->ledger, store, crypto, &why));
	schema_clear(&license_issue_schema, &issue);
	issue.email = STR("a@example.com");
	issue.plan = STR("agency");
	CHECK_OK(ledger_house_call(house, MSG_license_issue, &issue,
				   &house->license));
}

void
ledger_house_close(struct ledger_house *house)
{
	ledger_close(&house->ledger);
	arena_fini(&house->arena);
}
