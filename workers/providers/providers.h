/*
 * providers: who answers AI requests: the built-in ones, a row each, and those
 * of the settings, which speak OpenAI's shape. One of another shape is a row
 * here and a wire beside openai.c. The wires are pure: bytes of an answer in,
 * what they say out; nothing is kept, nothing is sent.
 */
#ifndef WORKERS_PROVIDERS_PROVIDERS_H
#define WORKERS_PROVIDERS_PROVIDERS_H

#include "lib/ai_error.h"
#include "lib/conf.h"
#include "lib/json.h"
#include "lib/msg.h"
#include "workers/breaker.h"
#include "workers/sse.h"
#include "workers/upstream.h"

#define PROVIDER_TOKENS_NONE SCHEMA_INT_NONE /* it did not say */
#define PROVIDER_TOKENS_MAX INT64_C(1000000000)

/* The provider's own count, field by field; a later number replaces an earlier
 * one, an absent field leaves it. cache_* are parts of prompt, reasoning is
 * a part of output. */
struct provider_usage {
	int64_t prompt;
	int64_t cache_read;
	int64_t cache_write;	/* for 5 minutes and for 1 hour */
	int64_t cache_write_1h; /* a part of cache_write */
	int64_t output;
	int64_t reasoning;
};
void provider_usage_clear(struct provider_usage *usage);
/* A field of it: a number that cannot be makes it unknown, what is no number
 * changes nothing. */
void provider_take_tokens(struct json_value value, int64_t *out);
/* Both prompt and output were counted. */
bool provider_usage_is_whole(const struct provider_usage *usage);

/* A whole JSON answer. Strings are raw JSON strings, quotes included, and
 * point into the answer; absent when there is none. */
struct provider_answer {
	struct str model;
	struct str text;   /* what the assistant says in the first choice */
	size_t text_bytes; /* generated, in all choices */
	bool is_failure;   /* an error inside a 200 */
};

/* One event of a stream, likewise. */
struct provider_event {
	struct str model;
	struct str text;
	size_t text_bytes;
	bool is_done;	    /* the stream's regular end */
	bool is_usage_only; /* only there because usage was asked for */
	bool is_failure;
};

/* What an answer that is no 2xx means. */
enum provider_verdict {
	PROVIDER_PASS,	/* the client's doing: it gets status and body */
	PROVIDER_RETRY, /* transient, nothing was billed */
	PROVIDER_LIMIT, /* likewise, and the provider wants less */
	PROVIDER_ALARM, /* needs the operator: credentials, balance */
	PROVIDER_FAIL,
};

struct provider_wire {
	enum ai_shape shape;
	const char *path;	/* appended to the base URL */
	const char *count_path; /* likewise: counts tokens; NULL = it cannot */
	const char *list_path;	/* likewise: lists models, by GET */
	/* False: this is no answer of that shape. */
	bool (*read_answer)(struct str body, struct provider_usage *usage,
			    struct provider_answer *out);
	void (*read_event)(const struct sse_event *event,
			   struct provider_usage *usage,
			   struct provider_event *out);
	enum provider_verdict (*judge)(int status, struct str body);
};

/* Of Anthropic's, where a client names none: it takes a temperature. A literal,
 * so that headers can be made of it. */
#define ANTHROPIC_VERSION "2023-06-01"

extern const struct provider_wire openai_wire;
extern const struct provider_wire anthropic_wire;

struct provider_row {
	const char *name;
	unsigned index; /* its place in arrays */
	const struct provider_wire *wire;
	const char *key_name;	   /* its setting, for messages; NULL = none */
	size_t key_at;		   /* in struct conf */
	size_t base_url_at;	   /* in struct conf */
	const char *key_header;	   /* the key goes behind it; NULL = no key */
	bool is_inside;		   /* answered inside the proxy */
	const char *default_model; /* "" = none */
	const char *max_tokens_name;
};

/* The built-in ones. */
#define PROVIDER_COUNT 4u
extern const struct provider_row provider_rows[PROVIDER_COUNT];

/* NULL when there is none. */
const struct provider_row *provider_of_name(struct str name);

/* One of the settings. It keeps its name and place as long as the process runs,
 * since requests in flight point to it. */
#define PROVIDER_SLOTS 32u
struct provider_slot {
	struct provider_row row;
	bool is_on; /* the settings have it now */
	char name[33];
	char default_model[129];
	char base_url[257];
};
#define PROVIDERS_ALL (PROVIDER_COUNT + PROVIDER_SLOTS)

/* Which of them may be called. One that takes keys is on whoever's key it is:
 * a customer may have one of its own. The one inside (demo) is on while the
 * vendor has no other. */
struct providers {
	struct upstream *upstream;
	bool has_key[PROVIDERS_ALL]; /* the vendor has, or none is needed */
	struct upstream_target *targets[PROVIDERS_ALL];
	struct upstream_target *counters[PROVIDERS_ALL]; /* of tokens */
	struct upstream_target *listers[PROVIDERS_ALL];	 /* of models */
	struct breaker breakers[PROVIDERS_ALL]; /* closed for a new address */
	struct provider_slot slots[PROVIDER_SLOTS];
	unsigned slot_count;
};
/* ERR_CONFIG: a base URL that cannot be used, named in why. */
enum err providers_open(struct providers *providers, struct upstream *upstream,
			const struct conf *conf, struct why *why);
void providers_close(struct providers *providers);
/* The settings' providers are these from now on; calls that are out go on.
 * has_key is the caller's to set anew. ERR_CONFIG, NO_MEMORY: why names the
 * first that was left out; the others are taken. */
enum err providers_take(struct providers *providers,
			const struct provider_setting *settings, size_t count,
			struct why *why);
/* Built in or of the settings; NULL when there is none. */
const struct provider_row *providers_find(const struct providers *providers,
					  struct str name);
const struct provider_row *providers_at(const struct providers *providers,
					unsigned index);
/* The key in the settings; "" = unset, or it takes none. */
const char *provider_conf_key(const struct provider_row *row,
			      const struct conf *conf);
bool provider_is_on(const struct providers *providers,
		    const struct provider_row *row);
/* The vendor has a key for it, or it needs none and is on. */
bool provider_has_key(const struct providers *providers,
		      const struct provider_row *row);
/* NULL: answered inside the proxy. */
struct upstream_target *provider_target(const struct providers *providers,
					const struct provider_row *row);
/* Where it counts tokens; NULL: it does not. */
struct upstream_target *provider_counter(const struct providers *providers,
					 const struct provider_row *row);
/* The first that can be called and has a default model, built-in ones before
 * those of the settings; else the one inside. */
const struct provider_row *providers_first(const struct providers *providers);

#endif
