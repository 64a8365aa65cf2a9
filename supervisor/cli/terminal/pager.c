#include "supervisor/cli/terminal/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"

static pid_t pager = -1;

bool pager_runs(void)
{
    return pager > 0;
}

/* Whether the command's first word can be run: else the output would be lost in a shell's complaint. */
static bool is_there(const char *command)
{
    OWNED char *word = memory_slice(command, strcspn(command, " \t"));
    const char *paths = getenv("PATH");
    OWNED char *copy = memory_text(paths != NULL ? paths : "/usr/bin:/bin");
    char *rest = copy;
    if (strchr(word, '/') != NULL)
        return access(word, X_OK) == 0;
    for (const char *folder; (folder = strsep(&rest, ":")) != NULL;) {
        OWNED char *path = memory_print("%s/%s", folder, word);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static void run(const char *command, const int ends[2])
{
    (void)setenv("LESS", "FRX", 0);
    (void)dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* A reader that has gone ends this process by SIGPIPE, before finish. */
static void finish(void)
{
    (void)fflush(stdout);
    (void)close(STDOUT_FILENO);
    (void)TEMP_FAILURE_RETRY(waitpid(pager, NULL, 0));
}

void pager_begin(void)
{
    int ends[2];
    const char *said = getenv("PAGER"), *command = said != NULL ? said : "less";
    const char *kind = getenv("TERM");
    bool dumb = kind == NULL || strcmp(kind, "dumb") == 0;
    if (dumb || !isatty(STDOUT_FILENO) || command[0] == '\0' || strcmp(command, "cat") == 0 ||
        !is_there(command) || pipe2(ends, O_CLOEXEC) != 0)
        return;
    pager = fork();
    if (pager == 0)
        run(command, ends);
    close(ends[0]);
    if (pager > 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)signal(SIGINT, SIG_IGN); /* the pager's affair */
        (void)atexit(finish);
    }
    close(ends[1]);
}
