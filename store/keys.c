/*
 * keys: one small builder under all of them, which adds parts until one is
 * absent. See keys.h.
 */
#include "store/keys.h"

#define WINDOW_METER '!' /* sorts in front of 'd', 'h' and 'm' */
#define PART_SUBSCRIPTION 's'

/* What is under construction. Once a part was absent, or cannot be in a key,
 * nothing more is added. */
struct builder {
	struct key *key;
	bool is_closed;
};

static struct builder
begin(struct key *key, enum key_kind kind)
{
	key->n = 1;
	key->p[0] = (char)kind;
	return (struct builder){key, false};
}

static void
add_bytes(struct builder *b, const void *p, size_t n)
{
	if (b->is_closed)
		return;
	if (n > sizeof(b->key->p) - b->key->n) {
		b->key->n = 0;
		b->is_closed = true;
		return;
	}
	memcpy(b->key->p + b->key->n, p, n);
	b->key->n += n;
}

/* A text part; behind every part but the last one stands a 0 byte. */
static void
add_text(struct builder *b, struct str part, bool is_last)
{
	if (b->is_closed)
		return;
	if (part.p == NULL) {
		b->is_closed = true;
		return;
	}
	if (memchr(part.p, '\0', part.n)) {
		b->key->n = 0;
		b->is_closed = true;
		return;
	}
	add_bytes(b, part.p, part.n);
	if (!is_last)
		add_bytes(b, "", 1);
}

static void
add_time(struct builder *b, int64_t ms)
{
	unsigned char bytes[8];
	uint64_t u = (uint64_t)ms ^ UINT64_C(1) << 63;

	if (ms == KEY_TIME_NONE) {
		b->is_closed = true;
		return;
	}
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(u >> (56 - 8 * i));
	add_bytes(b, bytes, sizeof(bytes));
}

static void
add_window(struct builder *b, char window)
{
	if (window == KEY_WINDOW_NONE)
		b->is_closed = true;
	add_bytes(b, &window, 1);
}

static void
build_one(struct key *key, enum key_kind kind, struct str part)
{
	struct builder b = begin(key, kind);

	add_text(&b, part, true);
}

static void
build_two(struct key *key, enum key_kind kind, struct str first,
	  struct str second)
{
	struct builder b = begin(key, kind);

	add_text(&b, first, false);
	add_text(&b, second, true);
}

void
key_meta(struct key *key)
{
	begin(key, KEY_META);
}

void
key_workspace(struct key *key, struct str code)
{
	build_one(key, KEY_WORKSPACE, code);
}

void
key_plan(struct key *key, struct str workspace, struct str code)
{
	build_two(key, KEY_PLAN, workspace, code);
}

void
key_customer(struct key *key, struct str id)
{
	build_one(key, KEY_CUSTOMER, id);
}

void
key_customer_email(struct key *key, struct str workspace, struct str email)
{
	build_two(key, KEY_CUSTOMER_EMAIL, workspace, email);
}

void
key_license(struct key *key, struct str hash)
{
	struct builder b = begin(key, KEY_LICENSE);

	if (hash.p)
		add_bytes(&b, hash.p, hash.n);
}

void
key_subscription(struct key *key, struct str license_hash)
{
	struct builder b = begin(key, KEY_LICENSE);
	char part = PART_SUBSCRIPTION;

	add_bytes(&b, license_hash.p, license_hash.n);
	add_bytes(&b, &part, 1);
}

void
key_license_id(struct key *key, struct str id)
{
	build_one(key, KEY_LICENSE_ID, id);
}

void
key_customer_license(struct key *key, struct str customer_id,
		     struct str license_id)
{
	build_two(key, KEY_CUSTOMER_LICENSE, customer_id, license_id);
}

void
key_activation(struct key *key, struct str license_id, struct str domain)
{
	build_two(key, KEY_ACTIVATION, license_id, domain);
}

void
key_meter(struct key *key, struct str license_id)
{
	struct builder b = begin(key, KEY_ROLLUP_LICENSE);
	char window = WINDOW_METER;

	add_text(&b, license_id, false);
	add_bytes(&b, &window, 1);
}

void
key_usage_line(struct key *key, struct str request_id, struct str license_id)
{
	build_two(key, KEY_USAGE_LINE, request_id, license_id);
}

void
key_open(struct key *key, int64_t reserved_at_ms, struct str license_id,
	 struct str request_id)
{
	struct builder b = begin(key, KEY_OPEN);

	add_time(&b, reserved_at_ms);
	add_text(&b, license_id, false);
	add_text(&b, request_id, true);
}

void
key_workspace_meter(struct key *key, struct str workspace)
{
	build_one(key, KEY_WORKSPACE_METER, workspace);
}

void
key_counted(struct key *key)
{
	begin(key, KEY_COUNTED);
}

void
key_rollup_license(struct key *key, struct str license_id, char window,
		   int64_t start_ms)
{
	struct builder b = begin(key, KEY_ROLLUP_LICENSE);

	add_text(&b, license_id, false);
	add_window(&b, window);
	add_time(&b, start_ms);
}

void
key_rollup_model(struct key *key, struct str workspace, char window,
		 int64_t start_ms, struct str provider, struct str model)
{
	struct builder b = begin(key, KEY_ROLLUP_MODEL);

	add_text(&b, workspace, false);
	add_window(&b, window);
	add_time(&b, start_ms);
	add_text(&b, provider, false);
	add_text(&b, model, true);
}

void
key_price(struct key *key, struct str provider, struct str model)
{
	build_two(key, KEY_PRICE, provider, model);
}

void
key_provider(struct key *key, struct str name)
{
	build_one(key, KEY_PROVIDER, name);
}

void
key_route(struct key *key, struct str name)
{
	build_one(key, KEY_ROUTE, name);
}

void
key_provider_key(struct key *key, struct str owner, struct str provider,
		 struct str name)
{
	struct builder b = begin(key, KEY_PROVIDER_KEY);

	add_text(&b, owner, false);
	add_text(&b, provider, false);
	add_text(&b, name, true);
}

void
key_capture(struct key *key, struct str license_id, unsigned slot, char part,
	    unsigned n)
{
	struct builder b = begin(key, KEY_CAPTURE);
	unsigned char at[3] = {(unsigned char)slot, (unsigned char)part,
			       (unsigned char)n};

	add_text(&b, license_id, false);
	add_bytes(&b, at, sizeof(at));
}

void
key_capture_end(struct key *key, int64_t ends_ms, struct str license_id)
{
	struct builder b = begin(key, KEY_CAPTURE_END);

	add_time(&b, ends_ms);
	add_text(&b, license_id, true);
}

int64_t
key_capture_ends(const struct key *key)
{
	uint64_t u = 0;

	for (size_t i = 1; i <= 8 && i < key->n; i++)
		u = u << 8 | (unsigned char)key->p[i];
	return (int64_t)(u ^ UINT64_C(1) << 63);
}
