/* The post office when an outbox can't be listed to its end: what lies there is sent, and in its order. */
#include "tests/unit/failing.h"

#include "post_office.h"

enum { NAMES = 2 + 2 + 1 /* the dots, two letters, the end */ };

static void test_an_outbox_that_is_listed_in_part_is_sent_whole_and_in_order(void **state)
{
    struct office *office = *state;
    for (int nth = 0; nth < NAMES; nth++) {
        /* The older one has the later name: neither the folder's order nor the names' is right by chance. */
        OWNED char *old = memory_print("z%d", nth), *new = memory_print("a%d", nth);
        OWNED char *old_said = memory_print("orion verdict %s delivered", old);
        OWNED char *new_said = memory_print("orion verdict %s delivered", new);
        struct envelope first = office_letter(old, KIND_MESSAGE, "orion", "nova");
        struct envelope second = office_letter(new, KIND_MESSAGE, "orion", "nova");
        first.created = clock_now() - 50;
        second.created = clock_now() - 40;
        office_command("rm -f %s/agents/orion/iac/outbox/* %s/agents/nova/iac/inbox/*", office->folder,
                       office->folder);
        office_put(office, "orion", FOLDER_OUTBOX, &first);
        office_put(office, "orion", FOLDER_OUTBOX, &second);
        names_left = nth;
        post_rings(office->post, "orion", "");
        UNTIL(office, office_said(office, old_said) && office_said(office, new_said));
        assert_int_equal(names_left, -1);
        assert_true(strstr(office->said.data, old_said) < strstr(office->said.data, new_said));
        office_forget(office);
    }
}

int main(void)
{
    const struct CMUnitTest promises[] = {
        cmocka_unit_test_setup_teardown(test_an_outbox_that_is_listed_in_part_is_sent_whole_and_in_order,
                                        office_setup, office_teardown),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
