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
    "terminal. Prints the task's id once its block stands in the agent's queue.md, on disk. An --id that is\n"
    "pending, in hand or done with the same text adds nothing and says so; with another text it is refused: "
    "65.\n"
    "With --wait the answer is printed instead of the id, and what is waited for on standard error. Exit 0 "
    "for\n"
    "reward 1 and 0; 65 for -1 and for a task that ended without an answer; 75 when --timeout is over.\n";
static const char ANSWER_DETAILS[] = "Read from the agent's files, so no supervisor needs to run. 66: there "
                                     "is no such answer; 75: not yet. With\n"
                                     "--wait as for task: 65 for reward -1 and for a task that ended without "
                                     "an answer, 75 when --timeout is over.\n";
static const char CHECK_DETAILS[] =
    "Exit 0: `agentos run` would start; what would run is printed. 78: it would not, and every fault is "
    "printed,\n"
    "those of agents.yaml with line and column. Warnings change nothing about the exit code.\n";
static const char VERIFY_DETAILS[] =
    "Changes nothing. Reads every object that each agent's history reaches and checks its hash, the state "
    "files,\n"
    "the journal and every envelope. Exit 0: all is well; 65: one sentence for each finding. With -n\n"
    "only the newest commits of each history are checked.\n";
static const char DEMO_DETAILS[] =
    "Starts a supervisor with the agent orion in a scratch directory, on the built-in offline model, gives "
    "it a\n"
    "task, shows what came of it, and clears everything away. Needs no network and no key.\n";

static const char DOCTOR_DETAILS[] =
    "Exit 0: all that is needed is there. 78: a part of the sandbox or of the file system is missing. 69: "
    "only "
    "the\nmodel cannot be reached. It is asked without the key, so any answer counts.\n";
static const char EXEC_DETAILS[] =
    "The command gets the agent's folder as working directory and home, an empty environment, the agent's "
    "limits,\nthis terminal, and the system's programs to read and execute; else it is left what the agent "
    "is "
    "left. The exit\ncode is the command's.\n";

static const char GIT_DETAILS[] =
    "The way to look at the history of an agent that isn't trusted: what git would run, include or follow in "
    "its\ntree is taken out first, git can start no other program (no pager, editor, filter or hook), and it "
    "has the\nagent's folder and no network. On a terminal control characters are shown as '?'. The exit "
    "code "
    "is git's.\n"
    "    agentos git orion -- log --oneline\n";

static const char EVENTS_DETAILS[] =
    "Until SIGINT (exit 0) or the supervisor's end (69). With --json one object a line: \"time\", \"event\", "
    "\"agent\" where\nit concerns one, and what belongs to the event. A reader that is too slow loses events "
    "and is told how many.\n";

static const char LOG_DETAILS[] =
    "With --follow the newest ten (or -n) are printed oldest first, and then each commit as it is made.\n";
static const char STATUS_DETAILS[] =
    "What needs attention stands first: failed and backing off, then problems, dead letters, waiting and "
    "paused ones.\nSTREAK: failures in a row; TOKENS and COST: of today (UTC); COST needs a price in "
    "agents.yaml.\nA terminal that is too narrow has fewer columns.\n";
static const char LOGS_DETAILS[] =
    "From the copy that the supervisor keeps of its last lines (4 to 8 MB, in DATA_DIR/.run), so no "
    "supervisor\nneeds to run. -n counts events: an answer of many lines is one.\n";

static const char ROLLBACK_DETAILS[] =
    "skills.md, skills/, goals.md and reflections.md become what they were at COMMIT, whoever changed them "
    "since, by a\nnew commit that says what was undone; it is printed too. History is never rewritten, so a "
    "rollback can be rolled\nback. Answers, rewards, envelopes and the queue stay, and so do persona.md, "
    "constraints.md and system_prompt.md.\nCOMMIT is named by its first digits (`agentos log`), or as "
    "HEAD~3. "
    "A task in hand is finished first. Exit 66: no such\nagent or commit; 65: COMMIT is not in what led to "
    "the "
    "present state; 75: the agent is stopped.\n";
static const char SEND_DETAILS[] =
    "The text is the argument, or standard input when the argument is '-' or absent and standard input is "
    "no\n"
    "terminal. Prints the message's id once it is on disk: in the agent's iac/inbox, or, while that has no "
    "room,\nin shared/outbox. 75: so many wait there already that it was refused (backpressure).\n";
static const char ENQUEUE_DETAILS[] =
    "The text as with send, the --id as with task. Prints the item's id once it is on disk, in\n"
    "shared/queues/QUEUE. 66: there is no such queue in agents.yaml; 75: it has too many items already\n"
    "(backpressure).\n";
static const char LETTERS_DETAILS[] =
    "One line for each, from the copy that knows most: its receiver's, else its sender's. With AGENT: those "
    "from\nit or to it. With AGENTOS_BUS handoffs asks the other nodes too, and says the node of each.\n";
static const char SHOW_DETAILS[] =
    "Every hand that it went through, with times and commits; where its copies lie; what answers it, and "
    "what\nelse came of the same trace; its text. With AGENTOS_BUS over all nodes.\n";

static const char EXPORT_DETAILS[] =
    "FILE is a git bundle (`git clone FILE` takes the history out of it) with the agent's definition and its "
    "files as\nthey are now: what is pending in queue.md and iac/ too, what people have not committed, and "
    "answers that left the\ngit tree. Not in it: .agentos/ (made anew; --notes has the part that `move` "
    "carries), .git's configuration and\nhooks, links and other files that are none, and no key: agents have "
    "none. Works while the agent runs and when nothing\ndoes. A FILE that is there stays: 73.\n";
static const char IMPORT_DETAILS[] =
    "Makes DATA_DIR/agents/NAME and puts its definition at the end of the agents of agents.yaml, whose other "
    "lines stay\nas they are. It arrives stopped: what it would do (checker, schedule, limits, queue) is "
    "printed, and `agentos start`\nstarts it. What was pending is done here too, so stop the agent that was "
    "exported if it is not to be done twice. A FILE\nthat is damaged or was made to harm changes nothing "
    "(65), and so does a name that is taken, in agents.yaml or as a\nfolder (73).\n";

static const char MOVE_DETAILS[] =
    "On the node where the agent lives: its work is finished or put down, its history, files, queue and "
    "envelopes are\ncarried over, the lease is handed over, and NODE starts it; then it returns. Its "
    "directory here is kept under another\nname. 78: there is no bus, or agents.yaml says where the agent "
    "lives; 66: no such agent or node; 75: NODE is away.\nWith --from-remote, on NODE, when the agent's node "
    "is gone: says what AGENTOS_GIT_REMOTE does not have of it (what was\npending, as its node told last), "
    "then fetches its branch, checks it as an import, and starts the agent. 75: a node has\nits lease; 65: "
    "the branch went another way than the agent; 78: there is no remote; 69: it could not be fetched.\n";

static const char INIT_DETAILS[] = "DIR, else --data, else DATA_DIR, is made if it is missing, and gets an "
                                   "agents.yaml with the agent orion.\nAn agents.yaml that is there stays as "
                                   "it is: 73.\n";
static const char ORDER_DETAILS[] =
    "Returns when it is so, of every agent named; the exit code is that of the first that failed, and the "
    "others are\ncarried out all the same.\n";

/* The supervisor lies above this room, so the program hands it in. */
static int verb_run(struct invocation *invocation)
{
    return invocation->run(invocation);
}

const struct verb VERBS[] = {
    {"init", "[DIR]", "an agents.yaml to start from, and what to type next", ALWAYS, 0, 1, verb_init,
     INIT_DETAILS},
    {"run", "", "supervise every agent of agents.yaml, in the foreground", ALWAYS | WITH(LISTEN), 0, 0,
     verb_run, "Runs until SIGTERM or SIGINT; then work gets STOP_GRACE seconds to finish.\n"},
    {"check", "", "validate agents.yaml and the environment; says every fault, with its line", ALWAYS, 0, 0,
     verb_check, CHECK_DETAILS},
    {"doctor", "", "what this machine gives, what is missing, and whether the model can be reached", ALWAYS,
     0, 0, verb_doctor, DOCTOR_DETAILS},
    {"demo", "", "the whole cycle in a scratch directory against a built-in offline model, then exit",
     WITH(HELP) | WITH(KEEP), 0, 0, verb_demo, DEMO_DETAILS},
    {"task", "AGENT [TEXT|-]", "give an agent a task",
     ALWAYS | WITH(ID) | WITH(PRIORITY) | WITH(TTL) | WITH(LOCK) | WITH(WAIT) | WITH(TIMEOUT), 1, 2,
     verb_task, TASK_DETAILS},
    {"answer", "AGENT [TASK]", "the answer to a task, the last one if none is named",
     ALWAYS | WITH(WAIT) | WITH(TIMEOUT), 1, 2, verb_answer, ANSWER_DETAILS},
    {"cancel", "AGENT TASK", "take back a pending task, or the one in progress", ALWAYS, 2, 2, verb_cancel,
     NULL},
    {"send", "AGENT [TEXT|-]", "send an agent a message; it is read in the next cycle",
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
    {"logs", "[AGENT]", "what the log said, of one agent or of all, oldest first",
     ALWAYS | PAGED | WITH(FOLLOW) | WITH(NEWEST), 0, 1, verb_logs, LOGS_DETAILS},
    {"events", "[AGENT]", "follow what happens, live: a sentence a line", ALWAYS | WITH(JSON), 0, 1,
     verb_events, EVENTS_DETAILS},
    {"log", "AGENT", "its diary, from the commits of its repository, newest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST) | WITH(FOLLOW), 1, 1, verb_log, LOG_DETAILS},
    {"skills", "AGENT", "what the agent has learned", ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1,
     verb_listing, NULL},
    {"rewards", "AGENT", "how its last tasks went, newest first", ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST),
     1, 1, verb_listing, NULL},
    {"goals", "AGENT", "what it works towards", ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1,
     verb_listing, NULL},
    {"reflections", "AGENT", "what it noted about its work, newest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 1, 1, verb_listing, NULL},
    {"rollback", "AGENT COMMIT", "undo what was learned since COMMIT, by a new commit", ALWAYS, 2, 2,
     verb_rollback, ROLLBACK_DETAILS},
    {"handoffs", "[AGENT]", "what agents gave each other to do, wherever it lies now, oldest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, LETTERS_DETAILS},
    {"messages", "[AGENT]", "messages, results and bounces, wherever they lie now, oldest first",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, LETTERS_DETAILS},
    {"show", "ID", "one envelope, with its whole route through the system", ALWAYS | PAGED | WITH(JSON), 1, 1,
     verb_show, SHOW_DETAILS},
    {"dead-letters", "[AGENT]", "what expired, failed or was refused, and why",
     ALWAYS | PAGED | WITH(JSON) | WITH(NEWEST), 0, 1, verb_listing, NULL},
    {"requeue", "ID", "give a dead letter a fresh life", ALWAYS, 1, 1, verb_dead_letter, NULL},
    {"purge", "ID", "remove a dead letter", ALWAYS, 1, 1, verb_dead_letter, NULL},
    {"queues", "", "what the work queues hold, on which node, and who has it", ALWAYS | PAGED | WITH(JSON), 0,
     0, verb_listing, NULL},
    {"locks", "", "every lock: who holds it, until when, who waits", ALWAYS | PAGED | WITH(JSON), 0, 0,
     verb_listing, NULL},
    {"segments", "", "the texts that agents share, with their versions", ALWAYS | PAGED | WITH(JSON), 0, 0,
     verb_listing, NULL},
    {"verify", "", "offline: every repository and every envelope consistent; says what is not",
     ALWAYS | WITH(NEWEST), 0, 0, verb_verify, VERIFY_DETAILS},
    {"git", "AGENT -- ARGS...", "git on the agent's repository, where nothing that the agent wrote is run",
     ALWAYS | TAKES_COMMAND, 1, 1, verb_git, GIT_DETAILS},
    {"exec", "AGENT -- COMMAND...", "run a command inside the agent's sandbox, to see what it could see",
     ALWAYS | TAKES_COMMAND, 1, 1, verb_exec, EXEC_DETAILS},
    {"export", "AGENT FILE", "the whole agent, history included, as one file", ALWAYS | WITH(NOTES), 2, 2,
     verb_export, EXPORT_DETAILS},
    {"import", "FILE", "an agent out of a file that export made", ALWAYS | WITH(MOVED), 1, 1, verb_import,
     IMPORT_DETAILS},
    {"help", "[VERB]", "what the verbs are, or one verb's page", WITH(HELP) | PAGED | WITH(TABLE), 0, 1,
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
             "init, run, check, doctor, demo, export, import, exec, git and whatever only reads work by "
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
