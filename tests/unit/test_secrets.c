/* common/secrets: keys leave the environment for good and reach only who is handed them. */
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "tests/unit/cmocka.h"

static const char key[] = "sk-test-0123456789";

static void test_secrets_are_collected_with_and_without_owner_and_nothing_else_is(void **state)
{
    clearenv();
    setenv("LLM_API_KEY", key, 1);
    setenv("LLM_API_KEY__BACKUP", "other-key", 1);
    setenv("LLM_API_KEY__BACKUP_FILE", "/path", 1);
    setenv("LLM_API_KEY_FILE", "/path", 1);
    setenv("LLM_MODEL", "m", 1);
    setenv("AGENTOS_TOKEN", "", 1);
    struct fault fault;
    OWNED_FD int fd = secrets_collect(&fault);
    assert_true(fd >= 0);
    assert_null(getenv("LLM_API_KEY"));
    assert_null(getenv("LLM_API_KEY__BACKUP"));
    assert_null(getenv("AGENTOS_TOKEN"));
    assert_string_equal(getenv("LLM_API_KEY_FILE"), "/path");
    assert_string_equal(getenv("LLM_API_KEY__BACKUP_FILE"), "/path");
    assert_string_equal(getenv("LLM_MODEL"), "m");
    for (int again = 0; again < 2; again++) { /* every gateway that is started reads the same descriptor */
        struct secrets *secrets = secrets_read(fd, &fault);
        assert_non_null(secrets);
        assert_string_equal(secrets_find(secrets, "LLM_API_KEY"), key);
        assert_string_equal(secrets_find(secrets, "LLM_API_KEY__BACKUP"), "other-key");
        assert_null(secrets_find(secrets, "LLM_API"));
        assert_null(secrets_find(secrets, "AGENTOS_TOKEN"));
        secrets_free(secrets);
    }
    assert_true(secrets_taken("LLM_API_KEY"));
    assert_false(secrets_taken("LLM_MODEL"));
}

static void test_the_collected_secrets_cannot_be_changed_by_whom_they_are_handed_to(void **state)
{
    clearenv();
    setenv("LLM_API_KEY", key, 1);
    OWNED_FD int fd = secrets_collect(NULL);
    assert_true(fd >= 0);
    assert_true(pwrite(fd, "x", 1, 0) < 0);
    assert_int_not_equal(ftruncate(fd, 0), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_a_key_that_was_taken_and_a_key_file_are_still_found_to_be_both_set(void **state)
{
    clearenv();
    setenv("LLM_API_KEY__TWICE", key, 1);
    setenv("LLM_API_KEY_FILE__TWICE", "/path", 1);
    secrets_wipe();
    OWNED_BUFFER struct buffer faults = {0};
    assert_false(settings_check(&faults));
    assert_null(strstr(faults.data, key));
}

static void test_no_secrets_is_an_empty_set_and_a_pipe_is_refused(void **state)
{
    clearenv();
    OWNED_FD int fd = secrets_collect(NULL);
    struct secrets *secrets = secrets_read(fd, NULL);
    assert_non_null(secrets);
    assert_null(secrets_find(secrets, "LLM_API_KEY"));
    secrets_free(secrets);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct fault fault;
    assert_null(secrets_read(ends[0], &fault));
    assert_non_null(strstr(fault.text, "memory file"));
    close(ends[0]);
    close(ends[1]);
}

/* The child side: started with the key in its environment, the child wipes it and looks at the kernel's view of the
 * environment. */
static int environment_shows_the_key(void)
{
    secrets_wipe();
    int fd = open("/proc/self/environ", O_RDONLY);
    OWNED_BUFFER struct buffer text = {0};
    for (ssize_t n; (n = read(fd, buffer_room(&text, 4096), 4096)) > 0;)
        text.length += (size_t)n;
    close(fd);
    if (!text.length || !memmem(text.data, text.length, "STAYS=here", 10))
        return 2;
    return memmem(text.data, text.length, key, strlen(key)) ? 1 : 0;
}

static void test_the_kernel_shows_no_key_in_a_process_environment_after_the_wipe(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        OWNED char *variable = memory_print("LLM_API_KEY__ORION=%s", key);
        char *const environment[] = {variable, "STAYS=here", NULL};
        char *const arguments[] = {"test_secrets", "child", NULL};
        execve("/proc/self/exe", arguments, environment);
        _exit(9);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "child") == 0)
        return environment_shows_the_key();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets_are_collected_with_and_without_owner_and_nothing_else_is),
        cmocka_unit_test(test_the_collected_secrets_cannot_be_changed_by_whom_they_are_handed_to),
        cmocka_unit_test(test_a_key_that_was_taken_and_a_key_file_are_still_found_to_be_both_set),
        cmocka_unit_test(test_no_secrets_is_an_empty_set_and_a_pipe_is_refused),
        cmocka_unit_test(test_the_kernel_shows_no_key_in_a_process_environment_after_the_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
