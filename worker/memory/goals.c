#include "worker/memory/goals.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/markdown.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"

const char goals_preamble[] =
    "# Goals\n\nAt most 5 active ones (`- [ ]`); a finished one (`- [x]`) goes with the next cycle.\n";

static struct goal_line *room_at(struct goals *goals, size_t index)
{
    MEMORY_MORE(goals->lines, goals->count);
    memmove(&goals->lines[index + 1], &goals->lines[index], (goals->count - index) * sizeof *goals->lines);
    goals->count++;
    return &goals->lines[index];
}

/* "- [ ] text", "* [x] text", "1. [X] text" */
static struct goal_line read_line(const char *line, size_t length)
{
    struct goal_line other = {.state = GOAL_NONE, .text = memory_slice(line, length)};
    size_t at = 0;
    while (at < length && at < 4 && line[at] == ' ')
        at++;
    size_t mark = at;
    while (at < length && isdigit((unsigned char)line[at]))
        at++;
    bool list =
        at < length && (at > mark ? line[at] == '.' : line[at] == '-' || line[at] == '*' || line[at] == '+');
    at++;
    while (list && at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (!list || at + 3 > length || line[at] != '[' || line[at + 2] != ']' || !strchr(" xX", line[at + 1]) ||
        !line[at + 1])
        return other;
    const char *text = line + at + 3;
    size_t text_length = length - at - 3;
    markdown_trim(&text, &text_length);
    if (text_length == 0)
        return other;
    free(other.text);
    return (struct goal_line){
        .state = line[at + 1] == ' ' ? GOAL_ACTIVE : GOAL_DONE,
        .text = memory_slice(text, text_length),
        .lead = memory_slice(line, at),
    };
}

void goals_parse(struct goals *goals, const char *text, size_t length)
{
    *goals = (struct goals){0};
    struct fence_walk walk = {0};
    size_t at = 0;
    while (length - at >= 3 && memcmp(text + at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    for (size_t end, next; at < length; at = next) {
        next = markdown_line(text, length, at, &end);
        bool code = markdown_is_code(&walk, text, length, at, end, next);
        struct goal_line line = {.state = GOAL_NONE};
        if (code)
            line.text = memory_slice(text + at, end - at);
        else
            line = read_line(text + at, end - at);
        *room_at(goals, goals->count) = line;
    }
}

void goals_print(const struct goals *goals, struct buffer *out)
{
    for (size_t i = 0; i < goals->count; i++) {
        const struct goal_line *line = &goals->lines[i];
        if (line->state != GOAL_NONE) {
            buffer_text(out, line->lead);
            buffer_text(out, line->state == GOAL_DONE ? "[x] " : "[ ] ");
        }
        buffer_text(out, line->text);
        buffer_add(out, "\n", 1);
    }
}

static void line_free(struct goal_line *line)
{
    free(line->text);
    free(line->lead);
}

void goals_free(struct goals *goals)
{
    for (size_t i = 0; i < goals->count; i++)
        line_free(&goals->lines[i]);
    free(goals->lines);
    *goals = (struct goals){0};
}

void goals_shorten(struct goals *goals, size_t lines, size_t limit)
{
    while (goals->count > lines)
        line_free(&goals->lines[--goals->count]);
    for (size_t i = 0; i < goals->count; i++) {
        char *text = goals->lines[i].text;
        text[utf8_cut(text, strlen(text), limit)] = '\0';
    }
}

size_t goals_active(const struct goals *goals)
{
    size_t active = 0;
    for (size_t i = 0; i < goals->count; i++)
        active += goals->lines[i].state == GOAL_ACTIVE;
    return active;
}

void goals_drop_done(struct goals *goals)
{
    size_t kept = 0;
    bool dropping = false;
    for (size_t i = 0; i < goals->count; i++) {
        struct goal_line *line = &goals->lines[i];
        bool indented = line->state == GOAL_NONE && (line->text[0] == ' ' || line->text[0] == '\t');
        dropping = line->state == GOAL_DONE || (dropping && indented);
        if (dropping)
            line_free(line);
        else
            goals->lines[kept++] = *line;
    }
    goals->count = kept;
}

static unsigned char next_letter(const char **text)
{
    while (**text && (unsigned char)**text < 0x80 && !isalnum((unsigned char)**text))
        ++*text;
    return **text ? (unsigned char)tolower((unsigned char)*(*text)++) : '\0';
}

static bool same(const char *a, const char *b)
{
    for (;;) {
        unsigned char left = next_letter(&a), right = next_letter(&b);
        if (left != right)
            return false;
        if (left == '\0')
            return true;
    }
}

static struct goal_line *find(struct goals *goals, const char *text, enum goal_state state)
{
    for (size_t i = 0; i < goals->count; i++)
        if (goals->lines[i].state == state && same(goals->lines[i].text, text))
            return &goals->lines[i];
    return NULL;
}

bool goals_finish(struct goals *goals, const char *text)
{
    struct goal_line *line = find(goals, text, GOAL_ACTIVE);
    if (line)
        line->state = GOAL_DONE;
    return line != NULL;
}

enum goal_added goals_add(struct goals *goals, const char *text)
{
    size_t length = strlen(text), behind = goals->count;
    markdown_trim(&text, &length);
    OWNED char *clean = memory_slice(text, utf8_cut(text, length, GOAL_TEXT_MAX));
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    if (*clean == '\0' || find(goals, clean, GOAL_ACTIVE) || find(goals, clean, GOAL_DONE))
        return GOAL_KNOWN;
    if (goals_active(goals) >= GOALS_MAX)
        return GOAL_NO_ROOM;
    for (size_t i = 0; i < goals->count; i++)
        if (goals->lines[i].state != GOAL_NONE)
            behind = i + 1;
    struct goal_line *above = behind ? &goals->lines[behind - 1] : NULL;
    if (above && above->state == GOAL_NONE && *above->text)
        *room_at(goals, behind++) = (struct goal_line){.state = GOAL_NONE, .text = memory_text("")};
    *room_at(goals, behind) =
        (struct goal_line){.state = GOAL_ACTIVE, .text = memory_text(clean), .lead = memory_text("- ")};
    return GOAL_ADDED;
}

void goals_prompt(const struct goals *goals, struct buffer *out)
{
    size_t shown = 0;
    for (size_t i = 0; i < goals->count && shown < GOALS_MAX; i++)
        if (goals->lines[i].state == GOAL_ACTIVE) {
            size_t length = strlen(goals->lines[i].text);
            buffer_text(out, "- ");
            buffer_add(out, goals->lines[i].text, utf8_cut(goals->lines[i].text, length, 2 * GOAL_TEXT_MAX));
            buffer_add(out, "\n", 1);
            shown++;
        }
    if (shown == 0)
        buffer_text(out, "None.\n");
}
