/* `agentos doctor`: the machine's abilities, and the missing ones. Each examination is a row of the table; a finding
 * is one line, and says what to do when something is wrong. The verb needs no supervisor; each trial is a real one. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base_url.h"
#include "common/buffer.h"
#include "common/capacity.h"
#include "common/format/bus_address.h"
#include "common/format/memory_group.h"
#include "common/format/roster.h"
#include "common/format/tree_mounts.h"
#include "common/held.h"
#include "common/memory.h"
#include "common/proxy.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "supervisor/cli/processes.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum { REACH_SECONDS = 5 };

/* How bad a finding is. */
enum grade { GOOD, WORTH_KNOWING, UNREACHABLE, MISSING };

static const char *const grade_marks[] = {
    [GOOD] = "ok", [WORTH_KNOWING] = "note", [UNREACHABLE] = "FAIL", [MISSING] = "FAIL"};

struct doctor {
    const struct invocation *invocation;
    struct sandbox_facts facts;
    enum sandbox_mode mode;
    enum grade worst;
};

static __attribute__((format(printf, 4, 5))) void find(struct doctor *doctor, enum grade grade,
                                                       const char *what, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (grade > doctor->worst)
        doctor->worst = grade;
    printf("%-5s %-20s %s\n", grade_marks[grade], what, text);
}

static void find_lines(struct doctor *doctor, enum grade grade, const char *what, char *lines)
{
    for (char *line; (line = strsep(&lines, "\n"));)
        if (*line)
            find(doctor, grade, what, "%s", line);
}

/* --- the sandbox --- */

static void examine_landlock(struct doctor *doctor)
{
    struct fault fault;
    if (doctor->facts.landlock >= SANDBOX_LANDLOCK_FLOOR)
        find(doctor, GOOD, "Landlock", "ABI %d (needed: %d)", doctor->facts.landlock, SANDBOX_LANDLOCK_FLOOR);
    else if (!sandbox_floor(&doctor->facts, &fault))
        find(doctor, MISSING, "Landlock", "%s", fault.text);
}

static void examine_seccomp(struct doctor *doctor)
{
    if (doctor->facts.seccomp)
        find(doctor, GOOD, "seccomp", "system call filters can be set");
    else
        find(doctor, MISSING, "seccomp", "there are no system call filters: %s",
             strerror(doctor->facts.seccomp_error));
}

static void examine_newer(struct doctor *doctor)
{
    OWNED_BUFFER struct buffer lines = {0};
    sandbox_lacks(&doctor->facts, &lines);
    find_lines(doctor, WORTH_KNOWING, "newer kernels", lines.data);
    if (doctor->facts.mdwe)
        find(doctor, GOOD, "memory protection",
             "memory both writable and executable is refused by the kernel (MDWE)");
}

static void examine_whole(struct doctor *doctor)
{
    struct fault fault;
    if (doctor->mode == SANDBOX_OFF)
        find(doctor, WORTH_KNOWING, "AGENTOS_SANDBOX",
             "'off': agents run WITHOUT a sandbox; for debugging only");
    else if (doctor->mode == SANDBOX_BEST_EFFORT)
        find(doctor, WORTH_KNOWING, "AGENTOS_SANDBOX", "'best-effort': agents run with what there is");
    if (!sandbox_floor(&doctor->facts, NULL))
        return;
    if (sandbox_prove(SANDBOX_REQUIRE, doctor->invocation->data_dir, &fault))
        find(doctor, GOOD, "sandbox", "tried with a process of ours: files, network and sockets are refused");
    else
        find(doctor, MISSING, "sandbox", "%s", fault.text);
}

static void examine_memory_limit(struct doctor *doctor)
{
    enum { LIMIT = 64 << 20 };
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_DATA, &(struct rlimit){LIMIT, LIMIT});
        void *much =
            mmap(NULL, 2 * (size_t)LIMIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        _exit(much == MAP_FAILED ? 0 : 1);
    }
    bool holds = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    find(doctor, holds ? GOOD : MISSING, "memory limit",
         holds ? "a process is refused more than its limit"
               : "RLIMIT_DATA doesn't hold here: limits.memory_mb is void");
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        find(doctor, WORTH_KNOWING, "memory limit",
             "address space is limited from outside (RLIMIT_AS): it alone bounds workers' page tables");
}

static void examine_memory_groups(struct doctor *doctor)
{
    struct fault why;
    const char *data = doctor->invocation->data_dir;
    pid_t supervisor = held_by(data);
    if (memory_groups_look(supervisor > 0 ? supervisor : 0, data, &why))
        find(doctor, GOOD, "memory groups",
             "each worker gets a control group, which bounds its memory as well");
    else
        find(doctor, WORTH_KNOWING, "memory groups",
             "workers have no control groups here, so the limits of each process alone bound its memory: %s",
             why.text);
}

/* --- the user and the place --- */

static void examine_user(struct doctor *doctor)
{
    uint64_t capabilities = 0;
    char line[128];
    OWNED_FILE FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "CapEff: %" SCNx64, &capabilities) == 1)
            break;
    if (geteuid() == 0)
        find(doctor, WORTH_KNOWING, "user",
             "root; workers and gateway drop all capabilities, but an ordinary user is better");
    else
        find(doctor, GOOD, "user", "uid %u", (unsigned)geteuid());
    if (capabilities)
        find(doctor, WORTH_KNOWING, "capabilities",
             "%016" PRIx64 "; none is needed (docker run --cap-drop=ALL)", capabilities);
    else
        find(doctor, GOOD, "capabilities", "none, and none is needed");
}

static void examine_root(struct doctor *doctor)
{
    struct statvfs status;
    bool read_only = statvfs("/", &status) == 0 && (status.f_flag & ST_RDONLY);
    if (read_only)
        find(doctor, GOOD, "root file system", "read-only");
    else
        find(doctor, WORTH_KNOWING, "root file system",
             "writable; only the data directory is needed (docker run --read-only)");
}

static void examine_mounts(struct doctor *doctor, const struct roster *roster)
{
    OWNED_BUFFER struct buffer lines = {0};
    if (roster)
        tree_mounts_list(doctor->invocation->data_dir, roster, &lines);
    find_lines(doctor, MISSING, "mounts", lines.data);
}

/* Without a readable agents.yaml the limits for one agent are examined. */
static void examine_limits(struct doctor *doctor)
{
    struct capacity list[CAPACITY_LIMITS];
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_load(doctor->invocation->data_dir, &faults);
    size_t agents = roster ? roster->agent_count : 1, warm = roster ? (size_t)roster->warm_workers : 1;
    pid_t supervisor = held_by(doctor->invocation->data_dir);
    size_t count = capacity_list(agents, warm, supervisor > 0 ? supervisor : 0, list);
    examine_mounts(doctor, roster);
    roster_free(roster);
    for (size_t i = 0; i < count; i++) {
        OWNED char *lack = capacity_lack(&list[i]);
        if (lack)
            find(doctor, WORTH_KNOWING, list[i].limit, "%s", lack);
        else if (list[i].most < 0)
            find(doctor, GOOD, list[i].limit, "no limit, or none that can be read here");
        else
            find(doctor, GOOD, list[i].limit,
                 "%" PRId64 " %s; %" PRId64 " would do for %zu agent(s) with a worker", list[i].most,
                 list[i].things, list[i].would_do, list[i].workers);
    }
}

/* --- the data directory --- */

static bool make_file(int folder, const char *name)
{
    OWNED_FD int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0;
}

static void examine_lease(struct doctor *doctor, int folder)
{
    OWNED_FD int fd = openat(folder, "a", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        find(doctor, GOOD, "leases", "the file system has them");
    else
        find(doctor, WORTH_KNOWING, "leases",
             "none here (%s): queue.md is taken only after it was quiet for a while, so tasks start later",
             strerror(errno));
}

static void examine_exchange(struct doctor *doctor, int folder)
{
    if (renameat2(folder, "a", folder, "b", RENAME_EXCHANGE) == 0)
        find(doctor, GOOD, "exchanging files", "the file system can");
    else
        find(doctor, MISSING, "exchanging files",
             "the file system can't (RENAME_EXCHANGE: %s), and people's edits are not safe without; use "
             "ext4, xfs, "
             "btrfs or tmpfs",
             strerror(errno));
}

static void examine_data(struct doctor *doctor)
{
    const char *data = doctor->invocation->data_dir;
    OWNED char *path = memory_print("%s/.doctor-XXXXXX", data);
    if (!mkdtemp(path)) {
        find(doctor, MISSING, "data directory", "%s: nothing can be made in it: %s", data, strerror(errno));
        return;
    }
    OWNED_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && make_file(folder, "a") && make_file(folder, "b")) {
        find(doctor, GOOD, "data directory", "%s can be written", data);
        examine_lease(doctor, folder);
        examine_exchange(doctor, folder);
    } else {
        find(doctor, MISSING, "data directory", "%s: no files can be made in it: %s", data, strerror(errno));
    }
    unlinkat(folder, "a", 0);
    unlinkat(folder, "b", 0);
    rmdir(path);
}

/* --- the model --- */

static size_t drop(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

/* This trial alone loads libcurl (version.c says why). Any answer at all shows that somebody is there. */
static void reach(struct doctor *doctor, const char *url, const struct proxy *proxy)
{
    __typeof__(curl_easy_init) *init = NULL;
    __typeof__(curl_easy_setopt) *set = NULL;
    __typeof__(curl_easy_perform) *perform = NULL;
    __typeof__(curl_easy_getinfo) *info = NULL;
    __typeof__(curl_easy_strerror) *text = NULL;
    __typeof__(curl_easy_cleanup) *clean = NULL;
    void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
    if (library) {
        *(void **)&init = dlsym(library, "curl_easy_init");
        *(void **)&set = dlsym(library, "curl_easy_setopt");
        *(void **)&perform = dlsym(library, "curl_easy_perform");
        *(void **)&info = dlsym(library, "curl_easy_getinfo");
        *(void **)&text = dlsym(library, "curl_easy_strerror");
        *(void **)&clean = dlsym(library, "curl_easy_cleanup");
    }
    CURL *easy = init && set && perform && info && text && clean ? init() : NULL;
    if (!easy) {
        find(doctor, MISSING, "model", "libcurl cannot be loaded");
        return;
    }
    const char *authorities = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    long status = 0;
    OWNED char *through = proxy->name ? memory_print(" through the proxy %s", proxy->name) : memory_text("");
    set(easy, CURLOPT_URL, url);
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_TIMEOUT, (long)REACH_SECONDS);
    set(easy, CURLOPT_WRITEFUNCTION, drop);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    if (authorities && *authorities)
        set(easy, CURLOPT_CAINFO, authorities);
    if (folder && *folder)
        set(easy, CURLOPT_CAPATH, folder);
    set(easy, CURLOPT_NOPROXY, "");
    set(easy, CURLOPT_PROXY, proxy->address ? proxy->address : "");
    set(easy, CURLOPT_PROXYUSERNAME, proxy->user);
    set(easy, CURLOPT_PROXYPASSWORD, proxy->password);
    CURLcode code = perform(easy);
    info(easy, CURLINFO_RESPONSE_CODE, &status);
    clean(easy);
    if (status > 0)
        find(doctor, GOOD, "model", "%s answers%s (HTTP %ld, asked without a key)", url, through, status);
    else
        find(doctor, UNREACHABLE, "model", "%s does not answer%s within %d s: %s", url, through,
             REACH_SECONDS, text(code));
}

static void examine_model(struct doctor *doctor)
{
    const char *base = setting_text(SET_LLM_BASE_URL, NULL);
    if (strcmp(base, "offline") == 0) {
        find(doctor, WORTH_KNOWING, "model",
             "LLM_BASE_URL is 'offline': the built-in model, which is no real one");
        return;
    }
    OWNED char *url = base_url_join(base, "/models");
    struct proxy proxy;
    struct secrets *secrets = secrets_read(doctor->invocation->secrets, NULL);
    proxy_find(secrets, url, &proxy);
    secrets_free(secrets);
    reach(doctor, url, &proxy);
    proxy_free(&proxy);
}

/* --- the bus --- */

static void examine_bus(struct doctor *doctor)
{
    const char *text = setting_text(SET_AGENTOS_BUS, NULL);
    OWNED_BUFFER struct buffer faults = {0};
    struct bus_servers servers;
    if (!text)
        return;
    (void)bus_settings_check(&faults);
    for (enum setting file = SET_AGENTOS_BUS_CREDS_FILE; file <= SET_AGENTOS_BUS_KEY_FILE; file++)
        if (setting_text(file, NULL) && access(setting_text(file, NULL), R_OK) != 0)
            buffer_print(&faults, "%s names %s, which cannot be read: %s\n", setting_name(file),
                         setting_text(file, NULL), strerror(errno));
    find_lines(doctor, MISSING, "bus", faults.data);
    if (!faults.length && bus_servers_parse(text, &servers, NULL))
        find(doctor, servers.tls ? GOOD : WORTH_KNOWING, "bus",
             "%zu server(s), %s first; this node is '%s'%s", servers.count, servers.list[0].url, node_name(),
             servers.tls ? "" : "; nats:// is not encrypted, so the network has to be one's own");
}

/* The remaining powers of each running process: as /proc shows them, and, as /proc doesn't show what Landlock
 * withholds, as the process found them when it was sealed. */
static void examine_processes(struct doctor *doctor)
{
    OWNED_BUFFER struct buffer lines = {0};
    processes_list(doctor->invocation->data_dir, &lines);
    OWNED char *text = output_clean(lines.data ? lines.data : "", 1);
    find_lines(doctor, GOOD, "process", text);
}

static void (*const examinations[])(struct doctor *doctor) = {
    examine_landlock,      examine_seccomp, examine_newer, examine_whole, examine_memory_limit,
    examine_memory_groups, examine_user,    examine_root,  examine_data,  examine_limits,
    examine_processes,     examine_bus,     examine_model,
};

int verb_doctor(struct invocation *invocation)
{
    struct doctor doctor = {.invocation = invocation, .mode = sandbox_mode()};
    sandbox_look(&doctor.facts);
    setvbuf(stdout, NULL, _IOLBF,
            0); /* a row appears when it is known, and forks have nothing to print again */
    for (size_t i = 0; i < sizeof examinations / sizeof *examinations; i++)
        examinations[i](&doctor);
    return output_end(doctor.worst == MISSING       ? EX_CONFIG
                      : doctor.worst == UNREACHABLE ? EX_UNAVAILABLE
                                                    : EX_OK);
}
