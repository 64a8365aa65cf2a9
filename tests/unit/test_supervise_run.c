/* The whole supervisor with its zygote, against workers that behave and that don't. */
#include "supervised.h"

#include <sys/file.h>

static int begin(void **state)
{
    struct supervised *supervised = memory_new(1, sizeof *supervised);
    supervised_place(supervised, 0);
    *state = supervised;
    return 0;
}

static int end(void **state)
{
    supervised_end(*state);
    free(*state);
    return 0;
}

static void test_it_says_ready_and_running_as_the_article_does(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion iris");
    supervised_start(supervised);
    EVENTUALLY(
        supervised_logged(supervised, "INFO [agentos] AgentOS running with 2 agent(s). Polling every 1s.\n"));
    OWNED char *ready =
        memory_print("INFO [agentos] Agent 'orion' ready at %s/agents/orion\n", supervised->data);
    assert_true(supervised_logged(supervised, ready));
    kill(supervised->pid, SIGTERM);
    assert_int_equal(supervised_wait(supervised), 0);
}

static void test_a_second_supervisor_is_refused_and_told_whose_the_first_is(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    pid_t first = supervised->pid;
    supervised_start(supervised);
    assert_int_equal(supervised_wait(supervised), EX_TEMPFAIL);
    OWNED char *whose = memory_print("(pid %d)", (int)first);
    assert_true(supervised_logged(supervised, whose));
    supervised->pid = first;
    assert_true(supervised_is(supervised, "orion", "idle"));
}

static void test_a_faulty_agents_yaml_starts_nothing(void **state)
{
    struct supervised *supervised = *state;
    supervised_yaml(supervised, "agents:\n  - name: orion\n    persona: p\n    surprise: 1\n");
    supervised_start(supervised);
    assert_int_equal(supervised_wait(supervised), EX_CONFIG);
    assert_true(supervised_logged(supervised, "agents.yaml:4:"));
    OWNED char *agents = memory_print("%s/agents", supervised->data);
    assert_int_not_equal(access(agents, F_OK), 0);
}

static void test_a_killed_worker_is_started_again_at_once(void **state)
{
    struct supervised *supervised = *state;
    pid_t before = supervised_start_until_idle(supervised, "orion", "orion");
    kill(before, SIGKILL);
    EVENTUALLY(supervised_pid(supervised, "orion") > 0 && supervised_pid(supervised, "orion") != before);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    json_t *exit = supervised_field(supervised, "orion", "last_exit");
    assert_string_equal(json_string_value(exit), "signal 9");
    json_decref(exit);
}

static void test_one_broken_agent_never_stops_another(void **state)
{
    struct supervised *supervised = *state;
    OWNED char *agents = memory_print("%s/agents", supervised->data);
    OWNED char *blocked = memory_print("%s/blocked", agents);
    assert_int_equal(mkdir(agents, 0755), 0);
    close(open(blocked, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)); /* a file where its folder should be */
    supervised_agents(supervised, "blocked crasher hopeless liar stranger greedy orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_logged(supervised, "AgentOS running with"));
    assert_true(supervised_logged(supervised, " Not started: blocked"));
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    assert_true(supervised_is(supervised, "blocked", "failed"));
    json_t *problems = supervised_field(supervised, "blocked", "problems");
    assert_int_equal(json_array_size(problems), 1);
    json_decref(problems);
    EVENTUALLY(supervised_is(supervised, "hopeless", "failed"));
    EVENTUALLY(supervised_is(supervised, "crasher", "backoff"));
    EVENTUALLY(supervised_logged(supervised, "Worker of agent 'liar'"));
    EVENTUALLY(supervised_logged(supervised, "Worker of agent 'stranger'"));
    EVENTUALLY(supervised_logged(supervised, "Worker of agent 'greedy'"));
    assert_true(supervised_is(supervised, "orion", "idle"));
}

static void test_workers_end_with_their_supervisor_however_it_ends(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    OWNED char *tree = memory_print("%s/agents/orion", supervised->data);
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_not_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* the worker owns its tree */
    kill(supervised->pid, SIGKILL);
    supervised_wait(supervised);
    EVENTUALLY(flock(fd, LOCK_EX | LOCK_NB) == 0);
    close(fd);
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
}

static pid_t child_called(const struct supervised *supervised, const char *comm)
{
    OWNED char *command = memory_print("ps --ppid %d -o pid=,comm= | awk '$2 == \"%s\" { print $1 }'",
                                       (int)supervised->pid, comm);
    FILE *pipe = popen(command, "re");
    int pid = 0;
    if (fscanf(pipe, "%d", &pid) != 1)
        pid = 0;
    pclose(pipe);
    return pid;
}

static void test_the_zygotes_death_harms_no_worker_and_new_ones_come_from_the_next(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion iris");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle") && supervised_is(supervised, "iris", "idle"));
    pid_t orion = supervised_pid(supervised, "orion"), iris = supervised_pid(supervised, "iris");
    pid_t zygote = child_called(supervised, "agentos-zygote");
    assert_true(zygote > 0);
    kill(zygote, SIGKILL);
    kill(orion, SIGKILL);
    EVENTUALLY(supervised_pid(supervised, "orion") > 0 && supervised_pid(supervised, "orion") != orion);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    assert_int_equal(supervised_pid(supervised, "iris"), iris);
}

static void test_a_question_outlives_its_gateway(void **state)
{
    struct supervised *supervised = *state;
    OWNED char *marker = memory_print("%s/gateway-dies", supervised->folder);
    close(open(marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    /* The worker asks as somebody else; the answer names the agent whose connection it was. */
    assert_int_equal(
        supervised_exit_of(supervised,
                           "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\"}"),
        0);
    EVENTUALLY(supervised_logged(supervised, "The gateway"));
    EVENTUALLY(access(marker, F_OK) != 0);
    OWNED_FD int fd = supervised_connect(supervised);
    static const char request[] =
        "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\",\"wait\":true}\n";
    send(fd, request, sizeof request - 1, 0);
    json_t *accepted = supervised_hear(fd), *ended = supervised_hear(fd);
    assert_string_equal(json_string_value(json_object_get(ended, "end")), "done");
    assert_int_equal(json_integer_value(json_object_get(ended, "reward")), 1);
    json_decref(accepted);
    json_decref(ended);
}

static void test_a_stop_outlives_a_restart_of_the_supervisor(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion iris");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle") && supervised_is(supervised, "iris", "idle"));
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"stop\",\"agent\":\"orion\"}"), 0);
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"pause\",\"agent\":\"iris\"}"), 0);
    kill(supervised->pid, SIGTERM);
    assert_int_equal(supervised_wait(supervised), 0);
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "iris", "paused"));
    assert_true(supervised_is(supervised, "orion", "stopped"));
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"start\",\"agent\":\"orion\"}"), 0);
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"resume\",\"agent\":\"iris\"}"), 0);
    assert_true(supervised_is(supervised, "orion", "idle"));
    EVENTUALLY(supervised_is(supervised, "iris", "idle"));
}

static void test_a_worker_that_ignores_its_stop_is_ended_after_the_grace(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "stubborn orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "stubborn", "idle"));
    kill(supervised->pid, SIGTERM);
    assert_int_equal(supervised_wait(supervised), 0);
}

static void test_a_task_that_outlives_task_seconds_has_its_worker_killed(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "slow");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "slow", "idle"));
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"task\",\"agent\":\"slow\",\"text\":\"t\"}"),
                     0);
    EVENTUALLY(supervised_logged(supervised, "took more than task_seconds (1 s)"));
    EVENTUALLY(supervised_is(supervised, "slow", "idle"));
}

/* A stopped process answers nothing; only heartbeats tell it from an idle process. */
static void test_a_worker_that_does_not_answer_its_heartbeats_is_killed_and_replaced(void **state)
{
    struct supervised *supervised = *state;
    supervised->heartbeat_ms = 700;
    supervised_agents(supervised, "orion iris");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle") && supervised_is(supervised, "iris", "idle"));
    pid_t frozen = supervised_pid(supervised, "orion"), other = supervised_pid(supervised, "iris");
    assert_int_equal(kill(frozen, SIGSTOP), 0);
    EVENTUALLY(supervised_pid(supervised, "orion") > 0 && supervised_pid(supervised, "orion") != frozen);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    assert_true(supervised_logged(supervised, "is killed: it does not answer"));
    assert_int_equal(supervised_pid(supervised, "iris"), other);
}

static int64_t beats(const struct supervised *supervised, const char *agent)
{
    struct stat about = {0};
    OWNED char *path = memory_print("%s/agents/%s/beats", supervised->data, agent);
    stat(path, &about);
    return about.st_size;
}

static void test_a_worker_with_nothing_in_hand_is_asked_each_sixth_time(void **state)
{
    struct supervised *supervised = *state;
    supervised->heartbeat_ms = 100;
    supervised_yaml(supervised, "agents: [{name: slow, persona: p}, {name: orion, persona: p}]\n");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "slow", "idle") && supervised_is(supervised, "orion", "idle"));
    supervised_exit_of(supervised, "{\"verb\":\"task\",\"agent\":\"slow\",\"text\":\"t\"}");
    EVENTUALLY(supervised_is(supervised, "slow", "working"));
    int64_t busy = beats(supervised, "slow"), idle = beats(supervised, "orion");
    EVENTUALLY(beats(supervised, "slow") >= busy + 30);
    busy = beats(supervised, "slow") - busy;
    idle = beats(supervised, "orion") - idle;
    assert_in_range(idle, busy / 6 - 2, busy / 6 + 2);
}

/* The worker talks without end, but never answers its heartbeats. */
static void test_a_worker_that_answers_a_heartbeat_that_was_not_sent_has_answered_none(void **state)
{
    struct supervised *supervised = *state;
    supervised->heartbeat_ms = 100;
    supervised_agents(supervised, "parrot");
    supervised_start(supervised);
    EVENTUALLY(supervised_logged(supervised, "is killed: it does not answer"));
}

static void test_a_worker_that_waits_for_a_model_answers_its_heartbeats(void **state)
{
    struct supervised *supervised = *state;
    supervised->heartbeat_ms = 500;
    supervised_yaml(supervised, "agents: [{name: slow, persona: p}]\n");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "slow", "idle"));
    pid_t before = supervised_pid(supervised, "slow");
    supervised_exit_of(supervised, "{\"verb\":\"task\",\"agent\":\"slow\",\"text\":\"t\"}");
    EVENTUALLY(supervised_is(supervised, "slow", "working"));
    for (int64_t until = clock_monotonic_ms() + 2500; clock_monotonic_ms() < until;)
        supervised_nap();
    assert_int_equal(supervised_pid(supervised, "slow"), before);
    assert_true(supervised_is(supervised, "slow", "working"));
}

static void test_a_path_longer_than_a_sockets_is_no_matter(void **state)
{
    struct supervised *supervised = *state;
    supervised_end(supervised);
    supervised_place(supervised, 220);
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
}

static void test_a_folder_that_was_replaced_gets_a_new_worker(void **state)
{
    struct supervised *supervised = *state;
    pid_t before = supervised_start_until_idle(supervised, "orion", "orion");
    OWNED char *from = memory_print("%s/agents/orion", supervised->data);
    OWNED char *to = memory_print("%s/agents/elsewhere", supervised->data);
    assert_int_equal(rename(from, to), 0);
    EVENTUALLY(supervised_pid(supervised, "orion") > 0 && supervised_pid(supervised, "orion") != before);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    assert_int_equal(access(from, F_OK), 0);
}

static void test_a_reload_touches_only_whom_it_concerns(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion iris");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle") && supervised_is(supervised, "iris", "idle"));
    pid_t orion = supervised_pid(supervised, "orion");
    supervised_agents(supervised, "orion nova"); /* the file is watched */
    EVENTUALLY(supervised_is(supervised, "nova", "idle"));
    EVENTUALLY(supervised_exit_of(supervised, "{\"verb\":\"status\",\"agent\":\"iris\"}") == EX_NOINPUT);
    assert_int_equal(supervised_pid(supervised, "orion"), orion);
    supervised_yaml(supervised, "agents: [\n");
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"reload\"}"), EX_CONFIG);
    assert_true(supervised_is(supervised, "nova", "idle"));
    assert_int_equal(supervised_pid(supervised, "orion"), orion);
}

/* --- .run/rested (rested.h) --- */

static void make_folders(const struct supervised *supervised, const char *name)
{
    OWNED char *command = memory_print("mkdir -p %s/agents/%s/iac/inbox %s/agents/%s/iac/handoffs",
                                       supervised->data, name, supervised->data, name);
    assert_int_equal(system(command), 0);
}

static bool is_listed(const struct supervised *supervised, const char *name)
{
    OWNED_FD int data = open(supervised->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWNED char *line = memory_print("\n+%s ", name), *text = NULL;
    size_t length;
    return files_read(data, ".run/rested", 1 << 20, &text, &length, NULL, NULL) == 1 && strstr(text, line);
}

static void test_who_was_called_while_it_left_or_has_problems_is_not_noted_as_asleep(void **state)
{
    struct supervised *supervised = *state;
    static const char *const names[] = {"rester", "called", "worried"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        make_folders(supervised, names[i]);
    supervised_yaml(supervised, "warm_workers: 0\nagents: [{name: rester, persona: p}, "
                                "{name: called, persona: p}, {name: worried, persona: p}]\n");
    supervised_start(supervised);
    EVENTUALLY(is_listed(supervised, "rester"));
    EVENTUALLY(supervised_logged(supervised, "Agent 'called' hibernates"));
    EVENTUALLY(supervised_is(supervised, "called", "idle") &&
               supervised_is(supervised, "worried", "hibernating"));
    assert_false(is_listed(supervised, "called") || is_listed(supervised, "worried"));
}

/* The kernel tells a little late of files that a worker wrote itself: the worker was sent away already by then. */
static void test_a_notice_of_a_queue_that_did_not_change_wakes_nobody_who_leaves(void **state)
{
    struct supervised *supervised = *state;
    make_folders(supervised, "alarmed");
    OWNED char *queue = memory_print("touch %s/agents/alarmed/queue.md", supervised->data);
    assert_int_equal(system(queue), 0);
    supervised_yaml(supervised, "warm_workers: 0\nagents: [{name: alarmed, persona: p}]\n");
    supervised_start(supervised);
    EVENTUALLY(supervised_logged(supervised, "Agent 'alarmed' hibernates"));
    EVENTUALLY(is_listed(supervised, "alarmed"));
    assert_true(supervised_is(supervised, "alarmed", "hibernating"));
}

static void test_an_agent_that_is_redefined_before_its_order_is_known_does_not_go_on_hibernating(void **state)
{
    struct supervised *supervised = *state;
    OWNED char *order = memory_print("%s/.run/wanted/rester", supervised->data);
    OWNED char *hide = memory_print("mkdir -p %s", order);
    make_folders(supervised, "rester");
    supervised_yaml(supervised, "warm_workers: 0\nagents: [{name: rester, persona: p}]\n");
    supervised_start(supervised);
    EVENTUALLY(is_listed(supervised, "rester"));
    kill(supervised->pid, SIGKILL);
    supervised_wait(supervised);
    assert_int_equal(system(hide), 0);
    supervised_start(supervised);
    EVENTUALLY(supervised_logged(supervised, "its orders can't be read"));
    supervised_yaml(supervised, "warm_workers: 0\nagents: [{name: rester, persona: another}]\n");
    EVENTUALLY(supervised_exit_of(supervised, "{\"verb\":\"reload\"}") == 0);
    assert_false(supervised_logged(supervised, "Agent 'rester' ready"));
    assert_int_equal(rmdir(order), 0);
    EVENTUALLY(supervised_logged(supervised, "Agent 'rester' ready"));
}

/* As many as there are starts at once have theirs. */
static void test_agents_that_wait_for_their_start_have_no_descriptor(void **state)
{
    enum { AGENTS = 100, FEW = 60 };
    struct supervised *supervised = *state;
    OWNED_BUFFER struct buffer yaml = {0};
    buffer_text(&yaml, "agents:\n");
    for (int i = 0; i < AGENTS; i++)
        buffer_print(&yaml, "  - {name: tardy-%d, persona: p}\n", i);
    supervised_yaml(supervised, yaml.data);
    for (int i = 0; i < AGENTS; i++) {
        OWNED char *name = memory_print("tardy-%d", i);
        make_folders(supervised, name);
    }
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "tardy-99", "starting"));
    OWNED char *few =
        memory_print("test $(ls -l /proc/%d/fd | grep -c /agents/tardy-) -lt %d", (int)supervised->pid, FEW);
    assert_int_equal(system(few), 0);
}

/* Connects as another process of the same user, and stays until it is cut off. */
static void be_a_stranger(const struct supervised *supervised)
{
    pid_t stranger = fork();
    if (stranger == 0) {
        OWNED char *url = memory_print("ipc://%s/.run/w/orion.sock", supervised->data);
        struct link *link = link_open(url, NULL);
        const void *bytes;
        size_t length;
        if (!link)
            _exit(0);
        worker_tells(link, MESSAGE_HELLO, "orion", (uint64_t)1);
        worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WORKING, "a lie", (uint64_t)0);
        while (link_receive(link, &bytes, &length) == 0)
            supervised_nap();
        _exit(0);
    }
    int status = 0;
    EVENTUALLY(waitpid(stranger, &status, WNOHANG) == stranger);
}

static void test_a_stranger_at_a_workers_socket_is_turned_away(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    pid_t worker = supervised_pid(supervised, "orion");
    be_a_stranger(supervised);
    assert_true(supervised_is(supervised, "orion", "idle"));
    assert_int_equal(supervised_pid(supervised, "orion"), worker);
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"stop\",\"agent\":\"orion\"}"), 0);
    be_a_stranger(supervised); /* also while the line is nobody's */
    assert_int_equal(supervised_exit_of(supervised, "{\"verb\":\"start\",\"agent\":\"orion\"}"), 0);
}

/* Connects and is gone again, greeted or not. */
static void look_in(const struct supervised *supervised)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    OWNED char *path = memory_print("%s/.run/w/orion.sock", supervised->data);
    OWNED_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    connect(fd, (const struct sockaddr *)&address, sizeof address);
}

static void test_strangers_that_come_and_go_keep_no_worker_away(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    for (int i = 0; i < 50; i++)
        look_in(supervised);
    pid_t before = supervised_pid(supervised, "orion");
    kill(before, SIGKILL);
    EVENTUALLY(supervised_pid(supervised, "orion") != before && supervised_is(supervised, "orion", "idle"));
}

static void test_programs_that_are_missing_end_it_with_a_sentence(void **state)
{
    struct supervised *supervised = *state;
    OWNED char *worker = memory_print("%s/agentos-worker", supervised->folder);
    assert_int_equal(unlink(worker), 0);
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    assert_int_equal(supervised_wait(supervised), EX_OSERR);
    assert_true(supervised_logged(supervised, "No such file or directory"));
}

static void test_orphans_are_reaped(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    kill(supervised_pid(supervised, "orion"), SIGKILL);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    OWNED char *zombies = memory_print("test -z \"$(ps --ppid %d -o stat= | grep Z)\"", (int)supervised->pid);
    EVENTUALLY(system(zombies) == 0);
}

int main(int count, char **arguments)
{
    supervised_main(count, arguments);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_it_says_ready_and_running_as_the_article_does),
        TEST(test_a_second_supervisor_is_refused_and_told_whose_the_first_is),
        TEST(test_a_faulty_agents_yaml_starts_nothing),
        TEST(test_a_killed_worker_is_started_again_at_once),
        TEST(test_one_broken_agent_never_stops_another),
        TEST(test_workers_end_with_their_supervisor_however_it_ends),
        TEST(test_the_zygotes_death_harms_no_worker_and_new_ones_come_from_the_next),
        TEST(test_a_question_outlives_its_gateway),
        TEST(test_a_stop_outlives_a_restart_of_the_supervisor),
        TEST(test_a_worker_that_ignores_its_stop_is_ended_after_the_grace),
        TEST(test_a_task_that_outlives_task_seconds_has_its_worker_killed),
        TEST(test_a_worker_that_does_not_answer_its_heartbeats_is_killed_and_replaced),
        TEST(test_a_worker_with_nothing_in_hand_is_asked_each_sixth_time),
        TEST(test_a_worker_that_answers_a_heartbeat_that_was_not_sent_has_answered_none),
        TEST(test_a_worker_that_waits_for_a_model_answers_its_heartbeats),
        TEST(test_a_path_longer_than_a_sockets_is_no_matter),
        TEST(test_a_folder_that_was_replaced_gets_a_new_worker),
        TEST(test_a_reload_touches_only_whom_it_concerns),
        TEST(test_who_was_called_while_it_left_or_has_problems_is_not_noted_as_asleep),
        TEST(test_a_notice_of_a_queue_that_did_not_change_wakes_nobody_who_leaves),
        TEST(test_an_agent_that_is_redefined_before_its_order_is_known_does_not_go_on_hibernating),
        TEST(test_agents_that_wait_for_their_start_have_no_descriptor),
        TEST(test_a_stranger_at_a_workers_socket_is_turned_away),
        TEST(test_strangers_that_come_and_go_keep_no_worker_away),
        TEST(test_programs_that_are_missing_end_it_with_a_sentence),
        TEST(test_orphans_are_reaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
