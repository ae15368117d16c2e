/*
 * ledger_rotate: another master key: everything that is sealed is sealed anew,
 * a bounded step a message, so that other work goes on between. Who asks keeps
 * the place; to begin again does no harm. See doc/decisions/017-master-key.md.
 *
 * Always holds: the first step's commit, which changes nothing else, says which
 * key seals from then on, so that behind it nothing is sealed with the one
 * before; what a step finds sealed with that one opens, for both keys are known
 * until the last step.
 */
#include "workers/ledger_parts.h"

#include "store/capture.h"
#include "store/meta.h"
#include "store/provider_key.h"

#define STEP_ROWS 512u
#define STEP_BYTES_MAX (8u << 20)

struct step {
	struct context *context;
	struct ledger *ledger;
	struct arena arena; /* of the rows */
	struct key_resealed *out;
};

/* --- the key to come ----------------------------------------------------- */

static enum err
key_next(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct key_next *in = in_;
	enum err e = ERR_BAD_FIELD;

	(void)out;
	if (in->next.p)
		e = crypto_take_next(ledger->crypto, in->next);
	if (e == ERR_OK)
		e = crypto_take_next(crypto_provider_keys(ledger->crypto),
				     in->next_provider_keys);
	if (e == ERR_STORE_CORRUPT)
		return ledger_refuse(context, ERR_CONFLICT, NULL,
				     "the ledger runs with another master key "
				     "than the file has: restart it");
	return e;
}

/* --- what is sealed ------------------------------------------------------- */

/* *sealed is replaced; true when it is another one now. */
static bool
reseal(struct step *step, struct crypto *crypto, struct str identity,
       struct str *sealed, enum err *e)
{
	struct str was = *sealed;

	*e = ERR_OK;
	if (was.p == NULL)
		return false;
	*e = crypto_reseal(crypto, was, identity, &step->arena, sealed);
	if (*e == ERR_STORE_CORRUPT) {
		/* Nobody can open it; it stays for whoever looks. */
		*e = ERR_OK;
		step->out->unreadable++;
		return false;
	}
	if (*e != ERR_OK || sealed->p == was.p)
		return false;
	step->out->resealed++;
	return true;
}

static enum err
reseal_license(struct step *step, const struct key *key)
{
	struct ledger *ledger = step->ledger;
	struct license license;
	struct key whole;
	enum err e;

	key_license(&whole, str_bytes(key->p + 1, CRYPTO_HASH_BYTES));
	if (key->n != whole.n)
		return ERR_OK; /* its subscription */
	e = group_load(ledger->group, key, &license_schema, &license,
		       &step->arena);
	if (e == ERR_OK &&
	    reseal(step, ledger->crypto, license.id, &license.sealed_key, &e))
		e = group_put(ledger->group, key, &license_schema, &license);
	return e;
}

static enum err
reseal_provider_key(struct step *step, const struct key *key)
{
	struct ledger *ledger = step->ledger;
	struct provider_key record;
	struct str identity;
	enum err e;

	e = group_load(ledger->group, key, &provider_key_schema, &record,
		       &step->arena);
	if (e != ERR_OK)
		return e;
	identity = provider_key_identity(record.owner, record.provider,
					 record.name, &step->arena);
	if (identity.p == NULL)
		return ERR_NO_MEMORY;
	if (reseal(step, crypto_provider_keys(ledger->crypto), identity,
		   &record.sealed_key, &e))
		e = group_put(ledger->group, key, &provider_key_schema,
			      &record);
	return e;
}

static enum err
reseal_capture(struct step *step, const struct key *key)
{
	struct ledger *ledger = step->ledger;
	struct capture_piece piece;
	struct str identity;
	size_t end = key->n - 3; /* slot, part, number; see keys.h */
	enum err e;

	e = group_load(ledger->group, key, &capture_piece_schema, &piece,
		       &step->arena);
	if (e != ERR_OK)
		return e;
	identity = capture_identity(
	    str_bytes(key->p + 1, end - 2), piece.request_id, key->p[end + 1],
	    (unsigned char)key->p[end + 2], &step->arena);
	if (identity.p == NULL)
		return ERR_NO_MEMORY;
	if (reseal(step, ledger->crypto, identity, &piece.sealed, &e))
		e = group_put(ledger->group, key, &capture_piece_schema,
			      &piece);
	return e;
}

/* Every kind of record with something sealed in it. */
static const struct sealed_kind {
	char kind;
	enum err (*reseal)(struct step *step, const struct key *key);
} sealed_kinds[] = {
    {KEY_CAPTURE, reseal_capture},
    {KEY_PROVIDER_KEY, reseal_provider_key},
    {KEY_LICENSE, reseal_license},
};
#define SEALED_KINDS (sizeof(sealed_kinds) / sizeof(sealed_kinds[0]))

/* --- a step --------------------------------------------------------------- */

static enum err
meta_get(struct ledger *ledger, struct key *key, struct meta *meta,
	 struct arena *arena)
{
	key_meta(key);
	return group_load(ledger->group, key, &meta_schema, meta, arena);
}

/* The new key seals from this commit on. */
static enum err
use_new(struct context *context, struct str to)
{
	struct ledger *ledger = context->state;
	struct meta meta;
	struct key key;
	struct str was;
	enum err e = meta_get(ledger, &key, &meta, context->arena);

	if (e != ERR_OK || crypto_equal(meta.key_check, to))
		return e;
	if (!crypto_use(ledger->crypto, to))
		return ledger_refuse(context, ERR_CONFLICT, NULL,
				     "the ledger has not heard of the new key: "
				     "run `chatello key rotate` again");
	was = meta.key_check;
	meta.version = META_VERSION;
	meta.key_check = to;
	meta.is_rotating = true;
	e = crypto_seal_find_key(ledger->crypto, context->arena,
				 &meta.find_key);
	if (e == ERR_OK)
		e = group_put(ledger->group, &key, &meta_schema, &meta);
	if (e != ERR_OK)
		crypto_use(ledger->crypto, was);
	return e;
}

/* Nothing is sealed with the key before any more. */
static enum err
all_done(struct context *context)
{
	struct ledger *ledger = context->state;
	struct event event;
	struct meta meta;
	struct key key;
	enum err e = meta_get(ledger, &key, &meta, context->arena);

	if (e != ERR_OK || !meta.is_rotating)
		return e;
	meta.is_rotating = false;
	e = group_put(ledger->group, &key, &meta_schema, &meta);
	if (e != ERR_OK)
		return e;
	schema_clear(&event_schema, &event);
	event.type = event_types[EVENT_master_key_rotated];
	event.description = STR("Master key rotated");
	event.workspace = DEFAULT_WORKSPACE;
	event.actor = STR("cli");
	return ledger_event(ledger, context->now_ms, &event, NULL, NULL);
}

static enum err
each_row(struct step *step, const struct sealed_kind *kind,
	 const struct store_row *rows, size_t count)
{
	enum err e = ERR_OK;
	struct key key;

	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		key.n = rows[i].key.n;
		memcpy(key.p, rows[i].key.p, key.n);
		e = kind->reseal(step, &key);
		if (e == ERR_NO_SUCH)
			e = ERR_OK; /* deleted in this turn */
	}
	return e;
}

/* Up to STEP_ROWS of one kind, behind `after`. */
static enum err
step_rows(struct step *step, struct str after)
{
	struct store_row *rows =
	    arena_array(&step->arena, STEP_ROWS, sizeof(*rows));
	char kind = after.p[0];
	size_t at = 0, count = 0;
	struct str last;
	enum err e;

	while (at < SEALED_KINDS && sealed_kinds[at].kind != kind)
		at++;
	if (at == SEALED_KINDS)
		return ERR_BAD_FIELD;
	if (rows == NULL)
		return ERR_NO_MEMORY;
	e = store_scan(step->ledger->store, str_bytes(&kind, 1), after,
		       STEP_ROWS, &step->arena, rows, &count);
	if (e == ERR_OK)
		e = each_row(step, &sealed_kinds[at], rows, count);
	if (e != ERR_OK)
		return e;
	step->out->is_done = count < STEP_ROWS && at + 1 == SEALED_KINDS;
	last = count == STEP_ROWS ? rows[count - 1].key
	       : at + 1 < SEALED_KINDS
		   ? str_bytes(&sealed_kinds[at + 1].kind, 1)
		   : STR("");
	step->out->after = arena_str(step->context->arena, last);
	return step->out->after.p ? ERR_OK : ERR_NO_MEMORY;
}

static enum err
key_reseal(struct context *context, const void *in_, void *out)
{
	struct step step = {
	    .context = context, .ledger = context->state, .out = out};
	const struct key_reseal *in = in_;
	enum err e = use_new(context, in->to);

	if (e != ERR_OK)
		return e;
	step.out->resealed = step.out->unreadable = 0;
	if (in->after.n == 0) {
		/* The view began before the key was changed: what this turn has
		 * sealed is not in it. */
		step.out->is_done = false;
		step.out->after = str_bytes(&sealed_kinds[0].kind, 1);
		return ERR_OK;
	}
	arena_init(&step.arena, STEP_BYTES_MAX);
	e = step_rows(&step, in->after);
	arena_fini(&step.arena);
	return e == ERR_OK && step.out->is_done ? all_done(context) : e;
}

enum err
ledger_key_next(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, key_next);
}

enum err
ledger_key_reseal(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, key_reseal);
}
