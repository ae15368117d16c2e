/*
 * notes_test: the texts and numbers of both languages, the order of a day's
 * items and its limits.
 */
#include "analytics/notes.h"

#include "lib/test.h"

static struct arena arena;

static struct str
text_of(const char *type, const struct note_words *words)
{
	struct event event;
	struct day_note note;

	schema_clear(&event_schema, &event);
	event.type = str_of(type);
	event.auto_generated = true;
	return note_of_event(&event, words, &arena, &note) ? note.text
							   : STR_NONE;
}

TEST(notes_speak_both_languages)
{
	struct note_words words = {
	    .locale = STR("it"),
	    .name = STR("TechCorp Italia"),
	    .plan = STR("Pro"),
	    .currency = STR("EUR"),
	    .amount = 7990000,
	};

	arena_init(&arena, 1 << 20);
	CHECK_STR(text_of("new_customer", &words),
		  STR("🎉 Nuovo cliente: TechCorp Italia"));
	CHECK_STR(text_of("license_created", &words),
		  STR("🎫 Nuova licenza Pro: TechCorp Italia"));
	CHECK_STR(text_of("payment_completed", &words),
		  STR("💰 Pagamento ricevuto: €7,99"));
	words.locale = STR("en");
	words.amount = INT64_C(1234567895000);
	CHECK_STR(text_of("payment_completed", &words),
		  STR("💰 Payment received: €1,234,567.90"));
	words.currency = STR("CHF");
	words.amount = -5000;
	CHECK_STR(text_of("payment_refunded", &words),
		  STR("💸 Payment refunded: -CHF 0.01"));
	words.name = STR_NONE;
	CHECK_STR(text_of("new_customer", &words), STR("🎉 New customer"));
	CHECK(text_of("ai_request", &words).p == NULL);
	CHECK(text_of("technical", &words).p == NULL);
}

TEST(notes_milestones)
{
	static const struct {
		int64_t count, customers, licenses;
	} table[] = {
	    {0, 0, 0},	     {4, 0, 0},		 {5, 0, 5},
	    {10, 10, 10},    {99, 50, 50},	 {100, 100, 100},
	    {999, 500, 500}, {1000, 1000, 1000}, {2999, 2000, 2000},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CHECK_INT(note_milestone_customers(table[i].count),
			  table[i].customers);
		CHECK_INT(note_milestone_licenses(table[i].count),
			  table[i].licenses);
	}
}

static void
add(struct day *day, int64_t weight, int64_t seq, struct str text)
{
	struct day_note note = {weight, seq, text};

	CHECK_OK(note_add(day, &note, &arena));
}

TEST(notes_are_in_order_of_weight)
{
	struct day day;

	arena_init(&arena, 1 << 20);
	day_clear(&day);
	day.locale = STR("it");
	CHECK_STR(note_text(&day, &arena), STR(""));
	add(&day, 90, 1, STR("c"));
	add(&day, 10, 3, STR("b"));
	add(&day, 10, 2, STR("a"));
	CHECK_STR(note_text(&day, &arena), STR("a • b • c"));
	day.is_amended = true;
	CHECK_STR(note_text(&day, &arena),
		  STR("a • b • c • ✏️ Aggiornato dopo la chiusura"));
}

TEST(notes_keep_their_limits)
{
	char long_text[100];
	struct day day;
	struct str text;

	arena_init(&arena, 1 << 20);
	day_clear(&day);
	day.locale = STR("en");
	for (int i = 0; i < 25; i++)
		add(&day, 20, i, STR("x"));
	CHECK_INT(day.notes_count, NOTES_ITEMS_MAX);
	CHECK_INT(day.notes_left_out, 5);
	text = note_text(&day, &arena);
	CHECK(str_ends(text, STR("x • and 5 more")));
	/* A weightier one displaces the last. */
	add(&day, 10, 99, STR("first"));
	CHECK_STR(day.notes[0].text, STR("first"));
	CHECK_INT(day.notes_left_out, 6);

	day_clear(&day);
	day.locale = STR("it");
	memset(long_text, 'y', sizeof(long_text));
	for (int i = 0; i < 10; i++)
		add(&day, 20, i, str_bytes(long_text, sizeof(long_text)));
	/* 5 * 100 + 4 * 3 characters; a sixth would make 615. */
	CHECK_INT(day.notes_count, 5);
	CHECK(str_ends(note_text(&day, &arena), STR(" • e altri 5")));
}

TEST(notes_clip_what_people_wrote)
{
	struct note_words words = {.locale = STR("it")};
	char name[600];
	struct str text;

	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < sizeof(name); i += 2)
		memcpy(name + i, "è", 2);
	words.name = str_bytes(name, sizeof(name));
	text = text_of("new_customer", &words);
	CHECK(str_ends(text, STR("è…")));
	CHECK(text.n < 2 * 120 + 8);
	words.name = STR("a\nb");
	CHECK_STR(text_of("new_customer", &words), STR("🎉 Nuovo cliente: a b"));
}
