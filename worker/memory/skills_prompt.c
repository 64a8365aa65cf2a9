/* The skills as a prompt shows them, so that two prompts in a row have a long common front (contract section 6).
 *
 * A provider's cache holds a prompt's beginning. So the text about the skills stays where it stands, and the next
 * prompt goes on behind it: with a line for each skill that is new or was forgotten since, and with the texts that the
 * task needs. The nearest of these texts join the part that stays, until the part that varies is no more than 5 of 17
 * parts of this prompt (29 %). The part that stays is then the beginning of the next prompt too, whatever its task:
 *
 *     |ahead + stays| >= 12/17 of this prompt  =>  at least 70 % of the shorter of the two are their common front.
 *
 * The part that stays outlives the worker (skills_kept.c). The front is broken where it is made anew: once in 50 tasks
 * at most, when much of it has become useless, or when a new line has no room left behind it. In a small room texts
 * give way to lines first, from the end on, and a text that has no room waits until the front is made anew. A person's
 * edit makes the front anew, too. */
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"
#include "worker/memory/learning.h"
#include "worker/memory/skills.h"

enum {
    SHOWN_LONG = 100, /* prompts as they are made: 50 tasks at least, since a prompt may be made twice */
    STAYS = 12,
    VARIES = 5, /* parts of a prompt */
    LINES = 64, /* a line has this share of the room for all skills at most: 20 lines are a third of it */
    SPARE = 16, /* a share of the room that texts leave free for the next lines */
    DESCRIPTION_LEAST = 32, /* bytes */
};

static const char forgotten[] = "forgotten";

/* --- what stays --- */

static void add_shown(struct skills *skills, struct shown shown, const char *name, const struct buffer *text)
{
    buffer_add(&skills->stays, text->data, text->length);
    shown.name = memory_text(name);
    shown.end = skills->stays.length;
    shown.wanted = skills->prompts;
    *MEMORY_ADD(skills->shown, skills->shown_count) = shown;
}

/* The piece about the skill; a line that says "forgotten" ends all lines before. NULL: no piece that counts. */
static struct shown *find_shown(const struct skills *skills, const char *name, bool text, uint64_t says)
{
    for (size_t i = skills->shown_count; i-- > 0;) {
        struct shown *shown = &skills->shown[i];
        bool tells = shown->says == says || says == 0;
        if (shown->text == text && (tells || shown->says == 0) && strcmp(shown->name, name) == 0)
            return tells ? shown : NULL;
    }
    return NULL;
}

static struct shown *shown_text(const struct skills *skills, size_t index)
{
    return find_shown(skills, skills->entries.items[index].heading, true, skills->beside[index].says);
}

/* A text that is another now can't stay. */
static void forget_changed(struct skills *skills, int tree)
{
    for (size_t i = 0; i < skills->shown_count; i++) {
        const struct entry *entry =
            skills->shown[i].text ? entries_find(&skills->entries, skills->shown[i].name) : NULL;
        if (!entry)
            continue;
        struct skill *skill = &skills->beside[entry - skills->entries.items];
        skill_look_again(skill, tree);
        if (skill->says != skills->shown[i].says)
            skills_shown_forget(skills, i);
    }
}

static bool is_useless(struct skills *skills, const struct shown *shown)
{
    if (shown->says == 0 || !entries_find(&skills->entries, shown->name))
        return true;
    return shown->text ? skills->prompts - shown->wanted > SHOWN_LONG
                       : find_shown(skills, shown->name, false, shown->says) != shown;
}

static size_t useless(struct skills *skills)
{
    size_t bytes = 0;
    for (size_t i = 0; i < skills->shown_count; i++)
        if (is_useless(skills, &skills->shown[i]))
            bytes += skills->shown[i].end - (i ? skills->shown[i - 1].end : 0);
    return bytes;
}

/* --- lines --- */

static void add_line(struct skills *skills, const char *name, const char *text, size_t length, uint64_t says)
{
    OWNED_BUFFER struct buffer line = {0};
    if (skills->shown_count && skills->shown[skills->shown_count - 1].text)
        buffer_text(&line, "\n### More of the list: the last line about a skill counts\n\n");
    buffer_print(&line, "- %s%s%.*s\n", name, length ? ": " : "", (int)length, length ? text : "");
    add_shown(skills, (struct shown){.says = says}, name, &line);
}

static void add_lines(struct skills *skills, size_t budget)
{
    size_t limit = budget / LINES, known = skills->shown_count;
    limit = limit < DESCRIPTION_LEAST ? DESCRIPTION_LEAST : limit;
    limit = limit > SKILL_DESCRIPTION_MAX ? SKILL_DESCRIPTION_MAX : limit;
    for (size_t i = 0; i < skills->entries.count; i++) {
        const struct entry *entry = &skills->entries.items[i];
        size_t length = 0;
        const char *description = entry_value(entry, "description", &length);
        uint64_t says = skills_hash(description, length);
        if (!find_shown(skills, entry->heading, false, says))
            add_line(skills, entry->heading, description, utf8_cut(description, length, limit), says);
    }
    for (size_t i = 0; i < known; i++) {
        struct shown *line = &skills->shown[i];
        if (line->text || line->says == 0 || line->over || entries_find(&skills->entries, line->name))
            continue;
        line->over = true;
        if (find_shown(skills, line->name, false, 0) == line) {
            OWNED char *name = memory_text(line->name);
            add_line(skills, name, forgotten, strlen(forgotten), 0);
        }
    }
}

/* Lines for all skills, with room: the texts give way, the last one first, then useless pieces. */
static void fit_lines(struct skills *skills, size_t room)
{
    for (;;) {
        size_t before = skills->shown_count;
        add_lines(skills, room);
        if (before == 0 || skills->stays.length <= room)
            return;
        while (before > 0 && !skills->shown[before - 1].text)
            before--;
        skills_shown_forget(skills, before ? before - 1 : 0);
    }
}

/* --- texts --- */

/* Whether skill i is nearer than j. Of two equally near skills the one whose text stands there already, and of two
 * others the younger one, which stays longer. */
static bool is_nearer(const double *scores, const bool *stands, size_t i, size_t j)
{
    if (scores[i] > scores[j] || scores[i] < scores[j])
        return scores[i] > scores[j];
    return stands[i] || !stands[j];
}

/* The nearest skill that isn't used yet; count: no score is above 0. */
static size_t nearest(const struct skills *skills, const double *scores, const bool *stands)
{
    size_t best = skills->entries.count;
    for (size_t i = 0; i < skills->entries.count; i++)
        if (scores[i] > 0 && skills->beside[i].body &&
            (best == skills->entries.count || is_nearer(scores, stands, i, best)))
            best = i;
    return best;
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

/* Behind all else: the counts change with each success, and the text in front of them stays. A single success is not
 * mentioned. */
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

/* A text that this prompt shows beyond what stays. */
struct more {
    size_t index;
    struct buffer text;
};

/* The skills that are nearest to the task, as far as their texts have room; out gets the texts that don't stand there
 * yet, the nearest first. */
static size_t choose(struct skills *skills, int tree, const char *task, size_t room, struct more *more)
{
    size_t count = skills->entries.count, added = 0, best;
    OWNED double *scores = memory_new(count, sizeof *scores);
    OWNED bool *stands = memory_new(count, sizeof *stands);
    score(skills, task, scores);
    for (size_t i = 0; i < count; i++)
        stands[i] = scores[i] > 0 && shown_text(skills, i);
    skills->lacks = false;
    for (size_t shown = 0; shown < SKILL_BODIES_MAX && (best = nearest(skills, scores, stands)) < count;) {
        struct buffer text = {0};
        skill_look_again(&skills->beside[best], tree);
        struct shown *there = shown_text(skills, best);
        const char *body = skills->beside[best].body;
        scores[best] = 0;
        if (!body)
            continue;
        buffer_print(&text, "\n### Skill %s\n\n%s%s", skills->entries.items[best].heading, body,
                     *body && body[strlen(body) - 1] == '\n' ? "" : "\n");
        if (there) {
            there->wanted = skills->prompts;
            shown++;
        } else if (text.length <= room) {
            room -= text.length;
            shown++;
            more[added++] = (struct more){best, text};
            continue;
        } else {
            skills->lacks = skills->lacks || shown == 0;
        }
        buffer_free(&text);
    }
    return added;
}

/* The first texts stay, so many that the varying part of the prompt is small; the others are in this prompt alone. */
static void add_texts(struct skills *skills, const struct skills_place *place, struct more *more,
                      size_t count, size_t varies, struct buffer *out)
{
    for (size_t i = 0; i < count; i++)
        varies += more[i].text.length;
    size_t kept = 0;
    for (; kept < count && varies * STAYS > (place->ahead + skills->stays.length) * VARIES; kept++) {
        varies -= more[kept].text.length;
        add_shown(skills, (struct shown){.text = true, .says = skills->beside[more[kept].index].says},
                  skills->entries.items[more[kept].index].heading, &more[kept].text);
    }
    buffer_add(out, skills->stays.data, skills->stays.length);
    for (size_t i = 0; i < count; i++) {
        buffer_add(out, more[i].text.data, i < kept ? 0 : more[i].text.length);
        buffer_free(&more[i].text);
    }
}

void skills_prompt(struct skills *skills, int tree, const char *task, const struct skills_place *place,
                   struct buffer *out)
{
    OWNED_BUFFER struct buffer counts = {0};
    struct more more[SKILL_BODIES_MAX];
    forget_changed(skills, tree);
    if (skills->prompts++ >= SHOWN_LONG && (skills->lacks || useless(skills) > place->room / 8))
        skills_shown_forget(skills, 0);
    evidence(skills, &counts);
    fit_lines(skills, place->room);
    size_t used = skills->stays.length + counts.length, spare = place->room / SPARE;
    size_t count =
        used + spare < place->room ? choose(skills, tree, task, place->room - used - spare, more) : 0;
    add_texts(skills, place, more, count, place->behind + counts.length, out);
    if (skills->stays.length == 0)
        buffer_text(out, "None yet.\n");
    else if (used < place->room)
        buffer_add(out, counts.data, counts.length);
}
