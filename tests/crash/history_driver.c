/* Makes commits whose content follows from their number, for the crash tests to kill and to look at.
 *
 *   history_driver TREE commit FIRST COUNT [BOOT]   prints "committed N" after each
 *   history_driver TREE open [BOOT]                 prints "tasks N" and, for each task known as done, "finished N"
 *   history_driver TREE tidy                        every step that there is to do
 *
 * BOOT is told to the journal as the boot's id: another one than before means that the power was cut. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/journal.h"
#include "common/memory.h"
#include "common/repository/library.h"
#include "worker/history/history.h"

static char *repeated(const char *word, unsigned number, unsigned times, size_t *length)
{
    struct buffer text = {0};
    for (unsigned i = 0; i < times; i++)
        buffer_print(&text, "%s %u line %u\n", word, number, i);
    *length = text.length;
    return buffer_take(&text);
}

static bool commit(struct history *history, unsigned number, struct fault *fault)
{
    size_t rewards_length, skill_length, output_length;
    OWNED char *rewards = repeated("rewards", number, 300, &rewards_length);
    OWNED char *skill = repeated("skill", number, 5, &skill_length);
    OWNED char *output = repeated("output", number, 20, &output_length);
    OWNED char *skill_path = memory_print("skills/s%u/SKILL.md", number);
    OWNED char *old_skill_path = memory_print("skills/s%u/SKILL.md", number - 2);
    OWNED char *output_path = memory_print("outputs/task-%u.md", number);
    OWNED char *old_output_path = memory_print("outputs/task-%u.md", number - 2);
    OWNED char *id = memory_print("task-%u", number);
    OWNED char *subject = memory_print("orion(task): %s", id);
    char text[COMMIT_TEXT];
    struct change changes[] = {
        {CHANGE_WRITE, "rewards.md", rewards, rewards_length},
        {CHANGE_WRITE, skill_path, skill, skill_length},
        {CHANGE_WRITE, output_path, output, output_length},
        {CHANGE_REMOVE, old_skill_path, NULL, 0},
        {CHANGE_UNTRACK, old_output_path, NULL, 0},
    };
    struct commit_request request = {
        .subject = subject,
        .trailers = {.task = id, .task_hash = number, .reward = 1, .end = "done", .source = "queue"},
        .changes = changes,
        .change_count = number > 2 ? 5 : 3,
    };
    return history_commit(history, &request, text, fault);
}

static bool commits(struct history *history, unsigned first, unsigned count, struct fault *fault)
{
    for (unsigned i = first; i < first + count; i++) {
        if (!commit(history, i, fault))
            return false;
        printf("committed %u\n", i);
        fflush(stdout);
    }
    return true;
}

static void tell(struct history *history)
{
    char text[COMMIT_TEXT];
    printf("tasks %llu\n", (unsigned long long)history_tasks_done(history));
    for (unsigned i = 1; i < 100; i++) {
        OWNED char *id = memory_print("task-%u", i);
        if (history_finished(history, id, i, text))
            printf("finished %u\n", i);
    }
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 64;
    struct fault fault = {0};
    char *damage = NULL;
    bool commits_wanted = strcmp(arguments[2], "commit") == 0 && count > 4;
    int boot = commits_wanted ? 5 : 3;
    int tree = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = repository_library_start(&fault);
    if (count > boot)
        journal_boot_is(arguments[boot]);
    struct history *history = good ? history_open(tree, arguments[1], "orion", &damage, &fault) : NULL;
    good = history != NULL;
    if (damage)
        printf("damage: %s\n", damage);
    if (good && commits_wanted)
        good = commits(history, (unsigned)atoi(arguments[3]), (unsigned)atoi(arguments[4]), &fault);
    else if (good && strcmp(arguments[2], "tidy") == 0)
        while (history_tidy(history, false))
            ;
    else if (good)
        tell(history);
    if (!good)
        fprintf(stderr, "%s\n", fault.text);
    history_close(history);
    free(damage);
    close(tree);
    return good ? 0 : 70;
}
