/*
 * series: numbers of this process by what they are about: a provider, a model,
 * a currency, a key (rows in series.def); metrics.def has those that are about
 * the process alone. What they are about comes from the outside, so each kind
 * has a limit: what comes beyond it is counted as `other`. Histograms have
 * fixed buckets. Loop thread only.
 */
#ifndef LIB_SERIES_H
#define LIB_SERIES_H

#include "lib/buf.h"

#define SERIES_SUBJECTS_MAX 64u /* of a kind; the rest is `other` */
#define SERIES_LABEL_BYTES_MAX 128u
#define SERIES_BUCKETS 14u

enum series_about {
	SERIES_ABOUT_PROVIDER, /* provider */
	SERIES_ABOUT_MODEL,    /* provider, model */
	SERIES_ABOUT_CHARGE,   /* provider, model, currency */
	SERIES_ABOUT_KEY,      /* provider, key: its name, never itself */
	SERIES_ABOUTS
};

/* Where a row's numbers begin in a subject: a histogram has its buckets, the
 * one without end, and the sum. */
#define SERIES_WIDTH_counter 1
#define SERIES_WIDTH_gauge 1
#define SERIES_WIDTH_histogram (SERIES_BUCKETS + 2)
enum series {
#define SERIES(name, about, type, buckets, unit, labels, text, help)           \
	SERIES_##name,                                                         \
	    SERIES_LAST_##name = SERIES_##name + SERIES_WIDTH_##type - 1,
#include "lib/series.def"
#undef SERIES
	SERIES_NUMBERS
};

struct series_subject;

/* Made when it comes first; it stays, except those that series_forget removes.
 * NULL without memory, which the functions below take. A label is cut at
 * SERIES_LABEL_BYTES_MAX. */
struct series_subject *series_provider(struct str provider);
struct series_subject *series_model(struct str provider, struct str model);
struct series_subject *series_charge(struct str provider, struct str model,
				     struct str currency);
struct series_subject *series_key(struct str provider, struct str name);
/* All subjects of a kind, for one that is set anew at each print. */
void series_forget(enum series_about about);

void series_add(struct series_subject *subject, enum series series, int64_t n);
void series_set(struct series_subject *subject, enum series series,
		int64_t value);
/* One more in a histogram. */
void series_observe(struct series_subject *subject, enum series series,
		    int64_t us);

/* As metrics_print: families that have numbers, with # HELP and # TYPE. */
void series_print(struct buf *out, const char *process);
/* Names of the families in the order of the print; NULL behind the last. */
const char *series_family(unsigned index);

#endif
