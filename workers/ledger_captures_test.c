/*
 * ledger_captures_test: what is kept of a licence's requests, how much of it,
 * sealed as whose, and that none of it is left when it has ended.
 */
#include "workers/ledger_house_test.h"

#include "store/capture.h"

#define CANARY "canary prompt"
#define HOUR INT64_C(3600000)

static enum err
set(struct ledger_house *house, int64_t for_ms)
{
	struct capture_set in = {house->license.license_id, for_ms};
	struct capture_view out;

	return ledger_house_call(house, MSG_capture_set, &in, &out);
}

static enum err
put(struct ledger_house *house, struct str asked, struct str said)
{
	struct capture_put in = {.license_id = house->license.license_id,
				 .request_id = STR("r1"),
				 .status = 200,
				 .asked = asked,
				 .asked_bytes = (int64_t)asked.n,
				 .said = said,
				 .said_bytes = (int64_t)said.n};
	struct nothing out;

	return ledger_house_call(house, MSG_capture_put, &in, &out);
}

static bool
is_captured(struct ledger_house *house, int64_t now_ms)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license license;

	CHECK_OK(ledger_license_by_key(&house->ledger,
				       house->license.license_key,
				       &house->arena, &license, hash));
	return ledger_is_captured(&license, now_ms);
}

/* How many records of the kind there are, and that none shows the canary. */
static size_t
count(struct ledger_house *house, char kind)
{
	static struct store_row rows[1024];
	size_t n;

	CHECK_OK(store_scan(house->ledger.store, str_bytes(&kind, 1), STR_NONE,
			    1024, &house->arena, rows, &n));
	for (size_t i = 0; i < n; i++)
		CHECK(!memmem(rows[i].value.p, rows[i].value.n, CANARY,
			      strlen(CANARY)));
	return n;
}

static void
check_nothing(struct ledger_house *house)
{
	CHECK_INT(count(house, KEY_CAPTURE), 0);
	CHECK_INT(count(house, KEY_CAPTURE_END), 0);
	CHECK(!is_captured(house, T0));
}

TEST(ledger_captures_nothing_unless_it_is_on)
{
	struct ledger_house house;

	ledger_house_open(&house);
	CHECK_OK(put(&house, STR(CANARY), STR(CANARY)));
	check_nothing(&house);
	CHECK_ERR(set(&house, 0), ERR_BAD_FIELD);
	CHECK_ERR(set(&house, 24 * HOUR + 1), ERR_BAD_FIELD);
	CHECK_ERR(set(&house, INT64_MAX), ERR_BAD_FIELD);
	CHECK_OK(set(&house, SCHEMA_INT_NONE));
	check_nothing(&house);
	ledger_house_close(&house);
}

/* The clock that began is the ledger's: all 24 hours are to be had. */
TEST(ledger_captures_for_at_most_a_day)
{
	struct ledger_house house;

	ledger_house_open(&house);
	CHECK_OK(set(&house, 24 * HOUR));
	CHECK(is_captured(&house, T0 + 24 * HOUR - 1));
	CHECK(!is_captured(&house, T0 + 24 * HOUR));
	ledger_house_close(&house);
}

TEST(ledger_captures_in_sealed_pieces)
{
	static char text[CAPTURE_BYTES_MAX];
	struct ledger_house house;
	struct capture_piece piece;
	struct str secret, id;
	struct key key;

	ledger_house_open(&house);
	id = house.license.license_id;
	CHECK_OK(set(&house, HOUR));
	CHECK(is_captured(&house, T0));
	CHECK(!is_captured(&house, T0 + HOUR));
	memset(text, 'x', sizeof(text));
	memcpy(text + 3000, CANARY, strlen(CANARY));
	CHECK_OK(put(&house, str_bytes(text, sizeof(text)), STR(CANARY)));
	CHECK_INT(count(&house, KEY_CAPTURE), CAPTURE_PIECES_MAX + 1);
	key_capture(&key, id, 0, CAPTURE_ASKED, 2);
	CHECK_OK(group_load(house.ledger.group, &key, &capture_piece_schema,
			    &piece, &house.arena));
	CHECK_OK(crypto_open_sealed(
	    house.ledger.crypto, piece.sealed,
	    capture_identity(id, STR("r1"), CAPTURE_ASKED, 2, &house.arena),
	    &house.arena, &secret));
	CHECK(memmem(secret.p, secret.n, CANARY, strlen(CANARY)));
	/* Nobody else's, and at no other place. */
	CHECK_ERR(
	    crypto_open_sealed(
		house.ledger.crypto, piece.sealed,
		capture_identity(id, STR("r2"), CAPTURE_ASKED, 2, &house.arena),
		&house.arena, &secret),
	    ERR_STORE_CORRUPT);
	CHECK_ERR(
	    crypto_open_sealed(
		house.ledger.crypto, piece.sealed,
		capture_identity(id, STR("r1"), CAPTURE_SAID, 2, &house.arena),
		&house.arena, &secret),
	    ERR_STORE_CORRUPT);
	CHECK_OK(set(&house, SCHEMA_INT_NONE));
	check_nothing(&house);
	ledger_house_close(&house);
}

TEST(ledger_captures_so_many_and_no_more)
{
	struct ledger_house house;

	ledger_house_open(&house);
	CHECK_OK(set(&house, HOUR));
	for (unsigned i = 0; i < CAPTURES_MAX + 5; i++)
		CHECK_OK(put(&house, STR(CANARY), STR("")));
	CHECK_INT(count(&house, KEY_CAPTURE), CAPTURES_MAX);
	CHECK(!is_captured(&house, T0)); /* the proxy is told to keep none */
	/* Switched on again it begins anew. */
	CHECK_OK(set(&house, 2 * HOUR));
	CHECK_INT(count(&house, KEY_CAPTURE), 0);
	CHECK_INT(count(&house, KEY_CAPTURE_END), 1);
	CHECK(is_captured(&house, T0));
	ledger_house_close(&house);
}

TEST(ledger_captures_are_erased_when_they_end)
{
	struct ledger_house house;
	unsigned events;

	ledger_house_open(&house);
	CHECK_OK(ledger_captures_end(&house.ledger, T0, &house.arena));
	CHECK_OK(set(&house, HOUR));
	CHECK_OK(put(&house, STR(CANARY), STR(CANARY)));
	CHECK_OK(
	    ledger_captures_end(&house.ledger, T0 + HOUR - 1, &house.arena));
	CHECK_OK(ledger_commit(&house.ledger, &events));
	CHECK_INT(count(&house, KEY_CAPTURE), 2);
	CHECK_OK(ledger_captures_end(&house.ledger, T0 + HOUR, &house.arena));
	CHECK_OK(ledger_commit(&house.ledger, &events));
	check_nothing(&house);
	ledger_house_close(&house);
}
