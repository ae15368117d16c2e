/*
 * head: see head.h. One step a byte; the two long stretches of a head, targets
 * and values, are run through.
 */
#include "edge/head.h"

enum state {
	BEGIN,	  /* empty lines before the request line are skipped */
	BEGIN_CR, /* of such a line */
	METHOD,
	TARGET,
	QUERY,
	VERSION,
	LINE_CR, /* behind a line */
	LINE,	 /* at a line's first byte */
	NAME,
	VALUE,
	COOKIE,
	LENGTH,	    /* blanks, then digits of a Content-Length */
	LENGTH_END, /* blanks behind them */
	OPTION,	    /* of a Connection's list, blanks in front of it */
	OPTION_END, /* blanks behind it */
	LAST_CR,    /* that of the empty line */
	DONE,
	WRONG,
};

/* Names whose values are looked at. */
enum known { CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, COOKIES, KNOWN };

static const struct str known_names[KNOWN] = {
    [CONTENT_LENGTH] = {"content-length", 14},
    [TRANSFER_ENCODING] = {"transfer-encoding", 17},
    [CONNECTION] = {"connection", 10},
    [COOKIES] = {"cookie", 6},
};

/* Options of Connection that say whether it stays. */
enum option { CLOSE, KEEP_ALIVE, OPTIONS };

static const struct str known_options[OPTIONS] = {
    [CLOSE] = {"close", 5},
    [KEEP_ALIVE] = {"keep-alive", 10},
};

#define ALL_OF(count) ((1u << (count)) - 1)

static const char version[] = "HTTP/1.";

/* clang-format off */
const bool head_is_token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
    ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
    ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1,
    ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1,
    ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1,
    ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1,
    ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1,
    ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1,
    ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};
/* clang-format on */

void
head_begin(struct head *head)
{
	*head = (struct head){.state = BEGIN};
}

bool
head_is_done(const struct head *head)
{
	return head->state == DONE;
}

bool
head_is_wrong(const struct head *head)
{
	return head->state == WRONG;
}

bool
head_closes(const struct head *head)
{
	return head->has_close || (head->is_1_0 && !head->has_keep_alive);
}

static enum state
wrong(struct head *head, enum err err, const char *fault)
{
	head->err = err;
	head->fault = fault;
	return WRONG;
}

void
head_fail(struct head *head, const char *fault)
{
	head->state = (uint8_t)wrong(head, ERR_BAD_REQUEST, fault);
}

/* What ends a line, or must not stand in one; else the state stays. */
static enum state
other(struct head *head, unsigned char c)
{
	if (c == '\r')
		return LINE_CR;
	if (c == '\n')
		return wrong(head, ERR_BAD_REQUEST,
			     "a line of the head ends with LF alone");
	if (c == '\0')
		return wrong(head, ERR_BAD_REQUEST, "NUL byte in the head");
	return (enum state)head->state;
}

static enum state
no_request_line(struct head *head, unsigned char c)
{
	if (other(head, c) == WRONG)
		return WRONG;
	return wrong(head, ERR_BAD_REQUEST,
		     "the first line is not METHOD TARGET HTTP/1.1, with one "
		     "space between each");
}

static enum state
after_target(struct head *head, unsigned char c)
{
	if (head->target_n < HEAD_TARGET_BYTES && c != ' ')
		head->target[head->target_n++] = (char)c;
	if (c == ' ') {
		head->at = 0;
		return head->target_n ? VERSION : no_request_line(head, c);
	}
	if (c == '\r')
		return no_request_line(head, c);
	if (c == '?' || (c == '&' && head->state == QUERY)) {
		head->cost += HEAD_VALUE_COST;
		return QUERY;
	}
	return other(head, c);
}

/* HTTP/1.x; the audit takes 0 and 1. Another major version is another
 * protocol. */
static enum state
after_version(struct head *head, unsigned char c)
{
	const unsigned at = head->at++;
	bool is_digit = c >= '0' && c <= '9';

	if (at == sizeof(version)) /* behind the last digit */
		return c == '\r' ? LINE_CR : no_request_line(head, c);
	if (at == sizeof(version) - 1) {
		head->is_1_0 = c == '0';
		return is_digit ? VERSION : no_request_line(head, c);
	}
	if (at == 5 && is_digit && c != '1')
		return wrong(head, ERR_VERSION_UNKNOWN,
			     "only HTTP/1.1 and HTTP/1.0 are spoken here");
	return c == (unsigned char)version[at] ? VERSION
					       : no_request_line(head, c);
}

static enum state
after_begin(struct head *head, unsigned char c)
{
	if (c == '\r')
		return BEGIN_CR;
	head->bytes = head->cost = 1; /* not of those lines */
	return head_is_token[c] ? METHOD : no_request_line(head, c);
}

/* c: a byte of a token. */
static void
match(struct head *head, const struct str *words, unsigned count,
      unsigned char c)
{
	unsigned matching = 0;

	if (head->matching == 0)
		return;
	for (unsigned i = 0; i < count; i++)
		if ((head->matching & 1u << i) && head->at < words[i].n &&
		    words[i].p[head->at] == (char)(c | 0x20))
			matching |= 1u << i;
	head->matching = (uint8_t)matching;
	head->at++;
}

/* Which of the words it was, or count. */
static unsigned
matched(const struct head *head, const struct str *words, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if ((head->matching & 1u << i) && words[i].n == head->at)
			break;
	return i;
}

static enum state
option_begin(struct head *head)
{
	head->matching = ALL_OF(OPTIONS);
	head->at = 0;
	return OPTION;
}

/* Behind the colon. */
static enum state
value_of(struct head *head)
{
	head->cost += HEAD_VALUE_COST;
	switch ((enum known)matched(head, known_names, KNOWN)) {
	case CONTENT_LENGTH:
		head->has_digits = false;
		if (head->body_bytes != HEAD_BODY_UNKNOWN)
			head->body_bytes = 0;
		return LENGTH;
	case TRANSFER_ENCODING:
		head->body_bytes = HEAD_BODY_UNKNOWN;
		return VALUE;
	case CONNECTION:
		return option_begin(head);
	case COOKIES:
		return COOKIE;
	case KNOWN:
		break;
	}
	return VALUE;
}

static enum state
after_name(struct head *head, unsigned char c)
{
	if (head_is_token[c]) {
		match(head, known_names, KNOWN, c);
		return NAME;
	}
	if (c == ':' && head->at > 0)
		return value_of(head);
	if (other(head, c) == WRONG)
		return WRONG;
	return wrong(head, ERR_BAD_REQUEST,
		     c == ':'	 ? "a header without a name"
		     : c == '\r' ? "a header without a colon"
				 : "a header's name is no token");
}

static enum state
after_line(struct head *head, unsigned char c)
{
	if (c == '\r')
		return LAST_CR;
	if (c == ' ' || c == '\t')
		return wrong(head, ERR_BAD_REQUEST, "folded header line");
	head->matching = ALL_OF(KNOWN);
	head->at = 0;
	return after_name(head, c);
}

static enum state
after_length(struct head *head, unsigned char c)
{
	bool is_digit = c >= '0' && c <= '9';
	bool is_blank = c == ' ' || c == '\t';

	if (is_digit && head->state == LENGTH) {
		head->has_digits = true;
		if (head->body_bytes != HEAD_BODY_UNKNOWN &&
		    (__builtin_mul_overflow(head->body_bytes, 10,
					    &head->body_bytes) ||
		     __builtin_add_overflow(head->body_bytes, c - '0',
					    &head->body_bytes)))
			return wrong(head, ERR_BODY_TOO_LARGE,
				     "the body is too large");
		return LENGTH;
	}
	if (is_blank)
		return head->has_digits ? LENGTH_END : LENGTH;
	if (c == '\r' && head->has_digits)
		return LINE_CR;
	if (c != '\r' && other(head, c) == WRONG)
		return WRONG;
	return wrong(head, ERR_BAD_REQUEST, "Content-Length is not a number");
}

static void
option_end(struct head *head)
{
	switch ((enum option)matched(head, known_options, OPTIONS)) {
	case CLOSE:
		head->has_close = true;
		break;
	case KEEP_ALIVE:
		head->has_keep_alive = true;
		break;
	case OPTIONS:
		break;
	}
}

static enum state
after_option(struct head *head, unsigned char c)
{
	if (c == ',' || c == '\r')
		option_end(head);
	if (c == ',')
		return option_begin(head);
	if (c == ' ' || c == '\t')
		return head->at > 0 ? OPTION_END : OPTION;
	if (head->state == OPTION_END || !head_is_token[c])
		head->matching = 0; /* "close x" is none that is known */
	match(head, known_options, OPTIONS, c);
	return other(head, c);
}

static enum state
after(struct head *head, unsigned char c)
{
	switch ((enum state)head->state) {
	case BEGIN:
		return after_begin(head, c);
	case METHOD:
		return head_is_token[c] ? METHOD
		       : c == ' '	? TARGET
					: no_request_line(head, c);
	case TARGET:
	case QUERY:
		return after_target(head, c);
	case VERSION:
		return after_version(head, c);
	case LINE:
		return after_line(head, c);
	case NAME:
		return after_name(head, c);
	case COOKIE:
		head->cost += c == ';' || c == ',' ? HEAD_VALUE_COST + 1 : 1;
		return other(head, c);
	case VALUE:
		return other(head, c);
	case LENGTH:
	case LENGTH_END:
		return after_length(head, c);
	case OPTION:
	case OPTION_END:
		return after_option(head, c);
	case BEGIN_CR:
	case LINE_CR:
	case LAST_CR:
		if (c == '\n')
			return head->state == BEGIN_CR	? BEGIN
			       : head->state == LAST_CR ? DONE
							: LINE;
		return wrong(head, ERR_BAD_REQUEST,
			     "a line of the head ends with CR alone");
	case DONE:
	case WRONG:
		break;
	}
	return (enum state)head->state;
}

/* How many of the next bytes change nothing: nearly all do. */
static size_t
stretch(const struct head *head, const unsigned char *p, size_t n)
{
	size_t i = 0;

	if (head->state == VALUE)
		while (i < n && p[i] > '\r')
			i++;
	else if (head->state == NAME && head->matching == 0)
		while (i < n && head_is_token[p[i]])
			i++;
	return i;
}

size_t
head_take(struct head *head, const char *bytes, size_t n)
{
	const unsigned char *p = (const unsigned char *)bytes;
	size_t i = 0, run;

	while (i < n && head->state < DONE) {
		run = stretch(head, p + i, n - i);
		if (run == 0) {
			run = 1;
			head->bytes++;
			head->cost++;
			head->state = (uint8_t)after(head, p[i]);
		} else {
			head->bytes += (uint32_t)run;
			head->cost += (uint32_t)run;
		}
		i += run;
		if (head->cost > HEAD_COST_MAX && head->state < WRONG)
			head->state = (uint8_t)wrong(head, ERR_HEAD_TOO_LARGE,
						     "the request head is too "
						     "large: send fewer or "
						     "shorter headers");
	}
	return i;
}
