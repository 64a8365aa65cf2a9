/* The messages to a service manager, at a socket in a folder and at an abstract one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/process/service_manager.h"
#include "tests/unit/cmocka.h"

/* Listens at the address that NOTIFY_SOCKET then names. */
static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(address.sun_path, name);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *heard(int fd)
{
    static char text[4096];
    ssize_t length = recv(fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void speak_and_hear(const char *name)
{
    struct loop *loop = loop_new();
    OWNED_FD int fd = listen_at(name);
    struct notify *notify = notify_open(loop);
    assert_non_null(notify);
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_say(notify, "READY=1\nSTATUS=Supervising %d agent(s)", 2);
    assert_string_equal(heard(fd), "READY=1\nSTATUS=Supervising 2 agent(s)");
    notify_reloading(notify);
    long long microseconds = 0;
    assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &microseconds), 1);
    assert_true(clock_monotonic_ms() - microseconds / 1000 < 60000);
    notify_close(notify);
    loop_free(loop);
}

static void test_it_is_told_at_a_socket_in_a_folder_and_at_an_abstract_one(void **state)
{
    char folder[] = "/tmp/test-notify-XXXXXX";
    assert_non_null(mkdtemp(folder));
    OWNED char *path = memory_print("%s/socket", folder);
    OWNED char *abstract = memory_print("@agentos-test-%d", (int)getpid());
    speak_and_hear(path);
    speak_and_hear(abstract);
    unlink(path);
    rmdir(folder);
}

static void test_the_watchdog_is_fed_from_the_loop_again_and_again(void **state)
{
    struct loop *loop = loop_new();
    OWNED char *abstract = memory_print("@agentos-watchdog-%d", (int)getpid());
    OWNED char *pid = memory_print("%d", (int)getpid());
    OWNED_FD int fd = listen_at(abstract);
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    struct notify *notify = notify_open(loop);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    for (int fed = 0; fed < 3;) {
        const char *text = heard(fd);
        assert_true(!*text || strcmp(text, "WATCHDOG=1") == 0);
        fed += *text != '\0';
        loop_turn(loop, 1000);
    }
    notify_close(notify);
    loop_free(loop);
}

static void test_another_process_s_watchdog_is_not_fed_and_nonsense_is_none(void **state)
{
    static const char *const values[][2] = {{"20000", "1"}, {"", NULL},  {"soon", NULL},
                                            {"-5x", NULL},  {"0", NULL}, {"99999999999999999999999", NULL}};
    OWNED char *abstract = memory_print("@agentos-foreign-%d", (int)getpid());
    OWNED_FD int fd = listen_at(abstract);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct loop *loop = loop_new();
        setenv("NOTIFY_SOCKET", abstract, 1);
        setenv("WATCHDOG_USEC", values[i][0], 1);
        if (values[i][1])
            setenv("WATCHDOG_PID", values[i][1], 1);
        struct notify *notify = notify_open(loop);
        assert_string_equal(heard(fd), "");
        notify_close(notify);
        loop_free(loop);
    }
}

static void test_without_a_socket_or_with_a_wrong_one_nothing_is_said_and_nothing_breaks(void **state)
{
    static const char *const names[] = {"", "relative", "@", "vsock:2:1234"};
    struct loop *loop = loop_new();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        assert_null(notify_open(loop));
        assert_null(getenv("NOTIFY_SOCKET"));
    }
    assert_null(notify_open(loop));
    notify_say(NULL, "READY=1");
    notify_reloading(NULL);
    notify_close(NULL);
    setenv("NOTIFY_SOCKET", "/tmp/there-is-no-such-folder/socket", 1);
    struct notify *notify = notify_open(loop);
    notify_say(notify, "READY=1");
    notify_close(notify);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_told_at_a_socket_in_a_folder_and_at_an_abstract_one),
        cmocka_unit_test(test_the_watchdog_is_fed_from_the_loop_again_and_again),
        cmocka_unit_test(test_another_process_s_watchdog_is_not_fed_and_nonsense_is_none),
        cmocka_unit_test(test_without_a_socket_or_with_a_wrong_one_nothing_is_said_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
