/*
 * chunks: see chunks.h.
 */
#include "edge/chunks.h"

enum state {
	SIZE,	   /* the first digit, or a further one */
	EXTENSION, /* behind the `;`, to the line's end */
	SIZE_LF,
	DATA,
	DATA_CR, /* behind the data */
	DATA_LF,
	END_CR, /* behind the last chunk's line */
	END_LF,
	DONE,
	WRONG,
};

void
chunks_begin(struct chunks *chunks)
{
	*chunks = (struct chunks){.state = SIZE};
}

bool
chunks_is_done(const struct chunks *chunks)
{
	return chunks->state == DONE;
}

static void
wrong(struct chunks *chunks, const char *fault)
{
	chunks->state = WRONG;
	chunks->fault = fault;
}

static void
take_size(struct chunks *chunks, char c)
{
	int digit = str_hex_digit(c);

	if (digit >= 0 && chunks->digits < CHUNKS_DIGITS_MAX) {
		chunks->digits++;
		chunks->left = chunks->left << 4 | (unsigned)digit;
	} else if (digit >= 0) {
		wrong(chunks, "a chunk's size has more than 16 digits");
	} else if (chunks->digits == 0) {
		wrong(chunks, "a chunk begins with its size in hexadecimal");
	} else if (c == '\r') {
		chunks->state = SIZE_LF;
	} else if (c == ';') {
		chunks->extension = 0;
		chunks->state = EXTENSION;
	} else {
		wrong(chunks, "behind a chunk's size comes CRLF");
	}
}

static void
take_extension(struct chunks *chunks, unsigned char c)
{
	if (c == '\r')
		chunks->state = SIZE_LF;
	else if ((c < ' ' && c != '\t') || c == 0x7f)
		wrong(chunks, "a chunk extension has a control byte");
	else if (chunks->extension++ == CHUNKS_EXTENSION_MAX)
		wrong(chunks, "a chunk extension is longer than 64 bytes");
}

/* One that the grammar fixes. */
static void
take_fixed(struct chunks *chunks, char c, char wanted, enum state next)
{
	if (c == wanted)
		chunks->state = (uint8_t)next;
	else if (chunks->state == END_CR)
		wrong(chunks, "trailers behind a chunked body are not taken");
	else
		wrong(chunks, "a chunk's line or data does not end with CRLF");
}

static void
take(struct chunks *chunks, char c)
{
	switch ((enum state)chunks->state) {
	case SIZE:
		take_size(chunks, c);
		return;
	case EXTENSION:
		take_extension(chunks, (unsigned char)c);
		return;
	case SIZE_LF:
		take_fixed(chunks, c, '\n', chunks->left ? DATA : END_CR);
		return;
	case DATA_CR:
		take_fixed(chunks, c, '\r', DATA_LF);
		return;
	case DATA_LF:
		chunks->digits = 0;
		take_fixed(chunks, c, '\n', SIZE);
		return;
	case END_CR:
		take_fixed(chunks, c, '\r', END_LF);
		return;
	case END_LF:
		take_fixed(chunks, c, '\n', DONE);
		return;
	case DATA:
	case DONE:
	case WRONG:
		return;
	}
}

size_t
chunks_take(struct chunks *chunks, const char *bytes, size_t n)
{
	size_t at = 0;

	while (at < n && chunks->state != DONE && chunks->state != WRONG) {
		size_t data = n - at;

		if (chunks->state != DATA) {
			take(chunks, bytes[at++]);
			continue;
		}
		if (data > chunks->left)
			data = (size_t)chunks->left;
		at += data;
		chunks->left -= data;
		if (chunks->left == 0)
			chunks->state = DATA_CR;
	}
	return at;
}
