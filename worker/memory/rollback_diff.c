#include "worker/memory/rollback_diff.h"

#include <string.h>

#include "common/format/entries.h"
#include "common/memory.h"
#include "worker/memory/goals.h"

static void parse(struct entries *entries, int level, const char *text)
{
    *entries = (struct entries){0};
    entries_parse(entries, level, text ? text : "", text ? strlen(text) : 0);
}

/* --- skills --- */

static void add_evidence(const struct entry *skill, struct buffer *out)
{
    OWNED char *evidence = entry_get(skill, "reward_evidence");
    OWNED char *last = entry_get(skill, "last_success");
    buffer_print(out, " (evidence %s", evidence ? evidence : "not noted");
    if (last)
        buffer_print(out, ", last success %s", last);
    buffer_text(out, ")\n");
}

static void tell_put_back(const struct entry *now, const struct entry *becomes, struct buffer *out)
{
    if (strcmp(now->lines, becomes->lines) == 0)
        return;
    OWNED char *present = entry_get(now, "reward_evidence");
    OWNED char *past = entry_get(becomes, "reward_evidence");
    buffer_print(out, "skill put back: %s", becomes->heading);
    if (present && past && strcmp(present, past) != 0)
        buffer_print(out, " (evidence %s becomes %s)", present, past);
    buffer_text(out, "\n");
}

static void tell_skills(const char *now_text, const char *then_text, struct buffer *out)
{
    struct entries now, becomes;
    parse(&now, 3, now_text);
    parse(&becomes, 3, then_text);
    for (size_t i = 0; i < now.count; i++)
        if (!entries_find(&becomes, now.items[i].heading)) {
            buffer_print(out, "skill gone: %s", now.items[i].heading);
            add_evidence(&now.items[i], out);
        }
    for (size_t i = 0; i < becomes.count; i++) {
        const struct entry *present = entries_find(&now, becomes.items[i].heading);
        if (present) {
            tell_put_back(present, &becomes.items[i], out);
        } else {
            buffer_print(out, "skill restored: %s", becomes.items[i].heading);
            add_evidence(&becomes.items[i], out);
        }
    }
    entries_free(&now);
    entries_free(&becomes);
}

/* --- goals --- */

static const struct goal_line *find_goal(const struct goals *goals, const char *text)
{
    for (size_t i = 0; i < goals->count; i++)
        if (goals->lines[i].state != GOAL_NONE && strcmp(goals->lines[i].text, text) == 0)
            return &goals->lines[i];
    return NULL;
}

/* Each goal of one list that the other list lacks. */
static void tell_missing(const struct goals *list, const struct goals *other, const char *what,
                         struct buffer *out)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->lines[i].state != GOAL_NONE && !find_goal(other, list->lines[i].text))
            buffer_print(out, "goal %s: %s\n", what, list->lines[i].text);
}

static void tell_goals(const char *now_text, const char *then_text, struct buffer *out)
{
    struct goals now = {0}, becomes = {0};
    goals_parse(&now, now_text ? now_text : "", now_text ? strlen(now_text) : 0);
    goals_parse(&becomes, then_text ? then_text : "", then_text ? strlen(then_text) : 0);
    tell_missing(&now, &becomes, "gone", out);
    tell_missing(&becomes, &now, "restored", out);
    for (size_t i = 0; i < becomes.count; i++) {
        const struct goal_line *goal = &becomes.lines[i];
        const struct goal_line *present = goal->state != GOAL_NONE ? find_goal(&now, goal->text) : NULL;
        if (present && present->state != goal->state)
            buffer_print(out, "goal %s: %s\n", goal->state == GOAL_DONE ? "done again" : "open again",
                         goal->text);
    }
    goals_free(&now);
    goals_free(&becomes);
}

/* --- reflections --- */

/* A task may have left several, so the whole entry is compared. */
static bool has_reflection(const struct entries *list, const struct entry *wanted)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].heading, wanted->heading) == 0 &&
            strcmp(list->items[i].lines, wanted->lines) == 0)
            return true;
    return false;
}

static void tell_reflections(const char *now_text, const char *then_text, struct buffer *out)
{
    struct entries now, becomes;
    parse(&now, 2, now_text);
    parse(&becomes, 2, then_text);
    for (size_t i = 0; i < now.count; i++)
        if (!has_reflection(&becomes, &now.items[i]))
            buffer_print(out, "reflection gone: %s\n", now.items[i].heading);
    for (size_t i = 0; i < becomes.count; i++)
        if (!has_reflection(&now, &becomes.items[i]))
            buffer_print(out, "reflection restored: %s\n", becomes.items[i].heading);
    entries_free(&now);
    entries_free(&becomes);
}

void undone_tell(const struct learned_texts *now, const struct learned_texts *becomes, struct buffer *out)
{
    tell_skills(now->skills, becomes->skills, out);
    tell_goals(now->goals, becomes->goals, out);
    tell_reflections(now->reflections, becomes->reflections, out);
}
