/*
 * commands: the functions behind the rows of command_table.c, a file a noun.
 */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include "cmd/command.h"

command_fn init_command, up_command, status_command, doctor_command;
command_fn license_issue_command, license_insert_command, license_show_command,
    license_list_command, license_suspend_command, license_resume_command,
    license_renew_command, license_cancel_command, license_verify_command;
command_fn customer_list_command, customer_show_command;
command_fn plan_list_command, plan_set_command;
command_fn workspace_list_command, workspace_set_command;
command_fn price_list_command, price_set_command, price_remove_command,
    price_import_command;
command_fn key_set_command, key_list_command, key_test_command,
    key_remove_command, key_rotate_command;
command_fn provider_list_command, provider_set_command, provider_remove_command;
command_fn route_list_command, route_set_command, route_remove_command;
command_fn capture_on_command, capture_off_command, capture_show_command;
command_fn event_list_command, event_tail_command, event_verify_command;
command_fn usage_show_command, usage_export_command;
command_fn analytics_show_command, analytics_replay_command;
command_fn man_command, completion_command;

#endif
