/*
 * translate_pieces: the pieces of tool calls, for an Anthropic client. OpenAI
 * gives each piece with the index of its call and may mix them; Anthropic has
 * one open block at a time. So the pieces of another call wait until the JSON
 * of the open one is whole, which is read along with its pieces, or until the
 * answer ends. Pieces that wait are records in s->pending, in their order.
 * Always holds: a call's block is opened once, and none while another is open.
 * See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* A piece; the strings are raw, absent ones empty. */
struct piece {
	unsigned tool;
	struct str id;
	struct str name;
	struct str arguments;
};

/* How it waits: this, then the bytes of the three. */
struct record {
	unsigned tool;
	size_t id_n;
	size_t name_n;
	size_t arguments_n;
};

/* --- the JSON of the open call -------------------------------------------- */

/* Of a digit that json_check passed. */
static unsigned
hex_value(char c)
{
	return (unsigned)(c & 15) + (c > '9' ? 9 : 0);
}

/* One character of a JSON string's raw text, its escape undone as far as it
 * matters here: what is not ASCII is no bracket. */
static char
next_char(const char **at, const char *end)
{
	char c = *(*at)++;
	unsigned unit = 0;

	if (c != '\\' || *at == end)
		return c;
	c = *(*at)++;
	if (c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f')
		return ' ';
	if (c != 'u')
		return c;
	for (int i = 0; i < 4 && *at < end; i++)
		unit = unit * 16 + hex_value(*(*at)++);
	return unit < 0x80 ? (char)unit : 'x';
}

static void
scan_char(struct translate_scan *scan, char c)
{
	if (scan->is_in_string) {
		if (scan->is_escaped)
			scan->is_escaped = false;
		else if (c == '\\')
			scan->is_escaped = true;
		else if (c == '"')
			scan->is_in_string = false;
	} else if (c == '"') {
		scan->is_in_string = true;
	} else if (c == '{' || c == '[') {
		scan->depth++;
	} else if ((c == '}' || c == ']') && scan->depth > 0) {
		scan->is_whole = --scan->depth == 0;
	}
}

static void
scan_piece(struct translate_scan *scan, struct str raw)
{
	const char *at = raw.p + 1, *end = raw.p + raw.n - 1;

	while (at < end && !scan->is_whole)
		scan_char(scan, next_char(&at, end));
}

/* --- writing -------------------------------------------------------------- */

static void
close_open(struct translate_stream *s, struct buf *out)
{
	if (s->open == TRANSLATE_OPEN_TOOL) {
		s->tools[s->open_tool].is_closed = true;
		s->tools[s->open_tool].is_whole = s->scan.is_whole;
	}
	translate_events_close(s, out);
}

static void
open_tool(struct translate_stream *s, const struct piece *piece,
	  struct buf *out)
{
	close_open(s, out);
	translate_events_open(s, TRANSLATE_OPEN_TOOL, out);
	buf_add_z(out, "\"tool_use\",\"id\":");
	buf_add_str(out, piece->id.n ? piece->id : STR("\"\""));
	buf_add_z(out, ",\"name\":");
	buf_add_str(out, piece->name.n ? piece->name : STR("\"\""));
	buf_add_z(out, ",\"input\":{}}}\n\n");
	s->open_tool = piece->tool;
	memset(&s->scan, 0, sizeof(s->scan));
}

static void
write_piece(struct translate_stream *s, const struct piece *piece,
	    struct buf *out)
{
	if (s->open != TRANSLATE_OPEN_TOOL || s->open_tool != piece->tool)
		open_tool(s, piece, out);
	if (piece->arguments.n <= 2)
		return;
	scan_piece(&s->scan, piece->arguments);
	translate_events_delta(
	    s, "\"input_json_delta\",\"partial_json\":", piece->arguments, out);
}

/* --- waiting -------------------------------------------------------------- */

static void
wait_piece(struct translate_stream *s, const struct piece *piece)
{
	struct record record = {
	    .tool = piece->tool,
	    .id_n = piece->id.n,
	    .name_n = piece->name.n,
	    .arguments_n = piece->arguments.n,
	};

	if (!buf_reserve(&s->pending, sizeof(record) + record.id_n +
					  record.name_n + record.arguments_n))
		return;
	buf_add(&s->pending, &record, sizeof(record));
	buf_add_str(&s->pending, piece->id);
	buf_add_str(&s->pending, piece->name);
	buf_add_str(&s->pending, piece->arguments);
}

/* The record at *at, and *at behind it. */
static struct piece
read_record(const struct translate_stream *s, size_t *at)
{
	const char *p = s->pending.p + *at;
	struct record record;

	memcpy(&record, p, sizeof(record));
	p += sizeof(record);
	*at +=
	    sizeof(record) + record.id_n + record.name_n + record.arguments_n;
	return (struct piece){
	    .tool = record.tool,
	    .id = str_bytes(p, record.id_n),
	    .name = str_bytes(p + record.id_n, record.name_n),
	    .arguments =
		str_bytes(p + record.id_n + record.name_n, record.arguments_n),
	};
}

/* Writes the records of the call whose record is the first, and keeps the
 * others, moved together. */
static void
release_first(struct translate_stream *s, struct buf *out)
{
	struct buf *pending = &s->pending;
	size_t at = 0, kept = 0, begin;
	unsigned tool = read_record(s, &at).tool;

	at = 0;
	while (at < pending->n) {
		struct piece piece;

		begin = at;
		piece = read_record(s, &at);
		if (piece.tool == tool) {
			write_piece(s, &piece, out);
			continue;
		}
		memmove(pending->p + kept, pending->p + begin, at - begin);
		kept += at - begin;
	}
	pending->n = kept;
}

void
translate_pieces_flush(struct translate_stream *s, struct buf *out)
{
	while (s->pending.n)
		release_first(s, out);
	if (s->open == TRANSLATE_OPEN_TOOL)
		close_open(s, out);
}

/* --- taking --------------------------------------------------------------- */

/* The call of a piece; a provider that names no index begins a call with an id
 * and goes on with the last one without. -1: too many. */
static int
tool_of(struct translate_stream *s, struct json_value index,
	struct json_value id)
{
	int64_t i = translate_index_of(index);
	int tool;

	if (!translate_is_there(index)) {
		i = s->tool_count;
		if (!translate_has_text(id) && i > 0)
			i--;
	}
	tool = translate_tool_of(s, i);
	return tool >= 0 ? tool : translate_tool_add(s, i);
}

enum err
translate_piece_take(struct translate_stream *s, struct json_value value,
		     struct buf *out)
{
	static const struct str names[] = {PICK("index"), PICK("id"),
					   PICK("function")};
	static const struct str function_names[] = {PICK("name"),
						    PICK("arguments")};
	struct json_value members[3], function[2];
	struct piece piece = {.tool = 0};
	int tool;

	translate_pick(value, names, 3, members);
	translate_pick(members[2], function_names, 2, function);
	tool = tool_of(s, members[0], members[1]);
	if (tool < 0)
		return translate_stream_fail(s, STR_NONE, out);
	piece.tool = (unsigned)tool;
	if (translate_is_string(members[1]))
		piece.id = members[1].raw;
	if (translate_is_string(function[0]))
		piece.name = function[0].raw;
	if (translate_is_string(function[1]))
		piece.arguments = function[1].raw;
	if (s->tools[tool].is_closed) {
		/* Blanks behind a whole object change nothing. */
		if (piece.arguments.n <= 2 || s->tools[tool].is_whole)
			return ERR_OK;
		return translate_stream_fail(s, STR_NONE, out);
	}
	if (s->open == TRANSLATE_OPEN_TOOL && s->open_tool != piece.tool &&
	    (!s->scan.is_whole || s->pending.n)) {
		wait_piece(s, &piece);
		return ERR_OK;
	}
	write_piece(s, &piece, out);
	while (s->scan.is_whole && s->pending.n)
		release_first(s, out);
	return ERR_OK;
}
