/* The files that a checker may read and execute beside the system's programs: its command alone decides. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"

enum { CHECKER_FILES_MAX = 64 };

struct checker_access {
    char *program;                                 /* absolute; owned */
    char *folder;                                  /* where it starts; owned */
    const char *executable[CHECKER_FILES_MAX + 1]; /* owned texts, NULL at the end */
};

/* command[0]: a path that begins with a slash, or a name that is looked up in the system's folders. The program's
 * folder is allowed with all in it, unless agents' trees lie below that; then only the file itself. Further arguments
 * that are paths of files allow these files. False and fault: there is no such program, or the program or a named file
 * lies in an agent's tree, where the agent could rewrite its judge. */
bool checker_access_find(struct checker_access *access, const char *data_dir, char *const *command,
                         struct fault *fault);
void checker_access_free(struct checker_access *access);
