/* An agent's window and its unfinished envelopes: by its throughput class (contract section 9). */
#include <errno.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/post/part.h"

enum { LATELY_MS = 1000 };

/* The class of agents.yaml, else of persona.md, else medium. */
enum throughput_class post_class(struct box *box)
{
    if (box->definition && box->definition->throughput_class != CLASS_UNSET)
        return box->definition->throughput_class;
    if (is_far(box))
        return CLASS_MEDIUM;
    box->persona.looked_ms = clock_monotonic_ms();
    OWNED char *path = memory_print("agents/%s/%s", box->name, TREE_PERSONA), *text = NULL;
    struct file_stamp stamp = files_stamp_at(box->post->data, path);
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    size_t length;
    if (box->persona.stamp.inode && files_stamp_equal(&stamp, &box->persona.stamp))
        return box->persona.throughput_class;
    int found = files_read(box->post->data, path, TREE_FILE_MAX, &text, &length, NULL, NULL);
    if (found < 0 && !files_lasting(errno)) /* as it was, until persona.md can be read */
        return box->persona.stamp.inode ? box->persona.throughput_class : CLASS_MEDIUM;
    box->persona.stamp = stamp;
    box->persona.throughput_class = CLASS_MEDIUM;
    if (found != 1 || !frontmatter_parse(&matter, text, length, TREE_PERSONA, NULL))
        return CLASS_MEDIUM;
    const char *said = frontmatter_text(&matter, "throughput_class");
    if (said)
        class_parse(said, &box->persona.throughput_class);
    return box->persona.throughput_class;
}

enum throughput_class post_class_lately(struct box *box)
{
    bool told = box->definition && box->definition->throughput_class != CLASS_UNSET;
    if (!told && box->persona.stamp.inode && clock_monotonic_ms() - box->persona.looked_ms < LATELY_MS)
        return box->persona.throughput_class;
    return post_class(box);
}

int64_t post_window(struct box *box, int64_t *backlog)
{
    const struct class_limits *limits = &box->post->roster->classes[post_class(box)];
    if (backlog)
        *backlog = limits->backlog;
    return limits->window;
}

int64_t post_unfinished(const struct box *box)
{
    return (int64_t)(box->shelves[FOLDER_INBOX].unfinished + box->shelves[FOLDER_HANDOFFS].unfinished);
}

int64_t post_room(struct post *post, const char *agent)
{
    struct box *box = post_box(post, agent);
    if (!box || !box->definition || box->leaving || box->fresh || is_far(box))
        return 0;
    int64_t room = post_window(box, NULL) - post_unfinished(box);
    return room > 0 ? room : 0;
}

const char *post_pressure_word(const struct post_pressure *pressure)
{
    if (pressure->unfinished < pressure->window)
        return pressure->unfinished ? "low" : "none";
    return pressure->deferred < pressure->backlog ? "high" : "full";
}
