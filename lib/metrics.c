/*
 * metrics: an array of numbers and its text. See metrics.h. Source of the
 * text: Prometheus exposition format 0.0.4.
 */
#include "lib/metrics.h"

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
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (begins_family(i))
			print_head(out, &rows[i]);
		buf_printf(out, "%s{process=\"%s\"%s%s} %lld\n", rows[i].family,
			   process, rows[i].labels[0] ? "," : "",
			   rows[i].labels, (long long)values[i]);
	}
}

static bool
is_of_family(struct str line, struct str family)
{
	return line.n > family.n && str_starts(line, family) &&
	       (line.p[family.n] == '{' || line.p[family.n] == ' ');
}

static void
copy_family(struct buf *out, struct str print, struct str family)
{
	while (print.n) {
		const char *end = memchr(print.p, '\n', print.n);
		size_t n = end ? (size_t)(end - print.p) : print.n;
		struct str line = str_bytes(print.p, n);

		if (is_of_family(line, family)) {
			buf_add_str(out, line);
			buf_add_char(out, '\n');
		}
		n += end != NULL;
		print.p += n;
		print.n -= n;
	}
}

void
metrics_join(struct buf *out, const struct str *prints, size_t count)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (!begins_family(i))
			continue;
		print_head(out, &rows[i]);
		for (size_t j = 0; j < count; j++)
			copy_family(out, prints[j], str_of(rows[i].family));
	}
}
