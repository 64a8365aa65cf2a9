/* Which files a process may open, and what else Landlock scopes. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

/* The kernel's interface. Debian 12's header ends at ABI 2, so all of it is said here. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2, CREATE_RULESET_VERSION = 1 };

struct ruleset {
    uint64_t files, net, scoped; /* the second since ABI 4, the third since 6 */
};

struct net_port {
    uint64_t allowed, port;
};

struct path_beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

enum {
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    REMOVE_DIR = 1 << 4,
    REMOVE_FILE = 1 << 5,
    MAKE_CHAR = 1 << 6,
    MAKE_DIR = 1 << 7,
    MAKE_REG = 1 << 8,
    MAKE_SOCK = 1 << 9,
    MAKE_FIFO = 1 << 10,
    MAKE_BLOCK = 1 << 11,
    MAKE_SYM = 1 << 12,
    REFER = 1 << 13,     /* ABI 2 */
    TRUNCATE = 1 << 14,  /* 3 */
    IOCTL_DEV = 1 << 15, /* 5 */

    READ = READ_FILE | READ_DIR,
    OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV,
    /* A planted link, FIFO or socket is put aside by a rename, which Landlock counts as making one. seccomp sees to it
     * that none is made, and no file is executed here at all: an agent's tree is text. */
    TREE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO |
           MAKE_SYM | REFER | TRUNCATE,

    BIND_TCP = 1 << 0,
    CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_UNIX = 1 << 0,
    SCOPE_SIGNAL = 1 << 1,
};

#define EVERYBODY (FOR(WORKER) | NETWORK | PROGRAMS | FOR(AUDITOR) | FOR(HTTP))

/* The rights that the kernel can withhold, by its ABI. A right that is withheld and in no rule is refused. */
static const struct {
    int abi;
    unsigned roles;
    struct ruleset withheld;
} steps[] = {
    {1, EVERYBODY, {.files = REFER - 1}}, {2, EVERYBODY, {.files = REFER}},
    {3, EVERYBODY, {.files = TRUNCATE}},  {4, EVERYBODY & ~NETWORK, {.net = BIND_TCP | CONNECT_TCP}},
    {4, NETWORK, {.net = BIND_TCP}},      {4, FOR(BUS), {.net = CONNECT_TCP}},
    {5, EVERYBODY, {.files = IOCTL_DEV}}, {6, EVERYBODY, {.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL}},
};

/* A worker needs none of these: the parts of the system that it uses were loaded before it was forked. */
static const struct {
    unsigned roles;
    const char *path;
    uint64_t allowed;
} places[] = {
    {NETWORK, "/etc/ssl", READ},
    {NETWORK, "/usr/share/ca-certificates", READ}, /* where /etc/ssl's links lead */
    {NETWORK, "/usr/local/share/ca-certificates", READ},
    {NETWORK, "/etc/pki", READ},
    {NETWORK, "/etc/resolv.conf", READ},
    {NETWORK, "/run/systemd/resolve",
     READ}, /* where a link from there may lead, rewritten as networks come */
    {NETWORK, "/run/resolvconf", READ},
    {NETWORK, "/run/NetworkManager", READ},
    {NETWORK, "/etc/hosts", READ},
    {NETWORK, "/etc/host.conf", READ},
    {NETWORK, "/etc/nsswitch.conf", READ},
    {NETWORK, "/etc/gai.conf", READ},
    {NETWORK, "/etc/services", READ},
    {NETWORK, "/usr/lib", READ}, /* name service modules are loaded when first asked */
    {NETWORK, "/lib", READ},
    {NETWORK, "/lib64", READ},
    {PROGRAMS, "/usr", READ | EXECUTE},
    {PROGRAMS, "/bin", READ | EXECUTE},
    {PROGRAMS, "/sbin", READ | EXECUTE},
    {PROGRAMS, "/lib", READ | EXECUTE},
    {PROGRAMS, "/lib64", READ | EXECUTE},
    {PROGRAMS, "/etc/alternatives", READ},
    {NETWORK | PROGRAMS, "/etc/ld.so.cache", READ},
    {NETWORK | PROGRAMS, "/etc/localtime", READ},
    {NETWORK | PROGRAMS, "/dev/urandom", READ_FILE},
    {PROGRAMS, "/dev/random", READ_FILE},
    {PROGRAMS, "/dev/zero", READ_FILE},
    {PROGRAMS, "/dev/null", READ_FILE | WRITE_FILE | TRUNCATE},
    {FOR(EXEC), "/dev/tty", READ_FILE | WRITE_FILE | IOCTL_DEV},
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static struct ruleset withheld_by(int abi, enum sandbox_role role)
{
    struct ruleset all = {0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i].abi <= abi && (steps[i].roles & 1u << role)) {
            all.files |= steps[i].withheld.files;
            all.net |= steps[i].withheld.net;
            all.scoped |= steps[i].withheld.scoped;
        }
    return all;
}

/* A kernel refuses a structure with bytes behind the part that it knows, unless they are zero; so each kernel gets its
 * own size. */
static size_t ruleset_size(int abi)
{
    return abi >= 6   ? sizeof(struct ruleset)
           : abi >= 4 ? offsetof(struct ruleset, scoped)
                      : offsetof(struct ruleset, net);
}

/* The rules hold for the file or folder at the path now, wherever it is renamed to. A missing path allows no access,
 * which is a fault for the tree alone. */
static bool allow(int rules, const struct ruleset *withheld, const char *path, uint64_t allowed, bool needed,
                  struct fault *fault)
{
    OWNED_FD int at = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (at < 0 && !needed)
        return true;
    if (at < 0 || fstat(at, &status) != 0)
        return fault_errno(fault, "cannot open %s for the sandbox", path);
    if (!S_ISDIR(status.st_mode))
        allowed &= OF_A_FILE;
    struct path_beneath rule = {.allowed = allowed & withheld->files, .parent = at};
    return syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) == 0 ||
           fault_errno(fault, "cannot allow %s in the sandbox", path);
}

static bool allow_all(const struct sandbox *sandbox, const struct sandbox_room *room, int rules,
                      const struct ruleset *withheld, struct fault *fault)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if ((places[i].roles & 1u << sandbox->role) &&
            !allow(rules, withheld, places[i].path, places[i].allowed, false, fault))
            return false;
    for (const char *const *path = room->readable; path && *path; path++)
        if (!allow(rules, withheld, *path, READ, false, fault))
            return false;
    for (const char *const *path = room->executable; path && *path; path++)
        if (!allow(rules, withheld, *path, READ | EXECUTE, false, fault))
            return false;
    for (const uint16_t *port = room->ports; (withheld->net & CONNECT_TCP) && port && *port; port++) {
        struct net_port rule = {.allowed = CONNECT_TCP, .port = *port};
        if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &rule, 0) != 0)
            return fault_errno(fault, "cannot allow port %u in the sandbox", *port);
    }
    return !room->tree || allow(rules, withheld, room->tree, TREE, true, fault);
}

/* A second layer, which withholds the execution of programs alone: an access that both layers allow is allowed. */
static bool confine_programs(const struct sandbox_room *room, struct fault *fault)
{
    const struct ruleset withheld = {.files = EXECUTE};
    OWNED_FD int rules = (int)syscall(SYS_landlock_create_ruleset, &withheld, ruleset_size(1), 0);
    if (rules < 0)
        return fault_errno(fault, "cannot make the sandbox's rules for programs");
    for (const char *const *path = room->programs; *path; path++)
        if (!allow(rules, &withheld, *path, EXECUTE, false, fault))
            return false;
    return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ||
           fault_errno(fault, "cannot enter the sandbox's second layer");
}

bool landlock_confine(const struct sandbox *sandbox, const struct sandbox_room *room, struct fault *fault)
{
    int abi = sandbox->facts.landlock;
    struct ruleset withheld = withheld_by(abi, sandbox->role);
    OWNED_FD int rules = (int)syscall(SYS_landlock_create_ruleset, &withheld, ruleset_size(abi), 0);
    if (rules < 0)
        return fault_errno(fault, "cannot make the sandbox's rules (Landlock %d)", abi);
    return allow_all(sandbox, room, rules, &withheld, fault) &&
           (syscall(SYS_landlock_restrict_self, rules, 0) == 0 ||
            fault_errno(fault, "cannot enter the sandbox (Landlock %d)", abi)) &&
           (!room->programs || confine_programs(room, fault));
}
