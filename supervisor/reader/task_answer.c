#include "supervisor/reader/task_answer.h"

#include <sysexits.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/listings/task_state.h"
#include "supervisor/reader/pruned_file.h"

char *task_answer_pruned(int folder, const char *task)
{
    struct pruned pruned;
    OWNED char *now = names_file(task), *before = names_file_before(task);
    const char *name = pruned_find(folder, TREE_OUTPUTS, now, &pruned)      ? now
                       : pruned_find(folder, TREE_OUTPUTS, before, &pruned) ? before
                                                                            : NULL;
    return name ? memory_print("%s/%s.md", TREE_OUTPUTS, name) : NULL;
}

bool task_answer_read(const char *repository, const char *file, struct answer_file *answer,
                      struct fault *fault)
{
    char *text = NULL;
    size_t length = 0;
    int found = pruned_file_read(repository, file, &text, &length, fault);
    if (found == 0)
        fault_set(fault, "no commit took it out");
    if (found < 1)
        return false;
    return answer_parse(answer, text, length, file) || fault_set(fault, "the file is no answer");
}

static void add_pruned(const char *repository, int folder, const char *task, json_t *state)
{
    OWNED_ANSWER struct answer_file answer = {0};
    struct fault fault = {0};
    OWNED char *file = task_answer_pruned(folder, task);
    if (!file)
        return;
    if (!task_answer_read(repository, file, &answer, &fault)) {
        OWNED char *why =
            memory_print("the answer has left outputs/, and can't be read in git: %s", fault.text);
        json_object_set_new(state, "reason", utf8_json(why));
        return;
    }
    json_object_set_new(state, "answer", utf8_json(answer.body));
}

int task_answer_state(const struct reading *reading, json_t **answer, struct fault *fault)
{
    const char *task = reading_text(reading, "task");
    OWNED char *repository = reading_agent(reading, fault);
    if (!repository)
        return EX_NOINPUT;
    OWNED char *below = memory_print("agents/%s", reading_text(reading, "agent"));
    OWNED_FD int folder = files_open_folder(reading->data, below, false, fault);
    if (folder < 0)
        return EX_NOINPUT;
    json_auto_t *state = task_state_json(folder, task);
    if (!state)
        return fault_set(fault, "the agent has no task of this id, and no answer to one"), EX_NOINPUT;
    if (json_is_null(json_object_get(state, "answer")))
        add_pruned(repository, folder, task, state);
    *answer = json_pack("{s:s, s:s}", "agent", reading_text(reading, "agent"), "id", task);
    json_object_update(*answer, state);
    return EX_OK;
}
