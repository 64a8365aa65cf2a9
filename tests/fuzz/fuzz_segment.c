/* Any bytes as a segment's file: set aside, or a text with a version; a write that names that version is the next one,
 * a write that names another is refused, and the file then says just that to a supervisor that starts anew. */
#include "scratch.h"

#include "common/format/roster.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/shared/segments.h"
#include "supervisor/store/shared_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] = "agents:\n  - {name: orion, persona: p}\n"
                           "segments:\n  - {name: glossary, writers: [orion], readers: [orion]}\n";

struct seen {
    int64_t version;
    char *text; /* owned */
};

static void see(void *context, const struct segment_view *view)
{
    struct seen *seen = context;
    if (view->version < 0 || !utf8_valid(view->text, strlen(view->text)) ||
        (view->version == 0 && *view->text))
        abort();
    *seen = (struct seen){view->version, memory_text(view->text)};
}

static struct seen look(struct segments *segments)
{
    struct seen seen = {-1, NULL};
    segments_scan(segments);
    segments_each(segments, "orion", see, &seen);
    if (!seen.text)
        abort();
    return seen;
}

static enum segment_verdict write_it(struct segments *segments, const char *id, int64_t base)
{
    struct fault why = {""};
    const struct envelope write = {.id = (char *)(uintptr_t)id,
                                   .kind = KIND_SEGMENT,
                                   .from = (char[]){"orion"},
                                   .to = (char[]){"segment:glossary"},
                                   .created = 1000,
                                   .status = (char[]){"pending"},
                                   .base_version = base,
                                   .body = (char[]){"What is known now.\n"}};
    enum segment_verdict verdict = segments_write(segments, &write, &why);
    if (verdict == SEGMENT_REFUSED && !*why.text)
        abort();
    return verdict;
}

static struct segments *begin(const struct roster *roster)
{
    struct segments *segments = segments_open(scratch_data, NULL, NULL);
    segments_roster(segments, roster);
    return segments;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWNED_BUFFER struct buffer faults = {0};
    OWNED_FD int folder = scratch_folder(SHARED_SEGMENTS);
    struct roster *roster = roster_parse(yaml, sizeof yaml - 1, "agents.yaml", &faults);
    /* Ids that the file can't have among its writes. */
    OWNED char *stale = memory_print("s-%016llx", names_hash(data, size)),
               *fresh = memory_print("f-%016llx", names_hash(data, size));
    scratch_put(folder, "glossary.md", data, size);
    struct segments *segments = begin(roster);
    struct seen first = look(segments);
    if (write_it(segments, stale, first.version + 1) != SEGMENT_REFUSED ||
        write_it(segments, fresh, first.version) != SEGMENT_WRITTEN)
        abort();
    struct seen second = look(segments);
    if (second.version != first.version + 1)
        abort();
    segments_close(segments);
    segments = begin(roster);
    struct seen third = look(segments);
    if (third.version != second.version || strcmp(third.text, second.text) != 0)
        abort();
    segments_close(segments);
    roster_free(roster);
    free(first.text);
    free(second.text);
    free(third.text);
    return 0;
}
