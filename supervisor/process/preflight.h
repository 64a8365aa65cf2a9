/* What must hold before the supervisor starts anything: the sandbox, and an agents.yaml without a fault. */
#pragma once

#include "common/format/roster.h"

/* Each preflight returns EX_OK, or EX_CONFIG with everything said in the log; that of the limits only warns. */
int preflight_sandbox(const char *data); /* while this process has one thread, before anything is touched */
/* What is probably not meant (common/format/config_warnings.h, provider_warnings.h) is said too. secrets: of
 * secrets_collect. The caller frees *roster. */
int preflight_roster(const char *data_dir, int secrets, struct roster **roster);

/* The data directory's format (common/format/data_format.h): its changes are told. */
int preflight_format(int data);

/* Says which limits of the machine are too low for so many agents; the agents that fit are run. */
void preflight_capacity(const struct roster *roster);

/* Says so when no real model answers. */
void preflight_say_model(void);
