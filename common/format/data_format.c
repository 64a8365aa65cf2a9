#include "common/format/data_format.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"

enum { FILE_MAX = 4096 };

static const struct {
    unsigned since;
    const char *sentence;
} changes_told[] = {
    {2,
     "answers and finished envelopes past `keep` leave the work tree: git keeps them, `agentos answer` and "
     "`agentos show` find them"},
    {2, "settings of an agent's git configuration that could run or include something are taken out, and "
        "kept aside"},
    {2, "failed requests and reasoning tokens count in budgets"},
};

/* 0 and fault: not known. *there: the file says it. */
static unsigned read_format(int data, bool *there, struct fault *fault)
{
    unsigned format;
    size_t length;
    OWNED char *text = NULL;
    int found = files_read(data, DATA_FORMAT_FILE, FILE_MAX, &text, &length, NULL, fault);
    *there = found != 0;
    if (found < 0)
        return 0;
    if (found == 0)
        return faccessat(data, "agents", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 1 : DATA_FORMAT;
    if (sscanf(text, "format: %9u", &format) != 1 || format == 0) {
        fault_set(fault, "%s does not say the data directory's format; nothing is touched", DATA_FORMAT_FILE);
        return 0;
    }
    if (format > DATA_FORMAT) {
        fault_set(
            fault,
            "the data directory has format %u, of a newer version, and this version knows formats up to "
            "%d; nothing is touched",
            format, DATA_FORMAT);
        return 0;
    }
    return format;
}

bool data_format_is_known(int data, struct fault *fault)
{
    bool there;
    return read_format(data, &there, fault) != 0;
}

int data_format_bring_forward(int data, struct buffer *changes, struct fault *fault)
{
    bool there;
    unsigned format = read_format(data, &there, fault);
    if (format == 0 || (there && format == DATA_FORMAT))
        return format != 0 ? 1 : -1;
    for (size_t i = 0; i < sizeof changes_told / sizeof changes_told[0]; i++)
        if (format < changes_told[i].since)
            buffer_print(changes, "%s\n", changes_told[i].sentence);
    OWNED char *line = memory_print("format: %d\n", DATA_FORMAT);
    return files_write(data, DATA_FORMAT_FILE, line, strlen(line), true, fault) ? 1 : 0;
}
