/*
 * metrics: an array of numbers and its text. See metrics.h. Source of the
 * text: Prometheus exposition format 0.0.4.
 */
#include "lib/metrics.h"

#include "lib/series.h"

static const struct row {
	const char *type;
	const char *labels;
	const char *family;
	const char *help;
} rows[] = {
#define METRIC(name, type, labels, text, help) {#type, labels, text, help},
#include "lib/metrics.def"
#undef METRIC
};

static int64_t values[METRIC_COUNT];

void
metrics_add(enum metric metric, int64_t n)
{
	values[metric] += n;
}

void
metrics_set(enum metric metric, int64_t value)
{
	values[metric] = value;
}

int64_t
metrics_get(enum metric metric)
{
	return values[metric];
}

static bool
begins_family(unsigned i)
{
	return i == 0 || strcmp(rows[i].family, rows[i - 1].family) != 0;
}

static void
print_head(struct buf *out, const struct row *row)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->family, row->help,
		   row->family, row->type);
}

void
metrics_print(struct buf *out, const char *process)
{
	metrics_set(METRIC_UP, 1);
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (begins_family(i))
			print_head(out, &rows[i]);
		buf_printf(out, "%s{process=\"%s\"%s%s} %lld\n", rows[i].family,
			   process, rows[i].labels[0] ? "," : "",
			   rows[i].labels, (long long)values[i]);
	}
	series_print(out, process);
}

void
metrics_print_up(struct buf *out, const char *process, bool is_up)
{
	if (out->n == 0)
		print_head(out, &rows[METRIC_UP]);
	buf_printf(out, "%s{process=\"%s\"} %d\n", rows[METRIC_UP].family,
		   process, is_up);
}

/* --- the page of several ---------------------------------------------------
 */

#define HEAD "# HELP "

/* Where the next family begins, or the end. */
static size_t
family_end(struct str print)
{
	const char *at = memmem(print.p, print.n, "\n" HEAD, sizeof(HEAD));

	return at ? (size_t)(at - print.p) + 1 : print.n;
}

/* The family's HELP, TYPE and lines; STR_NONE when the print has none. What
 * comes before it in the print was not asked for, and is dropped with it. */
static struct str
family_take(struct str *print, const char *family)
{
	struct str rest = *print, found;
	struct str name = str_of(family);

	while (rest.n > 0) {
		size_t n = family_end(rest);

		found = str_bytes(rest.p, n);
		rest = str_bytes(rest.p + n, rest.n - n);
		if (str_starts(found, STR(HEAD)) &&
		    found.n > sizeof(HEAD) + name.n &&
		    memcmp(found.p + sizeof(HEAD) - 1, name.p, name.n) == 0 &&
		    found.p[sizeof(HEAD) - 1 + name.n] == ' ') {
			*print = rest;
			return found;
		}
	}
	return STR_NONE;
}

static struct str
without_head(struct str found)
{
	for (int line = 0; line < 2 && found.n > 0; line++) {
		const char *end = memchr(found.p, '\n', found.n);
		size_t n = end ? (size_t)(end - found.p) + 1 : found.n;

		found = str_bytes(found.p + n, found.n - n);
	}
	return found;
}

static void
join_family(struct buf *out, struct str *prints, size_t count,
	    const char *family)
{
	bool has_head = false;

	for (size_t i = 0; i < count; i++) {
		struct str found = family_take(&prints[i], family);

		buf_add_str(out, has_head ? without_head(found) : found);
		has_head |= found.n > 0;
	}
}

void
metrics_join(struct buf *out, struct str *prints, size_t count)
{
	const char *family;

	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (begins_family(i))
			join_family(out, prints, count, rows[i].family);
	for (unsigned i = 0; (family = series_family(i)) != NULL; i++)
		join_family(out, prints, count, family);
}
