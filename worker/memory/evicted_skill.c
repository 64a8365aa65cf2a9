#include "worker/memory/evicted_skill.h"

#include <string.h>

#include "common/memory.h"
#include "common/tree.h"

struct search {
    const char *skill;
    struct displaced *displaced;
};

static bool has_it(void *context, const char *text, size_t length)
{
    struct search *search = context;
    struct entries *list = &search->displaced->list;
    entries_parse(list, 3, text, length);
    if (entries_find(list, search->skill))
        return true;
    entries_free(list);
    return false;
}

static void keep_file(void *context, const char *path, const char *text, size_t length)
{
    change_list_add(context, CHANGE_WRITE, path, text, length);
}

/* The skill's folder, and the one file that its line names, should that lie elsewhere. */
static bool read_files(struct history *history, const char *commit, const char *skill,
                       struct displaced *displaced, struct fault *fault)
{
    OWNED char *folder = memory_print(TREE_SKILL_FOLDER "/%s", skill);
    OWNED char *file = entry_get(entries_find(&displaced->list, skill), "file");
    size_t length = strlen(folder);
    bool elsewhere = file && strncmp(file, TREE_SKILL_FOLDER "/", strlen(TREE_SKILL_FOLDER "/")) == 0 &&
                     !strstr(file, "..") && !(strncmp(file, folder, length) == 0 && file[length] == '/');
    return history_past_files(history, commit, folder, keep_file, &displaced->files, fault) &&
           (!elsewhere || history_past_files(history, commit, file, keep_file, &displaced->files, fault));
}

bool displaced_read(struct history *history, const char *skill, struct displaced *displaced,
                    struct fault *fault)
{
    char commit[COMMIT_TEXT];
    struct search search = {skill, displaced};
    *displaced = (struct displaced){0};
    bool read = history_past_search(history, TREE_SKILLS, has_it, &search, commit, fault) &&
                read_files(history, commit, skill, displaced, fault);
    if (!read)
        displaced_free(displaced);
    return read;
}

void displaced_free(struct displaced *displaced)
{
    entries_free(&displaced->list);
    change_list_free(&displaced->files);
}
