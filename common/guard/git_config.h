/* A repository's configuration, which its agent can write: only keys that can't run, include or lead anywhere stay; and
 * other texts that could have git run or follow something. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"

/* Adds to kept the lines whose key stands on the allow list, with their sections, and to refused the name of each other
 * key ("core.pager"), a line each; a line that git could read in two ways is refused as "line N". The kept text has one
 * reading only, for git, libgit2 and this function alike. agents: the folder of all agents, absolute, which no remote
 * may lead into. Returns the number of refused lines; 0: the text may stay as it is. */
size_t git_config_filter(const char *text, size_t length, const char *agents, struct buffer *kept,
                         struct buffer *refused);

/* Attributes that name a filter, diff or merge driver which git doesn't bring along: a program. */
bool git_text_names_program(const char *text);
/* A rebase's list of next steps may hold commands for the shell. */
bool git_text_holds_command(const char *text);
/* A work tree's commondir that names another repository than the one it lies in. */
bool git_text_leads_elsewhere(const char *text);
