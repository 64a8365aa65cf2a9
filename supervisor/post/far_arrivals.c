/* Envelopes that came over the bus, from their arrival to their verdict. Arrivals are in memory only: the sender's
 * node has the envelope on disk and sends it again until it has a verdict, and the bus brings it again until it is
 * told that it was taken.
 *
 * The verdict goes before the taking, so a crash between brings the envelope once more, and post_repeated finds the
 * first copy. The sender's node asks for a lost verdict again, with the envelope. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum {
    KEPT_PLACE_MS = 500,     /* how long a place is kept for an envelope on its way from another node */
    ENDED_MAX = 64,          /* remembered ids of one sender, over all its receivers here: AHEAD_MAX of one */
    WORDS_BYTES = 128 * 1024 /* of verdicts and words of room in one message, and a last one */
};

static struct arrival **find(struct post *post, const struct box *sender, const char *id)
{
    struct arrival **at = &post->far.arrivals;
    while (*at && ((*at)->sender != sender || strcmp((*at)->id, id) != 0))
        at = &(*at)->next;
    return at;
}

void post_arrival_forget(struct arrival **at)
{
    struct arrival *arrival = *at;
    *at = arrival->next;
    free(arrival->id);
    free(arrival->node);
    free(arrival);
}

static void asks(struct box *receiver, const char *node)
{
    for (size_t i = 0; i < receiver->far.asking_count; i++)
        if (strcmp(receiver->far.asking[i].node, node) == 0) {
            receiver->far.asking[i].told = false;
            return;
        }
    receiver->far.asking =
        memory_grow(receiver->far.asking, receiver->far.asking_count + 1, sizeof *receiver->far.asking);
    receiver->far.asking[receiver->far.asking_count++] = (struct asking){.node = memory_text(node)};
}

bool post_arrival_add(struct box *sender, struct box *receiver, const char *id, const char *node,
                      uint64_t token)
{
    struct post *post = sender->post;
    if (*find(post, sender, id))
        return false;
    struct arrival *arrival = memory_new(1, sizeof *arrival);
    *arrival = (struct arrival){.next = post->far.arrivals,
                                .sender = sender,
                                .receiver = receiver,
                                .id = memory_text(id),
                                .node = memory_text(node),
                                .token = token};
    post->far.arrivals = arrival;
    asks(receiver, node);
    return true;
}

/* --- verdicts and words of room, told at the end of a turn: one message to each node --- */

struct words {
    struct words *next;
    char *node; /* owned */
    struct buffer text;
    uint64_t *tokens; /* of the verdicts' messages, to be taken after the telling; owned */
    size_t count;
};

static void free_words(struct words *words)
{
    free(words->node);
    buffer_free(&words->text);
    free(words->tokens);
    free(words);
}

static void tell_words(struct post *post, struct words **at)
{
    struct words *words = *at;
    *at = words->next;
    post->far.bus.tell(post->far.bus.context, words->node, &words->text);
    for (size_t i = 0; i < words->count; i++)
        post->far.bus.took(post->far.bus.context, words->tokens[i]);
    free_words(words);
}

void post_words_tell(struct post *post)
{
    while (post->far.words)
        tell_words(post, &post->far.words);
}

void post_words_drop(struct post *post)
{
    struct words *words;
    while ((words = post->far.words)) {
        post->far.words = words->next;
        free_words(words);
    }
}

static struct words *words_for(struct post *post, const char *node)
{
    struct words **at = &post->far.words;
    while (*at && strcmp((*at)->node, node) != 0)
        at = &(*at)->next;
    if (*at && (*at)->text.length > WORDS_BYTES)
        tell_words(post, at);
    if (!*at || strcmp((*at)->node, node) != 0) {
        struct words *words = memory_new(1, sizeof *words);
        *words = (struct words){.next = *at, .node = memory_text(node)};
        *at = words;
    }
    if ((*at)->text.length)
        buffer_text(&(*at)->text, POST_NEXT_WORD);
    return *at;
}

/* Hashes, since senders are many: two alike cost their sender the order of two envelopes, once. A restart forgets them, and
 * so do many verdicts about a sender's envelopes for others: an envelope that comes then goes back once, and comes
 * alone. */
static void has_ended(struct box *sender, const char *id)
{
    if (!sender->far.ended)
        sender->far.ended = memory_new(ENDED_MAX, sizeof *sender->far.ended);
    sender->far.ended[sender->far.ended_next++ % ENDED_MAX] = names_hash(id, strlen(id));
}

bool post_arrival_is_early(const struct box *sender, const char *ahead)
{
    uint64_t hash = names_hash(ahead, strlen(ahead));
    for (size_t i = 0; sender->far.ended && i < ENDED_MAX; i++)
        if (sender->far.ended[i] == hash)
            return false;
    return !*find(sender->post, sender, ahead);
}

void post_arrival_verdict(struct box *sender, const char *id, const char *status, const char *reason)
{
    struct post *post = sender->post;
    struct arrival **at = find(post, sender, id), *arrival = *at;
    if (!arrival)
        return;
    struct words *words = words_for(post, arrival->node);
    yaml_write_text(&words->text, "about", id);
    yaml_write_text(&words->text, "from", sender->name);
    yaml_write_text(&words->text, "agent", arrival->receiver->name);
    yaml_write_text(&words->text, "status", status);
    yaml_write_text(&words->text, "reason", reason);
    buffer_print(&words->text, "at: %lld\n", (long long)clock_now());
    *MEMORY_ADD(words->tokens, words->count) = arrival->token;
    if (strcmp(status, "deferred") != 0)
        has_ended(sender, id);
    post_arrival_forget(at);
}

void post_arrival_later(struct box *sender, const char *id, int64_t ms)
{
    struct post *post = sender->post;
    struct arrival **at = find(post, sender, id);
    if (!*at)
        return;
    post->far.bus.later(post->far.bus.context, (*at)->token, ms);
    post_arrival_forget(at);
}

void post_tell_room(struct box *receiver, int64_t room)
{
    room = room > 0 ? room : 0;
    for (size_t i = receiver->far.asking_count; i-- > 0;) {
        struct asking *asking = &receiver->far.asking[i];
        if (!asking->told || room)
            buffer_print(&words_for(receiver->post, asking->node)->text, "agent: %s\nroom: %lld\n",
                         receiver->name, (long long)room);
        asking->told = true;
        if (!room)
            continue;
        free(asking->node);
        *asking = receiver->far.asking[--receiver->far.asking_count];
    }
}

/* Envelopes that wait here take a free place at once, while those that wait elsewhere come later: without the kept
 * place they might never find one. Every second time the place is kept for as long as the way takes, and goes to the
 * first envelope in order then. */
bool post_keeps_place(struct box *receiver, int64_t room)
{
    int64_t now_ms = clock_monotonic_ms();
    bool waits_there = false, came = false;
    for (size_t i = 0; i < receiver->far.asking_count; i++)
        waits_there = waits_there || receiver->far.asking[i].told;
    for (const struct index_entry *entry = receiver->waits.first; entry && !came; entry = entry->next)
        came = is_far(entry->box);
    if (came || room != 1 || !receiver->waits.count) {
        receiver->far.kept_until_ms = 0;
        return false;
    }
    if (!receiver->far.kept_until_ms && waits_there && (receiver->far.kept_last = !receiver->far.kept_last))
        receiver->far.kept_until_ms = now_ms + KEPT_PLACE_MS;
    bool kept = receiver->far.kept_until_ms > now_ms;
    receiver->far.kept_until_ms = kept ? receiver->far.kept_until_ms : 0;
    receiver->pump.after_ms = kept ? receiver->far.kept_until_ms : receiver->pump.after_ms;
    return kept;
}

void post_arrivals_free(struct box *box)
{
    for (size_t i = 0; i < box->far.asking_count; i++)
        free(box->far.asking[i].node);
    free(box->far.asking);
    free(box->far.ended);
}
