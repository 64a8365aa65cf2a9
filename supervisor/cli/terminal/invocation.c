#include "supervisor/cli/terminal/invocation.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/format/did_you_mean.h"
#include "common/memory.h"
#include "common/settings.h"

struct option_row {
    const char *name;
    bool takes_value;
};

static const struct option_row OPTIONS[OPTION_COUNT] = {
#define X(name, text, value, help) [OPTION_##name] = {text, (value) != NULL},
    OPTIONS_TABLE(X)
#undef X
};

bool invocation_has(const struct invocation *invocation, enum option option)
{
    return invocation->options[option] != NULL;
}

bool invocation_newest(const struct invocation *invocation, size_t *most, struct fault *fault)
{
    const char *text = invocation->options[OPTION_NEWEST];
    *most = SIZE_MAX;
    if (text == NULL)
        return true;
    char *end = NULL;
    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || count == 0)
        return fault_set(fault, "-n needs a number of at least 1, not '%s'", text);
    *most = count;
    return true;
}

int invocation_exit_of(int error)
{
    return error == EACCES || error == EPERM ? EX_NOPERM : EX_NOINPUT;
}

int invocation_without_roster(const struct invocation *invocation)
{
    OWNED char *path = memory_print("%s/agents.yaml", invocation->data_dir);
    bool readable = access(path, R_OK) == 0;
    return !readable && invocation_exit_of(errno) == EX_NOPERM ? EX_NOPERM : EX_CONFIG;
}

/* Before the verb is known every option counts. */
static bool has_option(const struct verb *verb, enum option option)
{
    return verb == NULL || (verb->options & (1u << option)) != 0;
}

/* Takes "-n5", as many programs do, and git's "-5", which may be a text elsewhere. */
static bool take_glued(struct invocation *invocation, const char *text)
{
    bool named = text[1] == 'n';
    const char *digits = text + (named ? 2 : 1);
    bool counts = named || (invocation->verb != NULL && has_option(invocation->verb, OPTION_NEWEST));
    bool glued = counts && *digits >= '0' && *digits <= '9';
    if (glued)
        invocation->options[OPTION_NEWEST] = digits;
    return glued;
}

/* Options under the names that docker, systemctl, journalctl, kubectl and git give them. */
static const struct {
    const char *typed;
    enum option option;
} OPTION_HABITS[] = {
    {"--tail", OPTION_NEWEST},
    {"--lines", OPTION_NEWEST},
    {"--limit", OPTION_NEWEST},
    {"--last", OPTION_NEWEST},
    {"--max-count", OPTION_NEWEST},
    {"--no-block", OPTION_NO_WAIT},
    {"--format", OPTION_JSON},
    {"--output", OPTION_JSON},
    {"-o", OPTION_JSON},
    {"-w", OPTION_WATCH},
    {"-a", OPTION_ALL},
};

/* "" for an option that the verb does not have: nothing that was typed is near to it. */
static const char *option_name(const void *verb, size_t i)
{
    return has_option(verb, (enum option)i) ? OPTIONS[i].name : "";
}

static const char *meant_option(const struct verb *verb, const char *name)
{
    for (size_t i = 0; i < sizeof(OPTION_HABITS) / sizeof(OPTION_HABITS[0]); i++)
        if (strcmp(OPTION_HABITS[i].typed, name) == 0 && has_option(verb, OPTION_HABITS[i].option))
            return OPTIONS[OPTION_HABITS[i].option].name;
    return did_you_mean(name, option_name, verb, OPTION_COUNT);
}

static bool say_no_option(const struct verb *verb, const char *text, size_t length, struct fault *fault)
{
    OWNED char *name = memory_slice(text, length);
    const char *near = meant_option(verb, name);
    return near != NULL
               ? fault_set(fault, "there is no option %s; did you mean %s?", name, near)
               : fault_set(fault, "there is no option %s (text that begins with '-' goes behind '--')", name);
}

/* "--name", "--name=value" or "--name value". Moves *at past the used words. */
static bool take_option(struct invocation *invocation, char **argv, int *at, struct fault *fault)
{
    const char *text = argv[*at];
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(OPTIONS[i].name) != length || strncmp(OPTIONS[i].name, text, length) != 0)
            continue;
        if (!OPTIONS[i].takes_value) {
            invocation->options[i] = "";
            return equals == NULL || fault_set(fault, "%s takes no value", OPTIONS[i].name);
        }
        invocation->options[i] = equals != NULL ? equals + 1 : argv[++*at];
        return invocation->options[i] != NULL || fault_set(fault, "%s needs a value", OPTIONS[i].name);
    }
    return say_no_option(invocation->verb, text, length, fault);
}

/* Verbs that people who know docker, systemctl and git type. */
static const struct {
    const char *typed, *verb;
} HABITS[] = {
    {"ps", "status"},      {"ls", "status"},   {"list", "status"}, {"top", "status"},   {"inspect", "show"},
    {"unpause", "resume"}, {"up", "run"},      {"serve", "run"},   {"down", "stop"},    {"journal", "logs"},
    {"ask", "task"},       {"submit", "task"}, {"add", "task"},    {"message", "send"}, {"result", "answer"},
    {"validate", "check"}, {"history", "log"}, {"diff", "git"},
};

static const char *habit_of(const char *name)
{
    for (size_t i = 0; i < sizeof(HABITS) / sizeof(HABITS[0]); i++)
        if (strcmp(HABITS[i].typed, name) == 0)
            return HABITS[i].verb;
    return NULL;
}

static const char *verb_name(const void *verbs, size_t i)
{
    return ((const struct verb *)verbs)[i].name;
}

const struct verb *invocation_find_verb(const struct verb *verbs, const char *name, struct fault *fault)
{
    size_t count = 0;
    for (; verbs[count].name != NULL; count++)
        if (strcmp(verbs[count].name, name) == 0)
            return &verbs[count];
    const char *habit = habit_of(name),
               *near = habit != NULL ? habit : did_you_mean(name, verb_name, verbs, count);
    fault_set(fault, "there is no verb '%s'%s%s%s", name, near != NULL ? "; did you mean '" : "",
              near != NULL ? near : "", near != NULL ? "'?" : "");
    return NULL;
}

static bool take_word(struct invocation *invocation, const struct verb *verbs, const char *word,
                      struct fault *fault)
{
    if (invocation->verb == NULL) {
        invocation->verb = invocation_find_verb(verbs, word, fault);
        return invocation->verb != NULL;
    }
    if (invocation->word_count == invocation->verb->most)
        return fault_set(fault, "%s takes no argument '%s' here%s", invocation->verb->name, word,
                         strstr(invocation->verb->arguments, "TEXT") != NULL
                             ? " (a text of several words needs quotes)"
                             : "");
    invocation->words[invocation->word_count++] = word;
    return true;
}

/* --all stands for all agents' names, and no word goes beside it. */
static bool check_words(const struct invocation *invocation, struct fault *fault)
{
    const struct verb *verb = invocation->verb;
    bool all = invocation->options[OPTION_ALL] != NULL;
    if (all && invocation->word_count > 0)
        return fault_set(fault, "%s takes the names of agents or --all, not both", verb->name);
    return all || invocation->word_count >= verb->least ||
           fault_set(fault, "%s needs %s%s", verb->name, verb->arguments,
                     (verb->options & (1u << OPTION_ALL)) != 0 ? " or --all" : "");
}

static bool check_usage(const struct invocation *invocation, struct fault *fault)
{
    const struct verb *verb = invocation->verb;
    if (invocation->options[OPTION_HELP] != NULL || invocation->version)
        return true;
    const char *data = invocation->options[OPTION_DATA];
    if (data != NULL && data[0] == '\0')
        return fault_set(fault, "--data needs a directory's name");
    if (verb == NULL)
        return fault_set(fault, "a verb is missing");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (invocation->options[i] != NULL && (verb->options & (1u << i)) == 0)
            return fault_set(fault, "%s has no option %s", verb->name, OPTIONS[i].name);
    if (!check_words(invocation, fault))
        return false;
    if ((verb->options & TAKES_COMMAND) != 0 && invocation->command == NULL)
        return fault_set(fault, "%s needs a command behind '--'", verb->name);
    return true;
}

/* `agentos exec orion ls -l`, as docker takes it without the '--'. */
static bool is_command(const struct invocation *invocation, const char *text)
{
    return invocation->verb != NULL && (invocation->verb->options & TAKES_COMMAND) != 0 &&
           invocation->word_count == invocation->verb->most && text[0] != '-';
}

bool invocation_parse(struct invocation *invocation, const struct verb *verbs, int argc, char **argv,
                      struct fault *fault)
{
    bool options_end = false;
    invocation->words = memory_new((size_t)argc + 2, sizeof(*invocation->words));
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (is_command(invocation, text)) {
            invocation->command = argv + i;
            break;
        }
        if (!options_end && strcmp(text, "--") == 0) {
            options_end = true;
            if (invocation->verb != NULL && (invocation->verb->options & TAKES_COMMAND) != 0) {
                invocation->command = i + 1 < argc ? argv + i + 1 : NULL;
                break;
            }
        } else if (!options_end && (strcmp(text, "--version") == 0 || strcmp(text, "-v") == 0)) {
            invocation->version = true;
        } else if (!options_end && strcmp(text, "-h") == 0) {
            invocation->options[OPTION_HELP] = "";
        } else if (!options_end && strcmp(text, "-f") == 0) {
            invocation->options[OPTION_FOLLOW] = "";
        } else if (!options_end && text[0] == '-' && text[1] != '\0') {
            if (!take_glued(invocation, text) && !take_option(invocation, argv, &i, fault))
                return false;
        } else if (!take_word(invocation, verbs, text, fault)) {
            return false;
        }
    }
    return check_usage(invocation, fault);
}

/* The path as it is when it exists, without links; else as it will be. */
static char *absolute(const char *path, struct fault *fault)
{
    char *real = realpath(path, NULL);
    if (real != NULL)
        return real;
    if (path[0] == '/')
        return memory_text(path);
    OWNED char *here = getcwd(NULL, 0);
    if (here == NULL)
        return fault_errno(fault, "the working directory cannot be found, so '%s' is nowhere", path), NULL;
    return memory_print("%s/%s", here, path);
}

bool invocation_locate(struct invocation *invocation, struct fault *fault)
{
    const char *given = invocation->options[OPTION_DATA];
    const char *run_dir = setting_text(SET_AGENTOS_RUN_DIR, NULL);
    invocation->data_dir = absolute(given != NULL ? given : setting_text(SET_DATA_DIR, NULL), fault);
    if (invocation->data_dir == NULL)
        return false;
    invocation->run_dir =
        run_dir != NULL ? absolute(run_dir, fault) : memory_print("%s/.run", invocation->data_dir);
    return invocation->run_dir != NULL && setenv("DATA_DIR", invocation->data_dir, 1) == 0;
}

void invocation_free(struct invocation *invocation)
{
    free(invocation->data_dir);
    free(invocation->run_dir);
    free(invocation->words);
    memory_close_at(&invocation->secrets);
}

char *invocation_programs(struct fault *fault)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length <= 0) {
        fault_errno(fault, "/proc/self/exe cannot be read, so the sister programs cannot be found");
        return NULL;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
    return memory_text(path);
}
