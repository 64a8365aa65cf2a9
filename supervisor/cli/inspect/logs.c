/* `agentos logs`: the log, from the supervisor's copy of it (common/log.h), whose newest lines are there when the
 * supervisor has ended, too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"

enum { LOOK_EVERY_MS = 200, READ_MAX = LOG_KEPT_BYTES + 1024 * 1024 };

struct log_reading {
    const char *agent; /* NULL: every line */
    bool shows;        /* the present event is shown, with its further lines */
    size_t left_out;   /* so many events more are left out */
    size_t events;     /* events that were counted or shown */
    bool counts;       /* nothing is shown, the events are counted */
};

/* "2026-04-29T10:00:00 INFO [agent] [orion] …", or a sentence of the supervisor's about it. */
static bool is_about(const char *line, size_t length, const char *agent)
{
    OWNED char *text = memory_slice(line, length);
    OWNED char *label = memory_print("] [%s] ", agent);
    OWNED char *quoted = memory_print("'%s'", agent);
    const char *component = strchr(text, '[');
    const char *end = component != NULL ? strchr(component, ']') : NULL;
    OWNED char *folder = memory_print("/agents/%s", agent);
    size_t tail = strlen(folder);
    return (end != NULL && strncmp(end, label, strlen(label)) == 0) || strstr(text, quoted) != NULL ||
           (length > tail && strcmp(text + length - tail, folder) == 0);
}

static void take_line(struct log_reading *reading, const char *line, size_t length)
{
    bool further = length >= 2 && strncmp(line, "  ", 2) == 0;
    if (!further) {
        reading->shows = reading->agent == NULL || is_about(line, length, reading->agent);
        reading->events += reading->shows;
        if (reading->shows && !reading->counts && reading->left_out > 0) {
            reading->left_out--;
            reading->shows = false;
        }
    }
    if (reading->shows && !reading->counts) {
        OWNED char *text = memory_slice(line, length);
        OWNED char *clean = output_clean(text, 0);
        printf("%s\n", clean);
    }
}

/* Takes whole lines; returns the number of their bytes. */
static size_t take_lines(struct log_reading *reading, const char *text, size_t length)
{
    size_t at = 0;
    for (const char *end; (end = memchr(text + at, '\n', length - at)) != NULL; at = (size_t)(end - text) + 1)
        take_line(reading, text + at, (size_t)(end - text) - at);
    return at;
}

static size_t count_events(const char *agent, const struct buffer *text)
{
    struct log_reading counting = {.agent = agent, .counts = true};
    (void)take_lines(&counting, text->data, text->length);
    return counting.events;
}

/* Shows the file from *at on; *at is behind the last whole line then. */
static void show_more(struct log_reading *reading, int fd, off_t *at)
{
    static char text[65536];
    ssize_t got = 0;
    while ((got = pread(fd, text, sizeof text, *at)) > 0) {
        size_t used = take_lines(reading, text, (size_t)got);
        if (used == 0 && (size_t)got < sizeof text)
            break; /* the line's end comes later */
        *at += (off_t)(used > 0 ? used : (size_t)got);
    }
    (void)fflush(stdout);
}

/* The file changes its name when it is full, and a new file has the old name: first the old file is shown to its
 * end. */
static int follow(struct log_reading *reading, int run, off_t at)
{
    int fd = files_open(run, LOG_KEPT, O_RDONLY, 0);
    while (!ferror(stdout)) {
        struct stat status;
        struct file_stamp now = files_stamp_at(run, LOG_KEPT);
        if (fd >= 0)
            show_more(reading, fd, &at);
        if (now.inode != 0 && (fd < 0 || fstat(fd, &status) != 0 || status.st_ino != now.inode)) {
            if (fd >= 0)
                show_more(reading, fd, &at);
            memory_close_at(&fd);
            fd = files_open(run, LOG_KEPT, O_RDONLY, 0);
            at = 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * 1000L * 1000L}, NULL);
    }
    memory_close_at(&fd);
    return EX_IOERR;
}

static bool read_kept(int run, const char *name, struct buffer *text, off_t *whole)
{
    OWNED char *found = NULL;
    size_t length = 0;
    if (files_read(run, name, READ_MAX, &found, &length, NULL, NULL) != 1) {
        *whole = 0;
        return false;
    }
    while (length > 0 && found[length - 1] != '\n')
        length--;
    *whole = (off_t)length;
    buffer_add(text, found, length);
    return true;
}

static int show_logs(const struct invocation *invocation, size_t most, int run)
{
    OWNED_BUFFER struct buffer text = {0};
    off_t whole = 0;
    bool is_there = read_kept(run, LOG_KEPT_ELDER, &text, &whole);
    is_there = read_kept(run, LOG_KEPT, &text, &whole) || is_there;
    struct log_reading reading = {.agent = invocation->words[0]};
    if (!is_there && !invocation_has(invocation, OPTION_FOLLOW))
        return output_fail(EX_NOINPUT, "no supervisor has kept a log in %s yet", invocation->run_dir);
    if (text.length > 0) {
        size_t events = most < SIZE_MAX ? count_events(reading.agent, &text) : 0;
        reading.left_out = events > most ? events - most : 0;
        (void)take_lines(&reading, text.data, text.length);
    }
    return invocation_has(invocation, OPTION_FOLLOW) ? follow(&reading, run, whole) : EX_OK;
}

int verb_logs(struct invocation *invocation)
{
    int status = 0;
    size_t most = 0;
    struct fault fault = {0};
    if (!invocation_newest(invocation, &most, &fault))
        return output_fail(EX_USAGE, "%s", fault.text);
    if (!data_dir_has(invocation, invocation->words[0], &status))
        return status;
    OWNED_FD int run = files_open_path(invocation->run_dir, NULL);
    if (run < 0) {
        status = invocation_exit_of(errno);
        output_complain(status == EX_NOPERM ? "the log in %s belongs to another user; ask as that user"
                                            : "no supervisor has kept a log in %s yet",
                        invocation->run_dir);
        return status;
    }
    return output_end(show_logs(invocation, most, run));
}
