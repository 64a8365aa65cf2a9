/* A DATA_DIR in memory for fuzzers of what reads its files itself. */
#ifndef AGENTOS_TESTS_FUZZ_SCRATCH_H
#define AGENTOS_TESTS_FUZZ_SCRATCH_H

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"

static char scratch_name[64];
static int scratch_data = -1;

static inline void scratch_remove(void)
{
    OWNED char *command = memory_print("rm -rf %s", scratch_name);
    if (system(command) != 0)
        abort();
}

/* The folder below DATA_DIR, empty; its descriptor is the caller's. */
static inline int scratch_folder(const char *path)
{
    if (scratch_data < 0) {
        strcpy(scratch_name, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX");
        if (!mkdtemp(scratch_name) || atexit(scratch_remove) != 0)
            abort();
        scratch_data = files_open_path(scratch_name, NULL);
        log_start("error", "text");
    }
    int folder = files_open_folder(scratch_data, path, true, NULL);
    DIR *listing = folder >= 0 ? fdopendir(dup(folder)) : NULL;
    if (!listing)
        abort();
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(folder, entry->d_name, 0);
    closedir(listing);
    return folder;
}

/* A file as somebody writes it. */
static inline void scratch_put(int folder, const char *name, const uint8_t *bytes, size_t size)
{
    if (!files_write(folder, name, bytes, size, false, NULL))
        abort();
}

#endif
