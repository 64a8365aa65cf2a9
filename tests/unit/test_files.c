#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

static void test_what_is_written_reads_back_and_replaces(void **state)
{
    assert_true(files_write(scratch.data, "a.md", "one", 3, true, NULL));
    assert_true(files_write(scratch.data, "a.md", "two!", 4, false, NULL));
    OWNED char *text = NULL;
    size_t length;
    struct file_stamp stamp;
    assert_int_equal(files_read(scratch.data, "a.md", 100, &text, &length, &stamp, NULL), 1);
    assert_string_equal(text, "two!");
    struct file_stamp again = files_stamp_at(scratch.data, "a.md");
    assert_true(files_stamp_equal(&stamp, &again));
}

static void test_a_link_a_fifo_and_a_folder_are_faults_and_never_hang(void **state)
{
    struct fault fault;
    char *text;
    size_t length;
    assert_int_equal(symlinkat("/etc/passwd", scratch.data, "link"), 0);
    assert_int_equal(symlinkat("/etc", scratch.data, "way"), 0);
    assert_int_equal(mkfifoat(scratch.data, "fifo", 0600), 0);
    assert_int_equal(mkdirat(scratch.data, "dir", 0700), 0);
    const char *const paths[] = {"link", "way/passwd", "fifo", "dir", "../escape", "/etc/passwd"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(files_read(scratch.data, paths[i], 100000, &text, &length, NULL, &fault), -1);
        assert_null(text);
    }
    assert_false(files_append(scratch.data, "link", "x", 1, &fault));
    assert_int_equal(files_read(scratch.data, "missing", 10, &text, &length, NULL, &fault), 0);
}

static void test_a_file_over_the_limit_is_a_fault(void **state)
{
    char *text;
    size_t length;
    assert_true(files_write(scratch.data, "big", "0123456789", 10, false, NULL));
    assert_int_equal(files_read(scratch.data, "big", 9, &text, &length, NULL, NULL), -1);
    assert_int_equal(files_read(scratch.data, "big", 10, &text, &length, NULL, NULL), 1);
    assert_int_equal(length, 10);
    free(text);
}

static void test_only_a_temporary_of_files_write_counts_as_unfinished(void **state)
{
    static const struct {
        const char *name, *file;
    } names[] = {
        {".goals.md.new-77", "goals.md"},
        {".a.new-1.new-2", "a.new-1"},
        {".goals.md.new-", NULL},
        {".goals.md.new-7x", NULL},
        {"goals.md.new-7", NULL},
        {".goals.md.post-7", NULL},
        {".new-7", NULL},
        {".", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        OWNED char *file = files_unfinished(names[i].name);
        assert_string_equal(file ? file : "(none)", names[i].file ? names[i].file : "(none)");
    }
}

static void test_folders_are_made_with_their_parents(void **state)
{
    int fd = files_open_folder(scratch.data, "iac/inbox/deep", true, NULL);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(files_open_folder(scratch.data, "nowhere/here", false, NULL), -1);
}

static void test_a_frame_arrives_whole_however_it_is_cut(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct channel sender, receiver;
    channel_open(&sender, ends[0]);
    channel_open(&receiver, ends[1]);
    OWNED_BUFFER struct buffer message = {0};
    OWNED char *large = memory_new(700000, 1);
    memset(large, 'x', 699999);
    message_make(&message, MESSAGE_PROBLEMS, large);
    const void *bytes;
    size_t length = 0;
    assert_true(channel_send(&sender, &message));
    assert_true(channel_pending(&sender));
    int turns = 0;
    while (!channel_next(&receiver, &bytes, &length) && turns++ < 1000) {
        assert_true(channel_flush(&sender));
        assert_true(channel_fill(&receiver));
    }
    assert_int_equal(length, message.length);
    assert_memory_equal(bytes, message.data, length);
    channel_close(&sender);
    assert_false(channel_fill(&receiver));
    channel_close(&receiver);
}

static void test_a_frame_over_the_limit_ends_the_channel(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct channel receiver;
    channel_open(&receiver, ends[1]);
    assert_int_equal(write(ends[0], "\xff\xff\xff\x7f", 4), 4);
    assert_false(channel_fill(&receiver));
    channel_close(&receiver);
    close(ends[0]);
}

/* Errors of opening each path, or 0, and the inode's number, as text. */
static void open_each(struct buffer *outcome)
{
    static const char *const paths[] = {"",
                                        ".",
                                        "..",
                                        "/",
                                        "/etc/passwd",
                                        "../x",
                                        "plain",
                                        "./plain",
                                        "plain/",
                                        "plain/x",
                                        "tree/in",
                                        "tree/",
                                        "tree",
                                        "tree//in",
                                        "tree/none",
                                        "none",
                                        "none/x",
                                        "walk",
                                        "walk/hosts",
                                        "walk/",
                                        "self",
                                        "self/in",
                                        "tree/out",
                                        "tree/out/passwd",
                                        "tree/../../x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat status = {.st_ino = 0};
        OWNED_FD int fd = files_open(scratch.data, paths[i], O_RDONLY, 0);
        int error = fd < 0 ? errno : fstat(fd, &status);
        buffer_print(outcome, "%s: %s %lu\n", paths[i], strerror(error), (unsigned long)status.st_ino);
    }
}

static bool refuse_openat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static void test_where_openat2_is_refused_every_path_opens_or_fails_as_with_it(void **state)
{
    int status = 0;
    OWNED_BUFFER struct buffer with = {0};
    assert_true(files_write(scratch.data, "plain", "p", 1, true, NULL));
    assert_int_equal(mkdirat(scratch.data, "tree", 0755), 0);
    assert_true(files_write(scratch.data, "tree/in", "i", 1, true, NULL));
    assert_int_equal(symlinkat("/etc", scratch.data, "walk"), 0);
    assert_int_equal(symlinkat("tree", scratch.data, "self"), 0);
    assert_int_equal(symlinkat("/etc", scratch.data, "tree/out"), 0);
    open_each(&with);
    pid_t child = fork();
    if (child == 0) {
        OWNED_BUFFER struct buffer without = {0};
        if (!refuse_openat2())
            _exit(2);
        open_each(&without);
        if (strcmp(with.data, without.data) != 0)
            fprintf(stderr, "with openat2:\n%swithout:\n%s", with.data, without.data);
        _exit(strcmp(with.data, without.data) != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_reads_back_and_replaces),
        cmocka_unit_test(test_a_link_a_fifo_and_a_folder_are_faults_and_never_hang),
        cmocka_unit_test(test_a_file_over_the_limit_is_a_fault),
        cmocka_unit_test(test_folders_are_made_with_their_parents),
        cmocka_unit_test(test_only_a_temporary_of_files_write_counts_as_unfinished),
        cmocka_unit_test(test_where_openat2_is_refused_every_path_opens_or_fails_as_with_it),
        cmocka_unit_test(test_a_frame_arrives_whole_however_it_is_cut),
        cmocka_unit_test(test_a_frame_over_the_limit_ends_the_channel),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
