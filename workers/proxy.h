/*
 * proxy: what the files of the proxy share: one job for each AI request, from
 * its arrival until it is answered and settled. Who does what:
 *   proxy.c         the worker: rows, open, close
 *   proxy_routes.c  which provider and model are meant
 *   proxy_request.c what the provider is sent
 *   proxy_job.c     jobs come and go; the client leaves
 *   proxy_limit.c   the output that is granted, and its end
 *   proxy_ledger.c  reserve and settle, asked until the ledger has answered
 *   proxy_keys.c    which key a call gets, and what becomes of one refused
 *   proxy_call.c    the provider is called, retried, given up
 *   proxy_fallback.c the next model of the route, when one fails
 *   proxy_breaker.c one that keeps failing is left alone for a while
 *   proxy_read.c    what the provider says: usage, texts, the end
 *   proxy_answer.c  what the client gets: head, parts with credit, the end
 *   proxy_models.c  the list of models
 *   proxy_observe.c what of it goes to /metrics
 *   proxy_count.c   tokens are counted: admitted, but nothing is reserved
 *   proxy_capture.c what is kept of a licence whose debug capture is on
 *   proxy_prove.c   keys are tried for `chatello key test`
 * Always holds: nothing goes to a provider before the reservation is answered;
 * a reserved job is settled exactly once (asked as often as it takes); a job
 * ends when it is settled (or was never reserved) and its client is answered.
 */
#ifndef WORKERS_PROXY_H
#define WORKERS_PROXY_H

#include "lib/metrics.h"
#include "lib/series.h"
#include "lib/trace.h"
#include "store/crypto.h"
#include "workers/key_pool.h"
#include "workers/pool.h"
#include "workers/providers/providers.h"
#include "workers/request.h"
#include "workers/routes.h"
#include "workers/translate.h"

#define PROXY_JOBS_MAX 4096u
#define PROXY_JOBS_KEPT 512u		  /* for reuse */
#define PROXY_KEPT_BYTES 65536u		  /* of a reused job's buffers */
#define PROXY_ANSWER_BYTES_MAX (8u << 20) /* a JSON answer */
#define PROXY_ERROR_BYTES_MAX 65536u	  /* the body of a provider's error */
#define PROXY_PART_BYTES_MAX 65536u
#define PROXY_RESERVE_MS 5000	/* how long admission may take */
#define PROXY_ASK_MS 2000	/* one question to the ledger */
#define PROXY_ROUTES_GAP_MS 100 /* between questions for an unknown name */
#define PROXY_SWITCHES_MAX 8u	/* to another key, which is no retry */
#define PROXY_RETRIES_MAX 2u	/* calls beyond the first */
#define PROXY_BACKOFF_MS 100	/* doubled each time, with jitter */
#define PROXY_RETRY_AFTER_MS_MAX 8000 /* a longer wish is no retry */
#define PROXY_SETTLE_LINGER_MS 2      /* for a reservation to go with */
#define PROXY_SETTLE_BACKOFF_MS 50
#define PROXY_SETTLE_BACKOFF_MS_MAX 2000
/* Output of an answer that says neither how much it is nor how much may be. */
#define PROXY_GUESS_TOKENS_MAX INT64_C(131072)
#define PROXY_HOLD_MS 2000 /* the end waits so long for the settlement */
#define PROXY_EXPIRES_EXTRA_MS 30000 /* reservation beyond the deadline */
#define PROXY_MARGIN_MS 100	     /* our deadline is before the asker's */
/* A request's body and what is put into it for us, or its translation. */
#define PROXY_BODY_BYTES_MAX (12u << 20)
#define PROXY_HEADER_BYTES_MAX                                                 \
	2048 /* of a request, beside the constant ones                         \
	      */

/* The vendor's keys, as the ledger and the settings have them. */
struct proxy_keys {
	struct crypto *crypto; /* opens provider keys, and nothing else */
	struct key_pool pool;
	int64_t version; /* SCHEMA_INT_NONE: not heard yet */
	bool is_asking;
	unsigned asks;
	uint64_t ask_id; /* 0 = no question in flight */
	struct loop_timer again;
};

struct proxy {
	struct pool *pool;
	struct bus *bus;
	struct loop *loop;
	const struct conf *conf;
	struct bus_pool *usage;
	struct bus_pool *validate;
	struct upstream *upstream;
	struct providers providers;
	struct proxy_keys keys;
	struct routes routes;
	struct arena routes_arena; /* what they point into */
	int64_t routes_asked_ms;   /* for a name; 0 = never */
	struct loop_timer routes_next;
	struct job *jobs;
	unsigned job_count;
	struct job *kept;
	unsigned kept_count;
	unsigned models_count;	  /* lists that are being asked for */
	struct proving *provings; /* tests of keys that are under way */
	int64_t next_attempt;
	struct job *lingering; /* settlements that nobody waits for */
	struct loop_timer linger;
	struct buf scratch; /* of one encoding */
};

enum job_stage {
	JOB_RESERVING,
	JOB_CALLING, /* in a call or between two */
	JOB_SETTLING,
	JOB_SETTLED, /* or nothing was reserved */
};

/* A request that is being read. */
struct proxy_asked {
	const struct ai_request *in;
	struct arena *arena;
	struct failure *failure;
	bool is_count;
	bool is_read;	 /* well formed, whatever the name means */
	bool is_unknown; /* nobody has that name */
	struct request request;
	const struct provider_row *row;
	struct str model; /* for the provider; points into the routes, too */
	const struct route_setting *route; /* NULL: none has the name */
};

/* The numbers of the ledger line. */
struct settlement {
	const char *status; /* settled, failed */
	const char *source; /* provider, estimated, partial; NULL = none */
	enum err error;	    /* of a failed one */
	int64_t input;
	int64_t output;
	int64_t cache_read;
	int64_t cache_write;
	int64_t cache_write_1h; /* a part of cache_write */
	int64_t reasoning;
	int64_t latency_ms;
	int64_t first_byte_ms;
	bool is_undelivered; /* nothing of it reached the client */
};

/* A model that may be asked for a request: the one that was meant, then its
 * fallbacks. */
struct job_model {
	const struct provider_row *row;
	struct str model;
	char text[129];
};
#define JOB_MODELS_MAX (1 + ROUTE_FALLBACKS_MAX)

struct job {
	struct proxy *proxy;
	struct job *next; /* in proxy->jobs or proxy->kept */
	struct job **at;
	struct job *next_lingering;
	struct bus_from *from; /* NULL: answered, or the client has left */
	enum job_stage stage;

	/* The request; the strings point into the texts below. */
	enum request_shape shape;
	const struct provider_row *row;
	struct str request_id;
	struct str key;
	struct str domain;
	struct str model;
	bool is_stream;
	bool is_count; /* tokens are counted, nothing is generated */
	bool is_usage_wanted;
	bool is_thinking_wanted; /* by an Anthropic client */
	int64_t prompt_tokens;
	struct output_wish output; /* of the body below */
	struct buf origin;  /* the ai_request, if it is needed once more */
	struct buf body;    /* for the provider */
	struct buf headers; /* likewise: lines with a NUL behind each */

	/* Deadlines, monotonic. */
	int64_t began_ns;
	int64_t total_ns;
	int64_t expires_ns;	 /* of the reservation */
	struct loop_timer step;	 /* the next try of whatever is tried */
	struct loop_timer watch; /* deadline, silence; then the hold */

	/* The ledger. */
	int64_t attempt;
	uint64_t ask_id; /* 0 = no question in flight */
	unsigned asks;
	bool is_maybe_reserved; /* a question was lost on its way */
	struct reserved reserved;
	struct settlement settlement;
	bool has_cost;
	int64_t cost;

	/* The key. */
	bool has_own_key; /* the customer's is used, or nothing */
	bool is_waiting_for_routes;
	bool is_waiting_for_key; /* the vendor's keys are being asked for */
	bool has_waited_for_key;
	unsigned switches;
	int key_index; /* in the pool of key_generation */
	uint64_t key_generation;

	/* The models. */
	struct job_model
	    plan[JOB_MODELS_MAX]; /* filled if there are fallbacks */
	unsigned plan_count;	  /* of the fallbacks */
	unsigned plan_now;	  /* that is asked */
	unsigned plan_at;	  /* the next one */
	unsigned plan_sends;	  /* before the present model */
	int64_t plan_called_ns;	  /* its first try */
	bool is_observed;	  /* it is in /metrics */
	struct usage_try done[JOB_MODELS_MAX]; /* those that failed */
	unsigned try_count;

	/* The call. */
	struct upstream_call *call;
	bool is_probe; /* of the provider's breaker */
	unsigned tries;
	unsigned sends;
	int64_t called_ns; /* first try; 0 = never */
	int64_t first_byte_ns;
	int64_t first_token_ns; /* of a stream */
	int64_t heard_ns;
	bool is_paused;

	/* What the provider says. */
	int status; /* 0 = no head yet */
	int64_t retry_after_ms;
	bool is_sse;
	bool is_coded;	     /* gzip and the like, which nobody asked for */
	bool is_done;	     /* the stream's regular end was read */
	bool is_refused;     /* we stopped reading: an error or too much */
	bool is_sent;	     /* all of the request, before it broke off */
	bool is_said_failed; /* by the provider, inside its 2xx */
	struct sse sse;
	struct buf in; /* a body that is not a stream */
	struct provider_usage usage;
	struct translate_stream *translation; /* NULL: passed as it comes */
	bool is_cut;			      /* by us: it ran past its grant */
	size_t text_bytes;
	size_t text_events; /* that had some of them */
	struct str text;    /* of a JSON answer: raw, in `in` */
	struct str model_said;

	/* What the client gets. */
	struct buf out;
	size_t out_at;
	struct buf tail; /* behind the settlement */
	bool is_head_sent;
	bool has_passed;  /* some of the answer went to the client */
	bool is_begun;	  /* as a stream, before the provider said anything */
	bool is_complete; /* nothing more comes into out */
	bool is_held;	  /* the end waits for the settlement */
	int out_status;
	enum err failure_err; /* how it ends, OK or the failure below */
	int64_t failure_retry_ms;
	bool may_be_billed; /* though it failed */

	struct capture *capture; /* NULL: nothing is kept */

	char own_key_text[PROVIDER_KEY_BYTES_MAX + 1]; /* "" = not readable */
	char request_id_text[65];
	char key_text[129];
	char domain_text[254];
	char model_text[129];
	char model_said_text[129];
	char license_id_text[33];
	char failure_text[321];
	char
	    traceparent[TRACE_PARENT_CHARS + 1]; /* the provider's; "" = none */
};

/* A log line with the request's id on it, and its trace's if it has one. */
#define JOB_WARN(job, ...)                                                     \
	do {                                                                   \
		log_request((job)->request_id);                                \
		if ((job)->traceparent[0])                                     \
			log_trace(trace_id(str_of((job)->traceparent)));       \
		log_warn(__VA_ARGS__);                                         \
		log_request(STR_NONE);                                         \
		log_trace(STR_NONE);                                           \
	} while (0)

/* Whose shape the client speaks; /api/chat is made in OpenAI's. */
static inline enum ai_shape
job_client_shape(const struct job *job)
{
	return job->shape == REQUEST_ANTHROPIC ? AI_ANTHROPIC : AI_OPENAI;
}

/* The client speaks another shape than the provider. /api/chat has one of its
 * own, which is made of what any provider's wire reads. */
static inline bool
job_is_translated(const struct job *job)
{
	return job->shape != REQUEST_CHAT &&
	       job_client_shape(job) != job->row->wire->shape;
}

/* The numbers of the job's provider. */
static inline struct series_subject *
job_series(const struct job *job)
{
	return series_provider(str_of(job->row->name));
}

static inline struct job *
job_of(void *ctx)
{
	return ctx;
}

/* --- proxy_job.c */
/* NULL when PROXY_JOBS_MAX are there or memory is short. */
struct job *job_new(struct proxy *proxy);
/* Copies up to room - 1 bytes; callers checked the length. */
struct str job_keep(char *to, size_t room, struct str s);
/* Frees the job if nothing is left to do for it. */
void job_check(struct job *job);
/* Stops everything and frees; answers UNAVAILABLE to whoever waits. */
void job_drop(struct job *job);
/* Frees those that are kept for reuse. */
void jobs_fini(struct proxy *proxy);
void job_cancelled(struct job *job);
void job_credit(struct job *job);

/* --- proxy.c */
/* Fills the job and asks for its reservation. An error: nothing was asked, why
 * is in asked's failure. */
enum err job_start(struct job *job, struct proxy_asked *asked);

/* --- proxy_routes.c */
void proxy_routes_open(struct proxy *proxy);
void proxy_routes_close(struct proxy *proxy);
/* Its providers and routes count from now on; takes over the arena, which all
 * of it lies in. */
void proxy_routes_take(struct proxy *proxy, const struct vendor_keys *said,
		       struct arena *arena);
/* Reads in and chooses row and model. BAD_FIELD, MODEL_UNKNOWN, ...: why is in
 * failure; unless is_read no settings can change that; is_unknown: they may
 * have changed since. */
enum err proxy_read(struct proxy_asked *asked, const struct proxy *proxy);
/* Only the first half of it: row and model are the caller's. */
enum err proxy_read_request(struct proxy_asked *asked);
/* Takes over why, into the arena. */
void proxy_refuse(struct proxy_asked *asked, const struct why *why);
/* Asks for the newest ones, now or when the last question is old enough. */
void proxy_routes_renew(struct proxy *proxy);
/* Likewise, and reads again behind the answer. */
enum err job_wait_for_routes(struct job *job, const struct ai_request *in);
void proxy_routes_wake(struct proxy *proxy);

/* --- proxy_request.c */
/* Copies what the job needs of it and makes body and headers for the provider.
 * BAD_FIELD: a field that the provider's shape has no place for, in why. */
enum err job_fill(struct job *job, const struct proxy_asked *asked,
		  struct why *why);
/* The second half of it, for another row and model. */
enum err job_make_body(struct job *job, const struct proxy_asked *asked,
		       struct why *why);

/* --- proxy_limit.c */
/* Admission said how much may be generated. */
bool job_has_grant(const struct job *job);
/* Writes it into the body. NO_MEMORY. */
enum err job_grant(struct job *job);
/* More has come than was granted. */
bool job_is_past_grant(const struct job *job);
/* Ends the stream here: what comes behind is not read, the last frames are in
 * job->tail. False: no memory. */
bool job_cut(struct job *job);

/* --- proxy_ledger.c */
void job_reserve(struct job *job);
/* The answer to who asks for admission is no: so is the job's. */
void job_not_admitted(struct job *job, const struct bus_answer *answer);
/* Takes job->settlement to the ledger, at once when an answer waits for it;
 * the job may be gone behind it. */
void job_settle(struct job *job);
/* Whether the same question can have another answer soon. */
bool ledger_is_away(enum err err);

int64_t proxy_backoff_ms(unsigned asks);

/* --- proxy_keys.c */
/* The keys of the settings, then those of the ledger, which is asked until it
 * answers. ERR_CONFIG: a key or the master key, named in why. */
enum err proxy_keys_open(struct proxy *proxy, struct why *why);
void proxy_keys_close(struct proxy *proxy);
/* What a reservation said of the vendor's keys: another version is asked for.
 */
void proxy_keys_heard(struct proxy *proxy, int64_t version);
/* Asks for them, unless that is under way; proxy_prove_keys is called when they
 * are there. */
void proxy_keys_renew(struct proxy *proxy);
/* A handler: takes the master key to come, as far as it is the proxy's. */
enum err proxy_key_next(struct context *context, const void *in_, void *out);
/* Takes the customer's key out of the reservation, if one is in it. */
void job_own_key(struct job *job, const struct reserved *reserved);
#define PROXY_KEY_HEADER_BYTES (PROVIDER_KEY_BYTES_MAX + 64u)
/* The reservation told of a change of keys and providers that is being asked
 * for: the job goes on behind it, or without it after PROXY_ASK_MS. */
bool job_waits_for_news(struct job *job);
/* The header of the next call's key. False: there is none now; the job waits
 * for one, or has ended. */
bool job_key_take(struct job *job, char header[PROXY_KEY_HEADER_BYTES]);
void job_key_works(struct job *job);
/* A provider's words that have the customer's own key in them, or, for a
 * request with one of the vendor's, any of those: nobody may read them. */
bool job_key_is_in(const struct job *job, struct str text);
/* A verdict about the key. True: it was dealt with, the job goes on with
 * another key or has ended. */
bool job_key_refused(struct job *job, enum provider_verdict verdict);

/* --- proxy_capture.c */
/* When the reservation says so: keeps what the provider is asked, instead of
 * what was kept of the call before. */
void job_capture_begin(struct job *job);
void job_capture_said(struct job *job, struct str bytes);
/* To the ledger; once. */
void job_capture_send(struct job *job);
void job_capture_end(struct job *job);

/* --- proxy_prove.c */
/* A handler: tries keys of the vendor's at their providers. */
enum err proxy_prove(struct context *context, const void *in_, void *out);
/* The vendor's keys are as the ledger has them. */
void proxy_prove_keys(struct proxy *proxy);
void proxy_prove_fini(struct proxy *proxy);

/* --- proxy_fallback.c */
/* Finds the fallbacks of a request that is filled. */
void job_plan(struct job *job, const struct proxy_asked *asked);
/* Nothing was billed, and the model is not tried again. True: another one is;
 * false: there is none. */
bool job_fall_back(struct job *job);
/* Those that were tried, the present one last; 0: only that one. */
uint32_t job_tries(const struct job *job,
		   struct usage_try tries[JOB_MODELS_MAX]);

/* --- proxy_breaker.c */
/* Whether the next call goes; false: *wait_ms until it is worth to try. Each
 * that goes is told of by one of the three below. */
bool job_breaker_take(struct job *job, int64_t *wait_ms);
void job_breaker_works(struct job *job);
void job_breaker_fails(struct job *job);
void job_breaker_leaves(struct job *job);
/* For metrics; provider: its row's index. */
enum breaker_state proxy_breaker_state(const struct proxy *proxy,
				       unsigned provider);

/* --- proxy_call.c */
/* The sentence of {"error": {"message"}}; absent when there is none. */
struct str proxy_error_message(struct str body, struct arena *arena);
/* At most n bytes, not in the middle of a character. */
struct str proxy_utf8_head(struct str s, size_t n);
/* ctx: the job. Calls, or calls again. */
void job_call_once(void *ctx);
void job_call(struct job *job);

/* --- proxy_read.c */
void job_read_reset(struct job *job);
void job_translation_end(struct job *job);
void job_read_head(struct job *job, const struct upstream_head *head);
enum upstream_take job_read_body(struct job *job, struct str bytes);
/* The 2xx answer is over (err: as it ended): settles and answers. */
void job_read_end(struct job *job, enum err err);
/* Settles what is known as failed, or as partial when something was consumed,
 * and ends the client's answer with that failure. */
void job_fail(struct job *job, enum err err, const char *message,
	      int64_t retry_after_ms);
/* Fills job->settlement; source NULL: failed, with err. */
void job_settlement(struct job *job, const char *source, enum err err);
/* The client left in mid-call. */
void job_abandon(struct job *job);

/* --- proxy_answer.c */
/* Sends what may be sent; frees job->from with the last of it. None of these
 * frees the job: job_check does. */
void job_pump(struct job *job);
/* Begins the stream although it has no bytes yet. */
void job_begin_stream(struct job *job);
/* The answer is whole up to what waits for the settlement. */
void job_answer_end(struct job *job, bool waits_for_settlement);
/* The settlement is there, or is not waited for any more. */
void job_release(struct job *job);
/* Ends the answer with a failure; a text longer than the field is cut. */
void job_answer_failure(struct job *job, enum err err, struct str message,
			int64_t retry_after_ms);
/* The job ends with a refusal that is worded already: a failure, encoded, or
 * nothing. It may be gone behind it. */
void job_refuse(struct job *job, enum err err, struct str body);

/* --- proxy_observe.c */
/* The part of the model that was asked last is over; once for each. */
void job_observe(struct job *job);
/* Sets the gauges: calls and streams that are open, the vendor's keys. */
void proxy_observe(void *state);

/* --- proxy_count.c */
/* Asks for admission; then the provider, or here it is estimated. */
void job_count(struct job *job);

/* --- proxy_models.c */
enum err proxy_models(struct context *context, const void *in_, void *out);

#endif
