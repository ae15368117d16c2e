/*
 * notes: what a day's note says, as pure text: one row for each kind of event
 * and milestone, in Italian and English. Numbers are written the locale's way
 * by hand, since nothing here may depend on the machine's.
 */
#ifndef ANALYTICS_NOTES_H
#define ANALYTICS_NOTES_H

#include "analytics/rows.h"
#include "lib/arena.h"
#include "store/records.h"

#define NOTES_ITEMS_MAX 20u
#define NOTES_CHARS_MAX 600u /* of the items together, "and N more" aside */

/* What a template may name. */
struct note_words {
	struct str locale; /* "it"; anything else is English */
	struct str name;   /* of the customer; absent: left out */
	struct str plan;
	struct str description;
	struct str currency;
	int64_t amount; /* micro-units */
	int64_t count;
};

/* The item of an event, with its weight (smaller ones come first). False when
 * nothing is told of such an event, or the arena is full. */
bool note_of_event(const struct event *event, const struct note_words *words,
		   struct arena *arena, struct day_note *out);
bool note_of_customers(const struct note_words *words, struct arena *arena,
		       struct day_note *out);
bool note_of_licenses(const struct note_words *words, struct arena *arena,
		      struct day_note *out);

/* The milestone that count has reached: customers 10 25 50 100 250 500 1000
 * and each further 1000; licences 5 10 25 ... 0 = none yet. */
int64_t note_milestone_customers(int64_t count);
int64_t note_milestone_licenses(int64_t count);

/* Puts an item into the day's list in its order; what then is over the limits
 * is counted as left out. */
enum err note_add(struct day *day, const struct day_note *note,
		  struct arena *arena);
/* The day's note: the items joined by " • ". Empty when nothing is to be told;
 * absent when the arena is full. */
struct str note_text(const struct day *day, struct arena *arena);

#endif
