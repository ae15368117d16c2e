/*
 * capture: the sealed debug capture of one licence: on for a while, shown, off.
 * What has ended is not shown, whether it was erased or not.
 */
#include "store/capture.h"
#include "cmd/client.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "cmd/views.h"
#include "lib/clock.h"

#include <stdlib.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

static const struct column view_columns[] = {
    {"licence", "license_id", FORM_PLAIN},
    {"until", "until", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column captured_columns[] = {
    {"request", "request_id", FORM_PLAIN},
    {"at", "at", FORM_PLAIN},
    {"status", "status", FORM_PLAIN},
    {"bytes asked", "asked_bytes", FORM_PLAIN},
    {"bytes said", "said_bytes", FORM_PLAIN},
    {"asked", "asked", FORM_LINES},
    {"said", "said", FORM_LINES},
    {NULL, NULL, FORM_PLAIN},
};

/* --- on and off ----------------------------------------------------------- */

/* "30m", "2h" */
static enum err
read_time(struct command *command, int64_t *ms, struct why *why)
{
	const char *text = command_value(command, "for");
	char *end;
	long n;

	*ms = HOUR_MS;
	if (text == NULL)
		return ERR_OK;
	n = strtol(text, &end, 10);
	if (n >= 1 && n <= 24 * 60 && strcmp(end, "m") == 0)
		*ms = n * MINUTE_MS;
	else if (n >= 1 && n <= 24 && strcmp(end, "h") == 0)
		*ms = n * HOUR_MS;
	else
		return command_misused(command, why,
				       "--for is minutes or hours, as in 30m "
				       "or 2h; at most 24h");
	return ERR_OK;
}

static enum err
set(struct command *command, int64_t for_ms, struct why *why)
{
	struct capture_set in = {.for_ms = for_ms};
	struct capture_view out;
	enum err e = command_secret(command, 0, &in.license, why);

	if (e == ERR_OK)
		e = client_write(command, MSG_capture_set, &in, &out, why);
	if (e == ERR_OK)
		output_object(command, &capture_view_schema, view_columns,
			      &out);
	return e;
}

enum err
capture_on_command(struct command *command, struct why *why)
{
	int64_t for_ms;
	enum err e = read_time(command, &for_ms, why);

	return e == ERR_OK ? set(command, for_ms, why) : e;
}

enum err
capture_off_command(struct command *command, struct why *why)
{
	return set(command, SCHEMA_INT_NONE, why);
}

/* --- show ----------------------------------------------------------------- */

/* All pieces of one part; out->request_id absent: there are none. */
static enum err
part_read(struct reading *reading, struct str license_id, unsigned slot,
	  char part, struct captured *out, struct buf *text,
	  struct arena *arena)
{
	struct capture_piece piece;
	struct str secret;
	struct key key;
	enum err e = ERR_OK;

	for (unsigned i = 0; i < CAPTURE_PIECES_MAX; i++) {
		key_capture(&key, license_id, slot, part, i);
		e = reading_load(reading, &key, &capture_piece_schema, &piece,
				 arena);
		if (e == ERR_OK)
			e = crypto_open_sealed(
			    reading->crypto, piece.sealed,
			    capture_identity(license_id, piece.request_id, part,
					     i, arena),
			    arena, &secret);
		if (e != ERR_OK)
			break;
		buf_add_str(text, secret);
		crypto_forget(secret);
		out->request_id = piece.request_id;
		out->at = piece.at;
		out->status = piece.status;
		out->asked_bytes = piece.asked_bytes;
		out->said_bytes = piece.said_bytes;
	}
	return e == ERR_NO_SUCH ? ERR_OK : e;
}

static enum err
show_one(struct command *command, struct reading *reading,
	 struct str license_id, unsigned slot)
{
	struct buf asked, said;
	struct captured out;
	struct arena arena;
	enum err e;

	arena_init(&arena, 1u << 20);
	buf_init(&asked, CAPTURE_BYTES_MAX + 1);
	buf_init(&said, CAPTURE_BYTES_MAX + 1);
	schema_clear(&captured_schema, &out);
	e = part_read(reading, license_id, slot, CAPTURE_ASKED, &out, &asked,
		      &arena);
	if (e == ERR_OK)
		e = part_read(reading, license_id, slot, CAPTURE_SAID, &out,
			      &said, &arena);
	out.asked = buf_str(&asked);
	out.said = buf_str(&said);
	if (e == ERR_OK && out.request_id.p) {
		output_object(command, &captured_schema, captured_columns,
			      &out);
		if (!command->is_json)
			buf_add_char(&command->out, '\n');
	}
	if (asked.p)
		explicit_bzero(asked.p, asked.n);
	if (said.p)
		explicit_bzero(said.p, said.n);
	buf_fini(&asked);
	buf_fini(&said);
	arena_fini(&arena);
	return e;
}

static enum err
show_all(struct command *command, struct reading *reading, struct why *why)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license license;
	struct str at;
	struct key key;
	enum err e = command_secret(command, 0, &at, why);

	if (e == ERR_OK)
		e = reading_license_hash(reading, command, at, hash, why);
	if (e == ERR_OK && reading->crypto == NULL)
		e = reading_crypto(reading, &command->conf, why);
	if (e != ERR_OK)
		return e;
	key_license(&key, str_bytes(hash, sizeof(hash)));
	e = reading_load(reading, &key, &license_schema, &license,
			 &command->arena);
	if (e == ERR_NO_SUCH)
		return why_set(why, e, "there is no such licence");
	if (e == ERR_OK && license.capture_until <= clock_wall_ms())
		return why_set(why, ERR_NO_SUCH,
			       "its capture is off, and nothing is kept: "
			       "`chatello capture on` switches it on");
	for (unsigned i = 0;
	     i < CAPTURES_MAX && e == ERR_OK && (int64_t)i < license.captures;
	     i++) {
		e = show_one(command, reading, license.id, i);
		if (e == ERR_OK)
			e = command_flush_large(command, why);
	}
	return e;
}

enum err
capture_show_command(struct command *command, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = show_all(command, &reading, why);
	reading_close(&reading);
	return e;
}
