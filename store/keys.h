/*
 * keys: the keys of the kv table, one builder a kind. The first byte is the
 * kind, parts are joined by 0 bytes; text parts never hold one. Keys that grow
 * with time end in a time-ordered id, so that new ones append.
 *
 * Order: bytewise, so text parts sort as bytes and a shorter one first; a time
 * is 8 bytes, big endian, with the sign turned, so that it sorts as a number
 * (a window is one byte; neither has a 0 byte behind it).
 * Prefixes: with STR_NONE (KEY_TIME_NONE, KEY_WINDOW_NONE) for a part, the key
 * ends in front of that part and behind the 0 byte of the one before: it is the
 * prefix of all keys with the parts that are given, and of no other: "lic_A"
 * never finds a key of "lic_AB".
 * A part that cannot be in a key (it holds a 0 byte, or does not fit) makes the
 * key empty (n = 0): loads and scans find nothing, puts refuse it.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "lib/str.h"
#include "store/store.h"

struct key {
	size_t n;
	char p[STORE_KEY_BYTES_MAX];
};

static inline struct str
key_str(const struct key *key)
{
	return str_bytes(key->p, key->n);
}

/*    kind                      value          parts */
void key_meta(struct key *key);			      /* meta */
void key_workspace(struct key *key, struct str code); /* workspace */
void key_plan(struct key *key, struct str workspace, struct str code);
void key_customer(struct key *key, struct str id); /* customer */
/* e-mail in lower case -> customer id */
void key_customer_email(struct key *key, struct str workspace,
			struct str email);
/* HMAC of the licence key (32 bytes) -> license: one read finds it */
void key_license(struct key *key, struct str hash);
/* subscription: behind the licence that it was issued with, so that what is
 * read together lies on one page */
void key_subscription(struct key *key, struct str license_hash);
void key_license_id(struct key *key, struct str id); /* -> hash */
/* -> nothing: a customer's licences in order */
void key_customer_license(struct key *key, struct str customer_id,
			  struct str license_id);
void key_activation(struct key *key, struct str license_id, struct str domain);
/* meter: in front of the licence's rollups, so that a settlement finds and
 * changes them on one page */
void key_meter(struct key *key, struct str license_id);
/* meter, of a workspace that has limits */
void key_workspace_meter(struct key *key, struct str workspace);
/* usage_line: by request first. Request ids that the edge makes rise with time,
 * so new lines append whatever their licence. */
void key_usage_line(struct key *key, struct str request_id,
		    struct str license_id);
/* -> key of the line: reservations that are open, oldest first */
void key_open(struct key *key, int64_t reserved_at_ms, struct str license_id,
	      struct str request_id);
/* counted: which events are in the counters. In front of the open reservations,
 * on whose page it is written */
void key_counted(struct key *key);
#define KEY_TIME_NONE INT64_MIN
#define KEY_WINDOW_NONE '\0'
/* rollups: window 'h', 'd' or 'm', its first instant */
void key_rollup_license(struct key *key, struct str license_id, char window,
			int64_t start_ms);
void key_rollup_model(struct key *key, struct str workspace, char window,
		      int64_t start_ms, struct str provider, struct str model);
void key_price(struct key *key, struct str provider, struct str model);
/* provider, route: the settings' rows; name STR_NONE: the prefix of all */
void key_provider(struct key *key, struct str name);
void key_route(struct key *key, struct str name);
/* capture_piece: of request `slot` of a licence's capture, 'a'sked or 's'aid,
 * its piece number n */
void key_capture(struct key *key, struct str license_id, unsigned slot,
		 char part, unsigned n);
/* -> hash of the licence: captures by when they end */
void key_capture_end(struct key *key, int64_t ends_ms, struct str license_id);
/* The time in such a key. */
int64_t key_capture_ends(const struct key *key);
/* owner: "vendor" or a customer's id */
void key_provider_key(struct key *key, struct str owner, struct str provider,
		      struct str name);

/* The first byte. Append only. */
enum key_kind {
	KEY_META = '!',
	KEY_ACTIVATION = 'A',
	KEY_CAPTURE = 'D',
	KEY_CAPTURE_END = 'G',
	KEY_CUSTOMER = 'C',
	KEY_CUSTOMER_EMAIL = 'E',
	KEY_CUSTOMER_LICENSE = 'F',
	KEY_PROVIDER_KEY = 'K',
	KEY_LICENSE = 'L',
	KEY_LICENSE_ID = 'I',
	KEY_WORKSPACE_METER = 'M',
	KEY_COUNTED = 'N',
	KEY_OPEN = 'O',
	KEY_PLAN = 'P',
	KEY_PRICE = 'X',
	KEY_PROVIDER = 'V',
	KEY_ROLLUP_LICENSE = 'R',
	KEY_ROLLUP_MODEL = 'Q',
	KEY_ROUTE = 'T',
	KEY_USAGE_LINE = 'U',
	KEY_WORKSPACE = 'W',
};

#endif
