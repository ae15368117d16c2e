/*
 * series: see series.h. A subject is found by going through those of its kind,
 * which are few. Always holds: no kind has more than SERIES_SUBJECTS_MAX and a
 * few `other`. Source of the text: Prometheus exposition format 0.0.4.
 */
#include "lib/series.h"

#include <stdlib.h>

#define LABELS_MAX 3u
#define OTHERS_MAX 8u /* one for each provider, as far as they go */
#define MICRO 1000000
#define PAIRS_BYTES_MAX 1024u /* three labels, each byte escaped */

enum unit { UNIT_ONE, UNIT_MICRO };
enum buckets { BUCKETS_NONE, BUCKETS_SHORT, BUCKETS_LONG };

static const struct row {
	const char *type;
	const char *labels;
	const char *family;
	const char *help;
	unsigned at; /* in a subject's numbers */
	enum series_about about;
	enum buckets buckets;
	enum unit unit;
} rows[] = {
#define SERIES(name, about_, type_, buckets_, unit_, labels_, text, help_)     \
	{#type_,                                                               \
	 labels_,                                                              \
	 text,                                                                 \
	 help_,                                                                \
	 SERIES_##name,                                                        \
	 SERIES_ABOUT_##about_,                                                \
	 BUCKETS_##buckets_,                                                   \
	 UNIT_##unit_},
#include "lib/series.def"
#undef SERIES
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct bucket {
	int64_t us; /* at most */
	const char *seconds;
};
static const struct bucket bounds[][SERIES_BUCKETS] = {
    [BUCKETS_SHORT] = {{100, "0.0001"},
		       {250, "0.00025"},
		       {500, "0.0005"},
		       {1000, "0.001"},
		       {2500, "0.0025"},
		       {5000, "0.005"},
		       {10000, "0.01"},
		       {25000, "0.025"},
		       {50000, "0.05"},
		       {100000, "0.1"},
		       {250000, "0.25"},
		       {500000, "0.5"},
		       {1000000, "1"},
		       {5000000, "5"}},
    [BUCKETS_LONG] = {{50000, "0.05"},
		      {100000, "0.1"},
		      {250000, "0.25"},
		      {500000, "0.5"},
		      {1000000, "1"},
		      {2500000, "2.5"},
		      {5000000, "5"},
		      {10000000, "10"},
		      {20000000, "20"},
		      {30000000, "30"},
		      {60000000, "60"},
		      {120000000, "120"},
		      {300000000, "300"},
		      {600000000, "600"}},
};

struct series_subject {
	uint64_t hash;
	struct str labels[LABELS_MAX];
	char text[LABELS_MAX][SERIES_LABEL_BYTES_MAX];
	bool is_used[SERIES_NUMBERS];
	int64_t numbers[SERIES_NUMBERS];
};

static const char *const label_names[SERIES_ABOUTS][LABELS_MAX] = {
    [SERIES_ABOUT_PROVIDER] = {"provider"},
    [SERIES_ABOUT_MODEL] = {"provider", "model"},
    [SERIES_ABOUT_CHARGE] = {"provider", "model", "currency"},
    [SERIES_ABOUT_KEY] = {"provider", "key"},
};

static struct {
	struct series_subject *subjects[SERIES_SUBJECTS_MAX + OTHERS_MAX];
	unsigned count;
} kinds[SERIES_ABOUTS];

/* --- subjects --------------------------------------------------------------
 */

static uint64_t
hash_of(const struct str labels[LABELS_MAX])
{
	uint64_t hash = 0;

	for (unsigned i = 0; i < LABELS_MAX; i++)
		hash = str_hash(labels[i], hash);
	return hash;
}

static struct series_subject *
find(enum series_about about, const struct str labels[LABELS_MAX])
{
	uint64_t hash = hash_of(labels);

	for (unsigned i = 0; i < kinds[about].count; i++) {
		struct series_subject *subject = kinds[about].subjects[i];

		if (subject->hash == hash &&
		    str_eq(subject->labels[0], labels[0]) &&
		    str_eq(subject->labels[1], labels[1]) &&
		    str_eq(subject->labels[2], labels[2]))
			return subject;
	}
	return NULL;
}

static struct series_subject *
add(enum series_about about, const struct str labels[LABELS_MAX])
{
	struct series_subject *subject = calloc(1, sizeof(*subject));

	if (subject == NULL)
		return NULL;
	subject->hash = hash_of(labels);
	for (unsigned i = 0; i < LABELS_MAX; i++) {
		if (labels[i].n > 0)
			memcpy(subject->text[i], labels[i].p, labels[i].n);
		subject->labels[i] = str_bytes(subject->text[i], labels[i].n);
	}
	kinds[about].subjects[kinds[about].count++] = subject;
	return subject;
}

/* Beyond the limit the provider still counts; beyond that, nothing does. */
static struct series_subject *
find_or_add(enum series_about about, struct str a, struct str b, struct str c)
{
	struct str labels[LABELS_MAX] = {a, b, c};
	struct series_subject *subject;
	unsigned i;

	for (i = 0; i < LABELS_MAX; i++)
		if (labels[i].n > SERIES_LABEL_BYTES_MAX)
			labels[i].n = SERIES_LABEL_BYTES_MAX;
	subject = find(about, labels);
	if (subject)
		return subject;
	if (kinds[about].count < SERIES_SUBJECTS_MAX)
		return add(about, labels);
	labels[label_names[about][1] ? 1 : 0] = STR("other");
	subject = find(about, labels);
	if (subject)
		return subject;
	if (kinds[about].count < SERIES_SUBJECTS_MAX + OTHERS_MAX - 1)
		return add(about, labels);
	for (i = 0; i < LABELS_MAX && label_names[about][i]; i++)
		labels[i] = STR("other");
	subject = find(about, labels);
	return subject ? subject : add(about, labels);
}

struct series_subject *
series_provider(struct str provider)
{
	return find_or_add(SERIES_ABOUT_PROVIDER, provider, STR(""), STR(""));
}

struct series_subject *
series_model(struct str provider, struct str model)
{
	return find_or_add(SERIES_ABOUT_MODEL, provider, model, STR(""));
}

struct series_subject *
series_charge(struct str provider, struct str model, struct str currency)
{
	return find_or_add(SERIES_ABOUT_CHARGE, provider, model, currency);
}

struct series_subject *
series_key(struct str provider, struct str name)
{
	return find_or_add(SERIES_ABOUT_KEY, provider, name, STR(""));
}

void
series_forget(enum series_about about)
{
	while (kinds[about].count > 0)
		free(kinds[about].subjects[--kinds[about].count]);
}

/* --- numbers ---------------------------------------------------------------
 */

void
series_add(struct series_subject *subject, enum series series, int64_t n)
{
	if (subject == NULL)
		return;
	subject->is_used[series] = true;
	subject->numbers[series] += n;
}

void
series_set(struct series_subject *subject, enum series series, int64_t value)
{
	if (subject == NULL)
		return;
	subject->is_used[series] = true;
	subject->numbers[series] = value;
}

static const struct row *
row_of(enum series series)
{
	const struct row *row = rows;

	while (row->at != series)
		row++;
	return row;
}

void
series_observe(struct series_subject *subject, enum series series, int64_t us)
{
	const struct row *row = row_of(series);
	unsigned i = 0;

	if (subject == NULL)
		return;
	while (i < SERIES_BUCKETS && us > bounds[row->buckets][i].us)
		i++;
	subject->is_used[series] = true;
	subject->numbers[series + i]++;
	subject->numbers[series + SERIES_BUCKETS + 1] += us;
}

/* --- the text --------------------------------------------------------------
 */

const char *
series_family(unsigned index)
{
	for (unsigned i = 0; i < ROWS; i++) {
		if (i > 0 && strcmp(rows[i].family, rows[i - 1].family) == 0)
			continue;
		if (index-- == 0)
			return rows[i].family;
	}
	return NULL;
}

/* Names from outside: what would end the label is escaped, what is not plain
 * text is not passed on. */
static void
add_value(struct buf *out, struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '"' || c == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, c < ' ' || c > '~' ? '?' : c);
	}
}

/* process="proxy-0",provider="openai",class="input" */
static void
print_pairs(struct buf *out, const struct row *row, const char *process,
	    const struct series_subject *subject)
{
	buf_printf(out, "process=\"%s\"", process);
	for (unsigned i = 0; i < LABELS_MAX && label_names[row->about][i];
	     i++) {
		buf_printf(out, ",%s=\"", label_names[row->about][i]);
		add_value(out, subject->labels[i]);
		buf_add_char(out, '"');
	}
	if (row->labels[0])
		buf_printf(out, ",%s", row->labels);
}

static void
print_number(struct buf *out, enum unit unit, int64_t n)
{
	if (unit == UNIT_ONE)
		buf_printf(out, " %lld\n", (long long)n);
	else
		buf_printf(out, " %s%lld.%06lld\n", n < 0 ? "-" : "",
			   llabs(n / MICRO), llabs(n % MICRO));
}

static void
print_histogram(struct buf *out, const struct row *row, struct str pairs,
		const int64_t *numbers)
{
	int64_t sum = numbers[SERIES_BUCKETS + 1], so_far = 0;

	for (unsigned i = 0; i <= SERIES_BUCKETS; i++) {
		so_far += numbers[i];
		buf_printf(out, "%s_bucket{%.*s,le=\"%s\"} %lld\n", row->family,
			   STR_ARG(pairs),
			   i < SERIES_BUCKETS ? bounds[row->buckets][i].seconds
					      : "+Inf",
			   (long long)so_far);
	}
	buf_printf(out, "%s_sum{%.*s}", row->family, STR_ARG(pairs));
	print_number(out, row->unit, sum);
	buf_printf(out, "%s_count{%.*s} %lld\n", row->family, STR_ARG(pairs),
		   (long long)so_far);
}

static void
print_row(struct buf *out, const struct row *row, const char *process,
	  const struct series_subject *subject)
{
	char text[PAIRS_BYTES_MAX];
	struct buf pairs = {
	    .p = text, .room = sizeof(text), .limit_bytes = sizeof(text)};

	print_pairs(&pairs, row, process, subject);
	if (row->buckets != BUCKETS_NONE) {
		print_histogram(out, row, buf_str(&pairs),
				&subject->numbers[row->at]);
		return;
	}
	buf_printf(out, "%s{%.*s}", row->family, STR_ARG(buf_str(&pairs)));
	print_number(out, row->unit, subject->numbers[row->at]);
}

void
series_print(struct buf *out, const char *process)
{
	const char *begun = ""; /* the family whose head is there */

	for (unsigned i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];

		for (unsigned j = 0; j < kinds[row->about].count; j++) {
			const struct series_subject *subject =
			    kinds[row->about].subjects[j];

			if (!subject->is_used[row->at])
				continue;
			if (strcmp(begun, row->family) != 0)
				buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
					   row->family, row->help, row->family,
					   row->type);
			begun = row->family;
			print_row(out, row, process, subject);
		}
	}
}
