/* A worker that has been taken over. Preloaded into a copied install, this object runs scripts in a worker whose
 * sandbox is complete: the scripts lie in the worker's tree as .agentos/script, one after the other. As a program the
 * object runs a script outside.
 *
 * adversary SCRIPT RESULTS
 *
 * A line of a script is an operation, its words separated by tabs; the same line of RESULTS is its result, a number, or
 * a negative one of errno.h.
 *
 *   call NUMBER ARGUMENT…   a system call
 *   put ADDRESS NUMBER      writes the number there
 *   touch ADDRESS BYTES     writes into every page; the number of pages
 *   look ADDRESS BYTES STEP reads a byte at every step; the number of steps
 *   sink BYTES              a stack that deep
 *   times COUNT NUMBER ARGUMENT…   a system call so often; how often it worked
 *   scatter COUNT STEP      pages mapped and read that lie STEP bytes apart; how many
 *   strew COUNT BYTES       the same without an address: BYTES are mapped, and all but their first page unmapped
 *
 * An argument is a number, "text (its address), $LINE or $LINE+NUMBER (that line's result), @OFFSET (an address in a room
 * of zeroes that the script has to itself), or ^NUMBER (so far from the
 * stack's page). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

enum { LINES = 256, WORDS = 10, ARGUMENTS = 6, ROOM = 1 << 16, SCRIPT = 1 << 16, PAGE = 4096, SLICE_MS = 10 };

struct script {
    char text[SCRIPT], room[ROOM];
    long results[LINES];
    size_t done;
};

static struct script script; /* one script at a time, and no memory is asked for */

static long value_of(const char *word)
{
    char *more = NULL;
    if (word[0] == '"')
        return (long)(word + 1);
    if (word[0] == '@')
        return (long)(script.room + (size_t)atol(word + 1) % ROOM);
    if (word[0] == '^')
        return (long)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1)) + atol(word + 1);
    if (word[0] != '$')
        return (long)strtoull(word, NULL, 0);
    size_t line = strtoul(word + 1, &more, 10);
    return script.results[(line - 1) % LINES] + atol(more);
}

static long call(char *const *words, size_t count)
{
    long a[ARGUMENTS] = {0};
    for (size_t i = 1; i < count && i <= ARGUMENTS; i++)
        a[i - 1] = value_of(words[i]);
    long result = syscall(value_of(words[0]), a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -errno : result;
}

static long put(long *place, long value)
{
    *place = value;
    return 0;
}

static long touch(volatile char *at, size_t bytes)
{
    long pages = 0;
    for (size_t i = 0; i < bytes; i += PAGE, pages++)
        at[i] = 1;
    return pages;
}

static long look(const volatile char *at, size_t bytes, size_t step)
{
    long steps = 0;
    for (size_t i = 0; i < bytes; i += step, steps++)
        (void)at[i];
    return steps;
}

/* NOLINTNEXTLINE(misc-no-recursion): the stack is under test */
static long sink(size_t bytes)
{
    volatile char frame[PAGE * 4];
    frame[0] = frame[sizeof frame - 1] = 1;
    return (bytes > sizeof frame ? sink(bytes - sizeof frame) : 0) + frame[0];
}

static long times(long count, char *const *words, size_t length)
{
    long worked = 0;
    for (long i = 0; i < count; i++)
        worked += call(words, length) >= 0;
    return worked;
}

static void *page_at(void *place, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (place ? MAP_FIXED_NOREPLACE : 0);
    return mmap(place, bytes, PROT_READ, flags, -1, 0);
}

static long scatter(long count, size_t step)
{
    long read = 0;
    for (uintptr_t at = (uintptr_t)1 << 40; read < count; at += step, read++) {
        char *page = page_at((void *)at, PAGE);
        if (page == MAP_FAILED)
            return read ? read : -errno;
        (void)*(volatile char *)page;
    }
    return read;
}

static long strew(long count, size_t bytes)
{
    long read = 0;
    for (; read < count; read++) {
        char *page = page_at(NULL, bytes);
        if (page == MAP_FAILED || munmap(page + PAGE, bytes - PAGE) != 0)
            return read;
        (void)*(volatile char *)page;
    }
    return read;
}

static long operate(char *const *words, size_t count)
{
    if (count >= 2 && strcmp(words[0], "call") == 0)
        return call(words + 1, count - 1);
    if (count == 3 && strcmp(words[0], "put") == 0)
        return put((long *)value_of(words[1]), value_of(words[2]));
    if (count == 3 && strcmp(words[0], "touch") == 0)
        return touch((char *)value_of(words[1]), (size_t)value_of(words[2]));
    if (count == 4 && strcmp(words[0], "look") == 0)
        return look((char *)value_of(words[1]), (size_t)value_of(words[2]), (size_t)value_of(words[3]));
    if (count == 2 && strcmp(words[0], "sink") == 0)
        return sink((size_t)value_of(words[1]));
    if (count == 3 && strcmp(words[0], "scatter") == 0)
        return scatter(value_of(words[1]), (size_t)value_of(words[2]));
    if (count == 3 && strcmp(words[0], "strew") == 0)
        return strew(value_of(words[1]), (size_t)value_of(words[2]));
    if (count >= 3 && strcmp(words[0], "times") == 0)
        return times(value_of(words[1]), words + 2, count - 2);
    return -ENOSYS;
}

static void run(int results)
{
    char *rest = script.text;
    memset(script.room, 0, sizeof script.room);
    for (script.done = 0; script.done < LINES && rest && *rest; script.done++) {
        char *line = strsep(&rest, "\n"), *words[WORDS], *word;
        size_t count = 0;
        while (count < WORDS && (word = strsep(&line, "\t")))
            words[count++] = word;
        script.results[script.done] = operate(words, count);
        dprintf(results, "%ld\n", script.results[script.done]);
    }
}

static bool load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, script.text, sizeof script.text - 1);
    if (fd >= 0)
        close(fd);
    script.text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The script goes before it is run, as it may end the worker: the next one doesn't run it again. */
static void obey(void)
{
    const char *tree = getenv("ADVERSARY");
    char from[512], to[512];
    snprintf(from, sizeof from, "%s/.agentos/script", tree);
    snprintf(to, sizeof to, "%s/.agentos/results", tree);
    if (!tree || !load(from) || unlink(from) != 0)
        return;
    int results = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    run(results);
    dprintf(results, "end\n");
    close(results);
}

/* The worker's loop waits for two descriptors at once; no other code in it does, and the loop waits when the worker's
 * sandbox is complete. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "poll");
    while (count == 2 && gettid() == getpid()) {
        obey();
        int slice = timeout >= 0 && timeout < SLICE_MS ? timeout : SLICE_MS, ready = real(fds, count, slice);
        if (ready != 0 || slice == timeout)
            return ready;
        timeout -= timeout > 0 ? slice : 0;
    }
    return real(fds, count, timeout);
}

int main(int argc, char **argv)
{
    if (argc != 3 || !load(argv[1]))
        return EX_USAGE;
    int results = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    run(results);
    dprintf(results, "end\n");
    return EX_OK;
}
