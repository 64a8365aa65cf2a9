/* The skills as a prompt shows them. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
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

/* The index of the best score that isn't used yet; count: none is above 0. Of two the one that stands first in the file. */
static size_t nearest(const struct skills *skills, const double *scores)
{
    size_t best = skills->entries.count;
    for (size_t i = 0; i < skills->entries.count; i++)
        if (scores[i] > 0 && skills->beside[i].body &&
            (best == skills->entries.count || scores[i] > scores[best]))
            best = i;
    return best;
}

static void show_body(const char *name, const char *body, struct buffer *out)
{
    size_t length = strlen(body);
    buffer_print(out, "\n### Skill %s\n\n", name);
    buffer_add(out, body, length);
    buffer_text(out, length && body[length - 1] == '\n' ? "" : "\n");
}

/* Those nearest to the task, in the file's order: the texts that two tasks share stand before those that one of them alone
 * has, and the prompt's front stays. */
static void bodies(struct skills *skills, int tree, const char *task, size_t budget, struct buffer *out)
{
    size_t count = skills->entries.count;
    OWNED double *scores = memory_new(count, sizeof *scores);
    OWNED struct relevance_text *texts = memory_new(count, sizeof *texts);
    struct word_set words = {0};
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct relevance_text){&skills->beside[i].head, &skills->beside[i].words};
    word_set_add(&words, task, strlen(task));
    relevance_score(&words, texts, count, scores);
    word_set_free(&words);
    OWNED bool *chosen = memory_new(count, sizeof *chosen);
    size_t shown = 0, best;
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
    for (size_t i = 0; i < count; i++)
        if (chosen[i])
            show_body(skills->entries.items[i].heading, skills->beside[i].body, out);
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

/* Where texts are long they stand first, so that the front of the prompt stays: a new skill changes the end of the
 * summaries and hardly the choice of texts. Short ones may change with each task, and cost little behind the summaries.
 * The mean of all texts decides, since it seldom changes sides. */
static bool texts_stand_first(const struct skills *skills)
{
    enum { LONG = 1024 };
    size_t sum = 0;
    for (size_t i = 0; i < skills->entries.count; i++)
        sum += skills->beside[i].body ? strlen(skills->beside[i].body) : 0;
    return sum > LONG * skills->entries.count;
}

static void join(const struct skills *skills, const struct buffer *summaries, const struct buffer *texts,
                 struct buffer *out)
{
    bool texts_first = texts->length && texts_stand_first(skills);
    if (texts_first) {
        buffer_text(out, texts->data + 1);
        buffer_text(out, heading_of_all);
    }
    buffer_add(out, summaries->data, summaries->length);
    if (!texts_first)
        buffer_add(out, texts->data, texts->length);
}

void skills_prompt(struct skills *skills, int tree, const char *task, size_t budget, struct buffer *out)
{
    OWNED_BUFFER struct buffer summaries = {0}, texts = {0}, counts = {0};
    size_t count = skills->entries.count;
    /* All summaries have room before any body, if need be each with the start of its description only. */
    size_t limit = count && budget / count > 256 ? budget / count - 128 : 128;
    for (size_t i = 0; i < count; i++)
        summary(&skills->entries.items[i], limit < SKILL_DESCRIPTION_MAX ? limit : SKILL_DESCRIPTION_MAX,
                &summaries);
    if (count == 0)
        buffer_text(&summaries, "None yet.\n");
    evidence(skills, &counts);
    size_t used = summaries.length + counts.length + strlen(heading_of_all);
    if (count && used < budget)
        bodies(skills, tree, task, budget - used, &texts);
    join(skills, &summaries, &texts, out);
    if (count && used < budget)
        buffer_add(out, counts.data, counts.length);
}
