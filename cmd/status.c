/*
 * status: what runs and how the store stands, from the store itself, the lock
 * files and the health of the internal listener.
 */
#include "cmd/commands.h"
#include "cmd/house.h"
#include "cmd/output.h"
#include "cmd/probe.h"
#include "cmd/reading.h"
#include "lib/json.h"
#include "workers/report.h"

#define HEALTH_MS 2000

static const struct column house_columns[] = {
    {"state", "state", FORM_PLAIN},   {"public", "public", FORM_PLAIN},
    {"admin", "admin", FORM_PLAIN},   {"internal", "internal", FORM_PLAIN},
    {"health", "health", FORM_PLAIN}, {NULL, NULL, FORM_PLAIN},
};

static const struct column store_columns[] = {
    {"newest event", "head_seq", FORM_PLAIN},
    {"store bytes", "used_bytes", FORM_PLAIN},
    {"of", "map_bytes", FORM_PLAIN},
    {"disk free bytes", "disk_free_bytes", FORM_PLAIN},
    {"alarm", "alarm", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static const struct column process_columns[] = {
    {"PROCESS", "name", FORM_PLAIN},
    {"STATE", "state", FORM_PLAIN},
    {"PID", "pid", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

static enum err
read_store(struct command *command, struct store_status *out, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &command->conf, why);

	if (e != ERR_OK)
		return e;
	e = report_store(reading.store, &command->arena, out);
	reading_close(&reading);
	return e;
}

struct asking {
	struct command *command;
	struct loop *loop;
	struct house_status *status;
};

static void
on_health(void *ctx, int http_status, struct str body)
{
	struct asking *asking = ctx;
	struct json_value value;

	if (http_status && json_check(body, &value))
		asking->status->health =
		    arena_str(&asking->command->arena, value.raw);
	loop_stop(asking->loop);
}

static enum err
ask_health(struct command *command, struct house_status *status)
{
	struct asking asking = {.command = command, .status = status};
	struct probe probe = {.fd = -1};
	enum err e = loop_open(&asking.loop);

	if (e != ERR_OK)
		return e;
	probe_start(&probe, asking.loop, status->internal.p, PROBE_HEALTH,
		    HEALTH_MS, on_health, &asking);
	e = loop_run(asking.loop);
	probe_stop(&probe);
	loop_close(asking.loop);
	return e;
}

static struct str
state_of(const struct house_status *status)
{
	uint32_t running = 0;

	for (uint32_t i = 0; i < status->processes_count; i++)
		running += str_eq(status->processes[i].state, STR("running"));
	if (running == 0)
		return STR("stopped");
	return running == status->processes_count ? STR("running")
						  : STR("partial");
}

static enum err
gather(struct command *command, struct house_status *status, struct why *why)
{
	struct up_listeners listeners;
	enum err e;

	schema_clear(&house_status_schema, status);
	e = read_store(command, &status->store, why);
	if (e == ERR_OK)
		e = house_processes(command, &status->processes,
				    &status->processes_count);
	if (e == ERR_OK)
		e = house_listeners(command, &listeners);
	if (e != ERR_OK)
		return e;
	status->state = state_of(status);
	status->public = listeners.public;
	status->admin = listeners.admin;
	status->internal = arena_str(&command->arena, listeners.internal);
	return status->internal.p ? ask_health(command, status) : ERR_OK;
}

enum err
status_command(struct command *command, struct why *why)
{
	struct house_status status;
	enum err e = gather(command, &status, why);

	if (e != ERR_OK)
		return e;
	output_object(command, &house_status_schema, house_columns, &status);
	if (command->is_json)
		return ERR_OK;
	output_object(command, &store_status_schema, store_columns,
		      &status.store);
	buf_add_char(&command->out, '\n');
	return output_rows(command, &process_state_schema, process_columns,
			   status.processes, status.processes_count, why);
}
