/* The skills as a prompt shows them. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "worker/memory/skills.h"

static const char heading_of_all[] = "\n### All skills\n\n";

static void summary(const struct entry *entry, size_t limit, struct buffer *out)
{
    size_t length;
    const char *description = entry_value(entry, "description", &length);
    buffer_text(out, "- ");
    buffer_text(out, entry->heading);
    if (description) {
        buffer_text(out, ": ");
        buffer_add(out, description, utf8_cut(description, length, limit));
    }
    buffer_add(out, "\n", 1);
}

static void summaries(const struct skills *skills, size_t limit, struct buffer *out)
{
    for (size_t i = 0; i < skills->entries.count; i++)
        summary(&skills->entries.items[i], limit, out);
}

/* The last line of the list about the skill; NULL: there is none. */
static const char *line_of(const struct buffer *list, const char *name, size_t length)
{
    const char *found = NULL;
    for (const char *line = list->data; line && *line; line = strchr(line, '\n') + 1)
        if (strncmp(line + 2, name, length) == 0 && (line[2 + length] == ':' || line[2 + length] == '\n'))
            found = line;
    return found;
}

static void add_changed(const struct skills *skills, size_t limit, struct buffer *list)
{
    for (size_t i = 0; i < skills->entries.count; i++) {
        OWNED_BUFFER struct buffer line = {0};
        const char *name = skills->entries.items[i].heading;
        summary(&skills->entries.items[i], limit, &line);
        const char *last = line_of(list, name, strlen(name));
        if (!last || strncmp(last, line.data, line.length) != 0)
            buffer_add(list, line.data, line.length);
    }
}

static void add_gone(struct skills *skills, struct buffer *list)
{
    static const char gone[] = ": none of your skills any more\n";
    for (size_t at = 0, next; at < list->length; at = next) {
        const char *line = list->data + at;
        size_t length = strcspn(line + 2, ":\n");
        OWNED char *name = memory_slice(line + 2, length);
        next = at + strcspn(line, "\n") + 1;
        if (!entries_find(&skills->entries, name) && line_of(list, name, length) == line &&
            strncmp(line + 2 + length, gone, strlen(gone)) != 0)
            buffer_print(list, "- %s%s", name, gone);
    }
}

static bool plain_names(const struct skills *skills)
{
    for (size_t i = 0; i < skills->entries.count; i++)
        if (!names_skill(skills->entries.items[i].heading))
            return false;
    return true;
}

/* The list of the last prompt stays, and a line for each change since then follows it, so that the front of the list is the
 * same also where each new skill takes an old one's place. A list that would become half as long again is made anew.
 * limit: bytes of a description. True: the list is not the last prompt's. */
static bool list_all(struct skills *skills, size_t limit, size_t budget, struct buffer *out)
{
    OWNED_BUFFER struct buffer grown = {0}, anew = {0};
    summaries(skills, limit, &anew);
    buffer_add(&grown, skills->list.data, skills->list.length);
    add_changed(skills, limit, &grown);
    add_gone(skills, &grown);
    bool stays = skills->list.length && grown.length < budget &&
                 grown.length <= anew.length + anew.length / 2 + 256 && plain_names(skills);
    bool same = stays && grown.length == skills->list.length;
    struct buffer *chosen = stays ? &grown : &anew;
    buffer_add(out, chosen->data, chosen->length);
    buffer_free(&skills->list);
    buffer_add(&skills->list, out->data, out->length);
    return !same;
}

/* Is skill i nearer than j? Of two that are equally near the one whose text the last prompt showed, in front if it did, and
 * of two that it did not show the younger one, which stays longer. */
static bool is_nearer(const struct skills *skills, const double *scores, size_t i, size_t j)
{
    int first = (int)skills->beside[i].shown, second = (int)skills->beside[j].shown;
    if (scores[i] > scores[j] || scores[i] < scores[j])
        return scores[i] > scores[j];
    return first > second || (first == SKILL_NOT_SHOWN && second == SKILL_NOT_SHOWN);
}

/* The nearest one that isn't used yet; count: no score is above 0. */
static size_t nearest(const struct skills *skills, const double *scores)
{
    size_t best = skills->entries.count;
    for (size_t i = 0; i < skills->entries.count; i++)
        if (scores[i] > 0 && skills->beside[i].body &&
            (best == skills->entries.count || is_nearer(skills, scores, i, best)))
            best = i;
    return best;
}

static void show_body(const char *name, const char *body, struct buffer *out)
{
    size_t length = strlen(body);
    buffer_print(out, "%s### Skill %s\n\n", out->length ? "\n" : "", name);
    buffer_add(out, body, length);
    buffer_text(out, length && body[length - 1] == '\n' ? "" : "\n");
}

static void score(const struct skills *skills, const char *task, double *scores)
{
    size_t count = skills->entries.count;
    OWNED struct relevance_text *texts = memory_new(count, sizeof *texts);
    struct word_set words = {0};
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct relevance_text){&skills->beside[i].head, &skills->beside[i].words};
    word_set_add(&words, task, strlen(task));
    relevance_score(&words, texts, count, scores);
    word_set_free(&words);
}

/* The skills that are nearest to the task and whose texts have room. */
static void choose(struct skills *skills, int tree, const char *task, size_t budget, bool *chosen)
{
    size_t count = skills->entries.count, shown = 0, best;
    OWNED double *scores = memory_new(count, sizeof *scores);
    score(skills, task, scores);
    while (shown < SKILL_BODIES_MAX && (best = nearest(skills, scores)) < count) {
        skill_look_again(&skills->beside[best], tree);
        const char *body = skills->beside[best].body;
        size_t needed = body ? strlen(body) + strlen(skills->entries.items[best].heading) + 32 : 0;
        scores[best] = 0;
        if (!body || needed > budget)
            continue;
        budget -= needed;
        shown++;
        chosen[best] = true;
    }
}

/* Behind all else: the counts change with each success, and the text in front of them stays. One success is not said. */
static void evidence(const struct skills *skills, struct buffer *out)
{
    size_t size, shown = 0;
    for (size_t i = 0; i < skills->entries.count; i++) {
        const char *count = entry_value(&skills->entries.items[i], "reward_evidence", &size);
        if (count && !(size == 1 && *count == '1'))
            buffer_print(out, "%s%s %.*s",
                         shown++ ? ", " : "\nSuccesses so far: ", skills->entries.items[i].heading,
                         (int)(size < 12 ? size : 12), count);
    }
    buffer_text(out, shown ? "\n" : "");
}

static void add_texts(const struct skills *skills, int where, struct buffer *out)
{
    for (size_t i = 0; i < skills->entries.count; i++)
        if ((int)skills->beside[i].shown == where)
            show_body(skills->entries.items[i].heading, skills->beside[i].body, out);
}

/* How many texts may stand in front of the list. The third text changes with the task and stands behind the list, unless
 * the texts are so long that this one alone is more than two prompts may differ by. Texts of a few lines all stand behind
 * the list: they cost little there, and the front stays when the room shrinks. */
static size_t most_in_front(const struct skills *skills)
{
    enum { LONG = 3072, SHORT = 128, FEW = 2 };
    size_t sum = 0;
    for (size_t i = 0; i < skills->entries.count; i++)
        sum += skills->beside[i].body ? strlen(skills->beside[i].body) : 0;
    size_t count = skills->entries.count;
    return sum > LONG * count ? SKILL_BODIES_MAX : sum > SHORT * count ? FEW : 0;
}

/* Every text was in the last prompt too, and the texts behind the list are long: when the list changes, they belong to what
 * differs, and in front of the list they would not. */
static bool stand_badly(const struct skills *skills, const bool *chosen)
{
    size_t behind = 0;
    for (size_t i = 0; i < skills->entries.count; i++) {
        if (chosen[i] && skills->beside[i].shown == SKILL_NOT_SHOWN)
            return false;
        behind += chosen[i] && skills->beside[i].shown == SKILL_BEHIND ? strlen(skills->beside[i].body) : 0;
    }
    return behind > 512 + skills->list.length / 2;
}

/* Two prompts in a row shall have a long common front. A new skill changes the end of the list, hence some texts stand in
 * front of the list, in the file's order. A text that takes the place of another stands behind the list, and so does a text
 * that comes back after a prompt without room for it: the text that goes first when the room shrinks stands last. */
static void place(struct skills *skills, const bool *chosen, bool list_changed)
{
    size_t most = most_in_front(skills), front = 0, lost = 0;
    if (list_changed && stand_badly(skills, chosen))
        skills->fewer = 0;
    for (size_t i = 0; i < skills->entries.count; i++) {
        front += chosen[i] && skills->beside[i].shown == SKILL_IN_FRONT;
        lost += !chosen[i] && skills->beside[i].shown == SKILL_IN_FRONT;
    }
    if (lost)
        skills->fewer = most > front ? most - front : 0;
    for (size_t i = 0; i < skills->entries.count; i++) {
        struct skill *skill = &skills->beside[i];
        bool moves = chosen[i] && skill->shown != SKILL_IN_FRONT && front + skills->fewer < most;
        front += moves;
        if (!chosen[i])
            skill->shown = SKILL_NOT_SHOWN;
        else if (moves)
            skill->shown = SKILL_IN_FRONT;
        else if (skill->shown != SKILL_IN_FRONT)
            skill->shown = SKILL_BEHIND;
    }
}

void skills_prompt(struct skills *skills, int tree, const char *task, size_t budget, struct buffer *out)
{
    OWNED_BUFFER struct buffer list = {0}, counts = {0};
    size_t count = skills->entries.count, start = out->length;
    OWNED bool *chosen = memory_new(count, sizeof *chosen);
    /* All summaries have room before any body, if need be each with the start of its description only. */
    size_t limit = count && budget / count > 256 ? budget / count - 128 : 128;
    bool changed =
        list_all(skills, limit < SKILL_DESCRIPTION_MAX ? limit : SKILL_DESCRIPTION_MAX, budget, &list);
    evidence(skills, &counts);
    size_t used = list.length + counts.length + strlen(heading_of_all);
    if (used < budget)
        choose(skills, tree, task, budget - used, chosen);
    place(skills, chosen, changed);
    add_texts(skills, SKILL_IN_FRONT, out);
    buffer_text(out, out->length > start ? heading_of_all : "");
    buffer_text(out, count ? list.data : "None yet.\n");
    add_texts(skills, SKILL_BEHIND, out);
    if (count && used < budget)
        buffer_add(out, counts.data, counts.length);
}
