/*
 * ledger_licenses: issuing a licence, or with a given key inserting one. An
 * unknown e-mail makes the customer, a known one gets one more licence; all
 * records and their events are one transaction. No event text holds a key or an
 * e-mail address.
 */
#include "workers/ledger_parts.h"

#include "lib/id.h"

#define MONTHS_DEFAULT 12
#define MONTHS_MAX 1200
#define KEY_TRIES 4 /* 80 random bits; one is enough */
#define EMAIL_LOCAL_BYTES_MAX 64u
#define PRICE_MAX INT64_C(1000000000000000) /* a thousand million, in micro */

struct issue {
	struct context *context;
	struct ledger *ledger;
	const struct license_issue *in;
	struct ledger_workspace *workspace;
	const struct plan *plan;
	struct str email; /* trimmed, as given */
	struct str email_key;
	bool is_new_customer;
	struct customer customer;
	struct subscription subscription;
	struct license license;
	char key_text[LICENSE_KEY_BYTES_MAX];
	struct str key; /* over key_text, clear */
	unsigned char hash[CRYPTO_HASH_BYTES];
	char ids[3][ID_TEXT_BYTES];
};

/* --- checking what was asked --------------------------------------------- */

static bool
is_local_part(struct str s)
{
	static const char quoted_only[] = "\"(),:;<>[\\]@";

	if (s.n == 0 || s.n > EMAIL_LOCAL_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f ||
		    strchr(quoted_only, s.p[i]))
			return false;
	return s.p[0] != '.' && s.p[s.n - 1] != '.';
}

/* A useful subset of RFC 5321: local@host.tld, no quoting, no comments. */
static bool
email_check(struct str email, struct arena *arena, struct str *lower)
{
	const char *at = email.n ? memchr(email.p, '@', email.n) : NULL;
	struct str domain, host, copy = arena_str(arena, email);
	char *p;

	if (at == NULL || copy.p == NULL ||
	    !is_local_part(str_bytes(email.p, (size_t)(at - email.p))))
		return false;
	domain = str_bytes(at + 1, email.n - (size_t)(at - email.p) - 1);
	if (!rules_domain(domain, arena, &host) ||
	    memchr(domain.p, '.', domain.n) == NULL ||
	    memchr(domain.p, ':', domain.n) || memchr(domain.p, '/', domain.n))
		return false;
	p = arena_alloc(arena, email.n);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < email.n; i++)
		p[i] = email.p[i] >= 'A' && email.p[i] <= 'Z'
			   ? (char)(email.p[i] + ('a' - 'A'))
			   : email.p[i];
	*lower = str_bytes(p, email.n);
	return true;
}

/* "www.Shop.example" -> "shop.example"; "*.Shop.example" keeps its "*.". */
static bool
domain_check(struct str domain, struct arena *arena, struct str *out)
{
	struct str host;

	domain = str_trim(domain);
	if (!str_starts(domain, STR("*.")))
		return rules_domain(domain, arena, out);
	if (!rules_domain(str_bytes(domain.p + 2, domain.n - 2), arena, &host))
		return false;
	*out = arena_printf(arena, "*.%.*s", STR_ARG(host));
	return out->p != NULL;
}

static enum err
check_texts(struct issue *issue)
{
	const struct license_issue *in = issue->in;
	struct context *context = issue->context;

	issue->email = str_trim(in->email);
	if (!email_check(issue->email, context->arena, &issue->email_key))
		return ledger_refuse(context, ERR_BAD_FIELD, "email",
				     "the e-mail address is not valid: write "
				     "it like owner@shop.example");
	if (!str_is_empty(in->name) && !str_is_plain(in->name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "the name has a control character");
	if (!str_is_empty(in->domain) &&
	    !domain_check(in->domain, context->arena, &issue->license.domain))
		return ledger_refuse(context, ERR_BAD_FIELD, "domain",
				     "the domain is not valid: write it like "
				     "shop.example or *.shop.example");
	if (!str_is_empty(in->cycle) && !str_eq(in->cycle, STR("month")) &&
	    !str_eq(in->cycle, STR("year")))
		return ledger_refuse(context, ERR_BAD_FIELD, "cycle",
				     "the cycle is month or year");
	if (in->months != SCHEMA_INT_NONE && in->months > MONTHS_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "months",
				     "months is at most %d; 0 never ends",
				     MONTHS_MAX);
	if (in->price != SCHEMA_INT_NONE && in->price > PRICE_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "price",
				     "the price is too large");
	return ERR_OK;
}

static enum err
check_plan(struct issue *issue)
{
	const struct license_issue *in = issue->in;
	struct context *context = issue->context;
	enum err e =
	    ledger_workspace(issue->ledger, in->workspace, &issue->workspace);

	if (e == ERR_OK)
		e = ledger_plan(issue->ledger, issue->workspace->record.code,
				in->plan, &issue->plan);
	if (e == ERR_PLAN_UNKNOWN)
		return ledger_plan_unknown(context,
					   issue->workspace->record.code);
	if (e != ERR_OK)
		return e;
	if (issue->plan->archived)
		return ledger_refuse(context, ERR_CONFLICT, "plan",
				     "the plan is archived: choose another");
	if (in->is_trial && in->months == SCHEMA_INT_NONE &&
	    (issue->plan->trial_days == SCHEMA_INT_NONE ||
	     issue->plan->trial_days <= 0))
		return ledger_refuse(context, ERR_BAD_FIELD, "months",
				     "the plan has no trial period: give a "
				     "number of months");
	return ERR_OK;
}

static bool
is_insert(const struct license_issue *in)
{
	return !str_is_empty(str_trim(in->key));
}

/* --- the key ------------------------------------------------------------- */

static enum err
key_is_free(struct issue *issue)
{
	struct str stored;
	struct key key;
	enum err e;

	crypto_hash_license_key(issue->ledger->crypto, issue->key, issue->hash);
	key_license(&key, str_bytes(issue->hash, sizeof(issue->hash)));
	e = group_load_bytes(issue->ledger->group, &key, &stored,
			     issue->context->arena);
	if (e == ERR_NO_SUCH)
		return ERR_OK;
	if (e != ERR_OK)
		return e;
	return stored.p ? ERR_EXISTS : ERR_OK;
}

static enum err
key_choose(struct issue *issue)
{
	struct context *context = issue->context;
	struct str prefix = issue->workspace->record.key_prefix;
	size_t n;
	enum err e = ERR_EXISTS;

	if (is_insert(issue->in)) {
		if (!crypto_normalize_license_key(issue->in->key,
						  issue->key_text, &n))
			return ledger_refuse(context, ERR_BAD_FIELD, "key",
					     "a licence key is letters, "
					     "digits, - and _");
		issue->key = str_bytes(issue->key_text, n);
		if (!crypto_is_long_license_key(issue->key))
			return ledger_refuse(context, ERR_BAD_FIELD, "key",
					     "a licence key has at least 16 "
					     "letters and digits: a shorter "
					     "one can be guessed");
		e = key_is_free(issue);
		if (e == ERR_EXISTS)
			ledger_refuse(context, e, "key",
				      "a licence with this key exists already");
		return e;
	}
	for (int i = 0; i < KEY_TRIES && e == ERR_EXISTS; i++) {
		issue->key = crypto_make_license_key(
		    str_is_empty(prefix) ? STR("CHA") : prefix,
		    issue->key_text);
		e = key_is_free(issue);
	}
	return e;
}

/* --- the records --------------------------------------------------------- */

static struct str
new_id(struct issue *issue, int index, const char *prefix)
{
	return id_new(prefix, issue->context->now_ms, issue->ids[index]);
}

static enum err
customer_make(struct issue *issue)
{
	struct group *group = issue->ledger->group;
	struct str id = STR_NONE;
	struct key key;
	enum err e;

	key_customer_email(&key, issue->workspace->record.code,
			   issue->email_key);
	e = group_load_bytes(group, &key, &id, issue->context->arena);
	if (e != ERR_OK && e != ERR_NO_SUCH)
		return e;
	if (e == ERR_OK && id.p) {
		key_customer(&key, id);
		e = group_load(group, &key, &customer_schema, &issue->customer,
			       issue->context->arena);
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	}
	issue->is_new_customer = true;
	schema_clear(&customer_schema, &issue->customer);
	issue->customer.id = new_id(issue, 0, "cus_");
	issue->customer.workspace = issue->workspace->record.code;
	issue->customer.email = issue->email;
	issue->customer.name = str_trim(issue->in->name);
	if (str_is_empty(issue->customer.name))
		issue->customer.name =
		    str_bytes(issue->email.p,
			      (size_t)((const char *)memchr(issue->email.p, '@',
							    issue->email.n) -
				       issue->email.p));
	issue->customer.status = STR("active");
	issue->customer.created_at = issue->context->now_ms;
	e = group_put_bytes(group, &key, issue->customer.id);
	key_customer(&key, issue->customer.id);
	if (e == ERR_OK)
		e = group_put(group, &key, &customer_schema, &issue->customer);
	return e;
}

static int64_t
end_of(const struct issue *issue)
{
	int64_t months = issue->in->months;
	int64_t now_ms = issue->context->now_ms;

	if (months == SCHEMA_INT_NONE && issue->in->is_trial)
		return now_ms + issue->plan->trial_days * DAY_MS;
	if (months == SCHEMA_INT_NONE)
		months = MONTHS_DEFAULT;
	if (months == 0)
		return SCHEMA_INT_NONE;
	return calendar_add_months(now_ms, (int)months, issue->workspace->zone);
}

static enum err
subscription_make(struct issue *issue)
{
	const struct license_issue *in = issue->in;
	struct subscription *s = &issue->subscription;
	bool is_yearly = str_eq(in->cycle, STR("year"));
	struct key key;

	schema_clear(&subscription_schema, s);
	s->id = new_id(issue, 1, "sub_");
	s->workspace = issue->workspace->record.code;
	s->customer_id = issue->customer.id;
	s->plan = issue->plan->code;
	s->status = in->is_trial ? STR("trial") : STR("active");
	s->cycle = is_yearly ? STR("year") : STR("month");
	s->price = in->price;
	if (s->price == SCHEMA_INT_NONE)
		s->price = is_yearly ? issue->plan->price_year
				     : issue->plan->price_month;
	if (s->price == SCHEMA_INT_NONE)
		s->price = 0;
	s->currency = issue->workspace->record.currency;
	s->started_at = issue->context->now_ms;
	s->ends_at = end_of(issue);
	s->grace_days = issue->plan->grace_days;
	key_subscription(&key, str_bytes(issue->hash, sizeof(issue->hash)));
	return group_put(issue->ledger->group, &key, &subscription_schema, s);
}

static enum err
license_make(struct issue *issue)
{
	struct group *group = issue->ledger->group;
	struct license *l = &issue->license;
	struct str hash = str_bytes(issue->hash, sizeof(issue->hash));
	struct str domain = l->domain;
	struct key key;
	enum err e;

	schema_clear(&license_schema, l);
	l->id = new_id(issue, 2, "lic_");
	l->workspace = issue->workspace->record.code;
	l->customer_id = issue->customer.id;
	l->subscription_id = issue->subscription.id;
	l->masked_key =
	    crypto_mask_license_key(issue->key, issue->context->arena);
	l->domain = domain;
	l->note = issue->in->note;
	l->created_at = issue->context->now_ms;
	l->activations = 0;
	e = crypto_seal(issue->ledger->crypto, issue->key, l->id,
			issue->context->arena, &l->sealed_key);
	key_license(&key, hash);
	if (e == ERR_OK)
		e = group_put(group, &key, &license_schema, l);
	key_license_id(&key, l->id);
	if (e == ERR_OK)
		e = group_put_bytes(group, &key, hash);
	key_customer_license(&key, l->customer_id, l->id);
	if (e == ERR_OK)
		e = group_put_bytes(group, &key, STR(""));
	return e;
}

/* --- events -------------------------------------------------------------- */

static enum err
issue_tell(struct issue *issue)
{
	const struct license_issue *in = issue->in;
	bool is_given = is_insert(in);
	struct ledger_told customer = {.type = EVENT_new_customer,
				       .what = "New customer",
				       .name = issue->customer.name,
				       .actor = in->actor,
				       .amount = SCHEMA_INT_NONE};
	struct ledger_told license = {
	    .type = in->is_trial ? EVENT_trial_started
		    : is_given	 ? EVENT_license_inserted
				 : EVENT_license_created,
	    .what = in->is_trial ? "Trial started"
		    : is_given	 ? "Licence inserted"
				 : "Licence issued",
	    .name = issue->customer.name,
	    .plan_code = issue->plan->code,
	    .plan_name = ledger_plan_name(issue->plan),
	    .license_id = issue->license.id,
	    .actor = in->actor,
	    .amount = issue->subscription.price,
	};
	enum err e = ERR_OK;

	if (issue->is_new_customer)
		e = ledger_tell(issue->context, &customer, &issue->customer,
				NULL);
	if (e == ERR_OK)
		e = ledger_tell(issue->context, &license, &issue->customer,
				&issue->subscription);
	return e;
}

static enum err
license_issue(struct context *context, const void *in, void *out_)
{
	struct issue issue = {
	    .context = context, .ledger = context->state, .in = in};
	struct license_issued *out = out_;
	enum err e = check_texts(&issue);

	if (e == ERR_OK)
		e = check_plan(&issue);
	if (e == ERR_OK)
		e = key_choose(&issue);
	if (e == ERR_OK)
		e = customer_make(&issue);
	if (e == ERR_OK)
		e = subscription_make(&issue);
	if (e == ERR_OK)
		e = license_make(&issue);
	if (e == ERR_OK)
		e = issue_tell(&issue);
	if (e != ERR_OK)
		return e;
	out->license_key = arena_str(context->arena, issue.key);
	out->license_id = arena_str(context->arena, issue.license.id);
	out->customer_id = arena_str(context->arena, issue.customer.id);
	out->subscription_id = arena_str(context->arena, issue.subscription.id);
	out->plan = issue.plan->code;
	out->expires_at = issue.subscription.ends_at;
	return ERR_OK;
}

enum err
ledger_license_issue(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, license_issue);
}
