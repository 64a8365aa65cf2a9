/* The sandbox's promises to its callers; the accesses that it refuses are tests/escape's affair. */
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/threads.h"
#include "tests/unit/cmocka.h"

#define PAGE ((size_t)4096)
#define FAR  ((size_t)16 << 30)

static const struct sandbox_facts good = {.landlock = SANDBOX_LANDLOCK_KNOWN, .seccomp = true, .mdwe = true};
static const struct sandbox_facts oldest = {.landlock = SANDBOX_LANDLOCK_FLOOR, .seccomp = true};
static const struct sandbox_facts too_old = {.landlock = 1, .seccomp = true};
static const struct sandbox_facts none = {.landlock_error = EOPNOTSUPP, .seccomp = true};
static const struct sandbox_facts no_filters = {.landlock = 7, .seccomp_error = EINVAL};

static bool here(void)
{
    struct sandbox_facts facts;
    sandbox_look(&facts);
    return sandbox_floor(&facts, NULL);
}

/* Runs act in a child; its exit status, or 128 and the signal. */
static int in_child(int (*act)(void *), void *context)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(act(context));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void mode_is(const char *word, enum sandbox_mode mode)
{
    setenv("AGENTOS_SANDBOX", word, 1);
    assert_int_equal(sandbox_mode(), mode);
}

static void test_the_mode_is_strict_unless_another_is_named(void **state)
{
    mode_is("best-effort", SANDBOX_BEST_EFFORT);
    mode_is("off", SANDBOX_OFF);
    mode_is("require", SANDBOX_REQUIRE);
    mode_is("", SANDBOX_REQUIRE);
    mode_is("OFF", SANDBOX_REQUIRE);
    mode_is("nonsense", SANDBOX_REQUIRE);
    unsetenv("AGENTOS_SANDBOX");
    assert_int_equal(sandbox_mode(), SANDBOX_REQUIRE);
}

static void summary_is(enum sandbox_mode mode, const struct sandbox_facts *facts, const char *expected)
{
    OWNED char *summary = sandbox_summary(mode, facts);
    assert_string_equal(summary, expected);
}

static void test_the_summary_never_calls_less_than_the_floor_a_sandbox(void **state)
{
    summary_is(SANDBOX_REQUIRE, &good, "landlock 7, seccomp");
    summary_is(SANDBOX_BEST_EFFORT, &oldest, "landlock 2, seccomp");
    summary_is(SANDBOX_BEST_EFFORT, &none, "best-effort: no landlock, seccomp");
    summary_is(SANDBOX_BEST_EFFORT, &too_old, "best-effort: no landlock, seccomp");
    summary_is(SANDBOX_BEST_EFFORT, &no_filters, "best-effort: landlock 7, no seccomp");
    summary_is(SANDBOX_OFF, &good, "off");
}

static void lacks_floor(const struct sandbox_facts *facts, const char *word)
{
    struct fault fault = {{0}};
    assert_false(sandbox_floor(facts, &fault));
    assert_non_null(strstr(fault.text, word));
}

static void test_what_is_missing_of_the_floor_is_named(void **state)
{
    assert_true(sandbox_floor(&good, NULL));
    assert_true(sandbox_floor(&oldest, NULL));
    lacks_floor(&none, "switched off");
    lacks_floor(&too_old, "ABI 1");
    lacks_floor(&no_filters, "seccomp");
}

static void test_what_newer_kernels_add_is_listed_only_where_it_lacks(void **state)
{
    OWNED_BUFFER struct buffer all = {0}, some = {0};
    sandbox_lacks(&good, &all);
    assert_int_equal(all.length, 0);
    sandbox_lacks(&oldest, &some);
    for (int abi = 3; abi <= 6; abi++) {
        OWNED char *said = memory_print("Landlock ABI %d", abi);
        assert_non_null(strstr(some.data, said));
    }
    assert_non_null(strstr(some.data, "executable"));
}

static void test_the_sandbox_holds_here(void **state)
{
    struct fault fault = {{0}};
    if (!here())
        skip();
    if (!sandbox_prove(SANDBOX_REQUIRE, "/tmp", &fault))
        fail_msg("%s", fault.text);
}

static int enter(void *room)
{
    struct fault fault;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, SANDBOX_REQUIRE, &fault);
    return !sandbox || !sandbox_enter(sandbox, room, &fault);
}

static void test_a_tree_that_is_not_there_is_no_sandbox(void **state)
{
    if (!here())
        skip();
    assert_int_equal(in_child(enter, &(struct sandbox_room){.tree = "/nowhere/at/all"}), 1);
    assert_int_equal(in_child(enter, &(struct sandbox_room){.tree = "/tmp"}), 0);
}

static int enter_off(void *context)
{
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, SANDBOX_OFF, NULL);
    struct rlimit limit;
    if (!sandbox_enter(sandbox, &(struct sandbox_room){.tree = "/tmp", .open_files = 33}, NULL) ||
        !sandbox_tighten(sandbox, NULL))
        return 1;
    int outside = open("/etc/passwd", O_RDONLY | O_CLOEXEC), online = socket(AF_INET, SOCK_STREAM, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    return outside < 0 || online < 0 || limit.rlim_max != 33;
}

static void test_off_leaves_only_the_limits(void **state)
{
    assert_int_equal(in_child(enter_off, NULL), 0);
}

static int allocate(void *context)
{
    const size_t bytes = *(size_t *)context;
    if (enter(&(struct sandbox_room){.tree = "/tmp", .memory_bytes = 64 << 20}) != 0)
        return 2;
    char *room = malloc(bytes);
    if (!room)
        return 1;
    memset(room, 1, bytes);
    return room[bytes - 1] != 1;
}

static int reserve(void *context)
{
    const size_t bytes = *(size_t *)context;
    if (enter(&(struct sandbox_room){.tree = "/tmp", .memory_bytes = 64 << 20}) != 0)
        return 2;
    return mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED;
}

static void test_memory_that_is_used_counts_and_address_space_has_some_room_beyond_it(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    if (!here())
        skip();
    size_t little = 16 << 20, much = 128 << 20, too_much = (size_t)1 << 30;
    assert_int_equal(in_child(allocate, &little), 0);
    assert_int_equal(in_child(allocate, &much), 1);
    assert_int_equal(in_child(reserve, &much), 0);
    assert_int_equal(in_child(reserve, &too_much), 1);
}

static char *map(size_t bytes)
{
    return mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* A mapping lies there that no call takes away, or none. */
static bool is_out_of_reach(char *place)
{
    unsigned char resident;
    return mincore(place, PAGE, &resident) != 0 || (munmap(place, PAGE) != 0 && errno == EPERM);
}

/* above: so many bytes are mapped before, and the worker's room lies below them. A part is too large for the gaps
 * between libraries. */
static int give_back(void *context)
{
    const size_t above = *(size_t *)context, part = 56 << 20;
    char *stack = (char *)((uintptr_t)&above & ~((uintptr_t)PAGE - 1));
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, SANDBOX_REQUIRE, NULL);
    if (!sandbox || map(above) == MAP_FAILED ||
        !sandbox_enter(sandbox, &(struct sandbox_room){.tree = "/tmp", .memory_bytes = 64 << 20}, NULL) ||
        !sandbox_tighten(sandbox, NULL))
        return 1;
    char *first = map(part), *second = map(part), *page = map(PAGE);
    if (first == MAP_FAILED || second == MAP_FAILED || page == MAP_FAILED)
        return 2;
    if (munmap(page, PAGE) != 0 || munmap(first, part) != 0 || munmap(second, part) != 0)
        return 3;
    return is_out_of_reach(first - FAR) && is_out_of_reach(stack - FAR / 128) ? 0 : 4;
}

/* The filter compares halves of 32 bits, and the room may lie across a border of 4 GiB or not. */
static void test_memory_that_a_worker_gives_back_is_gone_wherever_its_addresses_lie(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    if (!here())
        skip();
    for (size_t above = PAGE; above < (size_t)4 << 30; above += (size_t)512 << 20)
        assert_int_equal(in_child(give_back, &above), 0);
}

static int abort_inside(void *context)
{
    if (enter(&(struct sandbox_room){.tree = "/tmp"}) != 0)
        return 2;
    abort();
}

/* A listener on loopback; its port. */
static uint16_t listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    return ntohs(at.sin_port);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    OWNED_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
}

/* The bus reaches the first port, and not the second. */
static int try_ports(void *context)
{
    const uint16_t *ports = context, allowed[] = {ports[0], 0};
    struct fault fault;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_BUS, SANDBOX_REQUIRE, &fault);
    if (!sandbox || !sandbox_enter(sandbox, &(struct sandbox_room){.ports = allowed}, &fault))
        return 1;
    if (open("/etc/passwd", O_RDONLY) >= 0 || open("/tmp/x", O_WRONLY | O_CREAT, 0600) >= 0)
        return 2;
    return connect_to(ports[0]) == 0 && connect_to(ports[1]) == EACCES ? 0 : 3;
}

static void test_the_bus_reaches_its_servers_ports_and_no_others(void **state)
{
    struct sandbox_facts facts;
    uint16_t ports[] = {listen_somewhere(), listen_somewhere()};
    sandbox_look(&facts);
    if (!here() || facts.landlock < 4) /* since this ABI the kernel can limit ports */
        skip();
    assert_int_equal(in_child(try_ports, ports), 0);
}

static void test_a_worker_that_aborts_is_seen_to_abort(void **state)
{
    if (!here())
        skip();
    assert_int_equal(in_child(abort_inside, NULL), 128 + SIGABRT);
}

static int count_cpus(void *context)
{
    cpu_set_t cpus, before;
    struct threads_before threads;
    sched_getaffinity(0, sizeof before, &before);
    threads_look(&threads);
    threads_begin_few(&threads);
    sched_getaffinity(0, sizeof cpus, &cpus);
    if (CPU_COUNT(&cpus) != 1)
        return 1;
    threads_end_few(&threads);
    sched_getaffinity(0, sizeof cpus, &cpus);
    return !CPU_EQUAL(&cpus, &before);
}

static void test_threads_are_bound_to_one_cpu_only_while_a_library_counts_them(void **state)
{
    assert_int_equal(in_child(count_cpus, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_mode_is_strict_unless_another_is_named),
        cmocka_unit_test(test_the_summary_never_calls_less_than_the_floor_a_sandbox),
        cmocka_unit_test(test_what_is_missing_of_the_floor_is_named),
        cmocka_unit_test(test_what_newer_kernels_add_is_listed_only_where_it_lacks),
        cmocka_unit_test(test_the_sandbox_holds_here),
        cmocka_unit_test(test_a_tree_that_is_not_there_is_no_sandbox),
        cmocka_unit_test(test_off_leaves_only_the_limits),
        cmocka_unit_test(test_memory_that_is_used_counts_and_address_space_has_some_room_beyond_it),
        cmocka_unit_test(test_memory_that_a_worker_gives_back_is_gone_wherever_its_addresses_lie),
        cmocka_unit_test(test_the_bus_reaches_its_servers_ports_and_no_others),
        cmocka_unit_test(test_a_worker_that_aborts_is_seen_to_abort),
        cmocka_unit_test(test_threads_are_bound_to_one_cpu_only_while_a_library_counts_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
