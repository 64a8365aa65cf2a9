/* Conditions that must hold before the supervisor starts anything: the sandbox, and an agents.yaml without a fault. */
#pragma once

#include "common/format/roster.h"

/* Each preflight returns EX_OK, or EX_CONFIG with every fault in the log; that of the limits only warns. */
int preflight_sandbox(const char *data); /* while this process has one thread, before anything is touched */
/* Warns, too, about settings that are probably a mistake (common/format/config_warnings.h, provider_warnings.h).
 * secrets: of secrets_collect. The caller frees *roster. */
int preflight_roster(const char *data_dir, int secrets, struct roster **roster);

/* The data directory's format (common/format/data_format.h): its changes are logged. */
int preflight_format(int data);

/* Logs which limits of the machine are too low for the roster; the agents that fit are run. */
void preflight_capacity(const struct roster *roster);

/* Logs when no real model answers. */
void preflight_say_model(void);
