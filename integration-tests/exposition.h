/*
 * exposition: reads a page of Prometheus' text format 0.0.4 and accepts only
 * what a scraper must accept: families whole and once, HELP and TYPE in front,
 * names, labels and escapes by the grammar, counters that end in _total,
 * histograms that add up. Any fault fails the test. Source: Prometheus,
 * "Exposition formats".
 */
#ifndef INTEGRATION_EXPOSITION_H
#define INTEGRATION_EXPOSITION_H

#include "lib/str.h"

#define EXPOSITION_SAMPLES_MAX 8192

struct sample {
	struct str name;   /* with _bucket, _sum, _count */
	struct str labels; /* between the braces, as they are */
	long long micro;   /* the value in millionths */
};

struct exposition {
	struct sample samples[EXPOSITION_SAMPLES_MAX];
	int count;
};

/* Points into the page. */
void exposition_read(struct exposition *out, struct str page);
/* The sum of the samples of that name whose labels have both texts (NULL: any);
 * in millionths. */
long long exposition_sum(const struct exposition *page, const char *name,
			 const char *label, const char *other);
/* Likewise, how many there are. */
int exposition_count(const struct exposition *page, const char *name,
		     const char *label, const char *other);

#endif
