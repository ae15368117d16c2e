/*
 * notes: see notes.h.
 */
#include "analytics/notes.h"

#include <stdio.h>

#define ITEM_CHARS_MAX 120u
#define ITEM_BYTES_MAX 600u
#define NOTES_BYTES_MAX 1200u /* so that a day fits into one record */
#define JOINT " \xe2\x80\xa2 "
#define JOINT_CHARS 3u

/* {name} and what joins it to the rest are left out when there is no name. */
struct note_row {
	enum event_type type;
	int weight;
	bool is_by_people; /* only told when a person wrote it */
	const char *emoji;
	const char *it;
	const char *en;
};

/* clang-format off */
static const struct note_row rows[] = {
    {EVENT_new_customer,         10, false, "🎉", "Nuovo cliente{: name}",           "New customer{: name}"},
    {EVENT_customer_deleted,     15, false, "👋", "Cliente eliminato{: name}",       "Customer deleted{: name}"},
    {EVENT_license_created,      20, false, "🎫", "Nuova licenza {plan}{: name}",    "New {plan} licence{: name}"},
    {EVENT_license_inserted,     21, false, "🎫", "Licenza {plan} inserita{: name}", "{plan} licence inserted{: name}"},
    {EVENT_founders_deal,        22, false, "🚀", "Founders Deal{: name}",           "Founders Deal{: name}"},
    {EVENT_trial_started,        25, false, "🧪", "Inizia la prova di {plan}{: name}", "Trial of {plan} started{: name}"},
    {EVENT_trial_ended,          26, false, "⏳", "Finisce la prova di {plan}{: name}", "Trial of {plan} ended{: name}"},
    {EVENT_subscription_renewed, 30, false, "🔄", "Rinnovo {plan}{: name}",          "{plan} renewed{: name}"},
    {EVENT_plan_upgrade,         31, false, "📈", "Passaggio a {plan}{: name}",      "Upgrade to {plan}{: name}"},
    {EVENT_plan_downgrade,       32, false, "📉", "Passaggio a {plan}{: name}",      "Downgrade to {plan}{: name}"},
    {EVENT_payment_completed,    40, false, "💰", "Pagamento ricevuto: {amount}",    "Payment received: {amount}"},
    {EVENT_payment_failed,       41, false, "🚫", "Pagamento non riuscito: {amount}", "Payment failed: {amount}"},
    {EVENT_payment_refunded,     42, false, "💸", "Pagamento rimborsato: {amount}",  "Payment refunded: {amount}"},
    {EVENT_license_suspended,    50, false, "⛔", "Licenza {plan} sospesa{: name}",  "{plan} licence suspended{: name}"},
    {EVENT_license_resumed,      51, false, "✅", "Licenza {plan} riattivata{: name}", "{plan} licence resumed{: name}"},
    {EVENT_license_cancelled,    52, false, "❌", "Licenza {plan} disdetta{: name}", "{plan} licence cancelled{: name}"},
    {EVENT_license_expired,      53, false, "⌛", "Licenza {plan} scaduta{: name}",  "{plan} licence expired{: name}"},
    {EVENT_marketing_campaign,   60, false, "📣", "{description}", "{description}"},
    {EVENT_feature_release,      61, false, "✨", "{description}", "{description}"},
    {EVENT_partnership,          62, false, "🤝", "{description}", "{description}"},
    {EVENT_media_mention,        63, false, "📰", "{description}", "{description}"},
    {EVENT_technical,            64, true,  "🔧", "{description}", "{description}"},
    {EVENT_note,                 65, false, "📝", "{description}", "{description}"},
};
static const struct note_row customers_row =
    {EVENT_TYPES, 90, false, "🏆", "Superati {count} clienti!", "Passed {count} customers!"};
static const struct note_row licenses_row =
    {EVENT_TYPES, 91, false, "🏆", "Superate {count} licenze attive!", "Passed {count} active licences!"};
/* clang-format on */

static bool
is_italian(struct str locale)
{
	return str_starts(locale, STR("it"));
}

/* --- numbers -------------------------------------------------------------- */

/* 1234567 -> "1.234.567" */
static void
add_grouped(struct buf *out, int64_t i, bool italian)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%lld", (long long)i);
	int first = digits[0] == '-';

	for (int at = 0; at < n; at++) {
		if (at > first && (n - at) % 3 == 0)
			buf_add_char(out, italian ? '.' : ',');
		buf_add_char(out, digits[at]);
	}
}

static void
add_money(struct buf *out, const struct note_words *words)
{
	static const struct {
		struct str code;
		const char *sign;
	} signs[] = {{{"EUR", 3}, "€"}, {{"USD", 3}, "$"}, {{"GBP", 3}, "£"}};
	bool italian = is_italian(words->locale);
	int64_t amount = words->amount, cents;
	const char *sign = NULL;

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (str_eq(signs[i].code, words->currency))
			sign = signs[i].sign;
	if (amount < 0)
		buf_add_char(out, '-');
	if (amount < 0)
		amount = amount == INT64_MIN ? INT64_MAX : -amount;
	if (sign)
		buf_add_z(out, sign);
	else
		buf_add_str(out, words->currency);
	if (sign == NULL)
		buf_add_char(out, ' ');
	cents = amount / 10000 + (amount % 10000 >= 5000);
	add_grouped(out, cents / 100, italian);
	buf_printf(out, "%c%02d", italian ? ',' : '.', (int)(cents % 100));
}

/* --- templates ------------------------------------------------------------ */

/* Text of people: without control characters, and without the joint's sign. */
static void
add_plain(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(out, (unsigned char)s.p[i] < ' ' ? ' ' : s.p[i]);
}

static void
add_word(struct buf *out, struct str word, const struct note_words *words)
{
	if (str_eq(word, STR(": name")) && words->name.n) {
		buf_add_z(out, ": ");
		add_plain(out, words->name);
	} else if (str_eq(word, STR("plan"))) {
		add_plain(out, words->plan);
	} else if (str_eq(word, STR("description"))) {
		add_plain(out, words->description);
	} else if (str_eq(word, STR("amount"))) {
		add_money(out, words);
	} else if (str_eq(word, STR("count"))) {
		add_grouped(out, words->count, is_italian(words->locale));
	}
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t
count_chars(struct str s)
{
	size_t chars = 0;

	for (size_t i = 0; i < s.n; i++)
		chars += !is_continuation(s.p[i]);
	return chars;
}

/* At most max characters; a cut ends in an ellipsis. */
static struct str
clip(struct str s, size_t max, struct arena *arena)
{
	size_t chars = 0, at = 0;

	if (count_chars(s) <= max)
		return arena_str(arena, s);
	for (; at < s.n; at++) {
		chars += !is_continuation(s.p[at]);
		if (chars == max)
			break;
	}
	return arena_printf(arena, "%.*s…", (int)at, s.p);
}

static bool
fill(const struct note_row *row, const struct note_words *words,
     struct arena *arena, struct day_note *out)
{
	const char *at = is_italian(words->locale) ? row->it : row->en;
	struct buf text;

	buf_init(&text, ITEM_BYTES_MAX * 4);
	buf_add_z(&text, row->emoji);
	buf_add_char(&text, ' ');
	while (*at) {
		const char *end = *at == '{' ? strchr(at, '}') : NULL;

		if (end == NULL) {
			buf_add_char(&text, *at++);
			continue;
		}
		add_word(&text, str_bytes(at + 1, (size_t)(end - at) - 1),
			 words);
		at = end + 1;
	}
	out->weight = row->weight;
	out->text = clip(buf_str(&text), ITEM_CHARS_MAX, arena);
	buf_fini(&text);
	return out->text.p != NULL;
}

bool
note_of_event(const struct event *event, const struct note_words *words,
	      struct arena *arena, struct day_note *out)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (str_eq(event->type, event_types[rows[i].type]))
			return !(rows[i].is_by_people &&
				 event->auto_generated) &&
			       fill(&rows[i], words, arena, out);
	return false;
}

bool
note_of_customers(const struct note_words *words, struct arena *arena,
		  struct day_note *out)
{
	return fill(&customers_row, words, arena, out);
}

bool
note_of_licenses(const struct note_words *words, struct arena *arena,
		 struct day_note *out)
{
	return fill(&licenses_row, words, arena, out);
}

static int64_t
milestone(int64_t count, int64_t smallest)
{
	static const int64_t steps[] = {5, 10, 25, 50, 100, 250, 500, 1000};
	int64_t reached = 0;

	if (count >= 1000)
		return count - count % 1000;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i] >= smallest && steps[i] <= count)
			reached = steps[i];
	return reached;
}

int64_t
note_milestone_customers(int64_t count)
{
	return milestone(count, 10);
}

int64_t
note_milestone_licenses(int64_t count)
{
	return milestone(count, 5);
}

/* --- a day's list --------------------------------------------------------- */

static bool
is_before(const struct day_note *a, const struct day_note *b)
{
	if (a->weight != b->weight)
		return a->weight < b->weight;
	return a->seq < b->seq;
}

/* How many of the first items fit into all limits. */
static uint32_t
count_fitting(const struct day_note *notes, uint32_t count)
{
	size_t chars = 0, bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		chars += count_chars(notes[i].text) + (i ? JOINT_CHARS : 0);
		bytes += notes[i].text.n;
		if (i == NOTES_ITEMS_MAX || chars > NOTES_CHARS_MAX ||
		    bytes > NOTES_BYTES_MAX)
			return i;
	}
	return count;
}

enum err
note_add(struct day *day, const struct day_note *note, struct arena *arena)
{
	uint32_t count = day->notes_count, at = count, fitting;
	struct day_note *notes = arena_array(arena, count + 1u, sizeof(*notes));

	if (notes == NULL)
		return ERR_NO_MEMORY;
	while (at > 0 && is_before(note, &day->notes[at - 1]))
		at--;
	if (at)
		memcpy(notes, day->notes, at * sizeof(*notes));
	notes[at] = *note;
	if (count > at)
		memcpy(notes + at + 1, day->notes + at,
		       (count - at) * sizeof(*notes));
	fitting = count_fitting(notes, count + 1);
	day->notes = notes;
	day->notes_count = fitting;
	day->notes_left_out += count + 1 - fitting;
	return ERR_OK;
}

struct str
note_text(const struct day *day, struct arena *arena)
{
	bool italian = is_italian(day->locale);
	struct str text;
	struct buf out;

	buf_init(&out, NOTES_BYTES_MAX * 2);
	for (uint32_t i = 0; i < day->notes_count; i++) {
		if (i)
			buf_add_z(&out, JOINT);
		buf_add_str(&out, day->notes[i].text);
	}
	if (day->notes_left_out) {
		buf_add_z(&out, italian ? JOINT "e altri " : JOINT "and ");
		add_grouped(&out, day->notes_left_out, italian);
		buf_add_z(&out, italian ? "" : " more");
	}
	if (day->is_amended)
		buf_add_z(&out, italian
				    ? JOINT "✏️ Aggiornato dopo la chiusura"
				    : JOINT "✏️ Amended after the close");
	text = arena_str(arena, buf_str(&out));
	buf_fini(&out);
	return text;
}
