#include "supervisor/shared/segments.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/store/shared_files.h"

#define OPERATOR "operator"

/* An edited file's version is believed up to here: an envelope has to be able to name it, and the version of the next
 * write (base_version). */
static const int64_t version_believed = 1000000000;

struct segment {
    char *name;
    struct text_list writers, readers;
    bool wanted; /* agents.yaml has the segment */
    char *home;  /* the node whose file is the truth; NULL: this one, and no other node is told so */
    bool away;   /* home is another node: the file here is a copy */

    bool known; /* the fields below were read once */
    int64_t version, updated;
    char *by, *text;
    char *writes[SEGMENT_WRITES_KEPT]; /* ids, newest first */
    struct file_stamp stamp;           /* of the file as it was read last; zero: read it */
    char *trouble;                     /* the last logged one, NULL: none */
};

struct segments {
    int data;
    void (*written)(void *context, const char *name);
    void *context;
    struct segment **all; /* the segments of agents.yaml in its order, then former ones */
    size_t count;
};

struct segments *segments_open(int data, void (*written)(void *context, const char *name), void *context)
{
    struct segments *segments = memory_new(1, sizeof *segments);
    segments->data = data;
    segments->written = written;
    segments->context = context;
    return segments;
}

static void list_copy(struct text_list *to, const struct text_list *from)
{
    text_list_free(to);
    to->items = memory_new(from->count, sizeof *to->items);
    for (to->count = 0; to->count < from->count; to->count++)
        to->items[to->count] = memory_text(from->items[to->count]);
}

static void forget_writes(struct segment *segment)
{
    for (size_t i = 0; i < SEGMENT_WRITES_KEPT; i++)
        memory_set(&segment->writes[i], NULL);
}

static void forget_state(struct segment *segment)
{
    memory_set(&segment->by, NULL);
    memory_set(&segment->text, NULL);
    forget_writes(segment);
}

void segments_close(struct segments *segments)
{
    if (!segments)
        return;
    for (size_t i = 0; i < segments->count; i++) {
        struct segment *segment = segments->all[i];
        forget_state(segment);
        text_list_free(&segment->writers);
        text_list_free(&segment->readers);
        free(segment->trouble);
        free(segment->home);
        free(segment->name);
        free(segment);
    }
    free(segments->all);
    free(segments);
}

static struct segment *find(const struct segments *segments, const char *name)
{
    for (size_t i = 0; i < segments->count; i++)
        if (strcmp(segments->all[i]->name, name) == 0)
            return segments->all[i];
    return NULL;
}

static void move_to(struct segments *segments, struct segment *segment, size_t place)
{
    size_t from = place;
    while (segments->all[from] != segment)
        from++;
    memmove(&segments->all[place + 1], &segments->all[place], (from - place) * sizeof *segments->all);
    segments->all[place] = segment;
}

void segments_roster(struct segments *segments, const struct roster *roster)
{
    for (size_t i = 0; i < segments->count; i++)
        segments->all[i]->wanted = false;
    for (size_t i = 0; i < roster->segment_count; i++) {
        const struct roster_segment *definition = &roster->segments[i];
        struct segment *segment = find(segments, definition->name);
        if (!segment) {
            segment = memory_new(1, sizeof *segment);
            segment->name = memory_text(definition->name);
            *MEMORY_ADD(segments->all, segments->count) = segment;
        }
        move_to(segments, segment, i);
        segment->wanted = true;
        list_copy(&segment->writers, &definition->writers);
        list_copy(&segment->readers, &definition->readers);
    }
}

/* --- the file --- */

/* The mark ties a text to its version: an edit of either is found also when it was made while no supervisor ran. */
static uint64_t mark_of(int64_t version, const char *text)
{
    OWNED char *both = memory_print("%" PRId64 "\n%s", version, text);
    return names_hash(both, strlen(both));
}

static void print_segment(const struct segment *segment, struct buffer *out)
{
    char updated[CLOCK_TEXT];
    buffer_text(out, "---\n");
    yaml_write_text(out, "name", segment->name);
    buffer_print(out, "version: %" PRId64 "\n", segment->version);
    buffer_print(out, "updated: %s\n", clock_format(segment->updated, updated));
    yaml_write_text(out, "by", segment->by);
    if (segment->home)
        yaml_write_text(out, "home", segment->home);
    buffer_text(out, segment->writes[0] ? "writes:\n" : "writes: []\n");
    for (size_t i = 0; i < SEGMENT_WRITES_KEPT && segment->writes[i]; i++) {
        buffer_text(out, "  - ");
        yaml_write_scalar(out, segment->writes[i]);
        buffer_text(out, "\n");
    }
    buffer_print(out, "mark: x%016" PRIx64 "\n---\n", mark_of(segment->version, segment->text));
    buffer_text(out, segment->text);
}

static void say(struct segment *segment, const char *sentence)
{
    if (segment->trouble && sentence && strcmp(segment->trouble, sentence) == 0)
        return;
    if (sentence)
        log_warn("agentos", NULL, "Segment %s: %s", segment->name, sentence);
    memory_set(&segment->trouble, sentence);
}

/* The stamp isn't taken from the written file: somebody may have saved over it in the same moment. The next look
 * reads the file again, once, and finds either the known text or a person's. */
static bool save(struct segments *segments, struct segment *segment, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    print_segment(segment, &text);
    segment->stamp = (struct file_stamp){0};
    if (!shared_write(segments->data, SHARED_SEGMENTS, segment->name, &text, true, fault))
        return false;
    if (segments->written && !segment->away)
        segments->written(segments->context, segment->name);
    return true;
}

static void set_text(struct segment *segment, const char *text, size_t length, const char *by,
                     int64_t updated)
{
    char *copy = memory_slice(text, length), *author = memory_text(by);
    free(segment->text);
    free(segment->by);
    segment->text = copy;
    segment->by = author;
    segment->updated = updated;
}

static void remember_write(struct segment *segment, const char *id)
{
    free(segment->writes[SEGMENT_WRITES_KEPT - 1]);
    memmove(&segment->writes[1], &segment->writes[0], (SEGMENT_WRITES_KEPT - 1) * sizeof *segment->writes);
    segment->writes[0] = memory_text(id);
}

static void read_writes(struct segment *segment, const struct yaml_node *list)
{
    size_t count = 0;
    const struct yaml_node *item = list && list->kind == YAML_SEQUENCE ? list->child : NULL;
    forget_writes(segment);
    for (; item && count < SEGMENT_WRITES_KEPT; item = item->next)
        if (item->kind == YAML_SCALAR && names_id(item->text))
            segment->writes[count++] = memory_text(item->text);
}

/* A text file ends with a line break, whoever wrote it: `cat >>` and `diff` go wrong on a file without one. */
static char *with_line_end(const char *text)
{
    size_t length = strlen(text);
    return memory_print("%s%s", text, length && text[length - 1] != '\n' ? "\n" : "");
}

/* A person's text: one version above every version that anybody may have seen. */
static void take_edit(struct segment *segment, const char *text, int64_t version, const char *how)
{
    segment->version = (version > segment->version ? version : segment->version) + 1;
    set_text(segment, text, strlen(text), OPERATOR, clock_now());
    log_info("agentos", NULL, "Segment %s was %s by hand: it has version %" PRId64 " now", segment->name, how,
             segment->version);
}

static void take_state(struct segment *segment, const struct yaml_node *head, int64_t version,
                       const char *text)
{
    const struct yaml_node *by = yaml_get(head, "by"), *updated = yaml_get(head, "updated");
    int64_t at = 0;
    if (updated && updated->kind == YAML_SCALAR)
        clock_parse(updated->text, &at);
    read_writes(segment, yaml_get(head, "writes"));
    segment->version = version;
    set_text(segment, text, strlen(text), by && by->kind == YAML_SCALAR ? by->text : OPERATOR, at);
}

static bool has_home(const struct segment *segment, const struct frontmatter *matter)
{
    const char *home = frontmatter_text(matter, "home");
    return strcmp(home ? home : "", segment->home ? segment->home : "") == 0;
}

/* The file against the known state. The file's mark tells whether version and text were written here, together:
 *   known        file                        then
 *   nothing      marked                      the file counts as it stands
 *   nothing      not marked                  edited while no supervisor ran: a version more
 *   some         marked, a higher version    a write of ours whose rename came to be though its flush failed: the file
 *                                            counts, and is flushed again; the write comes again and is known by its id
 *   some         the same text               nothing new; other changes in the file are put right
 *   some         another text                edited: a version more
 * True: the file is to be written. */
static bool take_file(struct segment *segment, const struct frontmatter *matter)
{
    const struct yaml_node *said = yaml_get(matter->head, "version");
    const char *mark = frontmatter_text(matter, "mark");
    OWNED char *raw = memory_slice(matter->body, matter->body_length), *text = with_line_end(raw);
    int64_t version = 0;
    if (!said || !yaml_integer(said, &version) || version < 0 || version == INT64_MAX)
        version = 0;
    OWNED char *expected = memory_print("x%016" PRIx64, mark_of(version, raw));
    bool marked = version > 0 && mark && strcmp(mark, expected) == 0;
    if (!marked && version > version_believed)
        version = 0;
    bool first = !segment->known, higher = version > segment->version;
    segment->known = true;
    if (marked && (first || higher)) {
        take_state(segment, matter->head, version, text);
        return !first || !has_home(segment, matter);
    }
    if (first)
        read_writes(segment, yaml_get(matter->head, "writes"));
    if (segment->version == 0 || strcmp(text, segment->text) != 0) {
        take_edit(segment, text, version, "edited");
        return true;
    }
    return !marked || version != segment->version;
}

/* A segment whose file a person deleted is empty, with a version more; its file is written again, for it keeps the
 * version. */
static bool take_nothing(struct segment *segment)
{
    segment->known = true;
    if (segment->version > 0 && *segment->text)
        take_edit(segment, "", 0, "deleted");
    return segment->version > 0;
}

static bool set_aside(struct segments *segments, struct segment *segment, const char *why)
{
    struct fault fault;
    OWNED char *file = memory_print("%s.md", segment->name), *aside = NULL;
    bool moved = shared_set_aside(segments->data, SHARED_SEGMENTS, file, &aside, &fault);
    OWNED char *sentence = moved ? memory_print("%s; it was set aside as %s/%s", why, SHARED_SEGMENTS, aside)
                                 : memory_print("%s; %s", why, fault.text);
    say(segment, sentence);
    return moved;
}

static bool is_text(const char *text, size_t length)
{
    return !memchr(text, '\0', length) && utf8_valid(text, length);
}

/* False: the file can't be read, nor be set aside, now. *write: the file is not as it should be. A regular file of a
 * sane size that can't be read (no memory, an I/O error) is not set aside: the fault may pass. */
static bool read_file(struct segments *segments, struct segment *segment, bool *write)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    struct file_stamp stamp = shared_stamp(segments->data, SHARED_SEGMENTS, segment->name);
    int found = shared_read(segments->data, SHARED_SEGMENTS, segment->name, SEGMENT_FILE_MAX, &text, &length,
                            &segment->stamp, &fault);
    if (found < 0 && stamp.inode && stamp.size <= SEGMENT_FILE_MAX) {
        say(segment, fault.text);
        return false;
    }
    if (found > 0 && !is_text(text, length)) {
        fault_set(&fault, "its file is no UTF-8 text");
        found = -1;
    }
    if (found > 0 && !frontmatter_parse(&matter, text, length, segment->name, &fault))
        found = -1;
    if (found > 0) {
        *write = take_file(segment, &matter);
    } else if (found == 0) {
        *write = take_nothing(segment);
    } else if (set_aside(segments, segment, fault.text)) {
        *write = segment->version > 0;
        segment->known = true;
        segment->stamp = (struct file_stamp){0};
    } else {
        return false;
    }
    return true;
}

/* --- the copy of a segment of another node --- */

static bool refresh(struct segments *segments, struct segment *segment);

/* Whether the file is the home's text as it came last; a file that people changed here, or that is older, is set
 * aside: a segment is edited on its home. */
static bool is_copy(struct segment *segment, const char *text, size_t length, bool take)
{
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    int64_t version = 0;
    if (!is_text(text, length) ||
        !frontmatter_parse(&matter, text, length, segment->name, &(struct fault){""}))
        return false;
    const struct yaml_node *said = yaml_get(matter.head, "version");
    const char *mark = frontmatter_text(&matter, "mark");
    OWNED char *body = memory_slice(matter.body, matter.body_length);
    bool good = said && yaml_integer(said, &version) && version > 0 && version < INT64_MAX;
    OWNED char *expected = memory_print("x%016" PRIx64, mark_of(version, body));
    good = good && mark && strcmp(mark, expected) == 0 && has_home(segment, &matter) &&
           (take || (version == segment->version && strcmp(body, segment->text) == 0));
    if (good && take)
        take_state(segment, matter.head, version, body);
    return good;
}

static bool follow(struct segments *segments, struct segment *segment)
{
    OWNED char *text = NULL, *why = NULL;
    size_t length;
    struct fault fault;
    int found = shared_read(segments->data, SHARED_SEGMENTS, segment->name, SEGMENT_FILE_MAX, &text, &length,
                            &segment->stamp, &fault);
    bool good = found > 0 && is_copy(segment, text, length, !segment->known);
    why = memory_print("its home is node '%s', where it is edited", segment->home);
    if (!good && found != 0 && !set_aside(segments, segment, why))
        return false;
    segment->known = true;
    return good || segment->version == 0 || save(segments, segment, &fault);
}

void segments_home(struct segments *segments, const char *name, const char *node, bool away)
{
    struct segment *segment = find(segments, name);
    if (!segment ||
        (segment->away == away && strcmp(segment->home ? segment->home : "", node ? node : "") == 0))
        return;
    refresh(segments, segment);
    memory_set(&segment->home, node);
    segment->away = away;
    segment->stamp = (struct file_stamp){0};
    segment->known = false;
    segment->version = away ? 0 : segment->version;
    refresh(segments, segment);
}

bool segments_copy(struct segments *segments, const char *name, const char *text, size_t length)
{
    struct fault fault;
    struct segment *segment = find(segments, name);
    if (!segment || !segment->away)
        return false;
    refresh(segments, segment); /* people's changes are not written over */
    OWNED char *former = memory_text(segment->text);
    int64_t version = segment->version;
    if (!is_copy(segment, text, length, true))
        return false;
    bool same = former && version == segment->version && strcmp(former, segment->text) == 0;
    if (same || save(segments, segment, &fault))
        return true;
    say(segment, fault.text);
    return false;
}

/* --- --- */

/* Brings the known state up to the file, and the file up to the known state. False: they can't be brought together
 * now; segment->known says whether there is a state to go by. */
static bool refresh(struct segments *segments, struct segment *segment)
{
    struct fault fault;
    bool write = false;
    struct file_stamp stamp = shared_stamp(segments->data, SHARED_SEGMENTS, segment->name);
    if (segment->known && segment->stamp.inode && files_stamp_equal(&stamp, &segment->stamp))
        return true;
    if (segment->away) {
        bool is_followed = follow(segments, segment);
        if (!segment->text)
            set_text(segment, "", 0, "", 0);
        return is_followed;
    }
    bool current = read_file(segments, segment, &write);
    if (current && write && !save(segments, segment, &fault)) {
        say(segment, fault.text);
        current = false;
    }
    if (!segment->text)
        set_text(segment, "", 0, "", 0);
    return current;
}

/* --- writing --- */

static bool was_written(const struct segment *segment, const char *id)
{
    for (size_t i = 0; i < SEGMENT_WRITES_KEPT && segment->writes[i]; i++)
        if (strcmp(segment->writes[i], id) == 0)
            return true;
    return false;
}

/* The state as it was, for when the file could not be written. */
struct former {
    int64_t version, updated;
    char *by, *text, *oldest;
};

static void put_back(struct segment *segment, struct former *former)
{
    free(segment->by);
    free(segment->text);
    free(segment->writes[0]);
    memmove(&segment->writes[0], &segment->writes[1], (SEGMENT_WRITES_KEPT - 1) * sizeof *segment->writes);
    segment->writes[SEGMENT_WRITES_KEPT - 1] = former->oldest;
    segment->version = former->version;
    segment->updated = former->updated;
    segment->by = former->by;
    segment->text = former->text;
}

/* One rename makes the text, its version and the id of its write true in one moment, and the verdict follows the
 * rename. A crash before: nothing was written, the writer's outbox still has the write, which comes again with the
 * version it saw. A crash after: the write comes again too, is known by its id, and is answered as written. When the
 * write fails its rename may have happened all the same (the flush of the folder failed): the next look takes the
 * file as it is (take_file), and the write, which is asked for again, is found in it. */
static enum segment_verdict write_text(struct segments *segments, struct segment *segment,
                                       const struct envelope *write, struct fault *why)
{
    struct former former = {segment->version, segment->updated, memory_text(segment->by),
                            memory_text(segment->text),
                            memory_text(segment->writes[SEGMENT_WRITES_KEPT - 1])};
    segment->version++;
    OWNED char *text = with_line_end(write->body);
    set_text(segment, text, strlen(text), write->from, clock_now());
    remember_write(segment, write->id);
    if (!save(segments, segment, why)) {
        put_back(segment, &former);
        say(segment, why->text);
        return SEGMENT_LATER;
    }
    free(former.by);
    free(former.text);
    free(former.oldest);
    say(segment, NULL);
    return SEGMENT_WRITTEN;
}

enum segment_verdict segments_write(struct segments *segments, const struct envelope *write,
                                    struct fault *why)
{
    static const char prefix[] = "segment:";
    const char *name =
        strncmp(write->to, prefix, sizeof prefix - 1) == 0 ? write->to + sizeof prefix - 1 : write->to;
    struct segment *segment = find(segments, name);
    if (!segment || !segment->wanted)
        return fault_set(why, "there is no segment '%s' in agents.yaml", name), SEGMENT_REFUSED;
    if (!text_list_has(&segment->writers, write->from))
        return fault_set(why, "%s is no writer of the segment '%s'", write->from, name), SEGMENT_REFUSED;
    if (!refresh(segments, segment))
        return fault_set(why, "the segment '%s' can't be read now", name), SEGMENT_LATER;
    if (was_written(segment, write->id))
        return SEGMENT_WRITTEN;
    if (write->base_version != segment->version) {
        fault_set(why, "stale: you saw version %" PRId64 ", it is %" PRId64 " now", write->base_version,
                  segment->version);
        return SEGMENT_REFUSED;
    }
    return write_text(segments, segment, write, why);
}

/* --- reading --- */

void segments_each(struct segments *segments, const char *agent,
                   void (*visit)(void *context, const struct segment_view *view), void *context)
{
    for (size_t i = 0; i < segments->count; i++) {
        struct segment *segment = segments->all[i];
        struct segment_view view = {.name = segment->name,
                                    .writable = text_list_has(&segment->writers, agent),
                                    .readable = text_list_has(&segment->readers, agent)};
        if (!segment->wanted || (!view.writable && !view.readable))
            continue;
        refresh(segments, segment);
        if (!segment->known)
            continue;
        view.text = segment->text;
        view.by = segment->by;
        view.version = segment->version;
        view.updated = segment->updated;
        visit(context, &view);
    }
}

void segments_scan(struct segments *segments)
{
    for (size_t i = 0; i < segments->count; i++)
        if (segments->all[i]->wanted)
            refresh(segments, segments->all[i]);
}
