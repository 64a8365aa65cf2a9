#include "supervisor/nodes/far_segments.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/word.h"

enum { ASK_AGAIN_MS = 2000, FORGOTTEN_MS = 60 * 1000 /* when nobody offers the write */ };

static const struct {
    enum post_verdict verdict;
    const char *word;
} verdicts[] = {{POST_DONE, "done"}, {POST_REFUSED, "refused"}, {POST_LATER, "later"}};

struct far_write {
    TAILQ_ENTRY(far_write) link;
    char *id;
    enum post_verdict verdict; /* POST_WAITS: none yet */
    char *why;
    int64_t asked_ms, seen_ms;
    uint64_t ticket; /* of the last question */
    bool unsent;     /* the bus does not take the write, as why says */
};

struct far_segments {
    const struct local_node *local;
    TAILQ_HEAD(, far_write) writes; /* the last offered writes at the end */
};

struct far_segments *far_segments_new(const struct local_node *local)
{
    struct far_segments *far = memory_new(1, sizeof *far);
    far->local = local;
    TAILQ_INIT(&far->writes);
    return far;
}

static void forget(struct far_segments *far, struct far_write *write)
{
    TAILQ_REMOVE(&far->writes, write, link);
    free(write->id);
    free(write->why);
    free(write);
}

void far_segments_free(struct far_segments *far)
{
    while (far && !TAILQ_EMPTY(&far->writes))
        forget(far, TAILQ_FIRST(&far->writes));
    free(far);
}

static struct far_write *find(struct far_segments *far, const char *id)
{
    struct far_write *write;
    TAILQ_FOREACH(write, &far->writes, link)
    if (strcmp(write->id, id) == 0)
        return write;
    return NULL;
}

/* --- the writer's node --- */

static struct far_write *offered(struct far_segments *far, const char *id)
{
    int64_t now_ms = clock_monotonic_ms();
    struct far_write *write = find(far, id);
    while (!TAILQ_EMPTY(&far->writes) && now_ms - TAILQ_FIRST(&far->writes)->seen_ms >= FORGOTTEN_MS &&
           TAILQ_FIRST(&far->writes) != write)
        forget(far, TAILQ_FIRST(&far->writes));
    if (write) {
        TAILQ_REMOVE(&far->writes, write, link);
    } else {
        write = memory_new(1, sizeof *write);
        *write = (struct far_write){
            .id = memory_text(id), .verdict = POST_WAITS, .asked_ms = now_ms - ASK_AGAIN_MS};
    }
    write->seen_ms = now_ms;
    TAILQ_INSERT_TAIL(&far->writes, write, link);
    return write;
}

static enum post_verdict ask(struct far_segments *far, struct far_write *write, const char *node,
                             const struct envelope *envelope, struct fault *why)
{
    OWNED_BUFFER struct buffer whole = {0};
    if (!bus_link_connected(far->local->bus)) {
        fault_set(why, "the bus is away, by which the home of %s is asked", envelope->to);
        return POST_LATER;
    }
    if (*node && !nodes_are_there(far->local->nodes, node)) {
        fault_set(why, "the home of %s, node '%s', is away", envelope->to, node);
        return POST_LATER;
    }
    if (!*node || clock_monotonic_ms() - write->asked_ms < ASK_AGAIN_MS)
        return POST_WAITS;
    write->asked_ms = clock_monotonic_ms();
    envelope_print(envelope, &whole);
    json_t *word = json_pack("{s:s, s:s%}", "segment_word", "write", "whole", whole.data, whole.length);
    size_t length = json_dumpb(word, NULL, 0, JSON_COMPACT);
    if (length > BUS_BYTES_MAX) {
        json_decref(word);
        fault_set(
            why,
            "the home of %s is node '%s', and the write makes a message of %zu bytes, where the bus takes %d",
            envelope->to, node, length, BUS_BYTES_MAX);
        return POST_REFUSED;
    }
    write->ticket = node_word_say(far->local, node, word);
    if (write->ticket && !write->unsent)
        return POST_WAITS;
    fault_set(why, "the home of %s, node '%s', can't be asked now: %s", envelope->to, node,
              write->ticket ? write->why : "the bus is behind with what it was given before");
    return POST_LATER;
}

enum post_verdict far_segments_write(struct far_segments *far, const char *node,
                                     const struct envelope *envelope, struct fault *why)
{
    struct far_write *write = offered(far, envelope->id);
    enum post_verdict verdict = write->verdict;
    if (verdict == POST_WAITS)
        return ask(far, write, node, envelope, why);
    fault_set(why, "%s", write->why);
    forget(far, write);
    return verdict;
}

/* --- words --- */

void far_segments_published(struct far_segments *far, uint64_t ticket, const char *why)
{
    struct far_write *write;
    TAILQ_FOREACH(write, &far->writes, link)
    if (write->ticket == ticket && write->verdict == POST_WAITS) {
        write->unsent = why != NULL;
        memory_set(&write->why, why);
    }
}

static void take_verdict(struct far_segments *far, const json_t *object)
{
    struct far_write *write = find(far, node_word_text(object, "id"));
    for (size_t i = 0; write && i < sizeof verdicts / sizeof *verdicts; i++)
        if (strcmp(node_word_text(object, "verdict"), verdicts[i].word) == 0) {
            write->verdict = verdicts[i].verdict;
            memory_set(&write->why, node_word_text(object, "why"));
        }
}

bool far_segments_hear(struct far_segments *far, const char *node, const json_t *object,
                       enum post_verdict (*decide)(void *context, const struct envelope *envelope,
                                                   struct fault *why),
                       void *context)
{
    struct envelope envelope;
    struct fault why = {""};
    const json_t *whole = json_object_get(object, "whole");
    const char *word = node_word_text(object, "segment_word");
    bool is_word = *word != '\0';
    if (strcmp(word, "verdict") == 0)
        take_verdict(far, object);
    if (strcmp(word, "write") == 0 && json_is_string(whole) &&
        envelope_parse(&envelope, json_string_value(whole), json_string_length(whole), "from the bus",
                       &why)) {
        enum post_verdict verdict =
            envelope.kind == KIND_SEGMENT ? decide(context, &envelope, &why) : POST_WAITS;
        for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
            if (verdict == verdicts[i].verdict)
                node_word_say(far->local, node,
                              json_pack("{s:s, s:s, s:s, s:s}", "segment_word", "verdict", "id", envelope.id,
                                        "verdict", verdicts[i].word, "why", why.text));
        envelope_free(&envelope);
    }
    return is_word;
}
