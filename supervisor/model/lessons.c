#include "supervisor/model/lessons.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

struct lesson {
    char *url, *model, *text;
};

static void free_lesson(struct lesson *lesson)
{
    free(lesson->url);
    free(lesson->model);
    free(lesson->text);
}

void lessons_free(struct lessons *lessons)
{
    for (size_t i = 0; i < lessons->count; i++)
        free_lesson(&lessons->items[i]);
    free(lessons->items);
}

static struct lesson *find(const struct lessons *lessons, const struct lesson *key)
{
    for (size_t i = 0; i < lessons->count; i++)
        if (strcmp(lessons->items[i].url, key->url) == 0 && strcmp(lessons->items[i].model, key->model) == 0)
            return &lessons->items[i];
    return NULL;
}

bool lessons_keep(struct lessons *lessons, struct reader *reader)
{
    struct lesson lesson = {0};
    if (!message_read(reader, MESSAGE_LEARNED, &lesson.url, &lesson.model, &lesson.text))
        return false;
    struct lesson *known = find(lessons, &lesson);
    if (strlen(lesson.url) + strlen(lesson.model) + strlen(lesson.text) > LESSON_TEXT_MAX ||
        (!known && lessons->count == LESSONS_MAX)) {
        free_lesson(&lesson);
        return true;
    }
    if (known) {
        free_lesson(known);
    } else {
        known = MEMORY_ADD(lessons->items, lessons->count);
    }
    *known = lesson;
    return true;
}

void lessons_tell(const struct lessons *lessons, struct buffer *message,
                  bool (*send)(void *context, const struct buffer *message), void *context)
{
    for (size_t i = 0; i < lessons->count; i++) {
        const struct lesson *lesson = &lessons->items[i];
        message_make(message, MESSAGE_RECALL, lesson->url, lesson->model, lesson->text);
        if (!send(context, message))
            return;
    }
}
