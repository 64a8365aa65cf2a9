/* The post office when its storage fails, and when it is killed: at each write, flush, rename and removal of a delivery,
 * an expiry and a bounce. Each attempt is a process of its own with a folder of its own; they run side by side. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common/journal.h"
#include "post_office.h"

enum {
    POINTS_MAX = 60,
    DAMAGE_NONE = 0,
    DAMAGE_FAIL,
    DAMAGE_FAIL_FOR_LONG,
    DAMAGE_KILL,
    LONG = 12,
    KILLED = 42
};

static int damage, step_of_damage, steps;

/* True: this step fails. Counted only while there is damage to come. */
static bool step_fails(int error)
{
    if (damage == DAMAGE_NONE)
        return false;
    steps++;
    if (damage == DAMAGE_KILL && steps == step_of_damage)
        _exit(KILLED);
    if (steps < step_of_damage || steps >= step_of_damage + (damage == DAMAGE_FAIL_FOR_LONG ? LONG : 1))
        return false;
    errno = error;
    return true;
}

/* In place of the C library's: the linker takes these first. */
ssize_t write(int fd, const void *bytes, size_t length)
{
    return step_fails(ENOSPC) ? -1 : syscall(SYS_write, fd, bytes, length);
}

int fsync(int fd)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return step_fails(ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return step_fails(ENOSPC) ? -1 : syscall(SYS_pwritev, fd, parts, count, at, 0);
}

int fdatasync(int fd)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_syncfs, fd);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int unlinkat(int folder, const char *name, int flags)
{
    return step_fails(EIO) ? -1 : (int)syscall(SYS_unlinkat, folder, name, flags);
}

/* --- a delivery each way, an expiry with its receiver and one while it waits --- */

static void prepare(struct office *office)
{
    struct envelope old = office_letter("old", KIND_HANDOFF, "orion", "iris"),
                    waiting = office_letter("waiting", KIND_HANDOFF, "nova", "iris");
    old.created = waiting.created = clock_now() - 100;
    old.ttl_seconds = waiting.ttl_seconds = 10;
    old.status = "delivered";
    office_put(office, "iris", FOLDER_HANDOFFS, &old);
    office_put(office, "orion", FOLDER_ARCHIVE, &old);
    office_put(office, "nova", FOLDER_OUTBOX, &waiting);
    for (int i = 0; i < 4; i++) {
        OWNED char *id = memory_print("m%d", i);
        struct envelope message = office_letter(id, KIND_MESSAGE, "orion", "nova");
        office_put(office, "orion", FOLDER_OUTBOX, &message);
    }
}

static bool is_dead(struct office *office, const char *id)
{
    struct envelope envelope;
    bool dead =
        mailbox_read(office->data, "iris", FOLDER_DEAD_LETTERS, id, &envelope, NULL, NULL) == MAILBOX_READ &&
        strcmp(envelope.status, "expired") == 0;
    envelope_free(&envelope);
    return dead && mailbox_lies(office->data, "iris", id) == 1u << FOLDER_DEAD_LETTERS;
}

static bool is_over(struct office *office)
{
    bool over = is_dead(office, "old") && is_dead(office, "waiting") &&
                office_lies(office, "orion", FOLDER_INBOX, "old-bounce") &&
                office_lies(office, "nova", FOLDER_INBOX, "waiting-bounce") &&
                office_said(office, "orion verdict m3 delivered") &&
                (office_said(office, "nova verdict waiting expired") ||
                 office_said(office, "nova verdict waiting expired: it was not read within 10 s"));
    for (int i = 0; i < 4; i++) {
        OWNED char *id = memory_print("m%d", i);
        over = over && office_lies(office, "nova", FOLDER_INBOX, id);
    }
    return over;
}

static bool nothing_is_left_behind(const struct office *office)
{
    return count_below(office->folder, ".*post-*", 0) == 0;
}

/* False: the envelope never came to its end. */
static bool run(struct office *office)
{
    int64_t until = clock_monotonic_ms() + 30000, ring_at = 0;
    post_start(office->post);
    while (!is_over(office) && clock_monotonic_ms() < until) {
        if (ring_at <= clock_monotonic_ms()) { /* as the scan does, and a worker that asks again */
            post_scan(office->post);
            post_rings(office->post, "orion", "");
            post_rings(office->post, "nova", "");
            ring_at = clock_monotonic_ms() + 200;
        }
        loop_turn(office->loop, 20);
    }
    return is_over(office);
}

/* Exit: 0 all is well, KILLED, 1 it is not, 2 the step was never reached. */
static int attempt(const char *folder, int kind, int step)
{
    struct office office;
    office_begin(&office, ORION_AND_IRIS);
    OWNED char *path = memory_print("%s/%d", folder, step);
    if (symlink(office.folder, path) != 0)
        return 1;
    prepare(&office);
    damage = kind;
    step_of_damage = step;
    steps = 0;
    bool over = run(&office);
    bool reached = steps >= step;
    damage = DAMAGE_NONE;
    bool clean = kind == DAMAGE_KILL || reached || nothing_is_left_behind(&office);
    if (!over)
        fprintf(stderr, "step %d:\n%s", step, office.said.data ? office.said.data : "");
    office_end(&office);
    return !over || !clean ? 1 : reached ? 0 : 2;
}

/* Another process takes up the files that the killed one left. */
static bool goes_on(const char *folder, int step)
{
    struct office office = {.folder = ""};
    OWNED_BUFFER struct buffer faults = {0};
    OWNED char *path = memory_print("%s/%d", folder, step);
    ssize_t length = readlink(path, office.folder, sizeof office.folder - 1);
    assert_true(length > 0);
    the_office = &office;
    office.data = open(office.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    office.roster = roster_parse(ORION_AND_IRIS, strlen(ORION_AND_IRIS), "agents.yaml", &faults);
    office.loop = loop_new();
    office_open(&office);
    bool over = run(&office) && nothing_is_left_behind(&office);
    if (!over)
        fprintf(stderr, "killed at step %d:\n%s", step, office.said.data ? office.said.data : "");
    office_end(&office);
    return over;
}

static int end_of(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* boot: of the machine, when the killed process's files are taken up. */
static void at_every_step(int kind, const char *boot)
{
    char folder[] = "/tmp/test-post-steps-XXXXXX";
    pid_t children[POINTS_MAX + 1];
    bool killed[POINTS_MAX + 1] = {false};
    unsigned reached = 0;
    assert_non_null(mkdtemp(folder));
    journal_boot_is("first");
    for (int step = 1; step <= POINTS_MAX; step++)
        if ((children[step] = fork()) == 0)
            _exit(attempt(folder, kind, step));
    for (int step = 1; step <= POINTS_MAX; step++) {
        int end = end_of(children[step]);
        if (end == 1)
            fail_msg("step %d came to no good end", step);
        killed[step] = end == KILLED;
        reached += end != 2;
    }
    journal_boot_is(boot);
    for (int step = 1; step <= POINTS_MAX; step++)
        if (killed[step] && (children[step] = fork()) == 0)
            _exit(goes_on(folder, step) ? 0 : 1);
    for (int step = 1; step <= POINTS_MAX; step++)
        if (killed[step] && end_of(children[step]) != 0)
            fail_msg("what was killed at step %d came to no good end", step);
    assert_true(reached > 20);
    assert_int_equal(remove_folder(folder), 0);
}

static void test_one_write_flush_or_rename_that_fails_delays_and_loses_nothing(void **state)
{
    at_every_step(DAMAGE_FAIL, "first");
}

static void test_storage_that_fails_for_a_while_delays_and_loses_nothing(void **state)
{
    at_every_step(DAMAGE_FAIL_FOR_LONG, "first");
}

static void test_a_kill_at_any_of_them_leaves_what_start_goes_on_with(void **state)
{
    at_every_step(DAMAGE_KILL, "first");
}

static void test_the_machines_end_at_any_of_them_leaves_what_start_goes_on_with(void **state)
{
    at_every_step(DAMAGE_KILL, "second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_write_flush_or_rename_that_fails_delays_and_loses_nothing),
        cmocka_unit_test(test_storage_that_fails_for_a_while_delays_and_loses_nothing),
        cmocka_unit_test(test_a_kill_at_any_of_them_leaves_what_start_goes_on_with),
        cmocka_unit_test(test_the_machines_end_at_any_of_them_leaves_what_start_goes_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
