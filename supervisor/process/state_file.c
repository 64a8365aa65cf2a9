#include "supervisor/process/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"

#define FOLDER "shared"
enum { COMPLAINTS_MAX = 5 };

static char *path_of(const struct state_file *state_file)
{
    return memory_print("%s/%s", FOLDER, state_file->name);
}

/* Somebody who writes over the file has emptied it and is about to fill it. */
static bool is_half_written(const struct file_stamp *stamp)
{
    return stamp->inode != 0 && stamp->size == 0 &&
           stamp->modified_ns / 1000000 + STATE_FILE_FILLED_MS > clock_now_ms();
}

bool state_file_changed(const struct state_file *state_file)
{
    OWNED char *path = path_of(state_file);
    struct file_stamp now = files_stamp_at(state_file->data, path);
    return !files_stamp_equal(&now, &state_file->stamp) && !is_half_written(&now);
}

bool state_file_being_filled(const struct state_file *state_file)
{
    OWNED char *path = path_of(state_file);
    struct file_stamp now = files_stamp_at(state_file->data, path);
    return is_half_written(&now);
}

/* Moves the file aside as it is, before the next write takes its name. */
static void set_aside(const struct state_file *state_file, const char *why)
{
    char now[CLOCK_TEXT];
    OWNED_FD int folder = files_open_folder(state_file->data, FOLDER, false, NULL);
    OWNED char *aside = memory_print("%s.unreadable-%s", state_file->name, clock_format(clock_now(), now));
    bool moved = folder >= 0 && renameat(folder, state_file->name, folder, aside) == 0;
    log_error("agentos", NULL, "%s/%s: %s. %s%s%s", FOLDER, state_file->name, why,
              moved ? "The file as it was is kept as "
                    : "The file can't be set aside; its readable lines hold",
              moved ? aside : "", moved ? "; its readable lines hold" : "");
}

/* "- key: value"; false: the line is of another form. Cuts the line up. */
static bool cut(char *line, char **key, char **value)
{
    char *colon = strncmp(line, "- ", 2) == 0 ? strstr(line, ": ") : NULL;
    if (!colon)
        return false;
    *colon = '\0';
    *key = line + 2;
    *value = colon + 2;
    return true;
}

static unsigned read_lines(const struct state_file *state_file, char *text, state_file_line *line,
                           void *context)
{
    const char *section = "";
    char *key, *value, *rest = text;
    unsigned number = 0, faults = 0;
    for (char *at; (at = strsep(&rest, "\n")) != NULL;) {
        number++;
        at[strcspn(at, "\r")] = '\0';
        if (strncmp(at, "## ", 3) == 0)
            section = at + 3;
        else if (cut(at, &key, &value) && !line(context, section, key, value) && ++faults <= COMPLAINTS_MAX)
            log_warn("agentos", NULL, "%s/%s:%u: '- %.100s: %.100s' means nothing here", FOLDER,
                     state_file->name, number, key, value);
    }
    return faults;
}

/* False: the file can't be read now. */
static bool is_readable(struct state_file *state_file, int got, const char *why)
{
    bool failed = got < 0 && (!files_lasting(errno) || (state_file->whole && errno == EFBIG));
    if (failed && !state_file->unread)
        log_error("agentos", NULL, "%s/%s: %s. The file is read again later, and not written meanwhile",
                  FOLDER, state_file->name, why);
    state_file->unread = failed;
    return !failed;
}

void state_file_read(struct state_file *state_file, void (*forget)(void *context), state_file_line *line,
                     void *context)
{
    struct fault fault;
    OWNED char *path = path_of(state_file), *text = NULL;
    size_t length;
    int got = files_read(state_file->data, path, STATE_FILE_MAX, &text, &length, &state_file->stamp, &fault);
    if (!is_readable(state_file, got, fault.text))
        return;
    if (forget)
        forget(context);
    if (got < 0)
        set_aside(state_file, fault.text);
    if (got <= 0)
        return;
    bool is_text = strlen(text) == length && utf8_valid(text, length);
    if (!is_text)
        set_aside(state_file, "it is no text");
    else if (read_lines(state_file, text, line, context) > 0)
        set_aside(state_file, "some of its lines mean nothing");
}

/* A supervisor that was killed while it wrote left a file with its process's number in the name. A
 * leftover that was not met does no harm. */
static void remove_leftovers(int folder, const char *name)
{
    OWNED char *start = memory_print(".%s.new-", name);
    OWNED_LISTING struct listing *names = listing_open(folder, ".", NULL);
    for (const char *file; names && (file = listing_next(names));)
        if (strncmp(file, start, strlen(start)) == 0)
            unlinkat(folder, file, 0);
}

/* The stamp of the written file, unless somebody has changed it since. */
static struct file_stamp stamp_of(int folder, const char *name, const struct buffer *text)
{
    struct file_stamp stamp;
    OWNED char *now = NULL;
    size_t length;
    bool ours = files_read(folder, name, STATE_FILE_MAX, &now, &length, &stamp, NULL) == 1 &&
                length == text->length && memcmp(now, text->data, length) == 0;
    return ours ? stamp : (struct file_stamp){.inode = 1};
}

bool state_file_write(struct state_file *state_file, const struct buffer *text, bool durable,
                      struct fault *fault)
{
    if (state_file->unread)
        return fault_set(fault, "%s/%s could not be read, so it is not written over", FOLDER,
                         state_file->name);
    if (text->length > STATE_FILE_MAX)
        return fault_set(fault, "%s/%s would have %zu bytes, and at most %d are read", FOLDER,
                         state_file->name, text->length, STATE_FILE_MAX);
    bool first = state_file->stamp.inode == 0;
    OWNED_FD int folder = files_open_folder(state_file->data, FOLDER, true, fault);
    if (folder < 0)
        return false;
    if (first)
        remove_leftovers(folder, state_file->name);
    if (!files_write(folder, state_file->name, text->data, text->length, durable, fault))
        return false;
    state_file->stamp = stamp_of(folder, state_file->name, text);
    return true;
}
