/*
 * Tests of streams in the other shape: each kind of event, the order that
 * clients rely on, every split of recorded streams, early ends; and that
 * a stream says what the JSON answer says.
 */
#include "workers/translate_world_test.h"

/* --- what the providers send ---------------------------------------------- */

static const char anthropic_lines[] =
    "{'type':'message_start','message':{'id':'msg_1','type':'message','role':"
    "'assistant','model':'claude-x','content':[],'stop_reason':null,"
    "'stop_sequence':null,'usage':{'input_tokens':43,"
    "'cache_creation_input_tokens':3,'cache_read_input_tokens':2,"
    "'output_tokens':1}}}\n"
    "{'type':'content_block_start','index':0,'content_block':{'type':"
    "'thinking','thinking':'','signature':''}}\n"
    "{'type':'ping'}\n"
    "{'type':'content_block_delta','index':0,'delta':{'type':"
    "'thinking_delta','thinking':'Let me \xf0\x9f\x98\x80'}}\n"
    "{'type':'content_block_delta','index':0,'delta':{'type':"
    "'signature_delta','signature':'EqQB'}}\n"
    "{'type':'content_block_stop','index':0}\n"
    "{'type':'content_block_start','index':1,'content_block':{'type':'text',"
    "'text':''}}\n"
    "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta',"
    "'text':'Perch\\u00e9 \\ud83d\\ude00'}}\n"
    "{'type':'content_block_delta','index':1,'delta':{'type':"
    "'citations_delta','citation':{'a':1}}}\n"
    "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta',"
    "'text':' \\'no\\' \xe2\x80\xa8.'}}\n"
    "{'type':'content_block_stop','index':1}\n"
    "{'type':'content_block_start','index':2,'content_block':{'type':"
    "'server_tool_use','id':'s','name':'web_search','input':{}}}\n"
    "{'type':'content_block_delta','index':2,'delta':{'type':"
    "'input_json_delta','partial_json':'{\\'q\\':1}'}}\n"
    "{'type':'content_block_stop','index':2}\n"
    "{'type':'content_block_start','index':3,'content_block':{'type':"
    "'tool_use','id':'toolu_1','name':'f','input':{}}}\n"
    "{'type':'content_block_delta','index':3,'delta':{'type':"
    "'input_json_delta','partial_json':''}}\n"
    "{'type':'content_block_delta','index':3,'delta':{'type':"
    "'input_json_delta','partial_json':'{\\'a\\': \\'x'}}\n"
    "{'type':'content_block_delta','index':3,'delta':{'type':"
    "'input_json_delta','partial_json':'\\\\n}\\'}'}}\n"
    "{'type':'content_block_stop','index':3}\n"
    "{'type':'content_block_start','index':4,'content_block':{'type':"
    "'tool_use','id':'toolu_2','name':'g','input':{}}}\n"
    "{'type':'content_block_stop','index':4}\n"
    "{'type':'message_delta','delta':{'stop_reason':'tool_use',"
    "'stop_sequence':null},'usage':{'input_tokens':61,'output_tokens':89}}\n"
    "{'type':'message_stop'}\n";

static const char anthropic_json[] =
    "{'id':'msg_1','type':'message','role':'assistant','model':'claude-x',"
    "'content':[{'type':'thinking','thinking':'Let me \xf0\x9f\x98\x80',"
    "'signature':'EqQB'},{'type':'text','text':"
    "'Perch\\u00e9 \\ud83d\\ude00 \\'no\\' \xe2\x80\xa8.','citations':[{'a':"
    "1}]},{'type':'server_tool_use','id':'s','name':'web_search','input':{"
    "'q':1}},{'type':'tool_use','id':'toolu_1','name':'f','input':{'a': "
    "'x\\n}'}},{'type':'tool_use','id':'toolu_2','name':'g','input':{}}],"
    "'stop_reason':'tool_use','stop_sequence':null,'usage':{'input_tokens':"
    "61,'cache_creation_input_tokens':3,'cache_read_input_tokens':2,"
    "'output_tokens':89}}";

static const char openai_lines[] = CHUNK(
    "'role':'assistant','content':null",
    "null") CHUNK("'reasoning_content':'Let me'",
		  "null") CHUNK("'content':null,'reasoning_content':' see'",
				"null") CHUNK("'content':'Perch\\u00e9 '",
					      "null")
    CHUNK("'content':'\xf0\x9f\x98\x80 \\'no\\''", "null") CHUNK(
	"'tool_calls':[{'index':3,'id':'call_1','type':'function',"
	"'function':{'name':'f','arguments':''}}]",
	"null")
	CHUNK("'tool_calls':[{'index':3,'function':{'arguments':'{\\'a\\': "
	      "\\'}'}}]",
	      "null") CHUNK("'tool_calls':[{'index':3,'function':{'arguments':"
			    "'\\\\\\'{\\'}'}}]",
			    "null")
	    CHUNK("'tool_calls':[{'index':5,'id':'call_2','type':'function',"
		  "'function':{'name':'g','arguments':'{}'}}]",
		  "null")
		CHUNK("",
		      "'tool_calls'") "{'id':'chatcmpl-1','object':'chat."
				      "completion.chunk','created':1,"
				      "'model':'gpt-x','choices':[],'usage':{'"
				      "prompt_tokens':20,"
				      "'completion_tokens':9,'total_tokens':29,"
				      "'prompt_tokens_details':{"
				      "'cached_tokens':4},'completion_tokens_"
				      "details':{'reasoning_tokens':3}}}\n"
				      "[DONE]\n";

static const char openai_json[] =
    "{'id':'chatcmpl-1','object':'chat.completion','created':1,'model':"
    "'gpt-x','choices':[{'index':0,'message':{'role':'assistant','content':"
    "'Perch\\u00e9 \xf0\x9f\x98\x80 \\'no\\'','reasoning_content':"
    "'Let me see','tool_calls':[{'id':'call_1','type':'function','function':{"
    "'name':'f','arguments':'{\\'a\\': \\'}\\\\\\'{\\'}'}},{'id':'call_2',"
    "'type':'function','function':{'name':'g','arguments':'{}'}}]},"
    "'finish_reason':'tool_calls'}],'usage':{'prompt_tokens':20,"
    "'completion_tokens':9,'total_tokens':29,'prompt_tokens_details':{"
    "'cached_tokens':4},'completion_tokens_details':{'reasoning_tokens':3}}}";

/* --- the stream says what the answer says --------------------------------- */

TEST(translate_stream_for_openai_is_the_answer)
{
	struct translate_how how = world_how(AI_ANTHROPIC);
	struct str events = world_events(AI_ANTHROPIC, anthropic_lines);
	struct str got = world_stream(&how, events, 0);

	CHECK_JSON(client_read(AI_OPENAI, got),
		   world_answer(&how, world_json(anthropic_json)));
	CHECK(world_holds(got, "Perch\\u00e9 \\ud83d\\ude00"));
	CHECK(world_holds(got, ": keep-alive\n\n"));
	CHECK(!world_holds(got, "EqQB"));
	CHECK(!world_holds(got, "web_search"));
}

TEST(translate_stream_for_anthropic_is_the_answer)
{
	struct translate_how how = world_how(AI_OPENAI);
	struct str events = world_events(AI_OPENAI, openai_lines);

	CHECK_JSON(client_read(AI_ANTHROPIC, world_stream(&how, events, 0)),
		   world_answer(&how, world_json(openai_json)));
	how.is_thinking_wanted = false;
	CHECK_JSON(client_read(AI_ANTHROPIC, world_stream(&how, events, 0)),
		   world_answer(&how, world_json(openai_json)));
}

static void
check_splits(const struct translate_how *how, struct str events)
{
	struct str want = world_stream(how, events, 0);

	for (size_t at = 0; at <= events.n; at++) {
		struct world_stream w;

		world_stream_open(&w, how);
		world_stream_feed(&w, str_bytes(events.p, at), 0);
		world_stream_feed(&w, str_bytes(events.p + at, events.n - at),
				  0);
		CHECK_OK(w.err);
		CHECK_STR(buf_str(&w.out), want);
		world_stream_close(&w);
	}
	for (size_t part = 1; part < 9; part++)
		CHECK_STR(world_stream(how, events, part), want);
}

TEST(translate_stream_at_every_split)
{
	struct translate_how how = world_how(AI_ANTHROPIC);

	check_splits(&how, world_events(AI_ANTHROPIC, anthropic_lines));
	how.to = AI_ANTHROPIC;
	check_splits(&how, world_events(AI_ANTHROPIC, anthropic_lines));
	how = world_how(AI_OPENAI);
	check_splits(&how, world_events(AI_OPENAI, openai_lines));
	how.to = AI_OPENAI;
	check_splits(&how, world_events(AI_OPENAI, openai_lines));
}

/* --- the bytes ------------------------------------------------------------ */

TEST(translate_stream_for_openai_bytes)
{
	struct translate_how how = world_how(AI_ANTHROPIC);
	struct str got;

	how.is_usage_wanted = false;
	got = world_stream(
	    &how,
	    world_events(AI_ANTHROPIC,
			 "{'type':'message_start','message':{'id':'msg_1',"
			 "'model':'claude-x'}}\n"
			 "{'type':'content_block_start','index':0,"
			 "'content_block':{'type':'text','text':''}}\n"
			 "{'type':'content_block_delta','index':0,'delta':{"
			 "'type':'text_delta','text':'hi'}}\n"
			 "{'type':'content_block_stop','index':0}\n"
			 "{'type':'message_delta','delta':{'stop_reason':"
			 "'end_turn'},'usage':{'input_tokens':1,"
			 "'output_tokens':2}}\n"
			 "{'type':'content_block_delta','index':0,'delta':{"
			 "'type':'text_delta','text':'late'}}\n"
			 "{'type':'message_stop'}\n"
			 "{'type':'message_stop'}\n"),
	    0);
#define HEAD                                                                   \
	"data: {\"id\":\"msg_1\",\"object\":\"chat.completion.chunk\","        \
	"\"created\":1700000000,\"model\":\"claude-x\",\"choices\":[{"         \
	"\"index\":0,\"delta\":{"
#define TAIL "},\"logprobs\":null,\"finish_reason\":"
	CHECK_STR(got, STR(HEAD "\"role\":\"assistant\",\"content\":\"\"" TAIL
				"null}]}\n\n" HEAD "\"content\":\"hi\"" TAIL
				"null}]}\n\n" HEAD TAIL
				"\"stop\"}]}\n\ndata: [DONE]\n\n"));
#undef HEAD
#undef TAIL
}

TEST(translate_stream_for_anthropic_bytes)
{
	struct translate_how how = world_how(AI_OPENAI);

	CHECK_STR(
	    world_stream(
		&how,
		world_events(AI_OPENAI,
			     CHUNK("'role':'assistant','content':''",
				   "null") CHUNK("'content':'hi'", "null")
				 CHUNK("", "'length'") "{'choices':[],'usage':{"
						       "'prompt_tokens':9,"
						       "'completion_tokens':2}}"
						       "\n[DONE]\n[DONE]\n"),
		0),
	    STR("event: message_start\ndata: {\"type\":\"message_start\","
		"\"message\":{\"id\":\"chatcmpl-1\",\"type\":\"message\","
		"\"role\":\"assistant\",\"model\":\"gpt-x\",\"content\":[],"
		"\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
		"\"input_tokens\":7,\"cache_creation_input_tokens\":0,"
		"\"cache_read_input_tokens\":0,\"output_tokens\":0}}}\n\n"
		"event: content_block_start\ndata: {\"type\":"
		"\"content_block_start\",\"index\":0,\"content_block\":{"
		"\"type\":\"text\",\"text\":\"\"}}\n\n"
		"event: content_block_delta\ndata: {\"type\":"
		"\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
		"\"text_delta\",\"text\":\"hi\"}}\n\n"
		"event: content_block_stop\ndata: {\"type\":"
		"\"content_block_stop\",\"index\":0}\n\n"
		"event: message_delta\ndata: {\"type\":\"message_delta\","
		"\"delta\":{\"stop_reason\":\"max_tokens\",\"stop_sequence\":"
		"null},\"usage\":{\"input_tokens\":9,"
		"\"cache_creation_input_tokens\":0,"
		"\"cache_read_input_tokens\":0,\"output_tokens\":2}}\n\n"
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

/* DeepSeek: comments while it is queued, usage beside the finish reason. */
TEST(translate_stream_of_deepseek)
{
	struct translate_how how = world_how(AI_OPENAI);
	struct str events = world_json(
	    ": keep-alive\n\n"
	    "data: {'id':'d','model':'deepseek-chat','choices':[{'index':0,"
	    "'delta':{'role':'assistant','content':''},'finish_reason':null}]"
	    "}\n\n"
	    "data: {'id':'d','model':'deepseek-chat','choices':[{'index':0,"
	    "'delta':{'content':'ok'},'finish_reason':null}]}\n\n"
	    "data: {'id':'d','model':'deepseek-chat','choices':[{'index':0,"
	    "'delta':{'content':''},'finish_reason':'stop'}],'usage':{"
	    "'prompt_tokens':16,'completion_tokens':10,"
	    "'prompt_cache_hit_tokens':6,'prompt_cache_miss_tokens':10}}\n\n"
	    "data: [DONE]");
	struct str got = world_stream(&how, events, 0);

	CHECK(str_starts(got, STR("event: ping\ndata: {\"type\":\"ping\"}\n\n"
				  "event: message_start\n")));
	CHECK_JSON(client_read(AI_ANTHROPIC, got),
		   world_json("{'id':'d','type':'message','role':'assistant',"
			      "'model':'deepseek-chat','content':[{'type':"
			      "'text','text':'ok'}],'stop_reason':'end_turn',"
			      "'stop_sequence':null,'usage':{'input_tokens':"
			      "10,'cache_creation_input_tokens':0,"
			      "'cache_read_input_tokens':6,'output_tokens':"
			      "10}}"));
}

/* --- early ends ----------------------------------------------------------- */

/* Cut behind each event, the client still gets a whole stream. */
static void
check_cuts(const struct translate_how *how, struct str events)
{
	struct str length =
	    how->to == AI_OPENAI ? STR("\"length\"") : STR("\"max_tokens\"");
	struct json_value root;
	size_t cuts = 0;

	for (size_t at = 0; at + 1 < events.n; at++) {
		struct world_stream w;
		struct str answer;

		if (at && memcmp(events.p + at - 1, "\n\n", 2) != 0)
			continue;
		world_stream_open(&w, how);
		world_stream_feed(&w, str_bytes(events.p, at ? at + 1 : 0), 0);
		CHECK_OK(w.err);
		translate_stream_finish(&w.stream, &w.usage, &w.out);
		translate_stream_finish(&w.stream, &w.usage, &w.out);
		answer = client_read(how->to, buf_str(&w.out));
		CHECK(json_check(answer, &root));
		if (memmem(answer.p, answer.n, length.p, length.n))
			cuts++;
		world_stream_close(&w);
	}
	CHECK(cuts > 9);
}

TEST(translate_stream_ends_early)
{
	struct translate_how how = world_how(AI_ANTHROPIC);

	check_cuts(&how, world_events(AI_ANTHROPIC, anthropic_lines));
	how = world_how(AI_OPENAI);
	check_cuts(&how, world_events(AI_OPENAI, openai_lines));
}

/* The same for a client of the provider's shape, whose events pass. */
static struct str
cut_at(const struct translate_how *how, const char *lines)
{
	struct world_stream w;
	struct str out, events = world_events(how->from, lines);

	world_stream_open(&w, how);
	world_stream_feed(&w, events, 0);
	CHECK_OK(w.err);
	CHECK(str_starts(buf_str(&w.out), events));
	translate_stream_finish(&w.stream, &w.usage, &w.out);
	out = arena_str(client_arena(),
			str_bytes(w.out.p + events.n, w.out.n - events.n));
	world_stream_close(&w);
	return out;
}

TEST(translate_stream_of_the_same_shape_ends_early)
{
	struct translate_how how = world_how(AI_OPENAI);
	struct str got;

	how.to = AI_OPENAI;
	how.is_usage_wanted = false;
#define END(index)                                                             \
	"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\","   \
	"\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{"            \
	"\"index\":" index                                                     \
	",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]"       \
	"}\n\n"
	CHECK_STR(cut_at(&how, CHUNK("'content':'x'", "null")),
		  STR(END("0") "data: [DONE]\n\n"));
	CHECK_STR(cut_at(&how, CHUNK("", "'stop'")), STR("data: [DONE]\n\n"));
	CHECK_STR(cut_at(&how, CHUNK("", "'stop'") "[DONE]\n"), STR(""));
	CHECK_STR(cut_at(&how,
			 CHUNK("", "'stop'") "{'choices':[{'index':2,'delta':{"
					     "}},{'index':1,'delta':{}}]}\n"),
		  STR(END("1") END("2") "data: [DONE]\n\n"));
#undef END
	how = world_how(AI_ANTHROPIC);
	how.to = AI_ANTHROPIC;
	got = cut_at(&how, "{'type':'message_start','message':{'usage':{"
			   "'input_tokens':5,'output_tokens':1}}}\n"
			   "{'type':'content_block_start','index':4,"
			   "'content_block':{'type':'of_tomorrow'}}\n");
	CHECK_STR(got,
		  STR("event: content_block_stop\ndata: {\"type\":"
		      "\"content_block_stop\",\"index\":4}\n\n"
		      "event: message_delta\ndata: {\"type\":"
		      "\"message_delta\",\"delta\":{\"stop_reason\":"
		      "\"max_tokens\",\"stop_sequence\":null},\"usage\":{"
		      "\"input_tokens\":5,\"cache_creation_input_tokens\":0,"
		      "\"cache_read_input_tokens\":0,\"output_tokens\":1}}"
		      "\n\nevent: message_stop\ndata: {\"type\":"
		      "\"message_stop\"}\n\n"));
	CHECK_STR(cut_at(&how, "{'type':'message_start','message':{}}\n"
			       "{'type':'message_delta','delta':{"
			       "'stop_reason':'end_turn'}}\n"),
		  STR("event: message_stop\ndata: {\"type\":"
		      "\"message_stop\"}\n\n"));
	CHECK_STR(cut_at(&how, "{'type':'message_stop'}\n"), STR(""));
}

/* The chunk that only we asked for does not reach the client. */
TEST(translate_stream_keeps_our_usage_back)
{
	struct translate_how how = world_how(AI_OPENAI);
	struct str events = world_events(AI_OPENAI, openai_lines), got;

	how.to = AI_OPENAI;
	CHECK_STR(world_stream(&how, events, 0), events);
	how.is_usage_wanted = false;
	got = world_stream(&how, events, 0);
	CHECK(got.n < events.n);
	CHECK(!world_holds(got, "total_tokens"));
	CHECK(str_ends(got, STR("data: [DONE]\n\n")));
	how = world_how(AI_ANTHROPIC);
	how.to = AI_ANTHROPIC;
	events = world_events(AI_ANTHROPIC, anthropic_lines);
	CHECK_STR(world_stream(&how, events, 0), events);
}

TEST(translate_stream_names)
{
	struct translate_how how = world_how(AI_ANTHROPIC);
	struct buf lines;
	struct str got;

	buf_init(&lines, 65536);
	buf_printf(&lines,
		   "{'type':'message_start','message':{'id':'%0300d','model':"
		   "7}}\n{'type':'message_stop'}\n%c",
		   1, 0);
	got = client_read(
	    AI_OPENAI,
	    world_stream(&how, world_events(AI_ANTHROPIC, lines.p), 0));
	CHECK(world_holds(got, "\"id\":\"req_1\""));
	CHECK(world_holds(got, "\"model\":\"some-model\""));
	CHECK(!world_holds(got, "usage"));
	buf_fini(&lines);
}
