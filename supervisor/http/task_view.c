#include "supervisor/http/task_view.h"

#include <string.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/listings/task_state.h"

int task_view_folder(int data, const char *agent)
{
    OWNED char *path = memory_print("agents/%s", agent);
    return names_agent(agent) ? files_open_folder(data, path, false, NULL) : -1;
}

/* The supervisor's detail of the agent is "working: ID". */
static bool is_in_hand(const json_t *status, const char *agent, const char *task)
{
    static const char working[] = "working: ";
    size_t index;
    const json_t *one;
    json_array_foreach(json_object_get(status, "agents"), index, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *detail = json_string_value(json_object_get(one, "detail"));
        if (name && detail && strcmp(name, agent) == 0)
            return strncmp(detail, working, sizeof working - 1) == 0 &&
                   strcmp(detail + sizeof working - 1, task) == 0;
    }
    return false;
}

enum task_view task_view(int data, const json_t *named, const json_t *status, struct document *document)
{
    const char *agent = json_string_value(json_object_get(named, "agent"));
    const char *task = json_string_value(json_object_get(named, "task"));
    OWNED_FD int folder = task_view_folder(data, agent);
    if (folder < 0)
        return document_problem(document, 404, "there is no agent of this name"), TASK_ENDED;
    json_t *state = task_state_json(folder, task);
    if (!state) {
        document_problem(document, 404, "the agent has no task of this id, and no answer to one");
        return TASK_OPEN;
    }
    if (json_is_null(json_object_get(state, "answer"))) {
        json_decref(state);
        return TASK_PRUNED;
    }
    bool pending = json_object_get(state, "place") != NULL;
    if (pending && is_in_hand(status, agent, task))
        json_object_set_new(state, "state", json_string("working"));
    json_t *object = json_pack("{s:s, s:s}", "agent", agent, "id", task);
    json_object_update(object, state);
    json_decref(state);
    document_json(document, 200, object);
    return pending ? TASK_OPEN : TASK_ENDED;
}
