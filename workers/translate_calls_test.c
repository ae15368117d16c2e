/*
 * Tests of streams that are not as usual: tool calls that are mixed, errors in
 * mid-stream, nonsense, too much.
 */
#include "workers/translate_world_test.h"

/* --- mixed tool calls ----------------------------------------------------- */

#define PIECE(index, members) "{'index':" index "," members "}"
#define CALL(index, id, arguments)                                             \
	PIECE(index,                                                           \
	      "'id':'" id "','type':'function','function':{'name':'f" id       \
	      "','arguments':'" arguments "'}")
#define MORE(index, arguments)                                                 \
	PIECE(index, "'function':{'arguments':'" arguments "'}")
#define PIECES(pieces) CHUNK("'tool_calls':[" pieces "]", "null")
#define USE(id, input)                                                         \
	"{'type':'tool_use','id':'" id "','name':'f" id "','input':" input "}"

TEST(translate_stream_of_mixed_calls)
{
	static const struct {
		const char *lines;
		const char *content;
	} rows[] = {
	    /* One after the other, the first complete or not. */
	    {PIECES(CALL("0", "a", "{}")) PIECES(CALL("1", "b", "{}")),
	     USE("a", "{}") "," USE("b", "{}")},
	    {PIECES(CALL("0", "a", "")) PIECES(CALL("1", "b", "{}")),
	     USE("a", "{}") "," USE("b", "{}")},
	    /* In one chunk. */
	    {PIECES(CALL("0", "a", "{\\'x\\':1}") "," CALL("1", "b", "{}")),
	     USE("a", "{'x':1}") "," USE("b", "{}")},
	    /* Begun together, then piece by piece. */
	    {PIECES(CALL("0", "a", "")) PIECES(CALL("1", "b", ""))
		 PIECES(CALL("2", "c", "")) PIECES(MORE("1", "{\\'y\\'"))
		     PIECES(MORE("0", "{\\'x\\':")) PIECES(MORE("2", "{"))
			 PIECES(MORE("0", "[1,")) PIECES(MORE("1", ":2}"))
			     PIECES(MORE("0", "{}]}")) PIECES(MORE("2", "}")),
	     USE("a", "{'x':[1,{}]}") "," USE("b", "{'y':2}") "," USE("c",
								      "{}")},
	    /* Brackets and quotes inside strings, escapes cut in two. */
	    {PIECES(CALL("0", "a", "{\\'x\\':\\'}}"))
		 PIECES(CALL("1", "b", "{\\'y\\':0")) PIECES(MORE("0", "\\\\"))
		     PIECES(MORE("1", "}"))
			 PIECES(MORE("0", "\\'}\\u0022\\u007d ")),
	     USE("a", "{'x':'}}\\'}'}") "," USE("b", "{'y':0}")},
	    /* A provider without indexes. */
	    {CHUNK("'tool_calls':[{'id':'a','function':{'name':'fa',"
		   "'arguments':'{'}}]",
		   "null")
		 CHUNK("'tool_calls':[{'function':{'arguments':'}'}}]", "null")
		     CHUNK("'tool_calls':[{'id':'b','function':{'name':'fb',"
			   "'arguments':'{}'}}]",
			   "null"),
	     USE("a", "{}") "," USE("b", "{}")},
	    /* Never complete: they come all the same. */
	    {PIECES(CALL("0", "a", "{")) PIECES(CALL("1", "b", "{}"))
		 PIECES(CALL("2", "c", "{\\'z\\':")) PIECES(MORE("2", "3}")),
	     USE("a", "'{'") "," USE("b", "{}") "," USE("c", "{'z':3}")},
	    /* Text between calls. */
	    {PIECES(CALL("0", "a", "{}")) CHUNK("'content':'x'", "null")
		 PIECES(CALL("1", "b", "{}")) PIECES(MORE("0", " ")),
	     USE("a", "{}") ",{'type':'text','text':'x'}," USE("b", "{}")},
	};
	struct translate_how how = world_how(AI_OPENAI);
	struct buf lines, want;

	buf_init(&lines, 1u << 20);
	buf_init(&want, 1u << 20);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&lines);
		buf_printf(&lines, "%s%s[DONE]\n%c", rows[i].lines,
			   CHUNK("", "'tool_calls'"), 0);
		buf_reset(&want);
		buf_printf(&want,
			   "{'id':'chatcmpl-1','type':'message','role':"
			   "'assistant','model':'gpt-x','content':[%s],"
			   "'stop_reason':'tool_use','stop_sequence':null,"
			   "'usage':{'input_tokens':7,"
			   "'cache_creation_input_tokens':0,"
			   "'cache_read_input_tokens':0,'output_tokens':0}}%c",
			   rows[i].content, 0);
		CHECK_JSON(
		    client_read(AI_ANTHROPIC,
				world_stream(
				    &how, world_events(AI_OPENAI, lines.p), 0)),
		    world_json(want.p));
	}
	buf_fini(&lines);
	buf_fini(&want);
}

/* --- failures ------------------------------------------------------------- */

static struct str
failed_stream(const struct translate_how *how, const char *lines)
{
	struct world_stream w;
	struct str out;

	world_stream_open(&w, how);
	world_stream_feed(&w, world_events(how->from, lines), 0);
	CHECK_ERR(w.err, ERR_UPSTREAM_FAILED);
	out = arena_str(client_arena(), buf_str(&w.out));
	world_stream_close(&w);
	return out;
}

TEST(translate_stream_errors)
{
	struct translate_how how = world_how(AI_ANTHROPIC);
	static const char overloaded[] =
	    "{'type':'message_start','message':{'id':'m'}}\n"
	    "{'type':'error','error':{'type':'overloaded_error','message':"
	    "'Over\\u006coaded'}}\n"
	    "{'type':'content_block_delta','index':0,'delta':{'text':'x'}}\n"
	    "{'type':'message_stop'}\n";
	static const char limited[] =
	    CHUNK("'content':'x'", "null") "{'error':{'message':'slow','type':'"
					   "requests','param':null,'code':"
					   "'rate_limit_exceeded'}}\n[DONE]\n";

	CHECK(str_ends(failed_stream(&how, overloaded),
		       STR("\n\ndata: {\"error\":{\"message\":"
			   "\"Over\\u006coaded\",\"type\":\"overloaded_error\""
			   ",\"param\":null,\"code\":\"overloaded\"}}\n\n")));
	how.to = AI_ANTHROPIC;
	CHECK(str_ends(failed_stream(&how, overloaded),
		       STR("\n\nevent: error\ndata: {\"type\":\"error\","
			   "\"error\":{\"type\":\"overloaded_error\","
			   "\"message\":\"Over\\u006coaded\"}}\n\n")));
	how = world_how(AI_OPENAI);
	CHECK(str_ends(failed_stream(&how, limited),
		       STR("\n\nevent: error\ndata: {\"type\":\"error\","
			   "\"error\":{\"type\":\"rate_limit_error\","
			   "\"message\":\"slow\"},\"request_id\":\"req_1\"}"
			   "\n\n")));
	CHECK(str_ends(
	    failed_stream(&how, CHUNK("", "'insufficient_system_resource'")),
	    STR("\"type\":\"api_error\",\"message\":\"the AI "
		"provider failed\"},\"request_id\":\"req_1\"}"
		"\n\n")));
	/* What cannot be said any more in valid order. */
	failed_stream(&how,
		      PIECES(CALL("0", "a", "{")) CHUNK("'content':'x'", "null")
			  PIECES(MORE("0", "}")));
	how.to = AI_OPENAI;
	CHECK(str_ends(failed_stream(&how, limited),
		       STR("\"code\":\"rate_limit_exceeded\"}}\n\n")));
}

TEST(translate_stream_of_nonsense)
{
	static const char nonsense[] = "1\n[]\nnull\n{}\nnot json\n{'type':7}\n"
				       "{'choices':1}\n{'choices':[1]}\n"
				       "{'choices':[{'delta':7}]}\n"
				       "{'choices':[{'delta':{'tool_calls':[1]"
				       "}}]}\n{'type':'content_block_delta',"
				       "'index':-1,'delta':[]}\n";
	struct translate_how how = world_how(AI_OPENAI);
	struct world_stream w;

	for (unsigned i = 0; i < 4; i++) {
		how.from = i & 1 ? AI_OPENAI : AI_ANTHROPIC;
		how.to = i & 2 ? AI_OPENAI : AI_ANTHROPIC;
		world_stream_open(&w, &how);
		world_stream_feed(&w, world_events(AI_OPENAI, nonsense), 0);
		CHECK_OK(w.err);
		world_stream_close(&w);
	}
}

TEST(translate_stream_of_too_many_calls)
{
	struct translate_how how = world_how(AI_OPENAI);
	struct world_stream w;
	struct buf event;

	buf_init(&event, 4096);
	world_stream_open(&w, &how);
	for (unsigned i = 0; i <= TRANSLATE_CALLS_MAX; i++) {
		CHECK_OK(w.err);
		buf_reset(&event);
		buf_printf(&event,
			   "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{"
			   "\"index\":%u,\"id\":\"c\",\"function\":{\"name\":"
			   "\"f\",\"arguments\":\"{\"}}]}}]}\n\n",
			   i);
		world_stream_feed(&w, buf_str(&event), 0);
	}
	CHECK_ERR(w.err, ERR_UPSTREAM_FAILED);
	world_stream_close(&w);
	/* What waits is bounded. */
	world_stream_open(&w, &how);
	for (unsigned i = 0; i < TRANSLATE_PENDING_BYTES_MAX / 16; i++) {
		buf_reset(&event);
		buf_printf(&event,
			   "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{"
			   "\"index\":%u,\"function\":{\"arguments\":\"{\"}}]"
			   "}}]}\n\n",
			   i & 1);
		world_stream_feed(&w, buf_str(&event), 0);
	}
	CHECK_ERR(w.err, ERR_NO_MEMORY);
	world_stream_close(&w);
	buf_fini(&event);
}
