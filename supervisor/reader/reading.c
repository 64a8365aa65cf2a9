#include "supervisor/reader/reading.h"

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"

bool reading_for_nodes(const struct reading *reading)
{
    return json_is_true(json_object_get(reading->request, "for_nodes"));
}

const char *reading_text(const struct reading *reading, const char *name)
{
    return json_string_value(json_object_get(reading->request, name));
}

size_t reading_count(const struct reading *reading, const char *name, size_t otherwise, size_t most)
{
    const json_t *value = json_object_get(reading->request, name);
    json_int_t count = json_integer_value(value);
    if (!json_is_integer(value) || count < 1)
        return otherwise;
    return (size_t)count < most ? (size_t)count : most;
}

char *reading_agent(const struct reading *reading, struct fault *fault)
{
    const char *name = reading_text(reading, "agent");
    OWNED char *below = memory_print("agents/%s", name ? name : "");
    OWNED_FD int folder =
        name && names_agent(name) ? files_open_folder(reading->data, below, false, NULL) : -1;
    if (folder >= 0)
        return memory_print("%s/%s", reading->data_dir, below);
    fault_set(fault, "there is no agent of this name");
    return NULL;
}
