#include "supervisor/cli/verbs.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/settings.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/transfer/transfer.h"

#define ALWAYS     ((1u << OPTION_DATA) | (1u << OPTION_HELP))
#define WITH(name) (1u << OPTION_##name)

static const char TASK_DETAILS[] =
    "The text is the argument, or standard input when the argument is '-' or absent and standard input is "
    "no\n"
    "terminal. The task's id is printed once its block stands in the agent's queue.md, on disk. An --id that "
    "is\n"
    "pending, in hand or done with the same text adds nothing and says so; an id with another text is "
    "refused: 65.\n"
    "With --wait the answer is printed instead of the id, and standard error says what the task waits for. "
    "Exit 0 for\n"
    "reward 1 and 0; 65 for -1 and for a task that ended without an answer; 75 when --timeout is over.\n";
static const char ANSWER_DETAILS[] = "The answer is read from the agent's files, so no supervisor needs to "
                                     "run. 66: there is no such answer; 65: the\n"
                                     "answer can't be read; 75: the task is pending. With --wait as for "
                                     "task: 65 for reward -1 and for a task that ended\n"
                                     "without an answer, 75 when --timeout is over.\n";
static const char CHECK_DETAILS[] = "Exit 0: `agentos run` would start; its agents and models are printed. "
                                    "78: the start would fail, and every\n"
                                    "fault is printed, faults of agents.yaml with line and column. Warnings "
                                    "change nothing about the exit code.\n";
static const char VERIFY_DETAILS[] = "Reads every object that each agent's history reaches and checks its "
                                     "hash, the state files, the journal and every\n"
                                     "envelope, and changes nothing. Exit 0: all is well; 65: one sentence "
                                     "for each finding. With -n only the newest\n"
                                     "commits of each history are checked.\n";
static const char DEMO_DETAILS[] =
    "Starts a supervisor with the agent orion in a scratch directory, on the built-in offline model, gives "
    "it a task,\n"
    "shows the outcome, and clears everything away. Needs no network and no key.\n";

static const char DOCTOR_DETAILS[] =
    "Exit 0: the machine has all that is needed. 78: a part of the sandbox or of the file system is missing. "
    "69: only\n"
    "the model cannot be reached. The model is asked without the key, so any answer counts.\n";
static const char EXEC_DETAILS[] = "The command gets the agent's folder as working directory and home, an "
                                   "empty environment, the agent's limits,\n"
                                   "this terminal, and the system's programs to read and execute; else it "
                                   "may do as much as the agent. The exit code\n"
                                   "is the command's.\n";

static const char GIT_DETAILS[] = "The way to look at the history of an agent that isn't trusted: settings "
                                  "and files that git would run, include or\n"
                                  "follow in the agent's tree are taken out first, git can start no other "
                                  "program (no pager, editor, filter or\n"
                                  "hook), and git has the agent's folder and no network. On a terminal "
                                  "control characters are shown as '?'. The\n"
                                  "exit code is git's.\n"
                                  "    agentos git orion -- log --oneline\n";

static const char EVENTS_DETAILS[] = "Events come until SIGINT (exit 0) or the supervisor's end (69). With "
                                     "--json each event is one object a line:\n"
                                     "\"time\", \"event\", \"agent\" where the event concerns an agent, and "
                                     "the event's own members. A reader that is too\n"
                                     "slow loses events and is told how many.\n";

static const char LOG_DETAILS[] =
    "With --follow the newest ten (or -n) are printed oldest first, and then each commit as it is made.\n";
static const char STATUS_DETAILS[] = "Agents that need attention stand first: failed and backing off, then "
                                     "agents with problems or dead letters, then\n"
                                     "waiting and paused agents. STREAK: failures in a row; TOKENS and COST: "
                                     "of today (UTC); COST needs a price in\n"
                                     "agents.yaml. A terminal that is too narrow has fewer columns.\n";
static const char LOGS_DETAILS[] =
    "The lines come from the copy that the supervisor keeps of the last ones (4 to 8 MB, in DATA_DIR/.run), "
    "so no\n"
    "supervisor needs to run. -n counts events: an answer of many lines is one.\n";

static const char ROLLBACK_DETAILS[] = "skills.md, skills/, goals.md and reflections.md become what they "
                                       "were at COMMIT, whoever changed them since, by\n"
                                       "a new commit that lists what was undone; the list is printed too. "
                                       "History is never rewritten, so a rollback can\n"
                                       "be rolled back. Answers, rewards, envelopes and the queue stay, and "
                                       "so do persona.md, constraints.md and\n"
                                       "system_prompt.md. COMMIT is named by its first digits (`agentos "
                                       "log`), or as HEAD~3. A task in hand is finished\n"
                                       "first. Exit 66: no such agent or commit; 65: COMMIT is not among the "
                                       "commits that led to the present state; 75:\n"
                                       "the agent is stopped.\n";
static const char SEND_DETAILS[] = "The text is the argument, or standard input when the argument is '-' or "
                                   "absent and standard input is no\n"
                                   "terminal. The message's id is printed once the message is on disk: in "
                                   "the agent's iac/inbox, or, while that has\n"
                                   "no room, in shared/outbox. 75: the message was refused, since so many "
                                   "wait there already (backpressure).\n";
static const char ENQUEUE_DETAILS[] = "The text is given as with send, the --id as with task. The item's id "
                                      "is printed once the item is on disk, in\n"
                                      "shared/queues/QUEUE. 66: there is no such queue in agents.yaml; 75: "
                                      "the queue has too many items already\n"
                                      "(backpressure).\n";
static const char LETTERS_DETAILS[] =
    "Each envelope has one line, from the copy that knows most: its "
    "receiver's, else its sender's. With AGENT: the\n"
    "envelopes from it or to it. With AGENTOS_BUS the other nodes are asked "
    "too, and the node of each is said.\n";
static const char SHOW_DETAILS[] = "The route names every hand that the envelope went through, with times "
                                   "and commits; behind the route stand the\n"
                                   "places of the copies, the answers, the other envelopes of the same "
                                   "trace, and the text. With AGENTOS_BUS the\n"
                                   "route covers all nodes.\n";

static const char EXPORT_DETAILS[] =
    "FILE is a git bundle (`git clone FILE` takes the history out of it) with the agent's definition and its "
    "files as\n"
    "they are now: work that is pending in queue.md and iac/ too, files that people have not committed, and "
    "answers\n"
    "that left the git tree. The bundle does not have .agentos/ (made anew; --notes has the part that "
    "`move`\n"
    "carries), .git's configuration and hooks, links and other files that are none, and no key: agents have "
    "none. The\n"
    "verb works while the agent runs and while no supervisor does. A FILE that is there stays: 73.\n";
static const char IMPORT_DETAILS[] = "Makes DATA_DIR/agents/NAME and puts the agent's definition at the end "
                                     "of the agents of agents.yaml, whose other\n"
                                     "lines stay as they are. The agent arrives stopped: its checker, "
                                     "schedule, limits and queue are printed, and\n"
                                     "`agentos start` starts it. Pending work is done here too, so stop the "
                                     "agent that was exported if the work is not\n"
                                     "to be done twice. A FILE that is damaged or was made to harm changes "
                                     "nothing (65), and so does a name that is\n"
                                     "taken, in agents.yaml or as a folder (73).\n";

static const char MOVE_DETAILS[] = "On the node where the agent lives: the agent's work is finished or put "
                                   "down, its history, files, queue and\n"
                                   "envelopes are carried over, the lease is handed over, and NODE starts "
                                   "the agent; then the verb returns. The\n"
                                   "agent's directory here is kept under another name. 78: there is no bus, "
                                   "or agents.yaml says where the agent\n"
                                   "lives; 66: no such agent or node; 75: NODE is away.\n"
                                   "With --from-remote, on NODE, when the agent's node is gone: says what "
                                   "AGENTOS_GIT_REMOTE does not have of the\n"
                                   "agent (the work that was pending, as its node told last), then fetches "
                                   "its branch, checks it as an import, and\n"
                                   "starts the agent. 75: a node has the agent's lease; 65: the branch went "
                                   "another way than the agent; 78: there is\n"
                                   "no remote; 69: the branch could not be fetched.\n";

static const char INIT_DETAILS[] = "DIR, else --data, else DATA_DIR, is made if it is missing, and gets an "
                                   "agents.yaml with the agent orion. An\n"
                                   "agents.yaml that is there stays as it is: 73.\n";
static const char ORDER_DETAILS[] = "Returns when the order is carried out, for every agent named; the exit "
                                    "code is that of the first order that\n"
                                    "failed, and the other orders are carried out all the same.\n";

/* The supervisor lies above this room, so the program hands it in. */
static int verb_run(struct invocation *invocation)
{
    return invocation->run(invocation);
}

const struct verb VERBS[] = {
    {"init", "[DIR]", "an agents.yaml to start from, and what to type next", ALWAYS, 0, 1, verb_init,
     INIT_DETAILS},
    {"run", "", "supervise every agent of agents.yaml, in the foreground", ALWAYS | WITH(LISTEN), 0, 0,
     verb_run, "The supervisor runs until SIGTERM or SIGINT; then work gets STOP_GRACE seconds to finish.\n"},
    {"check", "", "validate agents.yaml and the environment; says every fault, with its line", ALWAYS, 0, 0,
     verb_check, CHECK_DETAILS},
    {"doctor", "", "what this machine gives and lacks, and whether the model can be reached", ALWAYS, 0, 0,
     verb_doctor, DOCTOR_DETAILS},
    {"demo", "", "the whole cycle in a scratch directory against a built-in offline model, then exit",
     WITH(HELP) | WITH(KEEP), 0, 0, verb_demo, DEMO_DETAILS},
    {"task", "AGENT [TEXT|-]", "give an agent a task",
     ALWAYS | WITH(ID) | WITH(PRIORITY) | WITH(TTL) | WITH(LOCK) | WITH(WAIT) | WITH(TIMEOUT), 1, 2,
     verb_task, TASK_DETAILS},
    {"answer", "AGENT [TASK]", "the answer to a task, the last one if none is named",
     ALWAYS | WITH(WAIT) | WITH(TIMEOUT), 1, 2, verb_answer, ANSWER_DETAILS},
    {"cancel", "AGENT TASK", "take back a pending task, or the one in progress", ALWAYS, 2, 2, verb_cancel,
     NULL},
    {"send", "AGENT [TEXT|-]", "send an agent a message, which is read in the next cycle",
     ALWAYS | WITH(PRIORITY) | WITH(TTL), 1, 2, verb_send, SEND_DETAILS},
    {"enqueue", "QUEUE [TEXT|-]", "put an item into a work queue; one of its consumers does it",
     ALWAYS | WITH(ID) | WITH(PRIORITY) | WITH(TTL), 1, 2, verb_enqueue, ENQUEUE_DETAILS},
    {"status", "[AGENT]",
     "state, process, queue, dead letters, rewards, tokens, cost, memory and problems of the agents",
     ALWAYS | WITH(JSON) | WITH(WATCH) | WITH(ALL_NODES), 0, 1, verb_status, STATUS_DETAILS},
    {"start", "AGENT...", "start a stopped agent", ALWAYS | WITH(NO_WAIT) | WITH(ALL), 1, WORDS_ANY,
     verb_order, ORDER_DETAILS},
    {"stop", "AGENT...", "let the agent finish its cycle, then stop it", ALWAYS | WITH(NO_WAIT) | WITH(ALL),
     1, WORDS_ANY, verb_order, ORDER_DETAILS},
    {"restart", "AGENT...", "stop, then start", ALWAYS | WITH(NO_WAIT) | WITH(ALL), 1, WORDS_ANY, verb_order,
     ORDER_DETAILS},
    {"kill", "AGENT...", "end the agent's worker at once; its task is done again, once",
     ALWAYS | WITH(NO_WAIT) | WITH(ALL), 1, WORDS_ANY, verb_order, ORDER_DETAILS},
    {"pause", "AGENT...", "begin no further task", ALWAYS | WITH(NO_WAIT) | WITH(ALL), 1, WORDS_ANY,
     verb_order, ORDER_DETAILS},
    {"resume", "AGENT...", "go on after a pause", ALWAYS | WITH(NO_WAIT) | WITH(ALL), 1, WORDS_ANY,
     verb_order, ORDER_DETAILS},
    {"move", "AGENT NODE", "carry an agent to another node of the bus", ALWAYS | WITH(FROM_REMOTE), 2, 2,
     verb_move, MOVE_DETAILS},
    {"reload", "", "apply agents.yaml; says what was applied and what was refused", ALWAYS, 0, 0, verb_reload,
     NULL},
    {"retry", "[AGENT]", "ask a provider again now, whatever backoff runs", ALWAYS, 0, 1, verb_retry, NULL},
    {"logs", "[AGENT]", "the lines of the log, of one agent or of all, oldest first",
     ALWAYS | PAGED | WITH(FOLLOW) | WITH(NEWEST), 0, 1, verb_logs, LOGS_DETAILS},
    {"events", "[AGENT]", "follow events, live: a sentence a line", ALWAYS | WITH(JSON), 0, 1, verb_events,
     EVENTS_DETAILS},
    {"log", "AGENT", "the agent's diary, from the commits of its repository, newest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST) | WITH(FOLLOW), 1, 1, verb_log, LOG_DETAILS},
    {"skills", "AGENT", "the agent's skills, with their evidence", ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST),
     1, 1, verb_listing, NULL},
    {"rewards", "AGENT", "the rewards of the agent's last tasks, newest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1, verb_listing, NULL},
    {"goals", "AGENT", "the agent's goals", ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1, verb_listing,
     NULL},
    {"reflections", "AGENT", "the agent's notes about its work, newest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1, verb_listing, NULL},
    {"rollback", "AGENT COMMIT", "undo an agent's learning since COMMIT, by a new commit", ALWAYS, 2, 2,
     verb_rollback, ROLLBACK_DETAILS},
    {"handoffs", "[AGENT]", "handoffs between agents, wherever they lie now, oldest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, LETTERS_DETAILS},
    {"messages", "[AGENT]", "messages, results and bounces, wherever they lie now, oldest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, LETTERS_DETAILS},
    {"show", "ID", "one envelope, with its whole route through the system", ALWAYS | PAGED | WITH(JSON), 1, 1,
     verb_show, SHOW_DETAILS},
    {"dead-letters", "[AGENT]", "work that expired, failed or was refused, and why",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, NULL},
    {"requeue", "ID", "give a dead letter a fresh life", ALWAYS, 1, 1, verb_dead_letter, NULL},
    {"purge", "ID", "remove a dead letter", ALWAYS, 1, 1, verb_dead_letter, NULL},
    {"queues", "", "the items of the work queues, with the node and the consumer of each",
     ALWAYS | PAGED | WITH(JSON), 0, 0, verb_listing, NULL},
    {"locks", "", "every lock: who holds it, until when, who waits", ALWAYS | PAGED | WITH(JSON), 0, 0,
     verb_listing, NULL},
    {"segments", "", "the texts that agents share, with their versions", ALWAYS | PAGED | WITH(JSON), 0, 0,
     verb_listing, NULL},
    {"verify", "", "offline: every repository and every envelope consistent; says what is not",
     ALWAYS | WITH(NEWEST), 0, 0, verb_verify, VERIFY_DETAILS},
    {"git", "AGENT -- ARGS...", "git on the agent's repository, where nothing that the agent wrote is run",
     ALWAYS | TAKES_COMMAND, 1, 1, verb_git, GIT_DETAILS},
    {"exec", "AGENT -- COMMAND...",
     "run a command inside the agent's sandbox, to see what the agent could see", ALWAYS | TAKES_COMMAND, 1,
     1, verb_exec, EXEC_DETAILS},
    {"export", "AGENT FILE", "the whole agent, history included, as one file", ALWAYS | WITH(NOTES), 2, 2,
     verb_export, EXPORT_DETAILS},
    {"import", "FILE", "an agent out of a file that export made", ALWAYS | WITH(MOVED), 1, 1, verb_import,
     IMPORT_DETAILS},
    {"help", "[VERB]", "the list of verbs, or one verb's page", WITH(HELP) | PAGED | WITH(TABLE), 0, 1,
     verb_help, NULL},
    {"version", "", "the versions of agentos and of its libraries", WITH(HELP), 0, 0, verb_version, NULL},
    {.name = NULL},
};

struct option_help {
    const char *name, *value, *help;
};

static const struct option_help OPTION_HELPS[OPTION_COUNT] = {
#define X(name, text, value, help) [OPTION_##name] = {text, value, help},
    OPTIONS_TABLE(X)
#undef X
};

/* The verbs with which groups of the help page begin. */
static const struct {
    const char *first, *title;
} GROUPS[] = {
    {"init", "To begin"},
    {"task", "Give work and get answers"},
    {"status", "Agents"},
    {"logs", "See what happens"},
    {"skills", "What an agent has learned"},
    {"handoffs", "Between agents"},
    {"verify", "Files and repositories"},
    {"help", "Help"},
};

static void begin_group(const char *verb, struct buffer *out)
{
    for (size_t i = 0; i < sizeof(GROUPS) / sizeof(GROUPS[0]); i++)
        if (strcmp(GROUPS[i].first, verb) == 0)
            buffer_print(out, "%s%s:\n", i > 0 ? "\n" : "", GROUPS[i].title);
}

void verbs_help(struct buffer *out)
{
    buffer_text(out, "usage: agentos VERB [--data DIR] …\n\n");
    for (const struct verb *verb = VERBS; verb->name != NULL; verb++) {
        begin_group(verb->name, out);
        char call[64];
        struct buffer line = {0};
        buffer_print(&line, "%s%s%s", verb->name, verb->arguments[0] != '\0' ? " " : "", verb->arguments);
        (void)strncpy(call, line.data, sizeof(call) - 1);
        call[sizeof(call) - 1] = '\0';
        buffer_free(&line);
        buffer_print(out, "  %-24s %s\n", call, verb->summary);
    }
    buffer_text(
        out, "\n`agentos VERB --help` says more; `agentos --version` names the libraries too.\n"
             "init, run, check, doctor, demo, export, import, exec, git and verbs that only read work by "
             "themselves; "
             "every other\nverb asks the supervisor that runs on the same data directory.\n\n"
             "Exit codes: 0 done, 64 wrong usage, 65 bad data, 66 no such agent or id, 69 no supervisor is "
             "running,\n70 internal, 73/74 cannot write, 75 try again, 77 not permitted, "
             "78 bad configuration.\n\nEnvironment:\n");
    settings_help(out);
}

void verbs_help_of(const struct verb *verb, struct buffer *out)
{
    buffer_print(out, "usage: agentos %s%s%s [options]\n\n%s.\n", verb->name,
                 verb->arguments[0] != '\0' ? " " : "", verb->arguments, verb->summary);
    if (verb->details != NULL)
        buffer_print(out, "\n%s", verb->details);
    buffer_text(out, "\nOptions:\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((verb->options & (1u << i)) != 0) {
            const struct option_help *help = &OPTION_HELPS[i];
            int pad = 20 - (int)strlen(help->name) - (help->value != NULL ? (int)strlen(help->value) + 1 : 0);
            buffer_print(out, "  %s%s%s%*s %s\n", help->name, help->value != NULL ? " " : "",
                         help->value != NULL ? help->value : "", pad, "", help->help);
        }
    }
}

/* A line for each verb, "task<TAB>AGENT [TEXT|-]<TAB>--data= --help …<TAB>give an agent a task": an option that takes
 * a value ends with '=', and '-' stands where there are no arguments. The shells' completions read the table. */
static void verbs_table(struct buffer *out)
{
    for (const struct verb *verb = VERBS; verb->name != NULL; verb++) {
        buffer_print(out, "%s\t%s\t", verb->name, verb->arguments[0] != '\0' ? verb->arguments : "-");
        for (size_t i = 0; i < OPTION_COUNT; i++)
            if ((verb->options & (1u << i)) != 0)
                buffer_print(out, "%s%s ", OPTION_HELPS[i].name, OPTION_HELPS[i].value != NULL ? "=" : "");
        buffer_print(out, "\t%s\n", verb->summary);
    }
}

static int show_page(struct buffer *page)
{
    fputs(page->data, stdout);
    buffer_free(page);
    return output_end(EX_OK);
}

int verb_help(struct invocation *invocation)
{
    struct buffer page = {0};
    struct fault fault = {0};
    const char *name = invocation->words[0];
    const struct verb *verb = name != NULL ? invocation_find_verb(VERBS, name, &fault) : NULL;
    if (name != NULL && verb == NULL)
        return output_fail(EX_USAGE, "%s", fault.text);
    if (invocation_has(invocation, OPTION_TABLE))
        verbs_table(&page);
    else if (verb != NULL)
        verbs_help_of(verb, &page);
    else
        verbs_help(&page);
    return show_page(&page);
}

int verb_version(struct invocation *invocation)
{
    struct buffer page = {0};
    (void)invocation;
    verbs_version(&page);
    return show_page(&page);
}
