#include "supervisor/process/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"

#define FOLDER "shared"
enum { COMPLAINTS_MAX = 5 };

static char *path_of(const struct notebook *notebook)
{
    return memory_print("%s/%s", FOLDER, notebook->name);
}

/* Somebody who writes over the file has emptied it and is about to fill it. */
static bool is_half_written(const struct file_stamp *stamp)
{
    return stamp->inode != 0 && stamp->size == 0 &&
           stamp->modified_ns / 1000000 + NOTEBOOK_FILLED_MS > clock_now_ms();
}

bool notebook_changed(const struct notebook *notebook)
{
    OWNED char *path = path_of(notebook);
    struct file_stamp now = files_stamp_at(notebook->data, path);
    return !files_stamp_equal(&now, &notebook->stamp) && !is_half_written(&now);
}

bool notebook_being_filled(const struct notebook *notebook)
{
    OWNED char *path = path_of(notebook);
    struct file_stamp now = files_stamp_at(notebook->data, path);
    return is_half_written(&now);
}

/* The file as it is, out of the way of what is written next. */
static void set_aside(const struct notebook *notebook, const char *why)
{
    char now[CLOCK_TEXT];
    OWNED_FD int folder = files_open_folder(notebook->data, FOLDER, false, NULL);
    OWNED char *aside = memory_print("%s.unreadable-%s", notebook->name, clock_format(clock_now(), now));
    bool moved = folder >= 0 && renameat(folder, notebook->name, folder, aside) == 0;
    log_error("agentos", NULL, "%s/%s: %s. %s%s%s", FOLDER, notebook->name, why,
              moved ? "The file as it was is kept as "
                    : "It can't be set aside; what can be read of it holds",
              moved ? aside : "", moved ? "; what could be read of it holds" : "");
}

/* "- key: value"; false: it is no such line. Cuts the line up. */
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

static unsigned read_lines(const struct notebook *notebook, char *text, notebook_line *line, void *context)
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
                     notebook->name, number, key, value);
    }
    return faults;
}

/* False: it can't be read now. */
static bool is_readable(struct notebook *notebook, int got, const char *why)
{
    bool failed = got < 0 && !files_lasting(errno);
    if (failed && !notebook->unread)
        log_error("agentos", NULL, "%s/%s: %s. It is tried again, and not written meanwhile", FOLDER,
                  notebook->name, why);
    notebook->unread = failed;
    return !failed;
}

void notebook_read(struct notebook *notebook, void (*forget)(void *context), notebook_line *line,
                   void *context)
{
    struct fault fault;
    OWNED char *path = path_of(notebook), *text = NULL;
    size_t length;
    int got = files_read(notebook->data, path, NOTEBOOK_MAX, &text, &length, &notebook->stamp, &fault);
    if (!is_readable(notebook, got, fault.text))
        return;
    if (forget)
        forget(context);
    if (got < 0)
        set_aside(notebook, fault.text);
    if (got <= 0)
        return;
    bool is_text = strlen(text) == length && utf8_valid(text, length);
    if (!is_text)
        set_aside(notebook, "it is no text");
    else if (read_lines(notebook, text, line, context) > 0)
        set_aside(notebook, "some of its lines mean nothing");
}

/* A supervisor that was killed while it wrote left a file of its process's number. */
static void remove_leftovers(int folder, const char *name)
{
    OWNED char *start = memory_print(".%s.new-", name);
    struct listing *names = listing_open(folder, ".", NULL);
    for (const char *file; names && (file = listing_next(names));)
        if (strncmp(file, start, strlen(start)) == 0)
            unlinkat(folder, file, 0);
    if (names)
        (void)listing_close(names, NULL); /* what wasn't met is of no harm */
}

/* The stamp of what was written, unless somebody has changed it since. */
static struct file_stamp stamp_of(int folder, const char *name, const struct buffer *text)
{
    struct file_stamp stamp;
    OWNED char *now = NULL;
    size_t length;
    bool ours = files_read(folder, name, NOTEBOOK_MAX, &now, &length, &stamp, NULL) == 1 &&
                length == text->length && memcmp(now, text->data, length) == 0;
    return ours ? stamp : (struct file_stamp){.inode = 1};
}

bool notebook_write(struct notebook *notebook, const struct buffer *text, bool durable, struct fault *fault)
{
    if (notebook->unread)
        return fault_set(fault, "%s/%s could not be read, so it is not written over", FOLDER, notebook->name);
    bool first = notebook->stamp.inode == 0;
    OWNED_FD int folder = files_open_folder(notebook->data, FOLDER, true, fault);
    if (folder < 0)
        return false;
    if (first)
        remove_leftovers(folder, notebook->name);
    if (!files_write(folder, notebook->name, text->data, text->length, durable, fault))
        return false;
    notebook->stamp = stamp_of(folder, notebook->name, text);
    return true;
}
