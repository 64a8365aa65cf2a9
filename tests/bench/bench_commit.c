/* How long one history_commit takes, and how much of it the flush alone does, in the same run.
 * bench_commit FOLDER [COUNT]: makes an agent's tree in FOLDER (on the disk that matters) and commits cycles. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/repository/library.h"
#include "worker/history/history.h"

enum {
    REWARDS = 4096,
    SKILLS = 2500,
    REFLECTIONS = 1800,
    SKILL = 900,
    OUTPUT = 1500,
    CARD = 400,
    RECORD = 16384
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Time of the processor, ours and the kernel's for us, which a busy machine can't falsify. */
static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show(const char *what, double *times, size_t count)
{
    qsort(times, count, sizeof *times, by_value);
    printf("%-34s median %7.1f us   p90 %7.1f   p99 %7.1f   of %zu\n", what, times[count / 2],
           times[count * 9 / 10], times[count * 99 / 100], count);
}

static char *text_of(size_t length, unsigned seed)
{
    char *text = memory_new(length + 1, 1);
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = i % 60 == 59 ? '\n' : (char)('a' + (seed >> 16) % 26);
    }
    return text;
}

static void nothing(void *context, const struct change *change)
{
    (void)change;
    ++*(int *)context;
}

static bool cycle(struct history *history, unsigned i, double *commit_us, double *commit_cpu,
                  double *edits_us)
{
    struct fault fault = {0};
    char output[64], skill[64], id[64], subject[128], commit[COMMIT_TEXT];
    snprintf(output, sizeof output, "outputs/task-%u.md", i);
    snprintf(skill, sizeof skill, "skills/skill-%u/SKILL.md", i % 20);
    snprintf(id, sizeof id, "task-%u", i);
    snprintf(subject, sizeof subject, "orion(task): %s", id);
    char *texts[] = {text_of(REWARDS, i),   text_of(SKILLS, i + 1), text_of(REFLECTIONS, i + 2),
                     text_of(SKILL, i + 3), text_of(OUTPUT, i + 4), text_of(CARD, i + 5)};
    char old[64];
    snprintf(old, sizeof old, "outputs/task-%u.md", i - 30);
    struct change changes[] = {
        {CHANGE_WRITE, "rewards.md", texts[0], REWARDS},
        {CHANGE_WRITE, "skills.md", texts[1], SKILLS},
        {CHANGE_WRITE, "reflections.md", texts[2], REFLECTIONS},
        {CHANGE_WRITE, skill, texts[3], SKILL},
        {CHANGE_WRITE, output, texts[4], OUTPUT},
        {CHANGE_WRITE, ".agent", texts[5], CARD},
        {CHANGE_UNTRACK, old, NULL, 0},
    };
    const struct question_usage usage = {100, 10, 0, 1, USAGE_NO_COST};
    struct commit_request request = {
        .subject = subject,
        .body = "skill strengthened",
        .trailers =
            {.task = id, .task_hash = i, .reward = 1, .usage = &usage, .end = "done", .source = "queue"},
        .changes = changes,
        .change_count = i > 30 ? 7 : 6};
    int edits = 0;
    double begun = now_us();
    bool good = history_edits(history, true, nothing, &edits, &fault);
    double looked = now_us(), cpu = cpu_us();
    good = good && history_commit(history, &request, commit, &fault);
    *commit_us = now_us() - looked;
    *commit_cpu = cpu_us() - cpu;
    *edits_us = looked - begun;
    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
        free(texts[n]);
    if (!good || edits != 0)
        fprintf(stderr, "cycle %u: %d edits, %s\n", i, edits, fault.text);
    return good;
}

static void flushes(int tree, size_t count)
{
    double *times = memory_new(count, sizeof *times);
    char *record = text_of(RECORD, 7);
    mkdirat(tree, "flush", 0755);
    int fd = openat(tree, "flush/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    for (int i = 0; i < 64; i++)
        if (pwrite(fd, record, RECORD, (off_t)i * RECORD) != RECORD)
            return;
    fsync(fd);
    for (size_t i = 0; i < count; i++) {
        double begun = now_us();
        if (pwrite(fd, record, RECORD, (off_t)(i % 64) * RECORD) != RECORD || fdatasync(fd) != 0)
            return;
        times[i] = now_us() - begun;
    }
    show("flush alone (overwrite 16 KB)", times, count);
    close(fd);
    unlinkat(tree, "flush/file", 0);
    unlinkat(tree, "flush", AT_REMOVEDIR);
    free(record);
    free(times);
}

int main(int count, char **arguments)
{
    if (count < 2)
        return 64;
    size_t cycles = count > 2 ? (size_t)atol(arguments[2]) : 500;
    struct fault fault = {0};
    char *damage = NULL;
    mkdir(arguments[1], 0755);
    char *path = realpath(arguments[1], NULL);
    int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!repository_library_start(&fault))
        return 70;
    double begun = now_us();
    struct history *history = history_open(tree, path, "orion", &damage, &fault);
    printf("open %.0f us\n", now_us() - begun);
    if (!history) {
        fprintf(stderr, "%s\n", fault.text);
        return 70;
    }
    uint64_t done = history_tasks_done(history);
    double *commits = memory_new(cycles, sizeof *commits), *edits = memory_new(cycles, sizeof *edits);
    double *cpu = memory_new(cycles, sizeof *cpu);
    double *tidy = memory_new(cycles, sizeof *tidy);
    size_t tidied = 0;
    for (size_t i = 0; i < cycles; i++) {
        if (!cycle(history, (unsigned)(done + i), &commits[i], &cpu[i], &edits[i]))
            return 70;
        double before = now_us();
        if (history_tidy(history, i % 8 != 0))
            tidy[tidied++] = now_us() - before;
    }
    show("history_commit", commits, cycles);
    show("history_commit, processor time", cpu, cycles);
    show("history_edits, quick", edits, cycles);
    if (tidied)
        show("history_tidy, a step", tidy, tidied);
    flushes(tree, 200);
    history_close(history);
    close(tree);
    free(path);
    free(commits);
    free(cpu);
    free(edits);
    free(tidy);
    return 0;
}
