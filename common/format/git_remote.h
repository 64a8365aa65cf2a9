/* AGENTOS_GIT_REMOTE (contract section 12): where agents' repositories are pushed to, one for each, a URL that has {agent}
 * in it. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/fault.h"

/* False: why it can't be one, a sentence whose subject is the URL. */
bool git_remote_check(const char *url, struct fault *fault);
/* The same of the environment's, if it is set, which can be no folder among DATA_DIR's agents either; the sentence is added
 * to faults. */
bool git_remote_check_setting(const char *data_dir, struct buffer *faults);

/* The functions below want a URL that passed the check. The caller frees texts. */
char *git_remote_of(const char *url, const char *agent); /* {agent} is the agent's name */
const char *git_remote_folder(const char *url); /* the path of a file: URL, within url; NULL: another kind */
bool git_remote_is_open(
    const char *url);                 /* the connection is not encrypted: http: or git: beyond this machine */
int git_remote_port(const char *url); /* 0: a file: URL */
