/* The prompts' text about the skills outlives the worker that leaves, so that the next worker's first prompt goes on
 * behind it.
 *
 * The file is a note: "HASH PROMPTS", a line "l|t SAYS END WANTED NAME" for each piece, an empty line, and the text
 * itself, whose hash is the first line's. A file that is missing, or whose text was changed by hand, is none: then the
 * whole text is made anew. A worker that was killed leaves the note of the worker before it, and so the beginning of
 * the text of its own prompts. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "common/tree.h"
#include "worker/memory/skills.h"

enum { KEPT_MAX = 256 * 1024 /* bytes */, PIECES_MAX = 4096, NAME_MAX = 255 };
static const char file_name[] = TREE_NOTES "/prompt";

static bool read_piece(struct skills *skills, const char *line, struct shown *shown)
{
    char kind, name[NAME_MAX + 1];
    if (sscanf(line, "%c %16" SCNx64 " %zu %zu %255[^\n]", &kind, &shown->says, &shown->end, &shown->wanted,
               name) != 5 ||
        skills->shown_count == PIECES_MAX)
        return false;
    shown->text = kind == 't';
    shown->name = memory_text(name);
    *MEMORY_ADD(skills->shown, skills->shown_count) = *shown;
    return true;
}

void skills_shown_load(struct skills *skills, int tree)
{
    OWNED char *text = NULL;
    size_t length, prompts, last = 0;
    uint64_t hash;
    if (files_read(tree, file_name, KEPT_MAX, &text, &length, NULL, NULL) != 1 ||
        sscanf(text, "%16" SCNx64 " %zu\n", &hash, &prompts) != 2)
        return;
    const char *line = text + strcspn(text, "\n");
    bool good = *line == '\n';
    for (line += good; good && *line != '\n'; line = strchr(line, '\n') + 1) {
        struct shown shown = {0};
        good = strchr(line, '\n') && read_piece(skills, line, &shown) && shown.end > last;
        if (!good)
            break;
        last = shown.end;
    }
    const char *stays = line + 1;
    size_t left = good ? length - (size_t)(stays - text) : 0;
    if (good && left == last && skills_hash(stays, left) == hash) {
        buffer_add(&skills->stays, stays, left);
        skills->prompts = prompts;
    } else {
        skills_shown_forget(skills, 0);
    }
}

void skills_shown_save(const struct skills *skills, int tree)
{
    OWNED_BUFFER struct buffer out = {0};
    const struct buffer *stays = &skills->stays;
    if (skills->shown_count == 0 || skills->shown_count > PIECES_MAX)
        return;
    buffer_print(&out, "%016" PRIx64 " %zu\n", skills_hash(stays->data, stays->length), skills->prompts);
    for (size_t i = 0; i < skills->shown_count; i++) {
        const struct shown *shown = &skills->shown[i];
        if (strlen(shown->name) > NAME_MAX)
            return; /* a person's own heading */
        buffer_print(&out, "%c %016" PRIx64 " %zu %zu %s\n", shown->text ? 't' : 'l', shown->says, shown->end,
                     shown->wanted, shown->name);
    }
    buffer_text(&out, "\n");
    buffer_add(&out, stays->data, stays->length);
    files_write(tree, file_name, out.data, out.length, false, NULL);
}
