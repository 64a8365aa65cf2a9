/* The queue at every moment: a child takes a block under ptrace, and is stopped before and after each of its system
 * calls (the end of one and the beginning of the next are the same moment). At one of them the child is killed, or
 * another process writes to the file in one of people's ways. Whatever the moment was: no block is lost, and the taken
 * block is gone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/queue/queue.h"

#define NEWS "\n## n\ntask: news\n"

/* The file when the child comes to it. */
struct scene {
    const char *name;
    const char *text;   /* with block t, which is taken, and a and c */
    bool reader;        /* somebody has it open, so that it must be exchanged */
    size_t long_blocks; /* t has so many bytes more */
    bool leaseless;     /* a file system on which leases don't work */
    const char *aside;  /* a file that a crash left, to be brought home first */
};

static const struct scene scenes[] = {
    {"the last block", "# Queue\n\n## a\ntask: x\n\n## c\ntask: z\n\n## t\ntask: y", false, 0, false, NULL},
    {"a block in a page", "## a\ntask: x\n\n## t\ntask: y\n\n## c\ntask: z\n", false, 0, false, NULL},
    {"a file with a reader", "## a\ntask: x\n\n## t\ntask: y\n\n## c\ntask: z\n", true, 0, false, NULL},
    {"a block over pages", "## t\ntask: %\n\n## a\ntask: x\n## c\ntask: z\n", false, 5000, false, NULL},
    {"the last block without leases", "## a\ntask: x\n\n## c\ntask: z\n\n## t\ntask: y\n", false, 0, true,
     NULL},
    {"a first block without leases", "## t\ntask: y\n## a\ntask: x\n\n## c\ntask: z\n", false, 0, true, NULL},
    {"a file that lies aside", "## a\ntask: x\n\n## t\ntask: y\n", false, 0, false,
     "## a\ntask: x\n## c\ntask: z\n"},
};
enum { SCENES = sizeof scenes / sizeof *scenes };

static void clear(void)
{
    struct queue *queue = queue_open(scratch.data, NULL);
    queue_close(queue);
    unlinkat(scratch.data, "queue.md", 0);
    unlinkat(scratch.data, "queue.md~", 0);
    for (int i = 0; i < 16; i++) {
        char name[64];
        snprintf(name, sizeof name, ".agentos/queue.%d", i);
        unlinkat(scratch.data, name, 0);
        snprintf(name, sizeof name, ".agentos/queue.%d.base", i);
        unlinkat(scratch.data, name, 0);
        snprintf(name, sizeof name, ".agentos/new.%d", i);
        unlinkat(scratch.data, name, 0);
    }
}

static void set(const struct scene *scene)
{
    clear();
    OWNED_BUFFER struct buffer text = {0};
    for (const char *at = scene->text; *at; at++) {
        if (*at != '%') {
            buffer_add(&text, at, 1);
            continue;
        }
        memset(buffer_room(&text, scene->long_blocks), 'y', scene->long_blocks);
        text.length += scene->long_blocks;
    }
    assert_true(files_write(scratch.data, "queue.md", text.data, text.length, false, NULL));
    if (scene->aside)
        assert_true(
            files_write(scratch.data, ".agentos/queue.9", scene->aside, strlen(scene->aside), false, NULL));
}

/* fcntl(F_SETLEASE) answers what it does on such a file system. */
static void without_leases(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLEASE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(4);
}

/* The child: opens, looks, takes. Exits with 0 when the take says that it is made. */
static pid_t start(const struct scene *scene)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (scene->leaseless)
            without_leases();
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        struct queue *queue = queue_open(scratch.data, NULL);
        if (!queue || !queue_look(queue, NULL, NULL))
            _exit(1);
        const struct block_list *list = queue_blocks(queue);
        for (size_t i = 0; i < list->count; i++)
            if (strcmp(list->items[i].id, "t") == 0)
                _exit(queue_take(queue, "t", list->items[i].hash, NULL) ? 0 : 2);
        _exit(3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    return child;
}

/* On to the next stop at a system call. False: the child has ended, *status says how. */
static bool step(pid_t child, int *status)
{
    int pass = 0;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, child, NULL, (void *)(uintptr_t)pass) != 0)
            return false;
        assert_int_equal(waitpid(child, status, 0), child);
        if (!WIFSTOPPED(*status))
            return false;
        if (WSTOPSIG(*status) == (SIGTRAP | 0x80))
            return true;
        pass = WSTOPSIG(*status);
    }
}

enum fate { KILLED /* t may be there */, TAKEN_OUT, UNSEEN /* t was held back: it must be there */ };

/* The number of times that each id is in the file, after a new start has brought home the files that lie aside. */
static void assert_whole(const char *what, unsigned moment, enum fate fate, bool news)
{
    struct queue *queue = queue_open(scratch.data, NULL);
    assert_non_null(queue);
    struct fault fault = {{0}};
    bool seen = queue_look(queue, NULL, &fault) && queue_look(queue, NULL, &fault);
    unsigned a = 0, c = 0, n = 0, t = 0, other = 0;
    const struct block_list *list = queue_blocks(queue);
    for (size_t i = 0; i < list->count; i++) {
        char id = list->items[i].id[0];
        *(id == 'a' ? &a : id == 'c' ? &c : id == 'n' ? &n : id == 't' ? &t : &other) += 1;
    }
    if (!seen || a != 1 || c != 1 || n != news || other || t > 1 || (fate == TAKEN_OUT && t) ||
        (fate == UNSEEN && !t))
        fail_msg("%s at moment %u: a %u c %u n %u t %u, others %u%s%s", what, moment, a, c, n, t, other,
                 fate == TAKEN_OUT ? ", taken " : " ", fault.text);
    queue_close(queue);
}

static void test_a_kill_at_any_system_call_loses_and_doubles_nothing(void **state)
{
    unsigned moments = 0;
    for (int i = 0; i < SCENES; i++) {
        bool ended = false;
        for (unsigned moment = 1; !ended; moment += 2, moments++) {
            set(&scenes[i]);
            int reader = scenes[i].reader ? openat(scratch.data, "queue.md", O_RDONLY | O_CLOEXEC) : -1;
            pid_t child = start(&scenes[i]);
            int status = 0;
            for (unsigned n = 0; n < moment && !ended; n++)
                ended = !step(child, &status);
            if (!ended) {
                kill(child, SIGKILL);
                waitpid(child, &status, 0);
            } else {
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
            }
            if (reader >= 0)
                close(reader);
            assert_whole(scenes[i].name, moment, ended ? TAKEN_OUT : KILLED, false);
        }
    }
    print_message("%u moments\n", moments);
}

/* The ways in which others write. Each way tries without waiting: while the child holds a lease, an open would wait for
 * it. False: the open would have to wait; the next moment tries again. */

static int held = -1; /* a descriptor of the other's that stays open */

static bool append(void)
{
    int fd = openat(scratch.data, "queue.md", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0)
        return false;
    assert_true(files_write_all(fd, NEWS, strlen(NEWS)));
    close(fd);
    return true;
}

static bool with_news(char **text, size_t *length)
{
    if (files_read(scratch.data, "queue.md", 1 << 20, text, length, NULL, NULL) != 1)
        return false;
    *text = memory_grow(*text, *length + sizeof NEWS, 1);
    memcpy(*text + *length, NEWS, sizeof NEWS);
    *length += sizeof NEWS - 1;
    return true;
}

static bool rename_over(void)
{
    OWNED char *text = NULL;
    size_t length;
    return with_news(&text, &length) && files_write(scratch.data, "queue.md", text, length, false, NULL);
}

static bool save_in_place(void)
{
    OWNED char *text = NULL;
    size_t length;
    if (!with_news(&text, &length))
        return false;
    int fd = openat(scratch.data, "queue.md", O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    assert_true(files_write_all(fd, text, length));
    close(fd);
    return true;
}

static bool save_beside_a_backup(void)
{
    OWNED char *text = NULL;
    size_t length;
    if (!with_news(&text, &length))
        return false;
    assert_int_equal(renameat(scratch.data, "queue.md", scratch.data, "queue.md~"), 0);
    int fd = openat(scratch.data, "queue.md", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && files_write_all(fd, text, length));
    close(fd);
    return true;
}

static bool open_and_hold(void)
{
    held = openat(scratch.data, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
    return held >= 0;
}

static bool write_to_held(void)
{
    assert_true(files_write_all(held, NEWS, strlen(NEWS)));
    close(held);
    held = -1;
    return true;
}

static void others_write_at_each_moment(const char *name, bool (*first)(void), bool (*second)(void),
                                        unsigned apart)
{
    for (int i = 0; i < SCENES; i++) {
        bool ended = false;
        for (unsigned moment = 1; !ended; moment += second ? 4 : 2) {
            set(&scenes[i]);
            int reader = scenes[i].reader ? openat(scratch.data, "queue.md", O_RDONLY | O_CLOEXEC) : -1;
            pid_t child = start(&scenes[i]);
            int status = 0, done = 0;
            unsigned since = 0;
            for (unsigned n = 1; step(child, &status); n++) {
                if (done == 0 && n >= moment)
                    done = first();
                else if (done == 1 && second && ++since >= apart)
                    done += second();
            }
            ended = done == 0;
            assert_true(WIFEXITED(status));
            if (done == 0)
                assert_true(first());
            if (second && done < 2)
                second();
            if (reader >= 0)
                close(reader);
            /* A block that might be half-written stays with its writer's file while another is brought home. */
            bool unseen = WEXITSTATUS(status) == 3 && second && scenes[i].aside;
            if (WEXITSTATUS(status) != 0 && !unseen)
                fail_msg("%s, %s at moment %u: the child ended with %d", scenes[i].name, name, moment,
                         WEXITSTATUS(status));
            assert_whole(scenes[i].name, moment, unseen ? UNSEEN : TAKEN_OUT, true);
        }
    }
}

static void test_an_append_at_any_moment_is_kept(void **state)
{
    others_write_at_each_moment("append", append, NULL, 0);
}

static void test_an_editor_that_renames_over_the_file_at_any_moment_loses_nothing(void **state)
{
    others_write_at_each_moment("rename over", rename_over, NULL, 0);
}

static void test_an_editor_that_saves_in_place_at_any_moment_loses_nothing(void **state)
{
    others_write_at_each_moment("save in place", save_in_place, NULL, 0);
}

static void test_an_editor_that_renames_the_old_file_away_at_any_moment_loses_nothing(void **state)
{
    others_write_at_each_moment("backup", save_beside_a_backup, NULL, 0);
}

static void test_a_writer_that_opens_at_one_moment_and_writes_at_another_loses_nothing(void **state)
{
    others_write_at_each_moment("open, write soon", open_and_hold, write_to_held, 5);
    others_write_at_each_moment("open, write at the end", open_and_hold, write_to_held, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
        TEST(test_a_kill_at_any_system_call_loses_and_doubles_nothing),
        TEST(test_an_append_at_any_moment_is_kept),
        TEST(test_an_editor_that_renames_over_the_file_at_any_moment_loses_nothing),
        TEST(test_an_editor_that_saves_in_place_at_any_moment_loses_nothing),
        TEST(test_an_editor_that_renames_the_old_file_away_at_any_moment_loses_nothing),
        TEST(test_a_writer_that_opens_at_one_moment_and_writes_at_another_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
