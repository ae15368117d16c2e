/*
 * Tests of JSON answers in the other shape: contents, reasons, usage, names;
 * and of the providers' errors.
 */
#include "workers/translate_world_test.h"

struct row {
	const char *in;
	const char *want;
};

static void
check_answers(const struct translate_how *how, const struct row *rows,
	      unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_JSON(world_answer(how, world_json(rows[i].in)),
			   world_json(rows[i].want));
}
#define CHECK_ANSWERS(how, rows)                                               \
	check_answers(how, rows, sizeof(rows) / sizeof((rows)[0]))

#define OPENAI_ANSWER(message, reason)                                         \
	"{'id':'msg_1','object':'chat.completion','created':1700000000,"       \
	"'model':'claude-x','choices':[{'index':0,'message':{'role':"          \
	"'assistant'," message "},'logprobs':null,'finish_reason':'" reason    \
	"'}]"
#define ANTHROPIC_ANSWER(content, reason)                                      \
	"{'id':'msg_1','type':'message','role':'assistant','model':"           \
	"'claude-x','content':" content ",'stop_reason':'" reason              \
	"','stop_sequence':null"

TEST(translate_answers_for_openai)
{
	static const struct row rows[] = {
	    {ANTHROPIC_ANSWER("[{'type':'text','text':'h\\u00e8\\n'}]",
			      "end_turn") ",'usage':{'input_tokens':10,"
					  "'cache_creation_input_tokens':5,"
					  "'cache_read_input_tokens':7,"
					  "'output_tokens':3,"
					  "'output_tokens_details':{"
					  "'thinking_tokens':2}}}",
	     OPENAI_ANSWER(
		 "'content':'h\\u00e8\\n','refusal':null",
		 "stop") ",'usage':{'prompt_tokens':22,'completion_tokens':3,"
			 "'total_tokens':25,'prompt_tokens_details':{'cached_"
			 "tokens':"
			 "7,'cache_write_tokens':5},'completion_tokens_details'"
			 ":{"
			 "'reasoning_tokens':2}}}"},
	    {ANTHROPIC_ANSWER(
		 "[{'type':'thinking','thinking':'hm','signature':'s'},{"
		 "'type':'redacted_thinking','data':'x'},{'type':'text',"
		 "'text':'a'},{'type':'text','text':'b','citations':[{}]},{"
		 "'type':'tool_use','id':'t1','name':'f','input':{'a': [1]}}"
		 ",{'type':'server_tool_use','id':'s','name':'w','input':{}}"
		 ",{'type':'tool_use','id':'t2','name':'g','input':{}}]",
		 "tool_use") ",'usage':{'input_tokens':1,'output_tokens':0}}",
	     OPENAI_ANSWER(
		 "'content':'ab','refusal':null,'reasoning_content':'hm',"
		 "'tool_calls':[{'id':'t1','type':'function','function':{"
		 "'name':'f','arguments':'{\\'a\\': [1]}'}},{'id':'t2','type'"
		 ":'function','function':{'name':'g','arguments':'{}'}}]",
		 "tool_calls") ",'usage':{'prompt_tokens':1,"
			       "'completion_tokens':0,'total_tokens':1}}"},
	    {ANTHROPIC_ANSWER("[{'type':'tool_use','id':'t','name':'f',"
			      "'input':{}}]",
			      "tool_use") "}",
	     OPENAI_ANSWER("'content':null,'refusal':null,'tool_calls':[{"
			   "'id':'t','type':'function','function':{'name':"
			   "'f','arguments':'{}'}}]",
			   "tool_calls") "}"},
	    {"{'content':[]}",
	     "{'id':'req_1','object':'chat.completion','created':1700000000,"
	     "'model':'some-model','choices':[{'index':0,'message':{'role':"
	     "'assistant','content':'','refusal':null},'logprobs':null,"
	     "'finish_reason':'stop'}]}"},
	};
	struct translate_how how = world_how(AI_ANTHROPIC);

	CHECK_ANSWERS(&how, rows);
}

#define CHAT(message, reason)                                                  \
	"{'id':'msg_1','object':'chat.completion','created':1,'model':"        \
	"'claude-x','choices':[{'index':0,'message':{'role':'assistant',"      \
	"" message "},'finish_reason':" reason "}]"

TEST(translate_answers_for_anthropic)
{
	static const struct row rows[] = {
	    {CHAT("'content':'h\\u00e8\\n','refusal':null",
		  "'stop'") ",'usage':{'prompt_tokens':22,"
			    "'completion_tokens':3,'total_tokens':25,"
			    "'prompt_tokens_details':{'cached_tokens':7},"
			    "'completion_tokens_details':{"
			    "'reasoning_tokens':2}}}",
	     ANTHROPIC_ANSWER("[{'type':'text','text':'h\\u00e8\\n'}]",
			      "end_turn") ",'usage':{'input_tokens':15,"
					  "'cache_creation_input_tokens':0,"
					  "'cache_read_input_tokens':7,"
					  "'output_tokens':3,"
					  "'output_tokens_details':{"
					  "'thinking_tokens':2}}}"},
	    {CHAT("'content':null,'reasoning_content':'hm','tool_calls':[{"
		  "'id':'c1','type':'function','function':{'name':'f',"
		  "'arguments':'{\\'a\\': \\'\\u00e8\\'}'}},{'id':'c2',"
		  "'type':'function','function':{'name':'g','arguments':''}}"
		  "]",
		  "'tool_calls'") "}",
	     ANTHROPIC_ANSWER("[{'type':'thinking','thinking':'hm',"
			      "'signature':''},{'type':'tool_use','id':'c1',"
			      "'name':'f','input':{'a':'\\u00e8'}},{'type':"
			      "'tool_use','id':'c2','name':'g','input':{}}]",
			      "tool_use") ",'usage':{'input_tokens':7,"
					  "'cache_creation_input_tokens':0,"
					  "'cache_read_input_tokens':0,"
					  "'output_tokens':0}}"},
	    /* Forced by name: the reason says stop. Cut: no JSON. */
	    {CHAT("'content':'x','refusal':'y','tool_calls':[{'id':'c','type'"
		  ":'function','function':{'name':'f','arguments':'{\\'a'}}]",
		  "'stop'") ",'usage':{'prompt_tokens':0,"
			    "'completion_tokens':0}}",
	     ANTHROPIC_ANSWER("[{'type':'text','text':'x'},{'type':'text',"
			      "'text':'y'},{'type':'tool_use','id':'c',"
			      "'name':'f','input':{'arguments':'{\\'a'}}]",
			      "tool_use") ",'usage':{'input_tokens':0,"
					  "'cache_creation_input_tokens':0,"
					  "'cache_read_input_tokens':0,"
					  "'output_tokens':0}}"},
	};
	struct translate_how how = world_how(AI_OPENAI);

	CHECK_ANSWERS(&how, rows);
	how.is_thinking_wanted = false;
	CHECK_JSON(world_answer(&how, world_json(CHAT("'content':'x',"
						      "'reasoning_content':"
						      "'hm'",
						      "'stop'") "}")),
		   world_json(ANTHROPIC_ANSWER(
		       "[{'type':'text','text':'x'}]",
		       "end_turn") ",'usage':{'input_tokens':7,"
				   "'cache_creation_input_tokens':0,"
				   "'cache_read_input_tokens':0,"
				   "'output_tokens':0}}"));
}

TEST(translate_reasons)
{
	static const struct row openai[] = {
	    {"end_turn", "stop"},
	    {"stop_sequence", "stop"},
	    {"pause_turn", "stop"},
	    {"max_tokens", "length"},
	    {"model_context_window_exceeded", "length"},
	    {"tool_use", "tool_calls"},
	    {"refusal", "content_filter"},
	    {"of_tomorrow", "stop"},
	};
	static const struct row anthropic[] = {
	    {"stop", "end_turn"},
	    {"length", "max_tokens"},
	    {"content_filter", "refusal"},
	    {"of_tomorrow", "end_turn"},
	};
	struct buf in, want;

	buf_init(&in, 4096);
	buf_init(&want, 4096);
	for (unsigned i = 0; i < 8; i++) {
		struct translate_how how = world_how(AI_ANTHROPIC);
		struct str out;

		buf_reset(&in);
		buf_printf(&in, "{\"content\":[],\"stop_reason\":\"%s\"}",
			   openai[i].in);
		out = world_answer(&how, buf_str(&in));
		buf_reset(&want);
		buf_printf(&want, "\"finish_reason\":\"%s\"}]}",
			   openai[i].want);
		CHECK(str_ends(out, buf_str(&want)));
	}
	for (unsigned i = 0; i < 4; i++) {
		struct translate_how how = world_how(AI_OPENAI);
		struct str out;

		buf_reset(&in);
		buf_printf(&in,
			   "{\"choices\":[{\"message\":{},\"finish_reason\":"
			   "\"%s\"}]}",
			   anthropic[i].in);
		out = world_answer(&how, buf_str(&in));
		buf_reset(&want);
		buf_printf(&want, "\"stop_reason\":\"%s\"", anthropic[i].want);
		CHECK(memmem(out.p, out.n, want.p, want.n));
	}
	buf_fini(&in);
	buf_fini(&want);
}

TEST(translate_answers_that_are_none)
{
	static const char *const rows[] = {
	    "",
	    "<html>",
	    "[]",
	    "{}",
	    "{\"content\":1}",
	    "{\"choices\":[]}",
	    "{\"choices\":[1]}",
	    "{\"error\":{\"message\":\"x\"}}",
	};
	struct provider_usage usage;
	struct arena arena;
	struct buf out;

	arena_init(&arena, 1u << 20);
	provider_usage_clear(&usage);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct translate_how how = world_how(AI_OPENAI);

		buf_init(&out, 4096);
		CHECK_ERR(translate_answer(&how, str_of(rows[i]), &usage,
					   &arena, &out),
			  ERR_UPSTREAM_FAILED);
		how = world_how(AI_ANTHROPIC);
		CHECK_ERR(translate_answer(&how, str_of(rows[i]), &usage,
					   &arena, &out),
			  ERR_UPSTREAM_FAILED);
		buf_fini(&out);
	}
	for (size_t limit = 0; limit < 100; limit++) {
		struct translate_how how = world_how(AI_ANTHROPIC);

		buf_init(&out, limit);
		CHECK_ERR(translate_answer(&how, STR("{\"content\":[]}"),
					   &usage, &arena, &out),
			  ERR_NO_MEMORY);
		buf_fini(&out);
	}
	arena_fini(&arena);
}

/* --- errors --------------------------------------------------------------- */

static struct str
error_of(enum ai_shape from, int status, const char *body)
{
	struct buf out;
	struct str kept;

	buf_init(&out, 65536);
	translate_error(from, status, world_json(body), STR("req_1"), &out);
	kept = arena_str(client_arena(), buf_str(&out));
	buf_fini(&out);
	client_check_is_json(kept);
	return kept;
}

TEST(translate_errors)
{
	static const struct {
		enum ai_shape from;
		int status;
		const char *body;
		const char *want;
	} rows[] = {
	    {AI_ANTHROPIC, 400,
	     "{'type':'error','error':{'type':'invalid_request_error',"
	     "'message':'max\\u005ftokens: \\'x\\''},'request_id':'r'}",
	     "{'error':{'message':'max_tokens: \\'x\\'','type':"
	     "'invalid_request_error','param':null,'code':null}}"},
	    {AI_ANTHROPIC, 404,
	     "{'type':'error','error':{'type':'not_found_error','message':"
	     "'model: x'}}",
	     "{'error':{'message':'model: x','type':'not_found_error','param'"
	     ":null,'code':'model_not_found'}}"},
	    {AI_ANTHROPIC, 0,
	     "{'type':'error','error':{'type':'overloaded_error','message':"
	     "'Overloaded'}}",
	     "{'error':{'message':'Overloaded','type':'overloaded_error',"
	     "'param':null,'code':'overloaded'}}"},
	    {AI_ANTHROPIC, 429, "<html>slow down</html>",
	     "{'error':{'message':'the AI provider failed','type':'requests',"
	     "'param':null,'code':'rate_limit_exceeded'}}"},
	    {AI_ANTHROPIC, 529, "",
	     "{'error':{'message':'the AI provider failed','type':"
	     "'overloaded_error','param':null,'code':'overloaded'}}"},
	    {AI_OPENAI, 400,
	     "{'error':{'message':'bad','type':'invalid_request_error',"
	     "'param':'n','code':null}}",
	     "{'type':'error','error':{'type':'invalid_request_error',"
	     "'message':'bad'},'request_id':'req_1'}"},
	    {AI_OPENAI, 0,
	     "{'error':{'message':'m','type':'server_error','param':null,"
	     "'code':'rate_limit_exceeded'}}",
	     "{'type':'error','error':{'type':'rate_limit_error','message':"
	     "'m'},'request_id':'req_1'}"},
	    {AI_OPENAI, 0, "{'error':{'message':'m','type':'requests'}}",
	     "{'type':'error','error':{'type':'rate_limit_error','message':"
	     "'m'},'request_id':'req_1'}"},
	    {AI_OPENAI, 0, "{'error':'plain'}",
	     "{'type':'error','error':{'type':'api_error','message':'plain'},"
	     "'request_id':'req_1'}"},
	    {AI_OPENAI, 422, "{'message':'top'}",
	     "{'type':'error','error':{'type':'invalid_request_error',"
	     "'message':'top'},'request_id':'req_1'}"},
	    {AI_OPENAI, 503, "[]",
	     "{'type':'error','error':{'type':'api_error','message':"
	     "'the AI provider failed'},'request_id':'req_1'}"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_JSON(error_of(rows[i].from, rows[i].status, rows[i].body),
			   world_json(rows[i].want));
}

TEST(translate_error_events)
{
	struct ai_failure failure = {ERR_BAD_FIELD, STR("m"), STR("n"),
				     STR("req_1")};
	struct buf out;

	buf_init(&out, 4096);
	translate_error_event(AI_ANTHROPIC, &failure, &out);
	CHECK_STR(buf_str(&out),
		  STR("event: error\ndata: {\"type\":\"error\",\"error\":{"
		      "\"type\":\"invalid_request_error\",\"message\":\"m\"},"
		      "\"request_id\":\"req_1\"}\n\n"));
	buf_reset(&out);
	translate_error_event(AI_OPENAI, &failure, &out);
	CHECK_STR(buf_str(&out),
		  STR("data: {\"error\":{\"message\":\"m\",\"type\":"
		      "\"invalid_request_error\",\"param\":\"n\",\"code\":"
		      "\"BAD_FIELD\"}}\n\n"));
	buf_fini(&out);
}
