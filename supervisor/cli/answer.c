/* `agentos answer`: from the agent's files, so that it needs no supervisor. */
#include "supervisor/cli/answer.h"

#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/format/answer_file.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/progress.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/input.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"
#include "supervisor/listings/task_state.h"
#include "supervisor/reader/task_answer.h"

enum {
    LOOK_EVERY_MS = 200,
    UNKNOWN_MS = 3000, /* a task may stand nowhere for this time, while queue.md is exchanged */
};

/* The answer is printed, of a task with reward -1: an exit status of its own, since an answer that can't be read has
 * EX_DATAERR. */
enum { NEGATIVE = 1 };

static int print(struct answer_file *answer)
{
    OWNED char *clean = isatty(STDOUT_FILENO) ? output_clean(answer->body, 1) : memory_text(answer->body);
    fputs(clean, stdout);
    int status = answer->reward < 0 ? NEGATIVE : 0;
    answer_free(answer);
    return status;
}

struct pruned_answer {
    const char *repository, *task, *file;
};

/* In a process of its own: the agent's git has the answer. */
static int show_pruned(void *context)
{
    const struct pruned_answer *wanted = context;
    struct fault fault = {0};
    struct answer_file answer;
    if (task_answer_read(wanted->repository, wanted->file, &answer, &fault))
        return print(&answer);
    return output_fail(EX_DATAERR, "the answer to %s has left outputs/, and can't be read in git: %s",
                       wanted->task, fault.text);
}

static int find_pruned(const struct invocation *invocation, int folder, const char *task)
{
    OWNED char *file = task_answer_pruned(folder, task);
    OWNED char *repository = memory_print("%s/agents/%s", invocation->data_dir, invocation->words[0]);
    struct pruned_answer wanted = {.repository = repository, .task = task, .file = file};
    if (file == NULL)
        return -1;
    confine_guard(invocation->data_dir, invocation->words[0]);
    return confine(repository, show_pruned, &wanted);
}

/* 0, NEGATIVE, EX_DATAERR; below 0: there is no answer. */
static int show(const struct invocation *invocation, int folder, const char *task)
{
    struct fault fault = {0};
    struct answer_file answer;
    int found =
        task != NULL ? answer_read(folder, task, &answer, &fault) : answer_read_last(folder, &answer, &fault);
    if (found < 0)
        return output_fail(EX_DATAERR, "%s", fault.text);
    return found == 1 ? print(&answer) : task != NULL ? find_pruned(invocation, folder, task) : -1;
}

int answer_show(const struct invocation *invocation, int folder, const char *task)
{
    int status = show(invocation, folder, task);
    return status == NEGATIVE ? EX_DATAERR : status;
}

static int say_none(const struct invocation *invocation, const char *task)
{
    const char *agent = invocation->words[0];
    if (task == NULL)
        output_complain("%s has answered nothing yet", agent);
    else
        output_complain("%s has no answer to a task '%s', and no such task is pending", agent, task);
    return EX_NOINPUT;
}

static int say_dead(const char *task, const char *why)
{
    return output_fail(EX_DATAERR, "task %s ended without an answer: %s", task, why);
}

/* A pending task is looked for before its answer: the task leaves queue.md when its answer lies in outputs/. */
static int await(const struct invocation *invocation, int folder, const char *task, int64_t until)
{
    struct progress progress = {.invocation = invocation, .agent = invocation->words[0], .task = task};
    int64_t known_ms = clock_monotonic_ms();
    bool known = task == NULL;
    for (;;) {
        long place = task != NULL ? task_state_place(folder, task) : 0;
        int64_t now = clock_monotonic_ms();
        known = known || place > 0;
        int status = place > 0 ? -1 : answer_show(invocation, folder, task);
        OWNED char *why = place > 0 || task == NULL || status >= 0 ? NULL : task_state_why_dead(folder, task);
        bool unknown = status < 0 && place == 0 && task != NULL && now - known_ms >= UNKNOWN_MS;
        if (status >= 0 || why != NULL || unknown || (until != 0 && now >= until)) {
            progress_end(&progress);
            return status >= 0         ? status
                   : why != NULL       ? say_dead(task, why)
                   : unknown || !known ? say_none(invocation, task)
                                       : progress_say_over(&progress);
        }
        if (place > 0)
            known_ms = now;
        progress_say(&progress, folder);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * 1000L * 1000L}, NULL);
    }
}

int verb_answer(struct invocation *invocation)
{
    int status = 0;
    int64_t until = 0;
    const char *task = invocation->words[1];
    if (!input_until(invocation, &until))
        return EX_USAGE;
    OWNED char *path = NULL;
    OWNED_FD int folder = data_dir_agent(invocation, invocation->words[0], &path, &status);
    if (folder < 0)
        return status;
    if (invocation_has(invocation, OPTION_WAIT))
        return output_end(await(invocation, folder, task, until));
    status = show(invocation, folder, task);
    if (status < 0 && task != NULL) {
        long place = task_state_place(folder, task);
        OWNED char *why = task_state_why_dead(folder, task);
        if (place > 0)
            return output_fail(
                EX_TEMPFAIL, "task %s has no answer yet: it is number %ld in the queue (--wait waits for it)",
                task, place);
        return why != NULL ? say_dead(task, why) : say_none(invocation, task);
    }
    return status < 0 ? say_none(invocation, task) : output_end(status == NEGATIVE ? 0 : status);
}
