/*
 * event: the log, in the order of its numbers.
 */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "cmd/views.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define CHUNK_EVENTS 256
#define CHUNK_BYTES_MAX (4u << 20)
#define TAIL_LINES 10
#define LINE_JSON_BYTES_MAX 4096u

static const struct column columns[] = {
    {"SEQ", "seq", FORM_PLAIN},
    {"DATE (UTC)", "event_date", FORM_PLAIN},
    {"TYPE", "type", FORM_PLAIN},
    {"DESCRIPTION", "description", FORM_PLAIN},
    {"AMOUNT", "amount", FORM_MONEY},
    {"ACTOR", "actor", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* That of an AI request is its ledger line, kept once, as the state. */
static struct str
metadata_of(const struct event *event, struct arena *arena)
{
	struct usage_line line;
	struct str text = event->metadata;
	struct buf out;

	if (text.p || !str_eq(event->type, event_types[EVENT_ai_request]) ||
	    event->state_kind != usage_line_schema.number ||
	    schema_decode(&usage_line_schema, event->state, &line, arena,
			  NULL) != ERR_OK)
		return text;
	buf_init(&out, LINE_JSON_BYTES_MAX);
	schema_print_json(&usage_line_schema, &line, &out);
	if (!out.is_failed)
		text = arena_str(arena, buf_str(&out));
	buf_fini(&out);
	return text;
}

static void
fill(uint64_t seq, const struct event *event, struct arena *arena,
     struct event_line *line)
{
	schema_clear(&event_line_schema, line);
	line->seq = (int64_t)seq;
	line->id = event->id;
	line->type = event->type;
	line->description = event->description;
	line->event_date = event->event_date;
	line->recorded_at = event->recorded_at;
	line->workspace = event->workspace;
	line->customer_id = event->customer_id;
	line->plan = event->plan;
	line->amount = event->amount;
	line->currency = event->currency;
	line->metadata = metadata_of(event, arena);
	line->auto_generated = event->auto_generated;
	line->actor = event->actor;
}

struct listing {
	struct reading reading;
	struct output output;
	struct arena arena; /* of one chunk */
	uint64_t after;
	int64_t left; /* events still to print */
};

static bool
is_wanted(const struct command *command, const struct event *event)
{
	struct str type = command_str(command, "type");
	struct str workspace = command_str(command, "workspace");

	return (type.p == NULL || str_eq(type, event->type)) &&
	       (workspace.p == NULL || str_eq(workspace, event->workspace));
}

static enum err
print_one(struct listing *listing, const struct store_event *stored,
	  struct why *why)
{
	struct event_line line;
	struct event event;

	if (schema_decode(&event_schema, stored->bytes, &event, &listing->arena,
			  NULL) != ERR_OK)
		return why_set(why, ERR_STORE_CORRUPT,
			       "event %llu cannot be read: `chatello event "
			       "verify` checks all",
			       (unsigned long long)stored->seq);
	if (!is_wanted(listing->output.command, &event))
		return ERR_OK;
	listing->left--;
	fill(stored->seq, &event, &listing->arena, &line);
	return output_row(&listing->output, &line, why);
}

/* To the end of the log, or until enough were printed. */
static enum err
print_events(struct listing *listing, struct why *why)
{
	struct store_event events[CHUNK_EVENTS];
	size_t count;
	enum err e;

	do {
		arena_reset(&listing->arena);
		e = store_tail(listing->reading.store, listing->after,
			       CHUNK_EVENTS, &listing->arena, events, &count);
		if (e != ERR_OK)
			return e;
		for (size_t i = 0; i < count && listing->left > 0; i++) {
			e = print_one(listing, &events[i], why);
			if (e != ERR_OK)
				return e;
			listing->after = events[i].seq;
		}
	} while (count == CHUNK_EVENTS && listing->left > 0);
	return ERR_OK;
}

static enum err
check_type(struct command *command, struct why *why)
{
	struct str type = command_str(command, "type");
	unsigned i = 0;

	while (i < EVENT_TYPES && !str_eq(type, event_types[i]))
		i++;
	if (type.p == NULL || i < EVENT_TYPES)
		return ERR_OK;
	return command_misused(command, why,
			       "--type: \"%.32s\" is no type of event: "
			       "`chatello event list --help` names them",
			       type.p);
}

static enum err
listing_open(struct listing *listing, struct command *command, struct why *why)
{
	enum err e = check_type(command, why);

	if (e == ERR_OK)
		e = reading_open_filtered(&listing->reading, command, why);
	if (e != ERR_OK)
		return e;
	arena_init(&listing->arena, CHUNK_BYTES_MAX);
	output_open(&listing->output, command, &event_line_schema, columns);
	listing->after = 0;
	listing->left = INT64_MAX;
	return ERR_OK;
}

/* Prints the rest; e: what went wrong before. */
static enum err
listing_close(struct listing *listing, enum err e, struct why *why)
{
	e = output_close(&listing->output, e, why);
	arena_fini(&listing->arena);
	reading_close(&listing->reading);
	return e;
}

enum err
event_list_command(struct command *command, struct why *why)
{
	struct listing listing;
	int64_t after = 0, limit = INT64_MAX;
	enum err e;

	e = command_int(command, "after", &after, why);
	if (e == ERR_OK)
		e = command_int(command, "limit", &limit, why);
	if (e == ERR_OK)
		e = listing_open(&listing, command, why);
	if (e != ERR_OK)
		return e;
	listing.after = (uint64_t)after;
	listing.left = limit;
	e = print_events(&listing, why);
	return listing_close(&listing, e, why);
}

/* --- tail ------------------------------------------------------------------
 */

/* Prints what comes until the process is ended; sleeps while nothing is
 * written to the store. */
static enum err
follow(struct listing *listing, struct why *why)
{
	struct command *command = listing->output.command;
	char dir[4096], changes[4096];
	int fd = inotify_init1(IN_CLOEXEC);
	enum err e = ERR_OK;

	snprintf(dir, sizeof(dir), "%s/store", command->conf.data);
	if (fd < 0 || inotify_add_watch(fd, dir, IN_MODIFY) < 0)
		e = why_set(why, ERR_IO, "cannot watch %.200s: %s", dir,
			    strerror(errno));
	while (e == ERR_OK) {
		e = print_events(listing, why);
		if (e == ERR_OK)
			e = output_flush(&listing->output, why);
		if (e == ERR_OK && read(fd, changes, sizeof(changes)) < 0 &&
		    errno != EINTR)
			e = why_set(why, ERR_IO, "cannot watch %.200s: %s", dir,
				    strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return e;
}

enum err
event_tail_command(struct command *command, struct why *why)
{
	int64_t lines = TAIL_LINES;
	struct listing listing;
	uint64_t head;
	enum err e;

	e = command_int(command, "lines", &lines, why);
	if (e == ERR_OK)
		e = listing_open(&listing, command, why);
	if (e != ERR_OK)
		return e;
	e = store_head(listing.reading.store, &head);
	if (e == ERR_OK) {
		listing.after =
		    head > (uint64_t)lines ? head - (uint64_t)lines : 0;
		if (command_has(command, "follow"))
			e = follow(&listing, why);
		else
			e = print_events(&listing, why);
	}
	return listing_close(&listing, e, why);
}

/* --- verify ----------------------------------------------------------------
 */

static const struct column verify_columns[] = {
    {"records", "records", FORM_PLAIN}, {"events", "events", FORM_PLAIN},
    {"bad", "bad", FORM_PLAIN},		{"first", "first", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

enum err
event_verify_command(struct command *command, struct why *why)
{
	uint64_t records = 0, bad = 0, head = 0;
	struct why first = {"", ""};
	struct reading reading;
	struct verify_done done;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = store_verify(reading.store, &records, &bad, &first);
	if (e == ERR_STORE_CORRUPT)
		e = ERR_OK; /* counted in bad */
	if (e == ERR_OK)
		e = store_head(reading.store, &head);
	if (e == ERR_OK) {
		schema_clear(&verify_done_schema, &done);
		done.records = (int64_t)records;
		done.events = (int64_t)head;
		done.bad = (int64_t)bad;
		if (bad)
			done.first = str_of(first.text);
		output_object(command, &verify_done_schema, verify_columns,
			      &done);
		if (bad)
			e = why_set(why, ERR_STORE_CORRUPT,
				    "%llu records are damaged: restore a "
				    "backup",
				    (unsigned long long)bad);
	}
	reading_close(&reading);
	return e;
}
