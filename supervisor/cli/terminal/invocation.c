#include "supervisor/cli/terminal/invocation.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* "--name", "--name=value" or "--name value". Moves *at past what was used. */
static bool take_option(struct invocation *invocation, char **argv, int *at, struct fault *fault)
{
    const char *text = argv[*at];
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(OPTIONS[i].name) != length || strncmp(OPTIONS[i].name, text, length) != 0) {
            continue;
        }
        if (!OPTIONS[i].takes_value) {
            invocation->options[i] = "";
            return equals == NULL || fault_set(fault, "%s takes no value", OPTIONS[i].name);
        }
        invocation->options[i] = equals != NULL ? equals + 1 : argv[++*at];
        return invocation->options[i] != NULL || fault_set(fault, "%s needs a value", OPTIONS[i].name);
    }
    return fault_set(fault, "there is no option %s (text that begins with '-' goes behind '--')", text);
}

const struct verb *invocation_find_verb(const struct verb *verbs, const char *name)
{
    while (verbs->name != NULL && strcmp(verbs->name, name) != 0) {
        verbs++;
    }
    return verbs->name != NULL ? verbs : NULL;
}

static bool take_word(struct invocation *invocation, const struct verb *verbs, const char *word,
                      struct fault *fault)
{
    if (invocation->verb == NULL) {
        invocation->verb = invocation_find_verb(verbs, word);
        return invocation->verb != NULL || fault_set(fault, "there is no verb '%s'", word);
    }
    if (invocation->word_count == invocation->verb->most) {
        return fault_set(fault, "%s takes no argument '%s' here%s", invocation->verb->name, word,
                         invocation->verb->most == WORDS_MAX ? " (a text of several words needs quotes)"
                                                             : "");
    }
    invocation->words[invocation->word_count++] = word;
    return true;
}

static bool check_usage(const struct invocation *invocation, struct fault *fault)
{
    const struct verb *verb = invocation->verb;
    if (invocation->options[OPTION_HELP] != NULL || invocation->version) {
        return true;
    }
    if (verb == NULL) {
        return fault_set(fault, "what shall it do? A verb is missing");
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (invocation->options[i] != NULL && (verb->options & (1u << i)) == 0) {
            return fault_set(fault, "%s has no option %s", verb->name, OPTIONS[i].name);
        }
    }
    if (invocation->word_count < verb->least) {
        return fault_set(fault, "%s needs %s", verb->name, verb->arguments);
    }
    if ((verb->options & TAKES_COMMAND) != 0 && invocation->command == NULL) {
        return fault_set(fault, "%s needs a command behind '--'", verb->name);
    }
    return true;
}

bool invocation_parse(struct invocation *invocation, const struct verb *verbs, int argc, char **argv,
                      struct fault *fault)
{
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!options_end && strcmp(text, "--") == 0) {
            options_end = true;
            if (invocation->verb != NULL && (invocation->verb->options & TAKES_COMMAND) != 0) {
                invocation->command = i + 1 < argc ? argv + i + 1 : NULL;
                break;
            }
        } else if (!options_end && (strcmp(text, "--version") == 0)) {
            invocation->version = true;
        } else if (!options_end && strcmp(text, "-h") == 0) {
            invocation->options[OPTION_HELP] = "";
        } else if (!options_end && text[0] == '-' && text[1] != '\0') {
            if (!take_option(invocation, argv, &i, fault)) {
                return false;
            }
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
    if (real != NULL) {
        return real;
    }
    if (path[0] == '/') {
        return memory_text(path);
    }
    OWNED char *here = getcwd(NULL, 0);
    if (here == NULL) {
        fault_errno(fault, "the working directory cannot be found, so '%s' is nowhere", path);
        return NULL;
    }
    return memory_print("%s/%s", here, path);
}

bool invocation_locate(struct invocation *invocation, struct fault *fault)
{
    const char *given = invocation->options[OPTION_DATA];
    if (given != NULL && given[0] == '\0') {
        return fault_set(fault, "--data needs a directory's name");
    }
    const char *run_dir = setting_text(SET_AGENTOS_RUN_DIR, NULL);
    invocation->data_dir = absolute(given != NULL ? given : setting_text(SET_DATA_DIR, NULL), fault);
    if (invocation->data_dir == NULL) {
        return false;
    }
    invocation->run_dir =
        run_dir != NULL ? absolute(run_dir, fault) : memory_print("%s/.run", invocation->data_dir);
    return invocation->run_dir != NULL && setenv("DATA_DIR", invocation->data_dir, 1) == 0;
}

void invocation_free(struct invocation *invocation)
{
    free(invocation->data_dir);
    free(invocation->run_dir);
    if (invocation->secrets >= 0) {
        close(invocation->secrets);
    }
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
    if (slash != NULL) {
        *slash = '\0';
    }
    return memory_text(path);
}
