/* `agentos demo`: the whole cycle, before your eyes, without a network. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/printable.h"
#include "common/tree.h"
#include "supervisor/cli/demo_instance.h"
#include "supervisor/cli/first_agents.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"
#include "supervisor/reader/commit_log.h"

enum { DEMO_PATIENCE_MS = 60 * 1000, DEMO_STEP_NS = 50 * 1000 * 1000, ANSWER_LINES = 12, LOG_LINES = 30 };

static const char TASK[] = "List your active constraints and explain how the reward system works.";

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* Looks every 50 ms until the condition holds; false: it took too long, somebody pressed ^C, or the supervisor
 * ended. */
static bool wait_until(struct demo_instance *instance, bool (*so)(const char *path), const char *path,
                       const char *what, struct fault *fault)
{
    int64_t until = clock_monotonic_ms() + DEMO_PATIENCE_MS;
    while (!so(path)) {
        if (demo_instance_ended(instance, fault))
            return false;
        if (interrupted || clock_monotonic_ms() > until)
            return fault_set(fault, "%s: given up %s", what,
                             interrupted ? "as you wished" : "after a minute");
        (void)nanosleep(&(struct timespec){.tv_nsec = DEMO_STEP_NS}, NULL);
    }
    return true;
}

static bool has_queue(const char *agent_path)
{
    OWNED char *path = memory_print("%s/" TREE_QUEUE, agent_path);
    OWNED char *commits = memory_print("%s/.git/HEAD", agent_path);
    return access(path, W_OK) == 0 && access(commits, R_OK) == 0;
}

/* The commit that finished the task is in HEAD's history. */
static bool has_finished(const char *agent_path)
{
    OWNED_LOG struct commit_log history = {0};
    bool finished = commit_log_read(&history, agent_path, 1, NULL);
    finished = finished && history.count > 0 && history.entries[0].task != NULL;
    return finished;
}

static bool append_task(const char *agent_path, struct fault *fault)
{
    char now[CLOCK_TEXT];
    OWNED_FD int folder = files_open_path(agent_path, fault);
    OWNED char *block = memory_print("\n## first-task\ntask: %s\npriority: normal\ncreated: %s\n", TASK,
                                     clock_format(clock_now(), now));
    printf("$ cat >> %s/" TREE_QUEUE "\n%s\n", agent_path, block + 1);
    return folder >= 0 && files_append(folder, TREE_QUEUE, block, strlen(block), fault);
}

static void show_file(const char *path, size_t most_lines)
{
    OWNED char *above = memory_text(path);
    char *slash = strrchr(above, '/');
    *slash = '\0';
    OWNED_FD int folder = files_open_path(above, NULL);
    OWNED char *text = NULL;
    size_t length = 0;
    printf("$ head -n %zu %s\n", most_lines, path);
    if (folder < 0 || files_read(folder, slash + 1, TREE_FILE_MAX, &text, &length, NULL, NULL) != 1) {
        printf("(there is no such file)\n\n");
        return;
    }
    OWNED char *clean = output_clean(text, 1);
    char *rest = clean;
    for (char *line = strsep(&rest, "\n"); line != NULL && most_lines-- > 0; line = strsep(&rest, "\n"))
        if (rest != NULL || line[0] != '\0')
            puts(line);
    putchar('\n');
}

static void show_commits(const struct commit_log *history, const char *agent_path)
{
    printf("$ git -C %s log --oneline\n", agent_path);
    for (size_t i = 0; i < history->count; i++) {
        OWNED char *subject = output_clean(history->entries[i].subject, 0);
        printf("%.7s %s\n", history->entries[i].commit, subject);
    }
    putchar('\n');
}

static void show_tree(const char *instance, const char *agent_path)
{
    static const char *const SHOWN[] = {"outputs/first-task.md", TREE_REWARDS, TREE_SKILLS};
    OWNED char *log = memory_print("%s/log", instance);
    show_file(log, LOG_LINES);
    for (size_t i = 0; i < sizeof(SHOWN) / sizeof(SHOWN[0]); i++) {
        OWNED char *path = memory_print("%s/%s", agent_path, SHOWN[i]);
        show_file(path, ANSWER_LINES);
    }
}

/* Whether the demonstration's promise is kept: a +1 and a skill, committed. */
static bool is_earned(const struct commit_log *history, const char *agent_path)
{
    OWNED_FD int folder = files_open_path(agent_path, NULL);
    return folder >= 0 && history->count > 0 && history->entries[0].task != NULL &&
           history->entries[0].reward == 1 && listings_has_skill(folder);
}

static bool show_outcome(const char *instance, const char *agent_path, struct fault *fault)
{
    OWNED_LOG struct commit_log history = {0};
    bool earned = commit_log_read(&history, agent_path, SIZE_MAX, fault);
    show_tree(instance, agent_path);
    show_commits(&history, agent_path);
    if (earned && !is_earned(&history, agent_path))
        earned = fault_set(fault, "the task ended without a reward of +1 and a skill");
    return earned;
}

static bool demonstrate(struct demo_instance *instance, char **agent_path, struct fault *fault)
{
    if (!demo_instance_start(instance, FIRST_AGENTS_YAML, fault))
        return false;
    *agent_path = memory_print("%s/agents/orion", instance->path);
    printf("The data directory is %s; the model is the built-in offline one.\n\n", instance->path);
    return wait_until(instance, has_queue, *agent_path, "orion did not get ready", fault) &&
           append_task(*agent_path, fault) &&
           wait_until(instance, has_finished, *agent_path, "the task did not end", fault);
}

/* Removes the data directory at the end; with --keep, or after a failure, everything in it stays to be looked at. */
static void clear_away(struct demo_instance *instance, bool keep)
{
    if (keep && instance->path != NULL) {
        OWNED char *word = printable_word(instance->path);
        printf("All files are left in %s; `agentos run --data %s` goes on from there.\n", instance->path,
               word);
        free(instance->path);
    } else {
        demo_instance_remove(instance);
        printf("The supervisor has ended and the directory is removed; `agentos demo --keep` leaves it.\n");
    }
}

int verb_demo(struct invocation *invocation)
{
    struct fault fault = {0};
    struct demo_instance instance = {.supervisor = -1};
    OWNED char *agent_path = NULL;
    (void)signal(SIGINT, interrupt);
    (void)signal(SIGTERM, interrupt);
    bool done = demonstrate(&instance, &agent_path, &fault);
    bool stopped = demo_instance_stop(&instance);
    if (agent_path != NULL)
        done = show_outcome(instance.path, agent_path, done ? &fault : NULL) && done;
    if (done && !stopped)
        done = fault_set(&fault, "the supervisor did not stop in order");
    clear_away(&instance, invocation_has(invocation, OPTION_KEEP) || (!done && !interrupted));
    if (!done)
        output_complain("%s", fault.text);
    return output_end(done ? EX_OK : EX_SOFTWARE);
}
