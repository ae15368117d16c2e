/*
 * models: the models that a licence may use, all or one by its name, in the
 * shape of who asks. A proxy knows them (proxy_models.c).
 */
#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/calendar.h"
#include "lib/json.h"

static int64_t
created_ms(const struct priced_model *model)
{
	return model->created_at > 0 ? model->created_at : 0;
}

static void
print_openai(struct buf *out, const struct priced_model *model)
{
	buf_add_z(out, "{\"id\":");
	json_write_string(out, model->id);
	buf_add_z(out, ",\"object\":\"model\",\"created\":");
	buf_add_int(out, created_ms(model) / 1000);
	buf_add_z(out, ",\"owned_by\":");
	json_write_string(out, model->provider);
	buf_add_char(out, '}');
}

static void
print_anthropic(struct buf *out, const struct priced_model *model)
{
	char created[CALENDAR_TEXT_BYTES];

	buf_add_z(out, "{\"type\":\"model\",\"id\":");
	json_write_string(out, model->id);
	buf_add_z(out, ",\"display_name\":");
	json_write_string(out, model->id);
	buf_add_z(out, ",\"created_at\":\"");
	calendar_print_utc(created_ms(model), created);
	buf_add_z(out, created);
	buf_add_z(out, "\"}");
}

static void
print_model(const struct http_request *r, struct buf *out,
	    const struct priced_model *model)
{
	if (r->shape == SHAPE_ANTHROPIC)
		print_anthropic(out, model);
	else
		print_openai(out, model);
}

/* Anthropic's list has pages: all of it is one. */
static void
print_edges(struct buf *out, const struct models_answer *models)
{
	const struct priced_model *first = models->models;
	uint32_t n = models->models_count;

	buf_add_z(out, "],\"has_more\":false,\"first_id\":");
	if (n)
		json_write_string(out, first->id);
	else
		buf_add_z(out, "null");
	buf_add_z(out, ",\"last_id\":");
	if (n)
		json_write_string(out, first[n - 1].id);
	else
		buf_add_z(out, "null");
	buf_add_char(out, '}');
}

static void
reply_list(struct http_request *r, const struct models_answer *models)
{
	bool is_anthropic = r->shape == SHAPE_ANTHROPIC;

	buf_add_z(&r->out, is_anthropic ? "{\"data\":["
					: "{\"object\":\"list\",\"data\":[");
	for (uint32_t i = 0; i < models->models_count; i++) {
		buf_add_z(&r->out, i ? "," : "");
		print_model(r, &r->out, &models->models[i]);
	}
	if (is_anthropic)
		print_edges(&r->out, models);
	else
		buf_add_z(&r->out, "]}");
	reply_json(r, 200);
}

static void
reply_one(struct http_request *r, const struct models_answer *models,
	  struct str id)
{
	for (uint32_t i = 0; i < models->models_count; i++)
		if (str_eq(models->models[i].id, id)) {
			print_model(r, &r->out, &models->models[i]);
			reply_json(r, 200);
			return;
		}
	reply_error(r, ERR_MODEL_UNKNOWN,
		    "no such model for this licence: GET /v1/models lists "
		    "those that there are");
}

static void
on_models(struct http_request *r, const struct bus_answer *answer)
{
	struct str id = routes_tail(r);
	struct models_answer models;

	if (!ask_take(r, answer, &models_answer_schema, &models))
		return;
	http_header(r, "Cache-Control", "no-store");
	if (id.p)
		reply_one(r, &models, id);
	else
		reply_list(r, &models);
}

void
serve_models(struct http_request *r)
{
	struct models_list question = {.key = r->key, .domain = r->domain};

	ask(r, &(struct ask){
		   .schema = &models_list_schema,
		   .in = &question,
		   .is_repeatable = true,
		   .fn = on_models,
	       });
}
