/* The supervisor's reading when its storage fails: a file that can't be seen has not gone, and is not written over. */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "supervisor/agent/desired_state.h"
#include "supervisor/process/state_file.h"
#include "supervisor/store/mailbox.h"
#include "supervisor/store/shared_files.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/failing.h"

static char data_name[64];
static int data;

static int begin(void **state)
{
    strcpy(data_name, "/tmp/agentos-supervisor-XXXXXX");
    assert_non_null(mkdtemp(data_name));
    data = files_open_path(data_name, NULL);
    return data < 0;
}

static int end(void **state)
{
    close(data);
    OWNED char *command = memory_print("rm -rf %s", data_name);
    return system(command);
}

static void put(const char *folder, const char *name, const char *text)
{
    OWNED_FD int fd = files_open_folder(data, folder, true, NULL);
    assert_true(files_write(fd, name, text, strlen(text), false, NULL));
}

static void test_a_mailbox_that_is_listed_in_part_says_so(void **state)
{
    struct mailbox_names names;
    put("agents/orion/iac/outbox", "a.md", "x");
    put("agents/orion/iac/outbox", "b.md", "x");
    int nth = 0;
    for (bool failed = true; failed; nth++) {
        names_left = nth;
        assert_true(mailbox_list(data, "orion", FOLDER_OUTBOX, &names));
        failed = names_left == -1;
        names_left = -1;
        assert_int_equal(names.failed, failed);
        assert_int_equal(names.whole, !failed);
        mailbox_names_free(&names);
    }
    assert_int_equal(nth, 2 + 2 + 1 + 1); /* two dots, two names, the end; and once whole */
}

static void ignore(void *context, const char *file)
{
    ++*(int *)context;
}

static void test_a_shared_folder_that_is_listed_in_part_is_a_fault(void **state)
{
    int visits = 0;
    struct fault fault = {{0}};
    put("shared/locks", "a.md", "x");
    for (int nth = 0; nth < 4; nth++) {
        names_left = nth;
        assert_false(shared_each(data, "shared/locks", ignore, &visits, &fault));
        assert_non_null(strstr(fault.text, "shared/locks"));
    }
    visits = 0;
    assert_true(shared_each(data, "shared/locks", ignore, &visits, &fault));
    assert_int_equal(visits, 1);
}

struct memory_of_lines {
    int forgotten, lines;
};

static void forget(void *context)
{
    ((struct memory_of_lines *)context)->forgotten++;
}

static bool take_line(void *context, const char *section, const char *key, const char *value)
{
    ((struct memory_of_lines *)context)->lines++;
    return true;
}

static void test_a_state_file_that_can_not_be_read_is_kept_and_not_written_over(void **state)
{
    struct fault fault = {{0}};
    struct memory_of_lines memory = {0};
    struct state_file state_file = {.data = data, .name = "budget.md"};
    OWNED_BUFFER struct buffer text = {0};
    put("shared", "budget.md", "## orion\n- spent: 7\n");
    buffer_text(&text, "## orion\n- spent: 0\n");
    reads_left = 0;
    state_file_read(&state_file, forget, take_line, &memory);
    assert_int_equal(memory.forgotten, 0);
    assert_false(state_file_write(&state_file, &text, true, &fault));
    assert_non_null(strstr(fault.text, "shared/budget.md could not be read"));
    assert_true(state_file_changed(&state_file));
    state_file_read(&state_file, forget, take_line, &memory);
    assert_int_equal(memory.forgotten, 1);
    assert_int_equal(memory.lines, 1);
    assert_true(state_file_write(&state_file, &text, true, &fault));
}

static void test_a_state_file_that_nobody_could_read_back_is_not_written(void **state)
{
    struct fault fault = {{0}};
    struct state_file state_file = {.data = data, .name = "budget.md"};
    OWNED_BUFFER struct buffer text = {0};
    memset(buffer_room(&text, STATE_FILE_MAX + 1), '\n', STATE_FILE_MAX + 1);
    text.length = STATE_FILE_MAX + 1;
    assert_false(state_file_write(&state_file, &text, true, &fault));
    assert_non_null(strstr(fault.text, "shared/budget.md would have 16777217 bytes"));
    text.length = STATE_FILE_MAX;
    assert_true(state_file_write(&state_file, &text, true, &fault));
}

static void test_an_order_that_can_not_be_read_is_not_taken_for_none(void **state)
{
    struct fault fault = {{0}};
    struct desired_state desired;
    assert_true(desired_state_load(data, "orion", &desired, &fault));
    assert_false(desired.stopped || desired.paused);
    assert_true(desired_state_save(data, "orion", (struct desired_state){.stopped = true}, &fault));
    reads_left = 0;
    assert_false(desired_state_load(data, "orion", &desired, &fault));
    assert_non_null(strstr(fault.text, ".run/wanted/orion"));
    assert_true(desired_state_load(data, "orion", &desired, &fault));
    assert_true(desired.stopped);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_mailbox_that_is_listed_in_part_says_so),
        PROMISE(test_a_shared_folder_that_is_listed_in_part_is_a_fault),
        PROMISE(test_an_order_that_can_not_be_read_is_not_taken_for_none),
        PROMISE(test_a_state_file_that_can_not_be_read_is_kept_and_not_written_over),
        PROMISE(test_a_state_file_that_nobody_could_read_back_is_not_written),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
