/*
 * exposition: see exposition.h.
 */
#include "integration-tests/exposition.h"

#include <ctype.h>

#include "lib/test.h"

#define FAMILIES_MAX 256
#define MICRO 1000000

enum type { TYPE_NONE, TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM };

struct reader {
	struct exposition *out;
	struct str families[FAMILIES_MAX]; /* that have begun */
	int family_count;
	struct str family; /* the one that is read */
	enum type type;
	int first; /* of its samples */
};

#define FAIL_AT(line, what)                                                    \
	test_fail(__FILE__, __LINE__, "%s: %.*s", what, STR_ARG(line))

static struct str
cut(struct str *s, size_t n)
{
	struct str head = str_bytes(s->p, n);

	s->p += n;
	s->n -= n;
	return head;
}

/* A name at the beginning of s, taken off it. */
static struct str
take_name(struct str *s, bool is_label)
{
	size_t n = 0;

	while (n < s->n && (isalpha((unsigned char)s->p[n]) || s->p[n] == '_' ||
			    (!is_label && s->p[n] == ':') ||
			    (n > 0 && isdigit((unsigned char)s->p[n]))))
		n++;
	return cut(s, n);
}

static bool
take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	cut(s, 1);
	return true;
}

/* Behind the first quote, up to and with the last. */
static bool
take_value(struct str *s)
{
	while (s->n > 0) {
		unsigned char c = (unsigned char)cut(s, 1).p[0];

		if (c == '"')
			return true;
		if (c == '\\' && (s->n == 0 || !memchr("\\\"n", s->p[0], 3)))
			return false;
		if (c == '\\')
			cut(s, 1);
		if (c < 0x20 || c >= 0x7f) /* this house prints ASCII only */
			return false;
	}
	return false;
}

/* Behind the brace, up to and with the closing one. */
static struct str
take_labels(struct str *s, struct str line)
{
	struct str names[16], rest = *s;
	int count = 0;

	do {
		struct str name = take_name(&rest, true);

		if (name.n == 0 || str_starts(name, STR("__")) || count == 16)
			FAIL_AT(line, "a label without a name");
		for (int i = 0; i < count; i++)
			if (str_eq(names[i], name))
				FAIL_AT(line, "a label comes twice");
		names[count++] = name;
		if (!take_char(&rest, '=') || !take_char(&rest, '"') ||
		    !take_value(&rest))
			FAIL_AT(line, "a label's value is none");
	} while (take_char(&rest, ','));
	if (!take_char(&rest, '}'))
		FAIL_AT(line, "labels without an end");
	return cut(s, s->n - rest.n);
}

/* All of s: digits, with a sign and at most six decimals. */
static long long
read_micro(struct str s, struct str line)
{
	bool is_negative = take_char(&s, '-');
	long long number = 0, unit = MICRO;
	bool has_point = false;

	if (s.n == 0 || !isdigit((unsigned char)s.p[0]))
		FAIL_AT(line, "a value is no number");
	for (; s.n > 0; cut(&s, 1)) {
		if (s.p[0] == '.' && !has_point && s.n > 1) {
			has_point = true;
			continue;
		}
		if (!isdigit((unsigned char)s.p[0]) || (has_point && unit == 1))
			FAIL_AT(line, "a value is no number");
		if (has_point)
			unit /= 10;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, s.p[0] - '0', &number))
			FAIL_AT(line, "a value is too large");
	}
	if (__builtin_mul_overflow(number, unit, &number))
		FAIL_AT(line, "a value is too large");
	return is_negative ? -number : number;
}

/* --- families --------------------------------------------------------------
 */

static struct str
suffix_of(const struct reader *reader, struct str name)
{
	if (!str_starts(name, reader->family))
		return STR("?");
	return str_bytes(name.p + reader->family.n, name.n - reader->family.n);
}

/* The bounds of one histogram in order, each as many as those below it. */
static void
check_histogram(const struct reader *reader, int first)
{
	const struct sample *samples = reader->out->samples;
	long long bound = -1, so_far = 0;
	int i = first;

	for (;; i++) {
		struct str labels, le;
		const char *at;

		CHECK(i + 2 < reader->out->count);
		CHECK_STR(suffix_of(reader, samples[i].name), STR("_bucket"));
		labels = samples[i].labels;
		at = memmem(labels.p, labels.n, "le=\"", 4);
		CHECK(at != NULL);
		le = str_bytes(at + 4, (size_t)(labels.p + labels.n - at) - 6);
		CHECK(samples[i].micro >= so_far);
		so_far = samples[i].micro;
		if (str_eq(le, STR("+Inf")))
			break;
		CHECK(read_micro(le, labels) > bound);
		bound = read_micro(le, labels);
	}
	CHECK_STR(suffix_of(reader, samples[i + 1].name), STR("_sum"));
	CHECK_STR(suffix_of(reader, samples[i + 2].name), STR("_count"));
	CHECK_INT(samples[i + 2].micro, so_far);
	if (i + 3 < reader->out->count)
		check_histogram(reader, i + 3);
}

static void
family_end(struct reader *reader)
{
	if (reader->family.n == 0)
		return;
	if (reader->first == reader->out->count)
		FAIL_AT(reader->family, "a family without samples");
	if (reader->type == TYPE_HISTOGRAM)
		check_histogram(reader, reader->first);
}

static void
family_begin(struct reader *reader, struct str line)
{
	struct str rest = line, name;

	family_end(reader);
	cut(&rest, strlen("# HELP "));
	name = take_name(&rest, false);
	if (name.n == 0 || !take_char(&rest, ' ') || rest.n == 0)
		FAIL_AT(line, "HELP without a name or a text");
	for (int i = 0; i < reader->family_count; i++)
		if (str_eq(reader->families[i], name))
			FAIL_AT(line, "a family comes twice");
	CHECK(reader->family_count < FAMILIES_MAX);
	reader->families[reader->family_count++] = name;
	reader->family = name;
	reader->type = TYPE_NONE;
	reader->first = reader->out->count;
}

static void
family_type(struct reader *reader, struct str line)
{
	struct str rest = line, name;

	cut(&rest, strlen("# TYPE "));
	name = take_name(&rest, false);
	if (!str_eq(name, reader->family) || reader->type != TYPE_NONE ||
	    reader->first != reader->out->count || !take_char(&rest, ' '))
		FAIL_AT(line, "TYPE is not behind its HELP");
	if (str_eq(rest, STR("counter")))
		reader->type = TYPE_COUNTER;
	else if (str_eq(rest, STR("gauge")))
		reader->type = TYPE_GAUGE;
	else if (str_eq(rest, STR("histogram")))
		reader->type = TYPE_HISTOGRAM;
	else
		FAIL_AT(line, "no such type");
	if (str_ends(name, STR("_total")) != (reader->type == TYPE_COUNTER))
		FAIL_AT(line, "counters end in _total, and only they");
}

static void
read_sample(struct reader *reader, struct str line)
{
	struct exposition *out = reader->out;
	struct sample *sample = &out->samples[out->count];
	struct str rest = line;

	CHECK(out->count < EXPOSITION_SAMPLES_MAX);
	sample->name = take_name(&rest, false);
	if (reader->type == TYPE_NONE ||
	    !str_starts(sample->name, reader->family) ||
	    (reader->type != TYPE_HISTOGRAM &&
	     !str_eq(sample->name, reader->family)))
		FAIL_AT(line, "a sample outside of its family");
	sample->labels =
	    take_char(&rest, '{') ? take_labels(&rest, line) : STR("");
	if (!take_char(&rest, ' '))
		FAIL_AT(line, "a sample without a value");
	sample->micro = read_micro(rest, line);
	if (reader->type != TYPE_GAUGE && sample->micro < 0)
		FAIL_AT(line, "a counter below zero");
	for (int i = reader->first; i < out->count; i++)
		if (str_eq(out->samples[i].name, sample->name) &&
		    str_eq(out->samples[i].labels, sample->labels))
			FAIL_AT(line, "a sample comes twice");
	out->count++;
}

void
exposition_read(struct exposition *out, struct str page)
{
	struct reader reader = {.out = out};

	out->count = 0;
	CHECK(page.n > 0 && page.p[page.n - 1] == '\n');
	while (page.n > 0) {
		const char *end = memchr(page.p, '\n', page.n);
		struct str line = cut(&page, (size_t)(end - page.p));

		cut(&page, 1);
		if (str_starts(line, STR("# HELP ")))
			family_begin(&reader, line);
		else if (str_starts(line, STR("# TYPE ")))
			family_type(&reader, line);
		else
			read_sample(&reader, line);
	}
	family_end(&reader);
}

/* --- asking ----------------------------------------------------------------
 */

static bool
has(struct str labels, const char *text)
{
	return text == NULL ||
	       memmem(labels.p, labels.n, text, strlen(text)) != NULL;
}

static bool
is_asked(const struct sample *sample, const char *name, const char *label,
	 const char *other)
{
	return str_eq(sample->name, str_of(name)) &&
	       has(sample->labels, label) && has(sample->labels, other);
}

long long
exposition_sum(const struct exposition *page, const char *name,
	       const char *label, const char *other)
{
	long long sum = 0;

	for (int i = 0; i < page->count; i++)
		if (is_asked(&page->samples[i], name, label, other))
			sum += page->samples[i].micro;
	return sum;
}

int
exposition_count(const struct exposition *page, const char *name,
		 const char *label, const char *other)
{
	int count = 0;

	for (int i = 0; i < page->count; i++)
		count += is_asked(&page->samples[i], name, label, other);
	return count;
}
