/* Homes of locks and segments: claimed once, kept over a bucket that was lost, given up by deletion alone. This node is "here". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus_double.h"
#include "common/memory.h"
#include "supervisor/nodes/homes.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/loop.h"
#include "supervisor/store/shared_files.h"
#include "tests/unit/cmocka.h"

static struct local_node local;
static struct homes *homes;
static char path[64], told[512];

static void moved(void *context, enum home_kind kind, const char *file, const char *node)
{
    snprintf(told, sizeof told, "%s %s", file, node ? node : "(here)");
}

static void copy(void *context, enum home_kind kind, const char *file, const char *text, size_t length)
{
    snprintf(told, sizeof told, "%s: %.*s", file, (int)length, text);
}

static void back(void *context)
{
}

static void open_homes(void)
{
    local.bus = bus_link_open(&local);
    homes = homes_open(&local, &(struct homes_owner){.moved = moved, .copy = copy, .back = back});
    homes_begin(homes);
}

static void close_homes(void)
{
    homes_close(homes);
    bus_link_close(local.bus);
}

static int set_up(void **state)
{
    setenv("AGENTOS_NODE", "here", 1);
    strcpy(path, "/tmp/homes-XXXXXX");
    assert_non_null(mkdtemp(path));
    local = (struct local_node){.loop = loop_new(), .data = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    *told = '\0';
    open_homes();
    return 0;
}

static int tear_down(void **state)
{
    OWNED char *command = memory_print("rm -rf '%s'", path);
    close_homes();
    loop_free(local.loop);
    close(local.data);
    return system(command);
}

/* The bus is there, and has told all keys that there are. */
static void come(void)
{
    bus_double_state(true, "");
}

static const struct bus_deed *turn(void)
{
    bus_double_forget();
    loop_turn(local.loop, 0);
    return bus_double_last(BUS_DID_PUT);
}

static void all_told(void)
{
    bus_double_key(NULL, NULL, 0);
}

static void kept(const struct bus_deed *deed, uint64_t revision, const char *why)
{
    bus_double.owners[0].kept(bus_double.owners[0].context, deed->ticket, revision, why);
}

static const char *home_of_db(void)
{
    return homes_of(homes, HOME_LOCK, "db", true);
}

static void write_file(const char *text)
{
    struct fault fault;
    OWNED_BUFFER struct buffer whole = {0};
    buffer_text(&whole, text);
    assert_true(shared_write(local.data, SHARED_LOCKS, "db", &whole, false, &fault));
}

/* db is at home here, by the revision 7. *key is the caller's. */
static char *claim(void)
{
    come();
    assert_string_equal(home_of_db(), "");
    all_told();
    const struct bus_deed *deed = turn();
    assert_non_null(deed);
    assert_int_equal(deed->number, 0);
    assert_string_equal(home_of_db(), "");
    char *key = memory_text(deed->name);
    kept(deed, 7, "");
    assert_null(home_of_db());
    assert_string_equal(told, "db (here)");
    deed = turn();
    if (deed)
        kept(deed, 7, "");
    return key;
}

static void test_who_uses_a_name_first_has_it(void **state)
{
    OWNED char *key = claim();
    bus_double_key(key, "{\"name\":\"db\",\"node\":\"here\"}", 7);
    assert_null(home_of_db());
}

static void test_a_name_is_claimed_when_all_keys_are_known_and_by_compare_and_set(void **state)
{
    come();
    assert_string_equal(home_of_db(), "");
    assert_null(turn());
    all_told();
    const struct bus_deed *deed = turn();
    assert_int_equal(deed->number, 0);
    OWNED char *key = memory_text(deed->name);
    kept(deed, 0, BUS_OTHER_REVISION);
    bus_double_key(key, "{\"name\":\"db\",\"node\":\"there\",\"text\":\"held\"}", 5);
    assert_string_equal(home_of_db(), "there");
    assert_string_equal(told, "db: held");
    assert_null(turn());
}

static void test_the_file_is_told_with_each_change_by_the_revision_that_was_told(void **state)
{
    OWNED char *key = claim();
    write_file("a text");
    homes_changed(homes, HOME_LOCK, "db");
    const struct bus_deed *deed = turn();
    assert_string_equal(deed->name, key);
    assert_int_equal(deed->number, 7);
    assert_non_null(strstr(deed->text, "\"text\":\"a text\""));
    write_file("another");
    homes_changed(homes, HOME_LOCK, "db");
    kept(deed, 8, "");
    deed = turn();
    assert_int_equal(deed->number, 8);
    assert_non_null(strstr(deed->text, "another"));
}

static void test_a_home_stays_when_the_bucket_is_lost_and_its_node_puts_the_key_again(void **state)
{
    OWNED char *key = claim();
    bus_double_state(false, "away");
    assert_null(home_of_db());
    come();
    all_told();
    const struct bus_deed *deed = turn();
    assert_string_equal(deed->name, key);
    assert_int_equal(deed->number, 0);
}

static void test_a_home_elsewhere_stays_when_the_bucket_is_lost_and_nobody_else_claims_it(void **state)
{
    OWNED char *key = claim();
    bus_double_key(key, "{\"name\":\"db\",\"node\":\"there\"}", 9);
    assert_string_equal(home_of_db(), "there");
    bus_double_state(false, "away");
    come();
    all_told();
    assert_string_equal(home_of_db(), "there");
    assert_null(turn());
}

static void test_a_file_says_the_home_while_the_bus_is_away(void **state)
{
    write_file("---\nname: db\nhome: there\n---\n");
    assert_string_equal(home_of_db(), "there");
    write_file("---\nname: db\nhome: here\n---\n");
    close_homes();
    open_homes();
    assert_null(home_of_db());
}

static void test_a_key_that_somebody_deleted_is_the_next_users(void **state)
{
    OWNED char *key = claim();
    bus_double_key(key, "{\"name\":\"db\",\"node\":\"there\"}", 9);
    bus_double_key(key, NULL, 10);
    assert_string_equal(told, "db ");
    assert_null(turn());
    assert_string_equal(home_of_db(), "");
    const struct bus_deed *deed = turn();
    assert_non_null(deed);
    kept(deed, 11, "");
    assert_null(home_of_db());
}

static void test_a_lock_that_is_forgotten_is_anybodys_when_its_key_is_gone(void **state)
{
    OWNED char *key = claim();
    homes_forget(homes, HOME_LOCK, "db");
    assert_string_equal(home_of_db(), "");
    const struct bus_deed *deed = turn();
    assert_null(deed->text);
    assert_int_equal(deed->number, 7);
    kept(deed, 8, "");
    assert_string_equal(home_of_db(), "");
    bus_double_key(key, NULL, 8);
    assert_string_equal(home_of_db(), "");
    deed = turn();
    assert_non_null(deed->text);
    kept(deed, 9, "");
    assert_null(home_of_db());
}

static void test_keys_that_are_none_are_passed_over(void **state)
{
    come();
    bus_double_key("home.locks.0", "{\"name\":\"../../x\",\"node\":\"there\"}", 5);
    bus_double_key("home.locks.0", "{\"name\":\"db\",\"node\":\"there\"}", 5);
    bus_double_key("home.locks.0", "nothing", 5);
    all_told();
    assert_string_equal(home_of_db(), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_who_uses_a_name_first_has_it),
        TEST(test_a_name_is_claimed_when_all_keys_are_known_and_by_compare_and_set),
        TEST(test_the_file_is_told_with_each_change_by_the_revision_that_was_told),
        TEST(test_a_home_stays_when_the_bucket_is_lost_and_its_node_puts_the_key_again),
        TEST(test_a_home_elsewhere_stays_when_the_bucket_is_lost_and_nobody_else_claims_it),
        TEST(test_a_file_says_the_home_while_the_bus_is_away),
        TEST(test_a_key_that_somebody_deleted_is_the_next_users),
        TEST(test_a_lock_that_is_forgotten_is_anybodys_when_its_key_is_gone),
        TEST(test_keys_that_are_none_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
