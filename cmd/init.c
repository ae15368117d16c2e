/*
 * init: makes the store once. The tokens are shown here and never again: the
 * store holds their hashes.
 */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/views.h"
#include "workers/ledger.h"

static void
print_done(struct command *command, const struct init_done *done)
{
	struct buf *out = &command->out;

	if (command->is_json) {
		schema_print_json(&init_done_schema, done, out);
		buf_add_char(out, '\n');
		return;
	}
	if (done->internal_token.p == NULL) {
		buf_printf(out,
			   "There is a store in %s already; nothing was "
			   "changed.\n",
			   command->conf.data);
		return;
	}
	buf_printf(out,
		   "Made the store in %s with the workspace `default`.\n\n"
		   "Token of the internal API (shown only now): %.*s\n"
		   "One-time token to set up the dashboard:     %.*s\n\n"
		   "Keep a copy of %s: without it no licence key can be "
		   "found.\n"
		   "Next: chatello license issue --email E --plan pro, then "
		   "chatello up\n",
		   command->conf.data, STR_ARG(done->internal_token),
		   STR_ARG(done->admin_setup_token),
		   command->conf.master_key_file);
}

enum err
init_command(struct command *command, struct why *why)
{
	struct ledger_init made = {STR_NONE, STR_NONE};
	struct init_done done;
	enum err e;

	schema_clear(&init_done_schema, &done);
	done.workspace = STR("default");
	e = ledger_init(&command->conf, &command->arena, &made, why);
	if (e == ERR_EXISTS) {
		done.changed = STR("false");
	} else if (e == ERR_OK) {
		done.internal_token = made.internal_token;
		done.admin_setup_token = made.admin_setup_token;
	} else {
		return e;
	}
	print_done(command, &done);
	return ERR_OK;
}
