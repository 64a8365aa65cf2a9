/* A command line of `agentos`, taken apart after a table of verbs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

/* X(ENUM, name, value's name or NULL for a switch, help) */
#define OPTIONS_TABLE(X)                                                                                     \
    X(DATA, "--data", "DIR", "the data directory (else DATA_DIR, else /data)")                               \
    X(LISTEN, "--listen", "ADDR:PORT", "where the HTTP interface listens (else AGENTOS_LISTEN)")             \
    X(HELP, "--help", NULL, "this page")                                                                     \
    X(JSON, "--json", NULL, "for programs: one JSON object")                                                 \
    X(ID, "--id", "ID", "the task's or item's id (else one is made)")                                        \
    X(PRIORITY, "--priority", "P", "high, normal or low (else normal)")                                      \
    X(TTL, "--ttl", "TIME", "time to live, from now: 90 (seconds), 10m, 1h")                                 \
    X(LOCK, "--lock", "NAME", "the lock that the task must hold while it is done")                           \
    X(WAIT, "--wait", NULL, "print the answer when the task has ended; 65 for reward -1 and for no answer")  \
    X(TIMEOUT, "--timeout", "TIME", "the longest wait: 90 (seconds), 10m, 1h; then 75")                      \
    X(NO_WAIT, "--no-wait", NULL, "return at once, before the order is carried out")                         \
    X(ALL, "--all", NULL, "every agent of agents.yaml")                                                      \
    X(ALL_NODES, "--all-nodes", NULL, "also the node of the bus that each agent lives on")                   \
    X(FROM_REMOTE, "--from-remote", NULL, "from AGENTOS_GIT_REMOTE, when the agent's node is gone")          \
    X(MOVED, "--moved", "AGENT", "as `move` does: an agent of agents.yaml, whose order stays")               \
    X(NOTES, "--notes", NULL, "as `move` does: with the worker's notes")                                     \
    X(FOLLOW, "--follow", NULL, "then print new lines as they come, until Ctrl-C (also -f)")                 \
    X(WATCH, "--watch", NULL, "again and again, until Ctrl-C; on a terminal as one screen")                  \
    X(NEWEST, "-n", "COUNT", "at most the newest COUNT items (also -5)")                                     \
    X(TABLE, "--table", NULL, "for programs: a line for each verb with its arguments, options and summary")  \
    X(KEEP, "--keep", NULL, "leave the scratch directory for you to look at")

enum option {
#define X(name, ...) OPTION_##name,
    OPTIONS_TABLE(X)
#undef X
        OPTION_COUNT
};

/* A verb that takes any number of words. */
#define WORDS_ANY SIZE_MAX

/* Among a verb's option bits: behind '--' stands a command with words of its own. */
#define TAKES_COMMAND (1u << 31)

/* Among a verb's option bits: its output for people goes through a pager on a terminal. */
#define PAGED (1u << 30)

struct invocation;

/* A row of the table of verbs. */
struct verb {
    const char *name, *arguments, *summary;
    unsigned options;   /* bits 1u << enum option */
    size_t least, most; /* words behind the verb */
    int (*act)(struct invocation *invocation);
    const char *details; /* NULL: the summary says all */
};

struct invocation {
    const struct verb *verb; /* NULL: --help or --version of the program itself */
    int (*run)(
        struct invocation *invocation); /* the supervisor itself: the verb run; the program hands it in */
    bool version;                       /* --version */
    const char *options[OPTION_COUNT];  /* the value ("" for a switch), NULL: not given; borrowed from argv */
    const char *
        *words; /* the words behind the verb, NULL behind the last; owned, the texts borrowed from argv */
    size_t word_count;
    char **command; /* the command behind '--', for a verb that takes one; borrowed from argv; NULL: none */
    char *data_dir, *run_dir; /* absolute; owned */
    int secrets;              /* descriptor from secrets_collect, owned; -1: given away */
};

/* The verb of this name in a table whose last row has no name; NULL and fault, with the nearest name: there is none. */
const struct verb *invocation_find_verb(const struct verb *verbs, const char *name, struct fault *fault);
/* Takes the command line apart after the table of verbs; touches no file. False and fault: wrong usage. */
bool invocation_parse(struct invocation *invocation, const struct verb *verbs, int argc, char **argv,
                      struct fault *fault);
/* data_dir and run_dir, from --data, the environment and the working directory. DATA_DIR is set to the result, so
 * that everything that reads the setting agrees with --data. */
bool invocation_locate(struct invocation *invocation, struct fault *fault);
void invocation_free(struct invocation *invocation);

bool invocation_has(const struct invocation *invocation, enum option option);
/* -n: the greatest number of items, at least one; SIZE_MAX when it is not given. False and fault: the value is no
 * such number. */
bool invocation_newest(const struct invocation *invocation, size_t *most, struct fault *fault);

/* The exit of a verb that could not open its file, for this errno: 77 where this user may not, else 66. */
int invocation_exit_of(int error);
/* The exit of a verb that got no definitions out of agents.yaml: 77 where this user may not read it, else 78. */
int invocation_without_roster(const struct invocation *invocation);

/* The folder of the program that runs: its sister programs lie beside it. Caller frees; NULL and fault. */
char *invocation_programs(struct fault *fault);
