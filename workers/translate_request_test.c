/*
 * Tests of requests in the other shape: each row of the rules both ways, tools,
 * and what is known of the model.
 */
#include "workers/translate_world_test.h"

struct row {
	const char *in;
	const char *want; /* members of the result */
};

#define TRANSLATE_JSON_ONLY_TEXT                                               \
	"Answer with one JSON object and nothing else: no text around it and " \
	"no code fence."

static void
check_members(enum ai_shape from, const struct row *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct str in = world_request_of(
		    from == AI_OPENAI ? OPENAI_HEAD : ANTHROPIC_HEAD,
		    rows[i].in);
		struct str want =
		    from == AI_OPENAI
			? world_request_of(OPENAI_HEAD ",'max_tokens':4096",
					   rows[i].want)
			: world_request_of(OPENAI_HEAD
					   ",'max_completion_tokens':9",
					   rows[i].want);

		CHECK_JSON(world_request_ok(from, in), want);
	}
}
#define CHECK_MEMBERS(from, rows)                                              \
	check_members(from, rows, sizeof(rows) / sizeof((rows)[0]))

/* 32 bytes of the test's hash, as hex. */
#define HASH_OF_BOB                                                            \
	"626f620000000000000000000000000000000000000000000000000000000000"

TEST(translate_openai_fields)
{
	static const struct row rows[] = {
	    {"", ""},
	    {"'temperature':0.7", "'temperature':0.7"},
	    {"'temperature':1.0", "'temperature':1.0"},
	    {"'temperature':1.0001", "'temperature':1"},
	    {"'temperature':2", "'temperature':1"},
	    {"'temperature':0.2e1", "'temperature':1"},
	    {"'temperature':20e-2", "'temperature':20e-2"},
	    {"'temperature':0", "'temperature':0"},
	    {"'temperature':-1", "'temperature':0"},
	    {"'temperature':null,'top_p':null", ""},
	    {"'top_p':0.5", "'top_p':0.5"},
	    {"'top_p':1.0", ""},
	    {"'stop':'END'", "'stop_sequences':['END']"},
	    {"'stop':['a',' ','\\n\\t ','b']", "'stop_sequences':['a','b']"},
	    {"'stop':[]", ""},
	    {"'stop':[' ']", ""},
	    {"'stop':null", ""},
	    {"'stream':true,'stream_options':{'include_usage':true}",
	     "'stream':true"},
	    {"'stream':false", "'stream':false"},
	    {"'user':'bob'", "'metadata':{'user_id':'" HASH_OF_BOB "'}"},
	    {"'user':'al','safety_identifier':'bob'",
	     "'metadata':{'user_id':'" HASH_OF_BOB "'}"},
	    {"'n':1,'logprobs':false,'top_logprobs':0,'logit_bias':{},"
	     "'frequency_penalty':0.0,'presence_penalty':0,"
	     "'modalities':['text'],'verbosity':'medium'",
	     ""},
	    {"'n':null,'audio':null,'functions':null,'system':null", ""},
	    {"'store':true,'metadata':{'a':'b'},'seed':7,'service_tier':"
	     "'flex','prompt_cache_key':'k','prompt_cache_retention':'24h',"
	     "'prediction':{},'prompt_cache_options':{},'api_provider':"
	     "'anthropic','domain':'shop.example'",
	     ""},
	    {"'reasoning_effort':'high'", "'output_config':{'effort':'high'}"},
	    {"'reasoning_effort':'none'", "'output_config':{'effort':'low'}"},
	    {"'reasoning_effort':'minimal'",
	     "'output_config':{'effort':'low'}"},
	    {"'response_format':{'type':'text'}", ""},
	    {"'response_format':{'type':'json_object'}",
	     "'system':'" TRANSLATE_JSON_ONLY_TEXT "'"},
	    {"'response_format':{'type':'json_schema','json_schema':{'name':"
	     "'x','strict':true,'schema':{'type':'object'}}},"
	     "'reasoning_effort':'low'",
	     "'output_config':{'effort':'low','format':{'type':'json_schema',"
	     "'schema':{'type':'object'}}}"},
	    /* Fields that nobody knows here, and Anthropic's own. */
	    {"'top_k':5,'thinking':{'type':'adaptive'},'of_tomorrow':[1,{}]",
	     "'top_k':5,'thinking':{'type':'adaptive'},'of_tomorrow':[1,{}]"},
	};

	CHECK_MEMBERS(AI_OPENAI, rows);
}

TEST(translate_anthropic_fields)
{
	static const struct row rows[] = {
	    {"", ""},
	    {"'temperature':0.7,'top_p':1", "'temperature':0.7,'top_p':1"},
	    {"'stop_sequences':['a',' ','b']", "'stop':['a','b']"},
	    {"'stop_sequences':[]", ""},
	    {"'stream':true",
	     "'stream':true,'stream_options':{'include_usage':true}"},
	    {"'stream':false", ""},
	    {"'metadata':{'user_id':'bob','x':1}", "'user':'" HASH_OF_BOB "'"},
	    {"'metadata':{'user_id':null}", ""},
	    {"'metadata':{}", ""},
	    {"'thinking':{'type':'enabled','budget_tokens':2000}", ""},
	    {"'service_tier':'auto','cache_control':{'type':'ephemeral'},"
	     "'context_management':{},'speed':'fast','mcp_servers':[],"
	     "'diagnostics':{},'billing_policy':'x','thread':null,"
	     "'container':null,'top_k':null",
	     ""},
	    {"'output_config':{'effort':'max'}", "'reasoning_effort':'max'"},
	    {"'output_config':{'format':{'type':'json_schema','schema':{"
	     "'type':'object'}}}",
	     "'response_format':{'type':'json_schema','json_schema':{'name':"
	     "'answer','strict':true,'schema':{'type':'object'}}}"},
	    {"'output_format':{'type':'json_schema','schema':{}}",
	     "'response_format':{'type':'json_schema','json_schema':{'name':"
	     "'answer','strict':true,'schema':{}}}"},
	    {"'of_tomorrow':1,'seed':7", "'of_tomorrow':1,'seed':7"},
	};

	CHECK_MEMBERS(AI_ANTHROPIC, rows);
}

TEST(translate_tools)
{
	static const struct row openai[] = {
	    {"'tools':[]", ""},
	    {"'tools':[],'tool_choice':'auto'", ""},
	    {"'tool_choice':'none','parallel_tool_calls':false", ""},
	    {"'tools':[{'type':'function','function':{'name':'f',"
	     "'description':'d','parameters':{'type':'object','properties':{"
	     "'a':{'type':'string'}}},'strict':true}},{'type':'function',"
	     "'function':{'name':'g','strict':false},'cache_control':{'type':"
	     "'ephemeral'}}]",
	     "'tools':[{'name':'f','description':'d','input_schema':{'type':"
	     "'object','properties':{'a':{'type':'string'}}},'strict':true},"
	     "{'name':'g','input_schema':{'type':'object','properties':{}},"
	     "'cache_control':{'type':'ephemeral'}}]"},
	    {"'tools':[{'type':'function','function':{'name':'f',"
	     "'parameters':{'properties':{}}}}],'tool_choice':'auto'",
	     "'tools':[{'name':'f','input_schema':{'type':'object',"
	     "'properties':{}}}],'tool_choice':{'type':'auto'}"},
	    {"'tools':[{'type':'function','function':{'name':'f',"
	     "'parameters':{}}}],'tool_choice':'required',"
	     "'parallel_tool_calls':false",
	     "'tools':[{'name':'f','input_schema':{'type':'object'}}],"
	     "'tool_choice':{'type':'any','disable_parallel_tool_use':true}"},
	    {"'tools':[{'type':'function','function':{'name':'f'}}],"
	     "'tool_choice':'none','parallel_tool_calls':false",
	     "'tools':[{'name':'f','input_schema':{'type':'object',"
	     "'properties':{}}}],'tool_choice':{'type':'none'}"},
	    {"'tools':[{'type':'function','function':{'name':'f'}}],"
	     "'parallel_tool_calls':false",
	     "'tools':[{'name':'f','input_schema':{'type':'object',"
	     "'properties':{}}}],'tool_choice':{'type':'auto',"
	     "'disable_parallel_tool_use':true}"},
	    {"'tools':[{'type':'function','function':{'name':'f'}}],"
	     "'tool_choice':{'type':'function','function':{'name':'f'}},"
	     "'parallel_tool_calls':true",
	     "'tools':[{'name':'f','input_schema':{'type':'object',"
	     "'properties':{}}}],'tool_choice':{'type':'tool','name':'f'}"},
	};
	static const struct row anthropic[] = {
	    {"'tools':[]", ""},
	    {"'tool_choice':{'type':'auto'}", ""},
	    {"'tools':[{'name':'f','description':'d','input_schema':{'type':"
	     "'object'},'cache_control':{'type':'ephemeral'},'strict':true},"
	     "{'type':'custom','name':'g','input_schema':{'type':'object'}}],"
	     "'tool_choice':{'type':'any','disable_parallel_tool_use':true}",
	     "'tools':[{'type':'function','function':{'name':'f',"
	     "'description':'d','parameters':{'type':'object'},'strict':true"
	     "}},{'type':'function','function':{'name':'g','parameters':{"
	     "'type':'object'}}}],'tool_choice':'required',"
	     "'parallel_tool_calls':false"},
	    {"'tools':[{'name':'f','input_schema':{}}],'tool_choice':{'type':"
	     "'tool','name':'f','disable_parallel_tool_use':false}",
	     "'tools':[{'type':'function','function':{'name':'f',"
	     "'parameters':{}}}],'tool_choice':{'type':'function','function':"
	     "{'name':'f'}}"},
	    {"'tools':[{'name':'f','input_schema':{}}],'tool_choice':{'type':"
	     "'none'}",
	     "'tools':[{'type':'function','function':{'name':'f',"
	     "'parameters':{}}}],'tool_choice':'none'"},
	    {"'tools':[{'name':'f','input_schema':{}}],'tool_choice':{'type':"
	     "'auto','disable_parallel_tool_use':true}",
	     "'tools':[{'type':'function','function':{'name':'f',"
	     "'parameters':{}}}],'tool_choice':'auto',"
	     "'parallel_tool_calls':false"},
	};

	CHECK_MEMBERS(AI_OPENAI, openai);
	CHECK_MEMBERS(AI_ANTHROPIC, anthropic);
}

/* --- what the caller knows of the model ----------------------------------- */

TEST(translate_target)
{
	struct translate_call call = {.target = world_target()};
	struct str out, in;

	in = world_json("{" OPENAI_HEAD ",'max_tokens':100,"
			"'max_completion_tokens':50,'temperature':0.5,"
			"'top_p':0.5,'reasoning_effort':'low','user':'bob'}");
	CHECK_OK(world_request(&call, AI_OPENAI, in, &out));
	CHECK_INT(call.max_tokens, 50);
	call.target.model = STR("claude-\"x\"");
	call.target.max_tokens = 20;
	call.target.refuses_sampling = true;
	call.target.takes_effort = false;
	call.target.hash = NULL;
	CHECK_OK(world_request(&call, AI_OPENAI, in, &out));
	CHECK_INT(call.max_tokens, 20);
	CHECK(!call.is_thinking_wanted);
	CHECK_JSON(out, world_json("{'model':'claude-\\'x\\'','max_tokens':20,"
				   "'messages':[{'role':'user','content':'hi'"
				   "}]}"));
	in = world_json("{" ANTHROPIC_HEAD ",'temperature':0.5,'top_p':0.5,"
			"'output_config':{'effort':'low'},'thinking':{'type':"
			"'adaptive'},'metadata':{'user_id':'bob'}}");
	call.target.max_tokens = 5;
	call.target.max_tokens_name = "max_tokens";
	call.target.model = STR("x");
	CHECK_OK(world_request(&call, AI_ANTHROPIC, in, &out));
	CHECK_INT(call.max_tokens, 5);
	CHECK(call.is_thinking_wanted);
	CHECK_JSON(out, world_json("{'model':'x','max_tokens':5,'messages':[{"
				   "'role':'user','content':'hi'}]}"));
}

/* A provider that wants its reasoning back gets it, if the client was given
 * it; else it is told not to reason. */
TEST(translate_thinking_for_deepseek)
{
	struct translate_call call = {.target = world_target()};
	struct str out;

	call.target.takes_thinking = true;
	call.target.max_tokens_name = "max_tokens";
	CHECK_OK(world_request(&call, AI_ANTHROPIC,
			       world_json("{" ANTHROPIC_HEAD "}"), &out));
	CHECK_JSON(out, world_json("{" ANTHROPIC_HEAD ",'thinking':{'type':"
				   "'disabled'}}"));
	CHECK_OK(world_request(
	    &call, AI_ANTHROPIC,
	    world_json("{'model':'m','max_tokens':9,'thinking':{'type':"
		       "'enabled','budget_tokens':1024},'messages':[{'role':"
		       "'assistant','content':[{'type':'thinking','thinking':"
		       "'h\\u00e8','signature':'s'},{'type':'thinking',"
		       "'thinking':'m','signature':''},{'type':'text','text':"
		       "'x'}]},{'role':'assistant','content':[{'type':"
		       "'tool_use','id':'c','name':'f','input':{}}]},{'role':"
		       "'assistant','content':'y'}]}"),
	    &out));
	CHECK_JSON(
	    out,
	    world_json("{'model':'m','max_tokens':9,'thinking':{'type':"
		       "'enabled'},'messages':[{'role':'assistant','content':"
		       "'x','reasoning_content':'h\\u00e8m'},{'role':"
		       "'assistant','content':null,'reasoning_content':'',"
		       "'tool_calls':[{'id':'c','type':'function','function':{"
		       "'name':'f','arguments':'{}'}}]},{'role':'assistant',"
		       "'content':'y'}]}"));
}
