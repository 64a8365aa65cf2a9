/* Taking an item back when shared/ and agents/ are two file systems: the item is never nowhere, and a step that was cut
 * is done again. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "post_office.h"

enum { KILLED = 42, POINTS_MAX = 40 };

static int kill_at, steps, flushes, flush_fails_at;

static void step(void)
{
    if (kill_at && ++steps == kill_at)
        _exit(KILLED);
}

static bool is_shared(int folder)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return strstr(path, "/shared/");
}

/* In place of the C library's: the linker takes these first. */
int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    step();
    if (is_shared(from) != is_shared(to)) {
        errno = EXDEV;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
    return renameat2(from, old, to, new, 0);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    step();
    return syscall(SYS_write, fd, bytes, length);
}

int fsync(int fd)
{
    step();
    errno = EIO;
    return ++flushes == flush_fails_at ? -1 : (int)syscall(SYS_fsync, fd);
}

int unlinkat(int folder, const char *name, int flags)
{
    step();
    return (int)syscall(SYS_unlinkat, folder, name, flags);
}

static struct envelope an_item(void)
{
    struct envelope item = office_letter("work", KIND_ITEM, "orion", "queue:reviews");
    item.status = "reading";
    item.consumer = "iris";
    item.attempts = 1;
    return item;
}

static int queue_of(struct office *office)
{
    return files_open_folder(office->data, "shared/queues/reviews", true, NULL);
}

static int take(struct office *office, int64_t *attempts)
{
    struct envelope copy;
    struct fault fault;
    OWNED_FD int queue = queue_of(office);
    int found = post_take(office->post, "iris", "work", queue, ".work.taken", &copy, &fault);
    *attempts = found == 1 ? copy.attempts : -1;
    if (found == 1)
        envelope_free(&copy);
    return found;
}

static bool is_whole_in(struct office *office, const char *path)
{
    OWNED char *text = NULL;
    struct envelope envelope;
    size_t length;
    if (files_read(office->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL) != 1 ||
        !envelope_parse(&envelope, text, length, path, NULL))
        return false;
    envelope_free(&envelope);
    return true;
}

static bool is_taken(struct office *office)
{
    return is_whole_in(office, "shared/queues/reviews/.work.taken");
}

static void test_an_item_is_taken_back_across_file_systems(void **state)
{
    struct office *office = *state;
    struct envelope item = an_item();
    int64_t attempts;
    office_put(office, "iris", FOLDER_HANDOFFS, &item);
    post_changed(office->post, "iris");
    UNTIL(office, post_room(office->post, "iris") == 0);
    assert_int_equal(take(office, &attempts), 1);
    assert_int_equal(attempts, 1);
    assert_true(is_taken(office));
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "work"));
    assert_int_equal(post_room(office->post, "iris"), 1);
    assert_int_equal(take(office, &attempts), 0);
    office_put(office, "iris", FOLDER_HANDOFFS, &item);
    assert_int_equal(take(office, &attempts), -1); /* a file of that name stays */
    assert_true(office_lies(office, "iris", FOLDER_HANDOFFS, "work"));
}

static void test_what_is_no_file_steps_aside(void **state)
{
    struct office *office = *state;
    int64_t attempts;
    office_command("mkdir -p %s/agents/iris/iac/handoffs/work.md/inner", office->folder);
    assert_int_equal(take(office, &attempts), -1);
    office_command("test ! -e %s/agents/iris/iac/handoffs/work.md", office->folder);
    office_command("test -d %s/agents/iris/iac/handoffs/work.md.unreadable-*/inner", office->folder);
    office_command("test -f %s/shared/queues/reviews/.work.taken", office->folder);
}

static int take_anew(struct office *office, int fails_at)
{
    struct envelope item = an_item();
    int64_t attempts;
    office_command("rm -f %s/shared/queues/reviews/.work.taken", office->folder);
    office_put(office, "iris", FOLDER_HANDOFFS, &item);
    flush_fails_at = fails_at;
    flushes = 0;
    int found = take(office, &attempts);
    flush_fails_at = 0;
    return found;
}

/* A copy whose original may come back after a power cut is not built on. */
static void test_an_item_whose_flush_fails_is_not_taken(void **state)
{
    struct office *office = *state;
    close(queue_of(office));
    assert_int_equal(take_anew(office, 0), 1);
    int all = flushes;
    assert_in_range(all, 3, POINTS_MAX); /* the bytes of the copy, its name, and the going of the original */
    for (int at = 1; at <= all; at++)
        assert_int_equal(take_anew(office, at), -1);
    assert_int_equal(take_anew(office, 0), 1);
}

/* True: the process was killed at this point, and not done before it. */
static bool take_until(struct office *office, int point)
{
    pid_t child = fork();
    if (child == 0) {
        int64_t attempts;
        kill_at = point;
        _exit(take(office, &attempts) == 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == KILLED;
}

static void test_a_kill_at_any_of_its_steps_leaves_it_somewhere_and_is_made_good(void **state)
{
    struct office *office = *state;
    struct envelope item = an_item();
    int64_t attempts;
    bool killed = true;
    close(queue_of(office));
    for (int point = 1; killed; point++) {
        assert_true(point < POINTS_MAX);
        office_put(office, "iris", FOLDER_HANDOFFS, &item);
        killed = take_until(office, point);
        bool there = office_lies(office, "iris", FOLDER_HANDOFFS, "work");
        assert_true(there || is_taken(office));
        /* the queue's next step: the copy that was taken goes, and the item is taken once more */
        if (there) {
            office_command("rm -f %s/shared/queues/reviews/.work.taken", office->folder);
            assert_int_equal(take(office, &attempts), 1);
        }
        assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "work"));
        assert_true(is_taken(office));
        office_command("rm %s/shared/queues/reviews/.work.taken", office->folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_item_is_taken_back_across_file_systems, office_setup,
                                        office_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file_steps_aside, office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(test_an_item_whose_flush_fails_is_not_taken, office_setup,
                                        office_teardown),
        cmocka_unit_test_setup_teardown(test_a_kill_at_any_of_its_steps_leaves_it_somewhere_and_is_made_good,
                                        office_setup, office_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
