/*
 * verify: the walk over everything behind store_verify: seals, order, gaps, and
 * the engine's own count against what was found.
 */
#include <inttypes.h>

#include "store/engine.h"

struct verify {
	enum engine_table table;
	uint64_t records;
	uint64_t bad;
	uint64_t seq;
	struct why *why;
	size_t last_n;
	char last[STORE_KEY_BYTES_MAX];
};

static void
found_bad(struct verify *verify, const char *what, uint64_t at)
{
	if (verify->bad++ == 0)
		why_set(verify->why, ERR_STORE_CORRUPT,
			"%s %" PRIu64 " %s: restore from a backup",
			verify->table == ENGINE_EV ? "event" : "record", at,
			what);
}

static bool
verify_row(void *ctx, const struct engine_row *row)
{
	struct verify *verify = ctx;
	struct str last = str_bytes(verify->last, verify->last_n);
	bool is_event = verify->table == ENGINE_EV;

	verify->records++;
	verify->seq++;
	if (row->key.n > sizeof(verify->last) ||
	    (last.n && str_cmp(row->key, last) <= 0)) {
		found_bad(verify, "is out of order", verify->seq);
		return true;
	}
	memcpy(verify->last, row->key.p, row->key.n);
	verify->last_n = row->key.n;
	if (is_event && row->key.n == ENGINE_SEQ_BYTES &&
	    engine_get_u64(row->key.p) != verify->seq) {
		found_bad(verify, "is missing", verify->seq);
		verify->seq = engine_get_u64(row->key.p);
	} else if (!engine_is_sound(verify->table, row->key, row->sealed)) {
		found_bad(verify, "fails its checksum", verify->seq);
	}
	return true;
}

static enum err
verify_table(const struct engine_ops *ops, void *engine, struct verify *verify,
	     enum engine_table table)
{
	uint64_t counted = 0;
	enum err err;

	verify->table = table;
	verify->seq = verify->records = verify->last_n = 0;
	err = ops->walk(engine, table, STR(""), verify_row, verify);
	if (err == ERR_OK)
		err = ops->count(engine, table, &counted);
	if (err == ERR_OK && counted != verify->records)
		found_bad(verify, "is the last one, but more were counted",
			  verify->records);
	if (err == ERR_STORE_CORRUPT)
		found_bad(verify, "is unreadable", verify->records + 1);
	return err == ERR_STORE_CORRUPT ? ERR_OK : err;
}

enum err
engine_verify(const struct engine_ops *ops, void *engine, uint64_t *records,
	      uint64_t *bad, struct why *why)
{
	struct verify verify = {.why = why};
	uint64_t head = 0;
	enum err err = ERR_OK, head_err;

	*records = *bad = 0;
	for (int t = 0; t < ENGINE_TABLES && err == ERR_OK; t++) {
		err = verify_table(ops, engine, &verify, (enum engine_table)t);
		*records += verify.records;
	}
	head_err = ops->head(engine, &head);
	if (err == ERR_OK && (head_err != ERR_OK || verify.seq != head))
		found_bad(&verify, "is not the newest one", verify.seq);
	*bad = verify.bad;
	return err == ERR_OK && verify.bad > 0 ? ERR_STORE_CORRUPT : err;
}
