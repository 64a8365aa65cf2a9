#include "supervisor/process/file_readers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "supervisor/process/child.h"
#include "supervisor/process/loop.h"

enum { ABOVE = 5 /* the descriptors of a reader */ };

struct file_reader {
    pid_t pid; /* 0: this place is free */
    bool late; /* the reader was killed for being late, and the log says so */
    struct timer deadline;
};

struct file_readers {
    struct loop *loop;
    char *program;
    int data;
    struct file_reader readers[FILE_READERS_MAX];
};

static void is_late(void *context)
{
    struct file_reader *reader = context;
    reader->late = true;
    log_warn("agentos", NULL,
             "The files that the HTTP interface, or another node, asked about can't be read within %d s; the "
             "read is given up",
             FILE_READER_MS / 1000);
    kill(reader->pid, SIGKILL);
}

struct file_readers *file_readers_new(struct loop *loop, const char *programs, int data)
{
    struct file_readers *readers = memory_new(1, sizeof *readers);
    *readers = (struct file_readers){
        .loop = loop, .program = memory_print("%s/agentos-reader", programs), .data = data};
    for (size_t i = 0; i < FILE_READERS_MAX; i++)
        readers->readers[i].deadline = (struct timer){.ring = is_late, .context = &readers->readers[i]};
    return readers;
}

void file_readers_free(struct file_readers *readers)
{
    if (!readers)
        return;
    for (size_t i = 0; i < FILE_READERS_MAX; i++) {
        struct file_reader *reader = &readers->readers[i];
        timer_clear(readers->loop, &reader->deadline);
        if (reader->pid == 0)
            continue;
        kill(reader->pid, SIGKILL);
        (void)TEMP_FAILURE_RETRY(waitpid(reader->pid, NULL, 0));
    }
    free(readers->program);
    free(readers);
}

/* connection and data stand above the places that they go to. */
static int launch(const struct file_readers *readers, int connection, int data, pid_t *pid)
{
    static char *arguments[] = {"agentos-reader", "3", "4", NULL};
    const int descriptors[ABOVE] = {-1, -1, -1, connection, data};
    return child_spawn(readers->program, arguments, environ, descriptors, ABOVE, pid);
}

static bool start(struct file_readers *readers, struct file_reader *reader, int connection)
{
    OWNED_FD int theirs = fcntl(connection, F_DUPFD_CLOEXEC, ABOVE);
    OWNED_FD int data = fcntl(readers->data, F_DUPFD_CLOEXEC, ABOVE);
    int error = theirs < 0 || data < 0 ? errno : launch(readers, theirs, data, &reader->pid);
    reader->late = false;
    if (error == 0) {
        timer_set(readers->loop, &reader->deadline, FILE_READER_MS);
        return true;
    }
    reader->pid = 0;
    log_warn("agentos", NULL,
             "Cannot start %s: %s. The HTTP interface answers 503 to requests that need it, and other nodes "
             "are told so",
             readers->program, strerror(error));
    return false;
}

int file_readers_begin(struct file_readers *readers)
{
    struct file_reader *reader = readers->readers;
    int pair[2];
    while (reader < readers->readers + FILE_READERS_MAX && reader->pid > 0)
        reader++;
    if (reader == readers->readers + FILE_READERS_MAX ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    bool started = start(readers, reader, pair[1]);
    close(pair[1]);
    if (started)
        return pair[0];
    close(pair[0]);
    return -1;
}

/* The reader's own output goes to nobody: a reader that was handed no request, or whose client has gone, ends with
 * EX_DATAERR, and any other end is a fault of the program, of its sandbox, or of a library that a repository brought
 * down. */
static void say_end(const struct file_reader *reader, int status)
{
    OWNED char *how = child_status_text(status);
    bool expected = WIFEXITED(status) && (WEXITSTATUS(status) == EX_OK || WEXITSTATUS(status) == EX_DATAERR);
    if (!expected && !reader->late)
        log_warn("agentos", NULL,
                 "agentos-reader ended with %s and gave no answer; its HTTP request gets 503, or another "
                 "node is told so",
                 how);
}

bool file_readers_reap(struct file_readers *readers, pid_t pid, int status)
{
    for (size_t i = 0; i < FILE_READERS_MAX; i++) {
        struct file_reader *reader = &readers->readers[i];
        if (reader->pid != pid)
            continue;
        say_end(reader, status);
        reader->pid = 0;
        timer_clear(readers->loop, &reader->deadline);
        return true;
    }
    return false;
}
