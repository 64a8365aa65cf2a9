/* The control socket, against clients that are slow, torn, wrong and many. */
#include "supervised.h"

static struct supervised place;

static int begin(void **state)
{
    supervised_place(&place, 0);
    supervised_agents(&place, "orion");
    supervised_start(&place);
    EVENTUALLY(supervised_is(&place, "orion", "idle"));
    return 0;
}

static int end(void **state)
{
    supervised_end(&place);
    return 0;
}

static int ask(const char *request)
{
    return supervised_exit_of(&place, request);
}

static char *queue(void)
{
    OWNED_FD int data = open(place.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = NULL;
    size_t length;
    return files_read(data, "agents/orion/queue.md", 1 << 26, &text, &length, NULL, NULL) == 1
               ? text
               : memory_text("");
}

static void test_what_is_no_request_is_answered_and_changes_nothing(void **state)
{
    static const struct {
        const char *request;
        int exit;
    } table[] = {
        {"", EX_USAGE},
        {"[]", EX_USAGE},
        {"{\"verb\":", EX_USAGE},
        {"{}", EX_USAGE},
        {"{\"verb\":7}", EX_USAGE},
        {"{\"verb\":\"dance\"}", EX_USAGE},
        {"{\"verb\":\"stop\"}", EX_USAGE},
        {"{\"verb\":\"stop\",\"agent\":\"nobody\"}", EX_NOINPUT},
        {"{\"verb\":\"stop\",\"agent\":\"../orion\"}", EX_NOINPUT},
        {"{\"verb\":\"status\",\"agent\":\"nobody\"}", EX_NOINPUT},
        {"{\"verb\":\"cancel\",\"agent\":\"orion\"}", EX_USAGE},
        {"{\"verb\":\"task\",\"agent\":\"orion\"}", EX_DATAERR},
        {"{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\" \\n \"}", EX_DATAERR},
        {"{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"a\\nb\"}", EX_DATAERR},
        {"{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"priority\":\"soon\"}", EX_DATAERR},
        {"{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"ttl_seconds\":\"x\"}", EX_DATAERR},
        {"{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"ttl_seconds\":-1}", EX_DATAERR},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        json_t *answer = supervised_ask(&place, table[i].request);
        assert_non_null(answer);
        if (json_integer_value(json_object_get(answer, "exit")) != table[i].exit)
            fail_msg("%s: %lld", table[i].request,
                     (long long)json_integer_value(json_object_get(answer, "exit")));
        assert_non_null(json_string_value(json_object_get(answer, "complaint")));
        json_decref(answer);
    }
    OWNED char *text = queue();
    assert_string_equal(text, "");
}

/* The worker of these tests takes no block out of queue.md when its task is done. */
static void take_tasks_out(void)
{
    OWNED char *path = memory_print("%s/agents/orion/queue.md", place.data);
    unlink(path);
}

static void test_a_task_stands_in_queue_md_when_it_is_answered(void **state)
{
    assert_int_equal(ask("{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"do: it\",\"id\":\"first\","
                         "\"priority\":\"high\",\"ttl_seconds\":60,\"lock\":\"db\"}"),
                     0);
    OWNED char *text = queue();
    assert_non_null(strstr(text, "\n## first\ntask: do: it\npriority: high\ncreated: "));
    assert_non_null(strstr(text, "\nttl_seconds: 60\nlock: db\n"));
}

static void test_a_task_without_an_id_gets_one_and_it_is_told(void **state)
{
    json_t *answer = supervised_ask(&place, "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\"}");
    const char *id = json_string_value(json_object_get(answer, "id"));
    assert_non_null(id);
    OWNED char *header = memory_print("\n## %s\n", id);
    OWNED char *text = queue();
    assert_non_null(strstr(text, header));
    json_decref(answer);
}

static void test_a_link_where_queue_md_should_be_is_not_followed(void **state)
{
    OWNED char *victim = memory_print("%s/victim", place.folder);
    OWNED char *path = memory_print("%s/agents/orion/queue.md", place.data);
    unlink(path);
    close(open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(symlink(victim, path), 0);
    assert_int_not_equal(ask("{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\"}"), 0);
    struct stat status;
    assert_int_equal(stat(victim, &status), 0);
    assert_int_equal(status.st_size, 0);
    unlink(path);
}

static void test_wait_tells_how_the_task_ended(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    static const char request[] =
        "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\",\"wait\":true}\n";
    take_tasks_out();
    send(fd, request, sizeof request - 1, 0);
    json_t *accepted = supervised_hear(fd), *ended = supervised_hear(fd);
    assert_string_equal(json_string_value(json_object_get(accepted, "id")), "orion");
    assert_string_equal(json_string_value(json_object_get(ended, "end")), "done");
    assert_string_equal(json_string_value(json_object_get(ended, "commit")), "0123abc");
    assert_int_equal(json_integer_value(json_object_get(ended, "reward")), 1);
    json_decref(accepted);
    json_decref(ended);
}

static void test_cancel_knows_tasks_from_those_that_are_none(void **state)
{
    assert_int_equal(ask("{\"verb\":\"cancel\",\"agent\":\"orion\",\"task\":\"known\"}"), 0);
    assert_int_equal(ask("{\"verb\":\"cancel\",\"agent\":\"orion\",\"task\":\"other\"}"), EX_NOINPUT);
    assert_int_equal(ask("{\"verb\":\"stop\",\"agent\":\"orion\"}"), 0);
    assert_int_equal(ask("{\"verb\":\"cancel\",\"agent\":\"orion\",\"task\":\"known\"}"), EX_TEMPFAIL);
    assert_int_equal(ask("{\"verb\":\"start\",\"agent\":\"orion\"}"), 0);
}

static void test_orders_are_answered_when_they_are_carried_out(void **state)
{
    assert_int_equal(ask("{\"verb\":\"pause\",\"agent\":\"orion\"}"), 0);
    assert_true(supervised_is(&place, "orion", "paused"));
    assert_int_equal(ask("{\"verb\":\"resume\",\"agent\":\"orion\"}"), 0);
    assert_true(supervised_is(&place, "orion", "idle"));
    pid_t before = supervised_pid(&place, "orion");
    assert_int_equal(ask("{\"verb\":\"restart\",\"agent\":\"orion\"}"), 0);
    assert_true(supervised_is(&place, "orion", "idle"));
    pid_t then = supervised_pid(&place, "orion");
    assert_int_not_equal(then, before);
    assert_int_equal(ask("{\"verb\":\"kill\",\"agent\":\"orion\"}"), 0);
    assert_int_not_equal(supervised_pid(&place, "orion"), then);
    EVENTUALLY(supervised_is(&place, "orion", "idle"));
    assert_int_equal(ask("{\"verb\":\"stop\",\"agent\":\"orion\"}"), 0);
    assert_true(supervised_is(&place, "orion", "stopped"));
    assert_int_equal(ask("{\"verb\":\"start\",\"agent\":\"orion\"}"), 0);
    assert_true(supervised_is(&place, "orion", "idle"));
}

static void test_status_has_the_contracts_keys(void **state)
{
    json_t *answer = supervised_ask(&place, "{\"verb\":\"status\"}");
    json_t *status = json_object_get(answer, "status");
    json_t *agent = json_array_get(json_object_get(status, "agents"), 0);
    static const char *const keys[] = {"name",
                                       "state",
                                       "pid",
                                       "uptime_seconds",
                                       "restarts",
                                       "last_exit",
                                       "queue_depth",
                                       "inbox_depth",
                                       "handoff_depth",
                                       "outbox_depth",
                                       "dead_letters",
                                       "throughput_class",
                                       "negative_streak",
                                       "tasks_done",
                                       "tokens_today",
                                       "memory_bytes",
                                       "problems"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_non_null(json_object_get(agent, keys[i]));
    assert_true(json_integer_value(json_object_get(agent, "memory_bytes")) > 0);
    json_t *supervisor = json_object_get(status, "supervisor");
    assert_int_equal(json_integer_value(json_object_get(supervisor, "pid")), place.pid);
    assert_non_null(json_string_value(json_object_get(supervisor, "version")));
    assert_non_null(json_string_value(json_object_get(supervisor, "sandbox")));
    json_decref(answer);
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || (json_is_integer(value) && json_integer_value(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static const char *key_in(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, keys[i]) == 0)
            return keys[i];
    return NULL;
}

static void test_a_row_of_status_has_each_key_of_the_table_that_is_not_empty(void **state)
{
    static const char *const not_shown[] = {"model", "outbox_depth", "throughput_class",
                                            "cached_tokens_today", "requests_today"};
    static const char *const measured[] = {"uptime_seconds", "memory_bytes"}; /* differ from look to look */
    json_t *whole = supervised_ask(&place, "{\"verb\":\"status\",\"agent\":\"orion\"}");
    json_t *rows = supervised_ask(&place, "{\"verb\":\"status\",\"agent\":\"orion\",\"rows\":true}");
    json_t *agent = json_array_get(json_object_get(json_object_get(whole, "status"), "agents"), 0);
    json_t *row = json_array_get(json_object_get(json_object_get(rows, "status"), "agents"), 0);
    const char *key;
    json_t *value;
    assert_true(json_object_size(row) > 4);
    json_object_foreach(agent, key, value)
    {
        if (key_in(key, not_shown, sizeof not_shown / sizeof not_shown[0]))
            assert_null(json_object_get(row, key));
        else if (!key_in(key, measured, sizeof measured / sizeof measured[0]))
            assert_true(json_equal(value, json_object_get(row, key)) ||
                        (is_empty(value) && !json_object_get(row, key)));
    }
    json_object_foreach(row, key, value)
    {
        assert_non_null(json_object_get(agent, key));
        assert_false(is_empty(value));
    }
    assert_true(json_equal(json_object_get(json_object_get(whole, "status"), "supervisor"),
                           json_object_get(json_object_get(rows, "status"), "supervisor")));
    json_decref(whole);
    json_decref(rows);
}

static void test_a_request_that_is_too_long_is_refused(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    OWNED char *long_one = memory_new(CONTROL_MAX + 100, 1);
    memset(long_one, 'x', CONTROL_MAX + 99);
    for (size_t sent = 0; sent < CONTROL_MAX + 99;) {
        ssize_t n = send(fd, long_one + sent, CONTROL_MAX + 99 - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    json_t *answer = supervised_hear(fd);
    if (answer) /* the client may hang up before all is sent */
        assert_int_equal(json_integer_value(json_object_get(answer, "exit")), EX_DATAERR);
    json_decref(answer);
    assert_true(supervised_is(&place, "orion", "idle"));
}

static void test_clients_that_say_nothing_or_half_hold_up_nobody(void **state)
{
    int idle[40];
    for (size_t i = 0; i < 40; i++) {
        idle[i] = supervised_connect(&place);
        assert_true(idle[i] >= 0);
        if (i % 2)
            send(idle[i], "{\"verb\":\"st", 11, MSG_NOSIGNAL);
    }
    assert_true(supervised_is(&place, "orion", "idle"));
    for (size_t i = 0; i < 40; i++)
        close(idle[i]);
    assert_true(supervised_is(&place, "orion", "idle"));
}

static void test_past_the_limit_of_clients_one_is_told_to_try_again(void **state)
{
    enum { MANY = 160 };
    int fds[MANY];
    for (size_t i = 0; i < MANY; i++)
        fds[i] = supervised_connect(&place);
    json_t *answer = supervised_hear(fds[MANY - 1]);
    assert_int_equal(json_integer_value(json_object_get(answer, "exit")), EX_TEMPFAIL);
    json_decref(answer);
    for (size_t i = 0; i < MANY; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    EVENTUALLY(supervised_is(&place, "orion", "idle"));
}

static void test_a_client_that_waits_may_close_its_writing_side_or_leave(void **state)
{
    static const char request[] =
        "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\",\"wait\":true}\n";
    take_tasks_out();
    OWNED_FD int half = supervised_connect(&place);
    send(half, request, sizeof request - 1, 0);
    shutdown(half, SHUT_WR);
    json_t *accepted = supervised_hear(half), *ended = supervised_hear(half);
    assert_non_null(accepted);
    assert_non_null(ended);
    json_decref(accepted);
    json_decref(ended);
    int gone = supervised_connect(&place);
    send(gone, request, sizeof request - 1, 0);
    close(gone);
    assert_true(supervised_pid(&place, "orion") > 0);
    take_tasks_out();
}

/* --- several requests on one connection --- */

static const char STATUS[] = "{\"verb\":\"status\"}\n";

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static int exit_heard(int fd)
{
    json_t *answer = supervised_hear(fd);
    int exit = answer ? (int)json_integer_value(json_object_get(answer, "exit")) : -1;
    json_decref(answer);
    return exit;
}

static void test_requests_on_one_connection_are_answered_each_and_in_their_order(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    say(fd, STATUS);
    assert_int_equal(exit_heard(fd), EX_OK);
    say(fd, "{\"verb\":\"status\"}\n{\"verb\":\"dance\"}\n[]\n{\"verb\":\"status\",\"agent\":\"nobody\"}\n{"
            "\"verb\"");
    assert_int_equal(exit_heard(fd), EX_OK);
    assert_int_equal(exit_heard(fd), EX_USAGE);
    assert_int_equal(exit_heard(fd), EX_USAGE);
    assert_int_equal(exit_heard(fd), EX_NOINPUT);
    say(fd, ":\"status\",\"agent\":\"orion\"}\n");
    assert_int_equal(exit_heard(fd), EX_OK);
}

static void test_what_is_asked_behind_a_wait_is_answered_when_the_wait_is_over(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    say(fd, "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\",\"wait\":true}\n");
    say(fd, STATUS);
    json_t *accepted = supervised_hear(fd), *ended = supervised_hear(fd), *status = supervised_hear(fd);
    assert_non_null(json_object_get(accepted, "id"));
    assert_non_null(json_object_get(ended, "end"));
    assert_non_null(json_object_get(status, "status"));
    json_decref(accepted);
    json_decref(ended);
    json_decref(status);
}

static void test_half_a_request_behind_a_whole_one_is_not_done(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    say(fd, STATUS);
    say(fd, "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"torn\"}");
    shutdown(fd, SHUT_WR);
    assert_int_equal(exit_heard(fd), EX_OK);
    assert_null(supervised_hear(fd)); /* its end */
    OWNED char *text = queue();
    assert_null(strstr(text, "## torn"));
}

static void test_what_was_asked_before_the_writing_side_was_closed_is_answered_to_the_last(void **state)
{
    enum { MANY = 50 };
    OWNED_FD int fd = supervised_connect(&place);
    for (int i = 0; i < MANY; i++)
        say(fd, STATUS);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(exit_heard(fd), EX_OK);
    assert_null(supervised_hear(fd));
}

/* The sockets' buffers bound the requests that the supervisor takes: the supervisor reads no further than its answers
 * are read. */
static void test_who_floods_and_reads_no_answer_is_not_read_any_further_and_holds_up_nobody(void **state)
{
    enum { BOUND = 64 * 1024 * 1024 };
    OWNED_FD int fd = supervised_connect(&place);
    size_t sent = 0, length = sizeof STATUS - 1;
    /* Other clients are served in between: when they were served often enough and no more bytes are taken, the first
     * client is stuck. */
    for (int stuck = 0; stuck < 20 && sent < BOUND; stuck++) {
        ssize_t n;
        while ((n = send(fd, STATUS + sent % length, length - sent % length, MSG_NOSIGNAL | MSG_DONTWAIT)) >
               0) {
            sent += (size_t)n;
            stuck = 0;
        }
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(ask("{\"verb\":\"status\"}"), EX_OK);
    }
    assert_true(sent < BOUND);
    for (size_t i = 0; i < sent / length; i++)
        assert_int_equal(exit_heard(fd), EX_OK);
}

static void test_behind_a_request_that_is_too_long_nothing_more_is_read(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    OWNED char *long_one = memory_new(CONTROL_MAX + 2, 1);
    memset(long_one, 'x', CONTROL_MAX + 1);
    say(fd, STATUS);
    assert_int_equal(exit_heard(fd), EX_OK);
    for (size_t sent = 0; sent < CONTROL_MAX + 1;) {
        ssize_t n = send(fd, long_one + sent, CONTROL_MAX + 1 - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    (void)!send(fd, "\n{}\n", 4, MSG_NOSIGNAL); /* the client may have hung up */
    assert_int_equal(exit_heard(fd), EX_DATAERR);
    assert_null(supervised_hear(fd));
}

static void test_who_follows_the_events_is_answered_nothing_else(void **state)
{
    OWNED_FD int fd = supervised_connect(&place);
    say(fd, "{\"verb\":\"events\"}\n");
    assert_int_equal(exit_heard(fd), EX_OK);
    say(fd, STATUS);
    assert_int_equal(ask("{\"verb\":\"pause\",\"agent\":\"orion\"}"), 0);
    assert_int_equal(ask("{\"verb\":\"resume\",\"agent\":\"orion\"}"), 0);
    for (int paused = 0; !paused;) {
        json_t *line = supervised_hear(fd);
        assert_non_null(json_object_get(line, "event"));
        const char *to = json_string_value(json_object_get(line, "to"));
        paused = to && strcmp(to, "paused") == 0;
        json_decref(line);
    }
}

/* All cases at once, for each takes REQUEST_MS. */
static void test_who_says_nothing_or_half_is_cut_off_before_a_request_and_behind_one(void **state)
{
    static const char *const said[] = {"", "{\"verb\":\"st", "{\"verb\":\"status\"}\n",
                                       "{\"verb\":\"status\"}\n{\"verb\":\"st"};
    enum { MANY = sizeof said / sizeof *said };
    int fds[MANY];
    for (size_t i = 0; i < MANY; i++) {
        fds[i] = supervised_connect(&place);
        say(fds[i], said[i]);
        if (i >= 2)
            assert_int_equal(exit_heard(fds[i]), EX_OK);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_null(supervised_hear(fds[i]));
        close(fds[i]);
    }
}

int main(int count, char **arguments)
{
    supervised_main(count, arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_request_is_answered_and_changes_nothing),
        cmocka_unit_test(test_a_task_stands_in_queue_md_when_it_is_answered),
        cmocka_unit_test(test_a_task_without_an_id_gets_one_and_it_is_told),
        cmocka_unit_test(test_a_link_where_queue_md_should_be_is_not_followed),
        cmocka_unit_test(test_wait_tells_how_the_task_ended),
        cmocka_unit_test(test_cancel_knows_tasks_from_those_that_are_none),
        cmocka_unit_test(test_orders_are_answered_when_they_are_carried_out),
        cmocka_unit_test(test_status_has_the_contracts_keys),
        cmocka_unit_test(test_a_row_of_status_has_each_key_of_the_table_that_is_not_empty),
        cmocka_unit_test(test_a_request_that_is_too_long_is_refused),
        cmocka_unit_test(test_clients_that_say_nothing_or_half_hold_up_nobody),
        cmocka_unit_test(test_past_the_limit_of_clients_one_is_told_to_try_again),
        cmocka_unit_test(test_a_client_that_waits_may_close_its_writing_side_or_leave),
        cmocka_unit_test(test_requests_on_one_connection_are_answered_each_and_in_their_order),
        cmocka_unit_test(test_what_is_asked_behind_a_wait_is_answered_when_the_wait_is_over),
        cmocka_unit_test(test_half_a_request_behind_a_whole_one_is_not_done),
        cmocka_unit_test(test_what_was_asked_before_the_writing_side_was_closed_is_answered_to_the_last),
        cmocka_unit_test(test_who_floods_and_reads_no_answer_is_not_read_any_further_and_holds_up_nobody),
        cmocka_unit_test(test_behind_a_request_that_is_too_long_nothing_more_is_read),
        cmocka_unit_test(test_who_follows_the_events_is_answered_nothing_else),
        cmocka_unit_test(test_who_says_nothing_or_half_is_cut_off_before_a_request_and_behind_one),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
