/*
 * fold: see fold.h.
 */
#include "analytics/fold.h"

#include "analytics/movements.h"
#include "analytics/notes.h"

/* --- what is in hand ------------------------------------------------------ */

static enum err
day_flush(struct fold *fold)
{
	enum err e = ERR_OK;

	if (fold->is_day_dirty)
		e = group_put(fold->group, &fold->day_key, &day_schema,
			      &fold->day);
	if (e != ERR_OK)
		return e;
	fold->is_day_dirty = false;
	fold->day_key.n = 0;
	fold->day_start_ms = fold->day_end_ms = 0;
	return ERR_OK;
}

enum err
fold_flush(struct fold *fold)
{
	enum err e = day_flush(fold);

	if (e == ERR_OK && fold->is_tally_dirty)
		e = group_put(fold->group, &fold->tally_key, &tally_schema,
			      &fold->tally);
	if (e != ERR_OK)
		return e;
	fold->is_tally_dirty = false;
	fold->tally_key.n = 0;
	return ERR_OK;
}

void
fold_drop(struct fold *fold)
{
	fold->is_tally_dirty = fold->is_day_dirty = false;
	fold->tally_key.n = fold->day_key.n = 0;
	fold->day_start_ms = fold->day_end_ms = 0;
	fold->amended_seq = 0;
}

static void
zone_set(struct fold *fold)
{
	struct str zone = fold->tally.timezone;

	memcpy(fold->zone, "UTC", 4);
	if (zone.n == 0 || zone.n >= sizeof(fold->zone))
		return;
	memcpy(fold->zone, zone.p, zone.n);
	fold->zone[zone.n] = '\0';
	if (!calendar_zone_is_known(fold->zone))
		memcpy(fold->zone, "UTC", 4);
}

enum err
fold_workspace_open(struct fold *fold, struct str workspace)
{
	struct key key;
	enum err e;

	row_key_tally(&key, fold->generation, workspace);
	if (str_eq(key_str(&key), key_str(&fold->tally_key)))
		return ERR_OK;
	e = fold_flush(fold);
	if (e != ERR_OK)
		return e;
	e = group_load(fold->group, &key, &tally_schema, &fold->tally,
		       fold->arena);
	if (e == ERR_NO_SUCH)
		tally_clear(&fold->tally);
	else if (e != ERR_OK)
		return e;
	fold->tally_key = key;
	zone_set(fold);
	return ERR_OK;
}

static enum err
day_load(struct fold *fold, struct str workspace, int64_t ms)
{
	char date[CALENDAR_TEXT_BYTES];
	struct key key;
	size_t n;
	enum err e;

	n = calendar_print_day(ms, fold->zone, date);
	row_key_day(&key, fold->generation, workspace, str_bytes(date, n));
	e = group_load(fold->group, &key, &day_schema, &fold->day, fold->arena);
	if (e == ERR_NO_SUCH) {
		day_clear(&fold->day);
		fold->day.currency = fold->tally.currency;
		fold->day.locale = fold->tally.locale;
	} else if (e != ERR_OK) {
		return e;
	}
	fold->day_key = key;
	calendar_window(WINDOW_DAY, ms, fold->zone, &fold->day_start_ms,
			&fold->day_end_ms);
	return ERR_OK;
}

static void
day_amend(struct fold *fold, bool is_told)
{
	if (fold->amended_seq != fold->seq ||
	    fold->amended_day_ms != fold->day_start_ms)
		fold->day.revision++;
	fold->amended_seq = fold->seq;
	fold->amended_day_ms = fold->day_start_ms;
	fold->day.is_amended |= is_told;
	fold->is_day_dirty = true;
}

enum err
fold_day_open(struct fold *fold, struct str workspace, int64_t ms, bool is_told)
{
	enum err e = fold_workspace_open(fold, workspace);

	if (e != ERR_OK)
		return e;
	if (fold->day_key.n == 0 || ms < fold->day_start_ms ||
	    ms >= fold->day_end_ms) {
		e = day_flush(fold);
		if (e == ERR_OK)
			e = day_load(fold, workspace, ms);
	}
	if (e == ERR_OK && fold->day.is_closed)
		day_amend(fold, is_told);
	return e;
}

/* --- subscriptions -------------------------------------------------------- */

static void
day_move(struct day *day, const struct movement *m)
{
	day->new_mrr += m->new_mrr;
	day->expansion_mrr += m->expansion_mrr;
	day->contraction_mrr += m->contraction_mrr;
	day->churn_mrr += m->churn_mrr;
	day->reactivation_mrr += m->reactivation_mrr;
}

static enum err
payer_change(struct fold *fold, const struct stake *before,
	     const struct stake *after)
{
	struct payer payer;
	struct movement movement;
	struct key key;
	int64_t mrr;
	bool was_paying;
	enum err e;

	row_key_payer(&key, fold->generation, after->customer_id);
	e = group_load(fold->group, &key, &payer_schema, &payer, fold->arena);
	if (e == ERR_NO_SUCH)
		payer_clear(&payer);
	else if (e != ERR_OK)
		return e;
	if (payer.is_deleted)
		return ERR_OK;
	was_paying = payer.subscriptions > 0;
	mrr = payer.mrr + after->mrr - before->mrr;
	movement = movements_of(payer.mrr, mrr, payer.has_paid);
	day_move(&fold->day, &movement);
	payer.mrr = mrr;
	payer.subscriptions += after->is_paying - before->is_paying;
	payer.has_paid |= after->is_paying;
	fold->day.paying_customers += (payer.subscriptions > 0) - was_paying;
	fold->is_day_dirty = true;
	return group_put(fold->group, &key, &payer_schema, &payer);
}

static enum err
licenses_told(struct fold *fold)
{
	int64_t reached = note_milestone_licenses(fold->tally.active_licenses);
	struct note_words words = {.locale = fold->tally.locale,
				   .count = reached};
	struct day_note note;

	if (reached <= fold->tally.told_licenses)
		return ERR_OK;
	fold->tally.told_licenses = reached;
	if (!note_of_licenses(&words, fold->arena, &note))
		return ERR_NO_MEMORY;
	note.seq = (int64_t)fold->seq;
	fold->is_day_dirty = true;
	return note_add(&fold->day, &note, fold->arena);
}

/* The list of ends has each active subscription that has one. */
static enum err
end_move(struct fold *fold, struct str workspace, struct str subscription_id,
	 const struct stake *before, const struct stake *after)
{
	bool was_listed =
	    before->is_active && before->ends_at != SCHEMA_INT_NONE;
	bool is_listed = after->is_active && after->ends_at != SCHEMA_INT_NONE;
	struct key key;
	enum err e = ERR_OK;

	if (was_listed == is_listed && before->ends_at == after->ends_at)
		return ERR_OK;
	if (was_listed) {
		row_key_end(&key, fold->generation, workspace, before->ends_at,
			    subscription_id);
		e = group_delete(fold->group, &key);
	}
	if (e == ERR_OK && is_listed) {
		row_key_end(&key, fold->generation, workspace, after->ends_at,
			    subscription_id);
		e = group_put_bytes(fold->group, &key, STR(""));
	}
	return e;
}

enum err
fold_stake(struct fold *fold, struct str workspace, struct str subscription_id,
	   const struct stake *after, int64_t ms)
{
	struct stake before;
	struct key key;
	enum err e;

	e = fold_day_open(fold, workspace, ms, true);
	if (e != ERR_OK)
		return e;
	row_key_stake(&key, fold->generation, subscription_id);
	e = group_load(fold->group, &key, &stake_schema, &before, fold->arena);
	if (e == ERR_NO_SUCH)
		stake_clear(&before);
	else if (e != ERR_OK)
		return e;
	e = payer_change(fold, &before, after);
	if (e == ERR_OK)
		e = end_move(fold, workspace, subscription_id, &before, after);
	if (e == ERR_OK)
		e = group_put(fold->group, &key, &stake_schema, after);
	if (e != ERR_OK)
		return e;
	fold->tally.active_licenses += after->is_active - before.is_active;
	fold->is_tally_dirty = true;
	return licenses_told(fold);
}
