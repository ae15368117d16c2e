/*
 * script: how the scripted upstream answers one request. A test writes it into
 * its prompt, as words behind `#up`: "#up delay=500 status=429 times=2 key=a".
 * The prompt passes through the house unchanged, whatever its shape.
 *
 *   delay=MS         before the head
 *   status=CODE      fail so; times=N: only the first N requests with this key
 *   auth=TEXT        likewise, only requests whose head has TEXT in front of
 *                    a line's end
 *   key=NAME         counter of those failures
 *   code=TEXT        the error object's code
 *   retry-after-ms=MS  header of a failure
 *   cut=STAGE        stop ...: request (in the middle of the request's body),
 *                    head (in front of it), line (within it), body, mid, end
 *                    (all was said but the end of the body) ...
 *   by=HOW           ... by reset (default), close, or silence
 *   events=N gap=MS  a stream's content events and the time between them
 *   blank=N          N blank lines (JSON) or comments (stream) first
 *   in= out= cached= reasoning=   token counts
 *   size=BYTES       of the answer's text (each event's, in a stream)
 *   say=WORD         is the text; unicode and json stand for more (content.c)
 *   tools=N          N calls of tools in place of the text, unless a tool's
 *                    result is among the messages
 *   split=BYTES      the answer is sent in pieces of so many bytes, wherever
 *                    that cuts it
 *   finish=TEXT      finish_reason
 *   flood=BYTES      so many bytes without a line end in place of the answer
 *   pad=BYTES        more header lines in front of the others
 *   location=URL     a redirect there
 *   echo             a failure's message has the key that was sent
 *   nousage nodone garbage html gzip drip error redirect crlf stamp
 *                    error: an object in mid-stream; garbage: no JSON; html: a
 *                    page, also as a failure; gzip: says so, and is not; drip:
 *                    the body comes in single bytes, `gap` between them; stamp:
 *                    each event's text is the monotonic clock in ns
 */
#ifndef INTEGRATION_UPSTREAM_SCRIPT_H
#define INTEGRATION_UPSTREAM_SCRIPT_H

#include "lib/buf.h"

enum shape { SHAPE_OPENAI, SHAPE_DEEPSEEK, SHAPE_ANTHROPIC };
enum cut {
	CUT_NONE,
	CUT_REQUEST,
	CUT_HEAD,
	CUT_LINE,
	CUT_BODY,
	CUT_MID,
	CUT_END
};
enum cut_by { BY_RESET, BY_CLOSE, BY_SILENCE };

#define WORD_BYTES 48

struct script {
	enum shape shape;
	bool is_stream;
	bool wants_usage;
	bool is_close; /* Connection: close */
	char model[128];
	int64_t delay_ms, gap_ms, retry_after_ms;
	int64_t status, times;
	int64_t events, blank, size, flood, tools, split, pad;
	int64_t input, output, cached, reasoning;
	enum cut cut;
	enum cut_by by;
	bool has_no_usage, has_no_done, is_garbage, has_error, is_redirect,
	    is_crlf, is_stamped, is_html, is_gzip, is_drip, is_echo;
	char key[WORD_BYTES], auth[WORD_BYTES], code[WORD_BYTES],
	    finish[WORD_BYTES], say[WORD_BYTES], location[WORD_BYTES];
	const char *head; /* of the request */
};

/* body: the request's JSON. False when a word is not known: a test's bug. */
bool script_read(struct script *script, enum shape shape, struct str body);

/* The pieces of an answer, in order. Appends piece number `piece` to out.
 * *wait_ms: before the next one. PIECE_CUT: stop as the script says. */
enum piece { PIECE_MORE, PIECE_LAST, PIECE_CUT };
enum piece script_piece(const struct script *script, int64_t piece,
			struct buf *out, int64_t *wait_ms);
/* A failure as the provider words it. */
void script_failure(const struct script *script, struct buf *out);
/* The content type of its answers and failures. */
const char *script_type(const struct script *script, bool is_failure);

#endif
