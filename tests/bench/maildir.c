/* Deliveries into a Maildir by many threads, each as a mail server makes one by itself: a file in tmp/, flushed, renamed
 * into new/, which is flushed. So much the disk takes when nobody shares a flush.
 *
 *     maildir FOLDER THREADS COUNT BYTES
 *
 * FOLDER/tmp and FOLDER/new are made when missing. Says the same as load. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/bench/measured.h"

static struct {
    int tmp, new;
    char *body;
    size_t length;
    long wanted;
    _Atomic long begun;
    double *ms;
} maildir;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "maildir: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void deliver(long number)
{
    char name[64];
    snprintf(name, sizeof name, "%d.%ld", (int)getpid(), number);
    int fd = openat(maildir.tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, maildir.body, maildir.length) != (ssize_t)maildir.length || fsync(fd) != 0 ||
        close(fd) != 0 || renameat(maildir.tmp, name, maildir.new, name) != 0 || fsync(maildir.new) != 0)
        die(name);
}

static void *deliver_all(void *nothing)
{
    for (long number; (number = atomic_fetch_add(&maildir.begun, 1)) < maildir.wanted;) {
        int64_t begin = measured_now_ns();
        deliver(number);
        maildir.ms[number] = (double)(measured_now_ns() - begin) / 1e6;
    }
    return nothing;
}

static int folder(const char *parent, const char *name)
{
    OWNED char *path = memory_print("%s/%s", parent, name);
    if ((mkdir(parent, 0755) != 0 && errno != EEXIST) || (mkdir(path, 0755) != 0 && errno != EEXIST))
        die(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        die(path);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: maildir FOLDER THREADS COUNT BYTES");
    long threads = strtol(argv[2], NULL, 10);
    maildir.wanted = strtol(argv[3], NULL, 10);
    maildir.length = (size_t)strtol(argv[4], NULL, 10);
    if (threads < 1 || maildir.wanted < 1)
        die("at least one thread, one delivery");
    maildir.tmp = folder(argv[1], "tmp");
    maildir.new = folder(argv[1], "new");
    maildir.body = memory_new(maildir.length + 1, 1);
    memset(maildir.body, 'x', maildir.length);
    maildir.ms = memory_new((size_t)maildir.wanted, sizeof *maildir.ms);
    pthread_t *all = memory_new((size_t)threads, sizeof *all);
    int64_t begin = measured_now_ns();
    for (long i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, deliver_all, NULL) != 0)
            die("thread");
    for (long i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    measured_say(maildir.ms, maildir.wanted, begin);
    free(all);
    free(maildir.ms);
    free(maildir.body);
    return 0;
}
