/*
 * ledger_captures: the sealed debug capture of a licence: switched on for a
 * while, kept, erased. It is off unless somebody switched it on, ends by itself
 * (whoever reads looks at the time), and is erased here when it has ended.
 *
 * Always holds: the licence's record says how many requests are kept, so that
 * all of them are found without a scan, also those that are not committed yet.
 */
#include "workers/ledger_parts.h"

#include "store/capture.h"

/* --- erasing -------------------------------------------------------------- */

/* All that there can be of a request; what is not there stays so. */
static enum err
erase_part(struct ledger *ledger, struct str license_id, unsigned slot,
	   char part)
{
	struct key key;
	enum err e = ERR_OK;

	for (unsigned i = 0; i < CAPTURE_PIECES_MAX && e == ERR_OK; i++) {
		key_capture(&key, license_id, slot, part, i);
		e = group_delete(ledger->group, &key);
	}
	return e;
}

static enum err
erase(struct ledger *ledger, const struct str hash, struct license *license)
{
	struct key key;
	enum err e = ERR_OK;

	for (int64_t i = 0; i < license->captures && e == ERR_OK; i++) {
		e = erase_part(ledger, license->id, (unsigned)i, CAPTURE_ASKED);
		if (e == ERR_OK)
			e = erase_part(ledger, license->id, (unsigned)i,
				       CAPTURE_SAID);
	}
	if (e == ERR_OK) {
		key_capture_end(&key, license->capture_until, license->id);
		e = group_delete(ledger->group, &key);
	}
	license->capture_until = SCHEMA_INT_NONE;
	license->captures = SCHEMA_INT_NONE;
	key_license(&key, hash);
	return e == ERR_OK
		   ? group_put(ledger->group, &key, &license_schema, license)
		   : e;
}

/* The first that ends, as the last commit left it; key.n 0: none. */
static enum err
first_end(struct ledger *ledger, struct arena *arena, struct key *key,
	  int64_t *ends_ms)
{
	struct store_row row;
	size_t count = 0;
	enum err e;

	key->n = 0;
	key_capture_end(key, KEY_TIME_NONE, STR_NONE);
	e = store_scan(ledger->store, key_str(key), STR_NONE, 1, arena, &row,
		       &count);
	key->n = 0;
	if (e != ERR_OK || count == 0)
		return e;
	key->n = row.key.n;
	memcpy(key->p, row.key.p, row.key.n);
	*ends_ms = key_capture_ends(key);
	return ERR_OK;
}

enum err
ledger_captures_end(struct ledger *ledger, int64_t now_ms, struct arena *arena)
{
	struct ledger_mark mark = ledger_mark(ledger);
	struct license license;
	struct str hash;
	struct key key, at;
	int64_t ends_ms = 0;
	enum err e = first_end(ledger, arena, &key, &ends_ms);

	if (e != ERR_OK || key.n == 0 || ends_ms > now_ms)
		return e;
	e = group_load_bytes(ledger->group, &key, &hash, arena);
	if (e != ERR_OK || hash.p == NULL)
		return e; /* absent: this turn has erased it */
	key_license(&at, hash);
	e = group_load(ledger->group, &at, &license_schema, &license, arena);
	if (e == ERR_OK)
		e = erase(ledger, hash, &license);
	else if (e == ERR_NO_SUCH)
		e = group_delete(ledger->group, &key);
	if (e != ERR_OK)
		ledger_undo(ledger, mark); /* no half of it */
	ledger->is_shown = true;
	return e;
}

/* --- on and off ----------------------------------------------------------- */

static enum err
tell(struct context *context, const struct license *license, bool is_on,
     struct str actor)
{
	struct event event;

	schema_clear(&event_schema, &event);
	event.type =
	    event_types[is_on ? EVENT_capture_started : EVENT_capture_stopped];
	event.description = is_on ? STR("Debug capture on for a licence")
				  : STR("Debug capture off for a licence");
	event.workspace = license->workspace;
	event.customer_id = license->customer_id;
	event.metadata = arena_printf(
	    context->arena, "{\"license_id\":\"%.*s\"}", STR_ARG(license->id));
	event.actor = actor;
	return ledger_event(context->state, context->now_ms, &event, NULL,
			    NULL);
}

static enum err
switch_on(struct context *context, struct str hash, struct license *license,
	  int64_t for_ms)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e = ERR_OK;

	if (for_ms < 1 || for_ms > CAPTURE_MS_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "for_ms",
				     "a capture runs for at most 24 hours");
	/* What there is begins anew. */
	if (license->capture_until != SCHEMA_INT_NONE)
		e = erase(ledger, hash, license);
	license->capture_until = context->now_ms + for_ms;
	license->captures = 0;
	key_capture_end(&key, license->capture_until, license->id);
	if (e == ERR_OK)
		e = group_put_bytes(ledger->group, &key, hash);
	key_license(&key, hash);
	if (e == ERR_OK)
		e = group_put(ledger->group, &key, &license_schema, license);
	return e == ERR_OK ? tell(context, license, true, STR("cli")) : e;
}

static enum err
capture_set(struct context *context, const void *in_, void *out_)
{
	struct ledger *ledger = context->state;
	const struct capture_set *in = in_;
	struct capture_view *out = out_;
	struct ledger_license found;
	struct license *license = &found.license;
	struct str hash = str_bytes(found.hash, sizeof(found.hash));
	enum err e =
	    ledger_license_find(ledger, in->license, context->arena, &found);

	if (e == ERR_NO_SUCH)
		return ledger_refuse(context, e, "license",
				     "there is no such licence");
	if (e != ERR_OK)
		return e;
	if (in->for_ms != SCHEMA_INT_NONE)
		e = switch_on(context, hash, license, in->for_ms);
	else if (license->capture_until != SCHEMA_INT_NONE) {
		e = erase(ledger, hash, license);
		if (e == ERR_OK)
			e = tell(context, license, false, STR("cli"));
	}
	out->license_id = license->id;
	out->until = license->capture_until;
	return e;
}

/* --- what is kept --------------------------------------------------------- */

static enum err
part_put(struct context *context, const struct capture_put *in,
	 const struct capture_piece *head, unsigned slot, char part,
	 struct str bytes)
{
	struct ledger *ledger = context->state;
	struct capture_piece piece = *head;
	struct key key;
	enum err e = ERR_OK;

	for (unsigned i = 0; bytes.n > 0 && e == ERR_OK; i++) {
		size_t n = bytes.n < CAPTURE_PIECE_BYTES ? bytes.n
							 : CAPTURE_PIECE_BYTES;
		struct str identity = capture_identity(
		    in->license_id, in->request_id, part, i, context->arena);

		if (identity.p == NULL)
			return ERR_NO_MEMORY;
		e = crypto_seal(ledger->crypto, str_bytes(bytes.p, n), identity,
				context->arena, &piece.sealed);
		key_capture(&key, in->license_id, slot, part, i);
		if (e == ERR_OK)
			e = group_put(ledger->group, &key,
				      &capture_piece_schema, &piece);
		bytes.p += n;
		bytes.n -= n;
	}
	return e;
}

/* Off, ended or full meanwhile: nothing is kept. */
static enum err
capture_put(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct capture_put *in = in_;
	struct ledger_license found;
	struct license *license = &found.license;
	struct capture_piece head;
	struct key key;
	unsigned slot;
	enum err e =
	    ledger_license_find(ledger, in->license_id, context->arena, &found);

	(void)out;
	if (e != ERR_OK || !ledger_is_captured(license, context->now_ms))
		return e;
	slot = (unsigned)license->captures++;
	schema_clear(&capture_piece_schema, &head);
	head.request_id = in->request_id;
	head.at = context->now_ms;
	head.status = in->status;
	head.asked_bytes = in->asked_bytes;
	head.said_bytes = in->said_bytes;
	e = part_put(context, in, &head, slot, CAPTURE_ASKED, in->asked);
	if (e == ERR_OK)
		e = part_put(context, in, &head, slot, CAPTURE_SAID, in->said);
	key_license(&key, str_bytes(found.hash, sizeof(found.hash)));
	return e == ERR_OK
		   ? group_put(ledger->group, &key, &license_schema, license)
		   : e;
}

bool
ledger_is_captured(const struct license *license, int64_t now_ms)
{
	return license->capture_until > now_ms &&
	       license->captures < (int64_t)CAPTURES_MAX;
}

enum err
ledger_capture_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, capture_set);
}

enum err
ledger_capture_put(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, capture_put);
}
