#include "supervisor/post/post.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum { COMMIT_LENGTH_MAX = 64 };

/* --- boxes --- */

static void free_box(struct box *box)
{
    post_tasks_forget(box);
    for (size_t i = box->outbox.done; i < box->outbox.count; i++)
        free(box->outbox.ids[i]);
    free(box->outbox.ids);
    post_refusals_free(box);
    post_origins_free(box);
    post_arrivals_free(box);
    free(box->far.node);
    free(box->dead.from);
    free(box->name);
    free(box);
}

static void deactivate(struct post *post, size_t i)
{
    post->active.boxes[i]->active = false;
    post->active.boxes[i] = post->active.boxes[--post->active.count];
}

/* --- the wall clock --- */

static void clock_rings(void *context)
{
    post_set_turn(context, 0); /* the turn arms the timer again */
}

static void arm_clock(void *context)
{
    struct post *post = context;
    int64_t next = expiry_next(post->expiry);
    if (!post->started || next < 0) {
        timer_clear(post->loop, &post->clock);
        return;
    }
    int64_t left_s = next - clock_now() > 86400 ? 86400 : next - clock_now();
    int64_t left_ms = left_s < 86400 ? next * 1000 - clock_now_ms() : left_s * 1000;
    timer_set(post->loop, &post->clock, left_ms > 0 ? left_ms : 0);
}

/* A letter's time of change tells no more whether the letter came before or after the last look. */
static void forget_look(struct box *box)
{
    box->dead.began_ns = box->dead.looked_ns = 0;
}

void post_clock_was_set(struct post *post)
{
    post_each(post, forget_look);
    arm_clock(post);
}

struct expiry *post_expiry(struct post *post)
{
    return post->expiry;
}

/* --- the turn --- */

/* Gives every box its turn: a start takes it up, and another roster may have given it another window. */
static void go_round(struct post *post)
{
    int64_t until_ms = clock_monotonic_ms() + ROUND_MS;
    size_t visited = 0;
    while (post->round.next < post->boxes.capacity &&
           (visited < ROUND_LEAST || clock_monotonic_ms() < until_ms))
        for (struct box *box = post->boxes.table[post->round.next++]; box; box = box->chain, visited++) {
            post_take_up(box);
            box->pump.wanted = true;
            post_wake(box);
        }
}

static bool round_is_due(const struct post *post)
{
    return post->round.next < post->boxes.capacity && !post->round.waits;
}

static void look_where_due(struct post *post)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < post->active.count && clock_monotonic_ms() < now_ms + LOOKING_MS; i++) {
        struct box *box = post->active.boxes[post->active.next_look++ % post->active.count];
        if (is_far(box)) {
            box->fresh = box->look.wanted = box->dead.wanted = false;
            box->dead.after_ms = 0;
        } else if (box->fresh) {
            post_take_up(box);
        } else if (box->look.wanted && box->look.after_ms <= now_ms) {
            box->look.wanted = false;
            post_look_into(box, false);
        }
        if (box->dead.wanted || (box->dead.after_ms && box->dead.after_ms <= now_ms)) {
            box->dead.wanted = false;
            post_dead_letters(box);
        }
    }
}

/* Outboxes take turns, so that a full one holds up nobody else's. */
static void decide_on_outboxes(struct post *post)
{
    size_t decided = 0, idle = 0;
    int64_t now_ms = clock_monotonic_ms();
    while (decided < TURN_MAX && idle < post->active.count && clock_monotonic_ms() < now_ms + DECIDING_MS) {
        struct box *box = post->active.boxes[post->active.next_outbox++ % post->active.count];
        if (!box->fresh && box->outbox.wanted && box->outbox.done == box->outbox.count &&
            box->outbox.after_ms <= now_ms) {
            if (post_outbox_settled(box))
                post_outbox_look(box);
            else
                box->outbox.after_ms = now_ms + RETRY_MS;
        }
        bool did = !box->fresh && post_outbox_next(box);
        idle = did ? 0 : idle + 1;
        decided += did;
    }
}

static bool is_to_be_pumped(const struct box *box, int64_t now_ms)
{
    return box->pump.wanted || (box->pump.after_ms && box->pump.after_ms <= now_ms);
}

static void pump_all(struct post *post)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < post->active.count; i++)
        if (is_to_be_pumped(post->active.boxes[i], now_ms)) {
            struct box *box = post->active.boxes[i];
            box->pump.wanted = false;
            if (box->pump.after_ms <= now_ms)
                box->pump.after_ms = 0;
            post_pump(box);
        }
    post_deliver(post);
}

static void tell_workers(struct post *post)
{
    for (size_t i = 0; i < post->active.count; i++) {
        struct box *box = post->active.boxes[i];
        enum waking waking = box->waking;
        box->waking = WAKE_NOBODY;
        if (waking != WAKE_NOBODY && has_tree(box))
            post->owner.look(box->subject, waking >= WAKE_UP, waking == WAKE_FULL);
    }
}

/* When the box has its next step; -1: not before an event. */
static int64_t wanted_at(const struct box *box)
{
    if (box->pump.wanted || box->fresh || box->dead.wanted || box->waking != WAKE_NOBODY)
        return 0;
    const int64_t times[] = {box->outbox.done < box->outbox.count ? box->outbox.rests_until_ms
                             : box->outbox.wanted                 ? box->outbox.after_ms
                                                                  : -1,
                             box->look.wanted ? box->look.after_ms : -1,
                             box->pump.after_ms ? box->pump.after_ms : -1,
                             box->dead.after_ms ? box->dead.after_ms : -1};
    int64_t first = -1;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i] >= 0 && (first < 0 || times[i] < first))
            first = times[i];
    return first;
}

static void rest(struct post *post)
{
    int64_t next = -1;
    for (size_t i = post->active.count; i-- > 0;) {
        int64_t at = wanted_at(post->active.boxes[i]);
        if (at < 0)
            deactivate(post, i);
        else if (next < 0 || at < next)
            next = at;
    }
    arm_clock(post);
    bool left_over = post->operator_sends.count || post->submissions.count; /* from this turn's batch */
    if (left_over || round_is_due(post))
        next = 0;
    if (next < 0)
        return;
    int64_t left = next - clock_monotonic_ms();
    post_set_turn(post, left > 0 ? left : 0);
}

static void turn(void *context)
{
    struct post *post = context;
    post->in_turn = true;
    if (round_is_due(post))
        go_round(post);
    look_where_due(post);
    post_expire(post);
    post_operator_sends_join(post);
    decide_on_outboxes(post);
    post_submissions_join(post);
    pump_all(post);
    post_words_tell(post);
    tell_workers(post);
    post->in_turn = false;
    rest(post);
}

/* --- opening --- */

struct post *post_open(struct loop *loop, int data, const struct post_owner *owner)
{
    struct post *post = memory_new(1, sizeof *post);
    *post = (struct post){.loop = loop, .data = data, .owner = *owner, .boxes.capacity = 1024};
    post->turn = (struct timer){.ring = turn, .context = post};
    post->clock = (struct timer){.ring = clock_rings, .context = post};
    post->boxes.table = memory_new(post->boxes.capacity, sizeof(struct box *));
    post->index = envelope_index_new();
    post->expiry = expiry_new(arm_clock, post);
    post->people = post_add_box(post, POST_OPERATOR);
    post->far.people = memory_new(1, sizeof *post->far.people);
    *post->far.people = (struct box){
        .post = post, .name = memory_text(POST_OPERATOR), .far.node = memory_text(""), .far.there = true};
    return post;
}

void post_close(struct post *post)
{
    if (!post)
        return;
    timer_clear(post->loop, &post->turn);
    timer_clear(post->loop, &post->clock);
    timer_clear(post->loop, &post->scan.timer);
    post->started = false;
    post_journal_close(post);
    post_operator_sends_forget(post);
    post_submissions_forget(post);
    envelope_index_free(post->index);
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (struct box *box = post->boxes.table[i], *next; box; box = next) {
            next = box->chain;
            free_box(box);
        }
    post_far_close(post);
    free_box(post->far.people);
    expiry_free(post->expiry);
    free(post->boxes.table);
    free(post->active.boxes);
    free(post->counts.all);
    free(post);
}

void post_hooks(struct post *post, const struct post_hooks *hooks)
{
    post->hooks = *hooks;
}

void post_roster(struct post *post, const struct roster *roster)
{
    post->roster = roster;
    post->round.next = 0;
    post_set_turn(post, 0);
}

void post_start(struct post *post)
{
    post->started = true;
    post_journal_start(post);
    post_far_take_up(post);
    go_round(post); /* a small fleet is done with that */
    post->round.waits = true;
    post_set_turn(post, 0);
    arm_clock(post);
}

void post_go_on(struct post *post)
{
    post->round.waits = false;
    if (round_is_due(post))
        post_set_turn(post, 0);
}

/* --- agents --- */

void post_agent(struct post *post, const char *name, void *subject, const struct roster_agent *definition)
{
    struct box *box = post_box(post, name);
    if (!box)
        box = post_add_box(post, name);
    box->subject = subject;
    box->definition = definition;
    box->leaving = false;
    box->pump.wanted = true;
    if (post->started)
        post_wake(box);
}

void post_agent_leaves(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box || box == post->people)
        return;
    box->leaving = true;
    OWNED char *reason = memory_print("there is no agent '%s' any more", name);
    post_give_up_waiting(box, reason);
}

static void drop_shelf(struct post *post, struct shelf *shelf)
{
    while (shelf->first)
        post_forget(post, shelf->first);
}

void post_agent_gone(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box || box == post->people)
        return;
    post_agent_leaves(post, name);
    post_drop_waiting_of(box);
    drop_shelf(post, &box->shelves[FOLDER_INBOX]);
    drop_shelf(post, &box->shelves[FOLDER_HANDOFFS]);
    post_lives(post, name, "", false);
    post_drop_arrivals(post, box); /* an agent's that was elsewhere, too: as their sender */
    drop_shelf(post, &box->waits);
    for (size_t i = post->active.count; box->active && i-- > 0;)
        if (post->active.boxes[i] == box)
            deactivate(post, i);
    struct box **at = post_chain_of(post, name);
    while (*at != box)
        at = &(*at)->chain;
    *at = box->chain;
    post->boxes.count--;
    post_set_down(box, true);
    free_box(box);
}

void post_changed(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box)
        return;
    box->look.wanted = true;
    post_wake(box);
}

void post_worker_starts(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box)
        return;
    post_take_up(box);
    post_set_down(box, false);
    box->ready = false;
    post_tasks_forget(box); /* the worker ends such tasks itself */
}

void post_worker_ready(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box)
        return;
    box->look.wanted = box->dead.wanted = true; /* the agent's worker may have ended between two steps */
    box->ready = true;
    box->outbox.after_ms = 0;
    box->outbox.wanted = true; /* from that look on no envelope is as its file says */
    post_wake(box);
    if (post->hooks.worker_ready)
        post->hooks.worker_ready(post->hooks.context, name);
}

void post_worker_down(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (!box)
        return;
    post_set_down(box, true);
    /* The agent's worker may have left a link in a folder's place: the next look opens the folders, and shows that
     * there is none. */
    box->look.marks[FOLDER_INBOX] = box->look.marks[FOLDER_HANDOFFS] = 0;
    box->ready = false;
    if (!box->fresh) {
        box->look.wanted = true;
        post_tasks_look(box);
        post_wake(box);
    }
    if (post->hooks.worker_down)
        post->hooks.worker_down(post->hooks.context, name);
}

void post_queue_changed(struct post *post, const char *name)
{
    struct box *box = post_box(post, name);
    if (box && box->down)
        post_tasks_look(box);
}

static bool has_changed(const struct box *box, const struct file_stamp *now, enum folder folder)
{
    return now[folder].inode && post_mark(&now[folder]) != box->look.marks[folder];
}

enum {
    ARRIVALS = 1u << FOLDER_INBOX | 1u << FOLDER_HANDOFFS,
    OTHERS = 1u << FOLDER_OUTBOX | 1u << FOLDER_DEAD_LETTERS
};

/* Whether the folders were opened since their agent's worker ended: no link of a worker's stands in the way of their
 * paths. */
static bool were_opened(const struct box *box)
{
    return box->down && box->look.marks[FOLDER_INBOX] && box->look.marks[FOLDER_HANDOFFS];
}

void post_folder_stamps(const struct box *box, unsigned folders, struct file_stamp stamps[FOLDER_COUNT])
{
    if (were_opened(box))
        mailbox_stamps_by_path(box->post->data, box->name, folders, stamps);
    else
        mailbox_stamps(box->post->data, box->name, stamps);
}

static void take_stamps(struct box *box, struct file_stamp now[FOLDER_COUNT])
{
    int64_t now_ms = clock_monotonic_ms();
    memset(now, 0, FOLDER_COUNT * sizeof *now);
    if (box == box->post->people) {
        now[FOLDER_OUTBOX] = mailbox_stamp(box->post->data, box->name, FOLDER_OUTBOX);
    } else if (were_opened(box) && now_ms - box->look.others_ms < OTHERS_EACH_MS) {
        mailbox_stamps_by_path(box->post->data, box->name, ARRIVALS, now);
    } else {
        box->look.others_ms = were_opened(box) ? now_ms : box->look.others_ms;
        post_folder_stamps(box, ARRIVALS | OTHERS, now);
    }
}

/* An agent hibernates though an envelope lies there: the envelope's file lets the worker not read it, and no folder
 * changes when somebody gives the file another mode. */
static bool leaves_work(const struct box *box)
{
    const struct post_owner *owner = &box->post->owner;
    return box->down && box->subject && owner->rests && owner->rests(box->subject) &&
           (box->shelves[FOLDER_INBOX].first || box->shelves[FOLDER_HANDOFFS].first);
}

static void scan(struct box *box)
{
    if (is_far(box)) {
        box->pump.wanted = box->far.tidies = box->waits.count > 0;
        if (box->pump.wanted)
            post_wake(box);
        return;
    }
    struct file_stamp now[FOLDER_COUNT];
    take_stamps(box, now);
    if (has_changed(box, now, FOLDER_INBOX) || has_changed(box, now, FOLDER_HANDOFFS) || leaves_work(box))
        box->look.wanted = true;
    if (has_changed(box, now, FOLDER_OUTBOX))
        box->outbox.wanted = true;
    if (has_changed(box, now, FOLDER_DEAD_LETTERS))
        box->dead.wanted = true;
    if (box->down)
        post_tasks_scan(box);
    if (box->look.wanted || box->outbox.wanted || box->dead.wanted)
        post_wake(box);
}

static void scan_chain(struct post *post)
{
    size_t chain = post->scan.rest_from++ % post->boxes.capacity;
    post->scan.rest_count--;
    for (struct box *box = post->boxes.table[chain]; box; box = box->chain)
        if (box->down)
            scan(box);
}

/* Of many hundreds, agents whose trees the kernel tells of have their turns within a minute. */
static void scan_up(struct box *box)
{
    struct post *post = box->post;
    int64_t now_ms = clock_monotonic_ms(), apart_ms = (int64_t)post->scan.up_count * UP_EACH_MS;
    bool told = box->subject && post->owner.is_watched && post->owner.is_watched(box->subject);
    if (told && post->scan.up_count > SCANNED_AT_LEAST && now_ms - box->look.scanned_ms < apart_ms &&
        now_ms - box->look.scanned_ms < UP_WITHIN_MS)
        return;
    box->look.scanned_ms = now_ms;
    scan(box);
}

static void scan_on(void *context)
{
    struct post *post = context;
    int64_t until_ms = clock_monotonic_ms() + SCAN_MS;
    struct box *box;
    while ((post->scan.up_next || post->scan.rest_count > 0) && clock_monotonic_ms() < until_ms) {
        box = post->scan.up_next;
        if (box) {
            post->scan.up_next = LIST_NEXT(box, look.up_link);
            scan_up(box);
        } else {
            scan_chain(post);
        }
    }
    if (post->scan.up_next || post->scan.rest_count > 0)
        timer_set(post->loop, &post->scan.timer, 0);
}

/* An agent without a process costs nothing most of the time: each scan looks at some of them. */
void post_scan(struct post *post)
{
    int64_t now_ms = clock_monotonic_ms(), gone_ms = now_ms - post->scan.began_ms;
    size_t all = post->boxes.capacity, least = all * SCANNED_AT_LEAST / post->boxes.count;
    if (post->scan.timer.place)
        return; /* the scan before this one is under way */
    post->scan.timer = (struct timer){.ring = scan_on, .context = post};
    size_t due = gone_ms < SCANNED_WITHIN_MS ? all * (size_t)gone_ms / SCANNED_WITHIN_MS + 1 : all;
    post->scan.rest_count = due > least ? due : least > all ? all : least;
    post->scan.began_ms = now_ms;
    post->scan.up_next = LIST_FIRST(&post->scan.up);
    scan_on(post);
}

/* --- workers' messages --- */

bool post_rings(struct post *post, const char *name, const char *ids)
{
    struct box *box = post_box(post, name);
    if (box && has_tree(box))
        post_outbox_ids(box, ids);
    return true;
}

bool post_settled(struct post *post, const char *name, const char *id, const char *status, const char *commit)
{
    static const char *const ends[] = {"finished", "read", "failed"};
    struct box *box = post_box(post, name);
    bool known = false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        known = known || strcmp(status, ends[i]) == 0;
    if (!known || !names_id(id) || strlen(commit) > COMMIT_LENGTH_MAX)
        return false;
    /* The item's files show its end; the worker only says when to look. */
    for (enum folder folder = FOLDER_INBOX; box && folder <= FOLDER_HANDOFFS; folder++) {
        struct index_entry *entry = envelope_index_find(post->index, box, folder, id);
        if (entry)
            post_is_gone(entry);
    }
    return true;
}

bool post_lock(struct post *post, const char *name, const char *task, const char *lock)
{
    return !post->hooks.lock || post->hooks.lock(post->hooks.context, name, task, lock);
}

bool post_unlock(struct post *post, const char *name, const char *task, const char *lock)
{
    return !post->hooks.unlock || post->hooks.unlock(post->hooks.context, name, task, lock);
}
