#include "supervisor/agent/desired_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"

#define FOLDER ".run/wanted"
enum { WANTED_MAX = 256 };

bool desired_state_load(int data, const char *agent, struct desired_state *desired, struct fault *fault)
{
    OWNED char *path = memory_print("%s/%s", FOLDER, agent);
    OWNED char *text = NULL;
    struct file_stamp stamp;
    size_t length;
    *desired = (struct desired_state){0};
    int found = files_read(data, path, WANTED_MAX, &text, &length, &stamp, fault);
    if (found == 1) {
        desired->stopped = strstr(text, "stopped") != NULL;
        desired->paused = strstr(text, "paused") != NULL;
        desired->since = stamp.modified_ns / 1000000000;
    }
    return found >= 0;
}

bool desired_state_save(int data, const char *agent, struct desired_state desired, struct fault *fault)
{
    OWNED_FD int folder = files_open_folder(data, FOLDER, true, fault);
    if (folder < 0)
        return false;
    if (!desired.stopped && !desired.paused) {
        if (unlinkat(folder, agent, 0) == 0 ? fsync(folder) == 0 : errno == ENOENT)
            return true;
        return fault_errno(fault, "cannot remove %s/%s", FOLDER, agent);
    }
    OWNED char *text =
        memory_print("%s%s", desired.stopped ? "stopped\n" : "", desired.paused ? "paused\n" : "");
    return files_write(folder, agent, text, strlen(text), true, fault);
}
