#include "worker/memory/reflections.h"

#include "common/clock.h"
#include "common/tree.h"
#include "common/utf8.h"

enum {
    NEWEST_LEAST = 400 /* bytes of the newest reflection that a prompt shows, however small its share is */
};

const char reflections_preamble[] = "# Reflections\n\nThe last 15, the newest at the end.\n";

void reflections_add(struct entries *reflections, const char *task_id, int64_t at, const char *text,
                     const char *faults)
{
    if (!(text && *text) && !(faults && *faults))
        return;
    char now[CLOCK_TEXT];
    struct entry *entry = entries_append(reflections, task_id);
    entry_set(entry, "at", clock_format(at, now));
    if (text && *text)
        entry_set(entry, "reflection", text);
    if (faults && *faults)
        entry_set(entry, "fault", faults);
    while (reflections->count > REFLECTIONS_MAX)
        entries_remove(reflections, 0);
}

static void print_line(const struct entry *entry, struct buffer *out)
{
    size_t text_length = 0, fault_length = 0;
    const char *text = entry_value(entry, "reflection", &text_length);
    const char *fault = entry_value(entry, "fault", &fault_length);
    buffer_text(out, "- ");
    buffer_text(out, entry->heading);
    buffer_text(out, ": ");
    buffer_add(out, text ? text : "", text_length);
    buffer_text(out, text && fault ? "; " : "");
    buffer_text(out, fault ? "fault: " : "");
    buffer_add(out, fault ? fault : "", fault_length);
    /* A person's own entry without our fields: its first lines, joined. */
    for (const char *c = text || fault ? "" : entry->lines; *c && c < entry->lines + 500; c++)
        buffer_add(out, *c == '\n' ? " " : c, 1);
    buffer_add(out, "\n", 1);
}

void reflections_prompt(const struct entries *reflections, size_t budget, struct buffer *out)
{
    size_t first = reflections->count, used = 0;
    for (; first > 0; first--) {
        OWNED_BUFFER struct buffer line = {0};
        print_line(&reflections->items[first - 1], &line);
        if (used + line.length > budget && first < reflections->count)
            break;
        used += line.length;
    }
    size_t start = out->length, most = budget < NEWEST_LEAST ? NEWEST_LEAST : budget;
    for (size_t i = first; i < reflections->count; i++)
        print_line(&reflections->items[i], out);
    if (out->length - start > most) {
        out->length = start + utf8_cut(out->data + start, out->length - start, most);
        buffer_text(out, "…\n");
    }
    if (reflections->count == 0)
        buffer_text(out, "None yet.\n");
}
