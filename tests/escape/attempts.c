/* attempts                       every attempt, outside and inside; 0: outside all worked that can work here, inside none
 * attempts --floor               inside means what the oldest kernel that counts would give: Landlock ABI 2, no MDWE
 * attempts --as auditor|checker|http|exec|git   inside means the sandbox of agentos-audit, of the operator's checker, of
 *                                agentos-http, or of what `agentos exec` and `agentos git` run
 * attempts --hide landlock|seccomp COMMAND...   runs COMMAND as on a kernel that lacks it
 *
 * One line an attempt: what came of it outside and inside, and its name. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"
#include "tests/escape/attempts.h"

enum { SHOWN_LEAST = 40, MEMORY = 256 << 20, FILES = 256, ATTEMPT_SECONDS = 20 };

const char secret[] = SECRET;

enum outcome { WORKED, REFUSED, KILLED, BROKEN /* the sandbox itself could not be entered */ };

static const char *const outcome_words[] = {"worked", "refused", "killed", "BROKEN"};

/* --- the stage --- */

static void need(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "the stage can't be set: %s: %s\n", what, strerror(errno));
        exit(EX_OSERR);
    }
}

static void write_file(const char *folder, const char *name, const char *text, mode_t mode)
{
    OWNED char *path = memory_print("%s/%s", folder, name);
    OWNED_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0, path);
}

static int listen_at(int family, int type, const struct sockaddr *address, socklen_t length)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    need(fd >= 0 && bind(fd, address, length) == 0 && (type == SOCK_DGRAM || listen(fd, 64) == 0),
         "a socket");
    return fd;
}

static int listen_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = listen_at(AF_INET, type, (struct sockaddr *)&address, length);
    need(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "a port");
    return ntohs(address.sin_port);
}

static void listen_path(int type, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    listen_at(AF_UNIX, type, (struct sockaddr *)&address, sizeof address);
}

static void listen_abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, strlen(name));
    listen_at(AF_UNIX, SOCK_STREAM, (struct sockaddr *)&address,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static pid_t start_victim(void)
{
    pid_t parent = getpid(), victim = fork();
    if (victim == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    need(victim > 0, "a victim");
    return victim;
}

static void set_sockets(struct stage *stage)
{
    snprintf(stage->control, sizeof stage->control, "%s/control", stage->folder);
    snprintf(stage->letterbox, sizeof stage->letterbox, "%s/letterbox", stage->folder);
    snprintf(stage->abstract, sizeof stage->abstract, "escape-%d", (int)getpid());
    stage->tcp_port = listen_port(SOCK_STREAM);
    stage->udp_port = listen_port(SOCK_DGRAM);
    listen_path(SOCK_STREAM, stage->control);
    listen_path(SOCK_DGRAM, stage->letterbox);
    listen_abstract(stage->abstract);
}

static void set_stage(struct stage *stage)
{
    *stage = (struct stage){.folder = "/tmp/agentos-escape-XXXXXX", .supervisor = getpid()};
    need(mkdtemp(stage->folder) != NULL, "a folder");
    snprintf(stage->own, sizeof stage->own, "%s/orion", stage->folder);
    snprintf(stage->other, sizeof stage->other, "%s/iris", stage->folder);
    snprintf(stage->persona, sizeof stage->persona, "%s/persona.md", stage->other);
    snprintf(stage->roster, sizeof stage->roster, "%s/agents.yaml", stage->folder);
    set_sockets(stage);
    stage->terminal = posix_openpt(O_RDWR | O_NOCTTY);
    need(stage->terminal >= 0, "a terminal");
    stage->victim = start_victim();
}

static void clear(const struct stage *stage, const char *what)
{
    OWNED char *command = memory_print("rm -rf %s/%s", stage->folder, what);
    need(system(command) == 0, command);
}

/* Files that an attempt may have spoiled are made anew for the next. */
static void set_trees(const struct stage *stage)
{
    clear(stage, "orion");
    clear(stage, "iris");
    clear(stage, "elsewhere");
    OWNED char *empty = memory_print("%s/empty", stage->other), *way = memory_print("%s/way", stage->own);
    need(mkdir(stage->own, 0755) == 0 && mkdir(stage->other, 0755) == 0 && mkdir(empty, 0755) == 0 &&
             symlink(stage->persona, way) == 0,
         "the trees");
    write_file(stage->other, "persona.md", SECRET, 0644);
    write_file(stage->folder, "agents.yaml", "agents: []\n", 0644);
    write_file(stage->own, "text", "of orion's own\n", 0644);
    write_file(stage->own, "script", "#!/bin/sh\nexit 0\n", 0755);
    write_file(stage->folder, "log", "what was said before\n", 0644);
    setxattr(stage->persona, "user.theirs", "x", 1, 0); /* not every file system has them */
}

/* --- one attempt --- */

/* As the zygote does it: the descriptors, the sandbox, then, when the connection stands, the second step. An auditor has
 * no tree; a checker may read and execute its own folder, and nobody answers here when it wants to fork. */
static void confine(const struct stage *stage)
{
    struct fault fault;
    const char *const executable[] = {stage->role == SANDBOX_CHECKER ? stage->own : NULL, NULL};
    struct sandbox *sandbox = sandbox_prepare(stage->role, SANDBOX_REQUIRE, &fault);
    if (sandbox && stage->floor)
        sandbox->facts.landlock = SANDBOX_LANDLOCK_FLOOR, sandbox->facts.mdwe = false;
    bool has_tree =
        stage->role == SANDBOX_WORKER || stage->role == SANDBOX_EXEC || stage->role == SANDBOX_GIT;
    struct sandbox_room room = {.tree = has_tree ? stage->own : NULL,
                                .executable = executable,
                                .memory_bytes = MEMORY,
                                .open_files = FILES};
    if (sandbox && sandbox_enter(sandbox, &room, &fault) && sandbox_tighten(sandbox, &fault))
        return;
    fprintf(stdout, "%s\n", fault.text);
    fflush(stdout);
    _exit(BROKEN);
}

_Noreturn static void attempt_in_child(const struct stage *stage, const struct attempt *attempt, bool inside)
{
    OWNED char *log = memory_print("%s/log", stage->folder);
    int fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(ATTEMPT_SECONDS);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || chdir(stage->own) != 0)
        _exit(BROKEN);
    if (inside)
        confine(stage);
    _exit(attempt->act(stage) ? WORKED : REFUSED);
}

static enum outcome try(const struct stage *stage, const struct attempt *attempt, bool inside)
{
    int status = 0;
    set_trees(stage);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        attempt_in_child(stage, attempt, inside);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return BROKEN;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? BROKEN : KILLED;
    enum outcome outcome = (enum outcome)WEXITSTATUS(status);
    if (attempt->happened && outcome != BROKEN)
        outcome = attempt->happened(stage) ? WORKED : REFUSED;
    return outcome;
}

struct score {
    unsigned shown, refused, bad;
};

/* The rights of a role. A checker is a program of the operator's and has its own folder, here orion's, and its standard
 * error is a pipe, not the log. A command in `agentos exec` and `agentos git` makes processes and executes the system's
 * programs, never programs in the agent's tree; its standard error is the operator's. */
static const struct {
    const char *name;
    unsigned roles;
} granted[] = {
#define CHECKER (1u << SANDBOX_CHECKER)
#define EXEC    (1u << SANDBOX_EXEC)
#define GIT     (1u << SANDBOX_GIT)
    {"execute a program", CHECKER | EXEC | GIT},
    {"execute a shell", CHECKER | EXEC | GIT},
    {"execute a script in one's tree", CHECKER},
    {"execute a file of one's tree by mmap", CHECKER | EXEC | GIT},
    {"read the loader's cache", CHECKER | EXEC | GIT},
    {"chdir", CHECKER | EXEC | GIT},
    {"truncate the log", CHECKER | EXEC | GIT},
    {"truncate the log by dup", CHECKER | EXEC | GIT},
    {"truncate the log by F_DUPFD", CHECKER | EXEC | GIT},
    {"truncate the log by a wide descriptor", CHECKER | EXEC | GIT},
    {"overwrite the log", CHECKER | EXEC | GIT},
    {"fork", EXEC | GIT},
    {"clone", EXEC | GIT},
    {"a thread more", EXEC | GIT},
    {"plant a symbolic link", GIT},
    {"leave one's session", EXEC},
    {"getxattr", EXEC},
    {"signal everybody",
     EXEC}, /* which is every process in the sandbox: Landlock passes over others in silence */
};

static bool is_granted(const struct stage *stage, const struct attempt *attempt)
{
    for (size_t i = 0; i < sizeof granted / sizeof granted[0]; i++)
        if (strcmp(attempt->name, granted[i].name) == 0)
            return granted[i].roles & 1u << stage->role;
    return false;
}

/* The capabilities of a bare machine's root; a container's root mostly lacks this one. */
static bool has_administration(void)
{
    unsigned long long effective = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    if (status)
        (void)fclose(status);
    return effective >> CAP_SYS_ADMIN & 1;
}

/* Inside nothing may work. Outside it may be refused only where the surroundings can be the reason. */
static void judge(const struct stage *stage, const struct attempt *attempt, struct score *score)
{
    enum outcome outside = try(stage, attempt, false), inside = try(stage, attempt, true);
    bool excused = (attempt->flags & RARE) || ((attempt->flags & PRIVILEGED) && !has_administration());
    bool shown = outside == WORKED, held = inside == REFUSED || inside == KILLED;
    score->shown += shown;
    score->refused += held && shown;
    bool bad = !held || (!shown && !excused);
    score->bad += bad;
    printf("%-4s outside: %-8s inside: %-8s %s\n", bad ? "BAD" : "ok", outcome_words[outside],
           outcome_words[inside], attempt->name);
}

static int try_all(enum sandbox_role role, bool floor)
{
    const struct attempts *const all[] = {&file_attempts, &process_attempts, &network_attempts,
                                          &kernel_attempts};
    struct stage stage;
    struct score score = {0};
    set_stage(&stage);
    stage.floor = floor;
    stage.role = role;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < all[i]->count; k++)
            if (!is_granted(&stage, &all[i]->items[k]))
                judge(&stage, &all[i]->items[k], &score);
    kill(stage.victim, SIGKILL);
    clear(&stage, "");
    printf("%u attempts work outside, %u of them are refused inside, %u lines are bad\n", score.shown,
           score.refused, score.bad);
    return score.bad == 0 && score.shown >= SHOWN_LEAST ? EX_OK : EX_SOFTWARE;
}

/* --- a poorer kernel --- */

static int hide(const char *what, char **command)
{
    static const char *const landlock[] = {"landlock_create_ruleset", "landlock_add_rule",
                                           "landlock_restrict_self"};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool made = filter != NULL;
    if (strcmp(what, "seccomp") == 0) {
        const struct scmp_arg_cmp set_filter = {.op = SCMP_CMP_EQ, .datum_a = PR_SET_SECCOMP};
        made = made && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(seccomp), 0) == 0 &&
               seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1, &set_filter) == 0;
    } else {
        for (size_t i = 0; i < sizeof landlock / sizeof *landlock; i++)
            made = made && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP),
                                            seccomp_syscall_resolve_name(landlock[i]), 0) == 0;
    }
    if (!made || seccomp_load(filter) != 0)
        return EX_OSERR;
    execvp(command[0], command);
    perror(command[0]);
    return EX_UNAVAILABLE;
}

static const struct {
    const char *name;
    enum sandbox_role role;
} roles[] = {{"auditor", SANDBOX_AUDITOR},
             {"checker", SANDBOX_CHECKER},
             {"http", SANDBOX_HTTP},
             {"exec", SANDBOX_EXEC},
             {"git", SANDBOX_GIT}};

int main(int count, char **arguments)
{
    if (count > 3 && strcmp(arguments[1], "--hide") == 0)
        return hide(arguments[2], arguments + 3);
    bool floor = count == 2 && strcmp(arguments[1], "--floor") == 0;
    bool as = count == 3 && strcmp(arguments[1], "--as") == 0;
    size_t i = 0;
    while (as && i < sizeof roles / sizeof roles[0] && strcmp(arguments[2], roles[i].name) != 0)
        i++;
    if ((count != 1 && !floor && !as) || i == sizeof roles / sizeof roles[0]) {
        fputs("usage: attempts [--floor | --as auditor|checker|http|exec|git] | "
              "attempts --hide landlock|seccomp COMMAND...\n",
              stderr);
        return EX_USAGE;
    }
    return try_all(as ? roles[i].role : SANDBOX_WORKER, floor);
}
