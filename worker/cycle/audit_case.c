#include "worker/cycle/audit_case.h"

#include <jansson.h>
#include <string.h>

#include "common/files.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"

/* Bytes. A byte takes at most six in JSON (a control character), and all of it at most MESSAGE_MAX. */
enum { ANSWER_MAX = 384 * 1024, TASK_TEXT_MAX = 96 * 1024, BODY_MAX = 64 * 1024, DESCRIPTION_MAX = 4 * 1024 };

static json_t *text_of(const char *text, size_t length, size_t limit, bool *cut)
{
    OWNED char *clean = utf8_clean(text ? text : "", text ? length : 0);
    size_t whole = strlen(clean), kept = utf8_cut(clean, whole, limit);
    *cut = *cut || kept < whole;
    return json_stringn(clean, kept);
}

/* Front matter that is too long to be read, as that of a very long task is, leaves the text below it. */
static const char *below_front_matter(const char *text)
{
    const char *end = strncmp(text, "---\n", 4) == 0 ? strstr(text + 3, "\n---\n") : NULL;
    return end ? end + strlen("\n---\n") : text;
}

static json_t *skill_of(int tree, const char *name)
{
    OWNED char *text = NULL, *path = memory_print("%s/%s/SKILL.md", TREE_SKILL_FOLDER, name);
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    size_t length = 0;
    bool cut = false;
    if (files_read(tree, path, TREE_FILE_MAX, &text, &length, NULL, NULL) != 1)
        return json_pack("{s:s, s:s, s:s}", "name", name, "description", "", "body", "");
    bool parsed = frontmatter_parse(&matter, text, length, path, NULL);
    const char *description = parsed ? frontmatter_text(&matter, "description") : NULL;
    const char *body = parsed ? matter.body : below_front_matter(text);
    body += strspn(body, "\r\n");
    json_t *skill =
        json_pack("{s:s, s:o, s:o}", "name", name, "description",
                  text_of(description, description ? strlen(description) : 0, DESCRIPTION_MAX, &cut), "body",
                  text_of(body, length - (size_t)(body - text), BODY_MAX, &cut));
    return skill;
}

static char *print(const char *agent, const struct audit_wanted *wanted, json_t *task, json_t *answer,
                   json_t *skill, bool cut)
{
    json_auto_t *object =
        json_pack("{s:s, s:s, s:o, s:o, s:i, s:o, s:b}", "agent", agent, "id", wanted->task_id, "task", task,
                  "answer", answer, "reward", wanted->reward, "skill", skill, "cut", cut);
    return object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
}

char *audit_case_json(int tree, const char *agent, const struct audit_wanted *wanted, struct fault *fault)
{
    OWNED char *file = names_file(wanted->task_id), *path = memory_print("%s/%s.md", TREE_OUTPUTS, file);
    OWNED char *text = NULL;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    size_t length = 0;
    bool cut = false;
    int got = files_read(tree, path, TREE_FILE_MAX, &text, &length, NULL, fault);
    if (got != 1) {
        if (got == 0)
            fault_set(fault, "%s is gone", path);
        return NULL;
    }
    bool parsed = frontmatter_parse(&matter, text, length, path, NULL);
    const char *asked = parsed ? frontmatter_text(&matter, "asked") : NULL;
    const char *answer = parsed ? matter.body : below_front_matter(text);
    json_t *task_text = text_of(asked, asked ? strlen(asked) : 0, TASK_TEXT_MAX, &cut);
    cut = false; /* a cut task is no matter */
    json_t *answer_text = text_of(answer, length - (size_t)(answer - text), ANSWER_MAX, &cut);
    json_t *skill = wanted->skill && *wanted->skill ? skill_of(tree, wanted->skill) : json_null();
    char *json = print(agent, wanted, task_text, answer_text, skill, cut);
    if (!json)
        fault_set(fault, "%s can't be made into JSON", path);
    return json;
}
