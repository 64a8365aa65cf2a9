#include "common/sandbox/checker_access.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"

/* path is folder itself or lies below it; both without links. */
static bool lies_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/')
        length--;
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void allow(struct checker_access *access, char *path)
{
    size_t count = 0;
    while (access->executable[count])
        count++;
    if (count < CHECKER_FILES_MAX)
        access->executable[count] = path;
    else
        free(path);
}

/* Where the program is. Caller frees; NULL: nowhere. */
static char *look_up(const char *name)
{
    static const char *const folders[] = {"/usr/local/bin",  "/usr/bin",  "/bin",
                                          "/usr/local/sbin", "/usr/sbin", "/sbin"};
    if (*name == '/')
        return access(name, X_OK) == 0 ? memory_text(name) : NULL;
    for (size_t i = 0; *name && !strchr(name, '/') && i < sizeof folders / sizeof *folders; i++) {
        char *path = memory_print("%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static bool add_file(struct checker_access *access, const char *agents, const char *named,
                     struct fault *fault)
{
    struct stat status;
    if (stat(named, &status) != 0 || !S_ISREG(status.st_mode))
        return true;
    char *path = realpath(named, NULL);
    if (path && lies_in(path, agents)) {
        fault_set(fault, "%s lies in an agent's tree, where the agent could rewrite its own judge", named);
        free(path);
        return false;
    }
    if (path)
        allow(access, path);
    return true;
}

/* The folder of the real file, so that the files beside it are found; a folder with agents' trees below it isn't
 * given. */
static void add_folder(struct checker_access *access, const char *agents)
{
    char *folder = realpath(access->program, NULL);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = '\0';
    if (!slash || lies_in(agents, folder)) {
        free(folder);
        return;
    }
    allow(access, folder);
    memory_set(&access->folder, folder);
}

bool checker_access_find(struct checker_access *access, const char *data_dir, char *const *command,
                         struct fault *fault)
{
    *access = (struct checker_access){.program = look_up(command[0]), .folder = memory_text("/")};
    OWNED char *data = realpath(data_dir, NULL);
    OWNED char *agents = memory_print("%s/agents", data ? data : data_dir);
    bool found = access->program != NULL;
    if (!found)
        fault_set(
            fault,
            "there is no program %s that can be executed; the checker is named by a path from / on, or by "
            "a name that the system's folders have",
            command[0]);
    if (found)
        found = add_file(access, agents, access->program, fault);
    for (char *const *argument = command + 1; found && *argument; argument++)
        if (**argument == '/')
            found = add_file(access, agents, *argument, fault);
    if (found)
        add_folder(access, agents);
    else
        checker_access_free(access);
    return found;
}

void checker_access_free(struct checker_access *access)
{
    for (size_t i = 0; access->executable[i]; i++)
        free((char *)(uintptr_t)access->executable[i]);
    free(access->program);
    free(access->folder);
    *access = (struct checker_access){0};
}
