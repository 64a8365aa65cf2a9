/* State files as people may leave them. A printed file is read and printed again as the same; a field that is set is
 * read back, and the heading count stays. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/entries.h"
#include "common/memory.h"
#include "worker/memory/goals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static char *print_entries(int level, const char *text, size_t length, size_t *count)
{
    struct entries entries;
    struct buffer out = {0};
    entries_parse(&entries, level, text, length);
    entries_print(&entries, &out);
    *count = entries.count;
    entries_free(&entries);
    return buffer_take(&out);
}

static void set_and_get(int level, const char *text, size_t length)
{
    struct entries entries;
    entries_parse(&entries, level, text, length);
    if (entries.count) {
        entry_set(&entries.items[0], "reward", "a\nb");
        OWNED char *value = entry_get(&entries.items[0], "reward");
        require(value && strcmp(value, "a b") == 0);
        entries_remove(&entries, 0);
    }
    entries_shorten(&entries, 0, 2, 50);
    entries_free(&entries);
}

static char *print_goals(const char *text, size_t length)
{
    struct goals goals;
    struct buffer out = {0};
    goals_parse(&goals, text, length);
    goals_print(&goals, &out);
    goals_free(&goals);
    return buffer_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t once, again;
    OWNED char *text = memory_slice((const char *)data, size);
    size = strlen(text); /* bytes that aren't text never come here */
    int level = size % 2 ? 2 : 3;
    OWNED char *first = print_entries(level, text, size, &once);
    OWNED char *second = print_entries(level, first, strlen(first), &again);
    require(once == again && strcmp(first, second) == 0);
    set_and_get(level, text, size);
    OWNED char *goals = print_goals(text, size);
    OWNED char *goals_again = print_goals(goals, strlen(goals));
    require(strcmp(goals, goals_again) == 0);
    return 0;
}
