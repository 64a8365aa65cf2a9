/* A folder's names, all of them or a fault; also where reading the folder fails. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/failing.h"

enum { NAMES = 40 };

static char folder_name[64];
static int folder;

static int setup(void **state)
{
    strcpy(folder_name, "/tmp/agentos-listing-XXXXXX");
    assert_non_null(mkdtemp(folder_name));
    folder = files_open_path(folder_name, NULL);
    names_left = -1;
    assert_int_equal(mkdirat(folder, "box", 0755), 0);
    for (int i = 0; i < NAMES; i++) {
        OWNED char *name = memory_print("box/name-%d", i);
        assert_true(files_write(folder, name, "x", 1, false, NULL));
    }
    return folder < 0;
}

static int teardown(void **state)
{
    close(folder);
    OWNED char *command = memory_print("rm -rf %s", folder_name);
    return system(command);
}

/* How many names were met; -1: the listing says that it was not whole. */
static int count(struct fault *fault)
{
    int met = 0;
    struct listing *listing = listing_open(folder, "box", fault);
    assert_non_null(listing);
    for (const char *name; (name = listing_next(listing)); met++)
        assert_int_equal(strncmp(name, "name-", 5), 0);
    bool failed = listing_failed(listing);
    errno = 0;
    bool whole = listing_close(listing, fault);
    assert_int_equal(whole, !failed);
    assert_int_equal(errno, whole ? 0 : EIO);
    return whole ? met : -1;
}

static void test_all_names_are_met_without_the_dots(void **state)
{
    assert_int_equal(count(NULL), NAMES);
    OWNED char *command = memory_print("rm %s/box/*", folder_name);
    assert_int_equal(system(command), 0);
    assert_int_equal(count(NULL), 0);
}

static void test_a_fault_at_any_name_is_never_taken_for_the_end(void **state)
{
    for (int at = 0; at <= NAMES + 2; at++) { /* two dots, and the end */
        struct fault fault = {{0}};
        names_left = at;
        assert_int_equal(count(&fault), -1);
        assert_string_equal(fault.text, "cannot list the folder box to its end: Input/output error");
    }
    names_left = -1;
    assert_int_equal(count(NULL), NAMES);
}

static void test_after_a_fault_no_more_names_come(void **state)
{
    struct listing *listing = listing_open(folder, "box", NULL);
    names_left = 5;
    while (listing_next(listing))
        ;
    assert_null(listing_next(listing));
    assert_false(listing_close(listing, NULL));
}

static void test_who_stops_early_has_no_fault(void **state)
{
    struct listing *listing = listing_open(folder, "box", NULL);
    assert_non_null(listing_next(listing));
    assert_true(listing_close(listing, NULL));
}

static void test_what_is_no_folder_beneath_is_a_fault_with_its_errno(void **state)
{
    struct fault fault = {{0}};
    assert_int_equal(symlinkat("/tmp", folder, "link"), 0);
    assert_null(listing_open(folder, "link", &fault));
    assert_true(files_lasting(errno));
    assert_null(listing_open(folder, "box/name-0", NULL));
    assert_int_equal(errno, ENOTDIR);
    assert_null(listing_open(folder, "none", &fault));
    assert_int_equal(errno, ENOENT);
    assert_false(files_lasting(errno));
    assert_string_equal(fault.text, "cannot list the folder none: No such file or directory");
    struct listing *listing = listing_take(files_open(folder, "box/name-0", O_RDONLY, 0), "it", NULL);
    assert_null(listing_next(listing));
    assert_false(listing_close(listing, NULL));
    assert_int_equal(errno, ENOTDIR);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_all_names_are_met_without_the_dots),
        PROMISE(test_a_fault_at_any_name_is_never_taken_for_the_end),
        PROMISE(test_after_a_fault_no_more_names_come),
        PROMISE(test_who_stops_early_has_no_fault),
        PROMISE(test_what_is_no_folder_beneath_is_a_fault_with_its_errno),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
