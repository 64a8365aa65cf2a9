/* Items between two nodes through everything at once: words lost, repeated, and turned round, supervisors restarted,
 * consumers' workers killed in the middle, full windows. Each item has been done at most once at every look, and at the
 * end exactly once, or is a dead letter of a consumer after max_attempts. orion lives on node a, iris on b; items come
 * in on both. */
#include "common/test_clock.h"
#include "queues_fixture.h"
#include "seeds.h"

enum { ITEMS = 40, STEPS = 2000, SEEDS = 4, WORDS_MAX = 8192, LATE = 16 };

/* No power is cut here, and the disk is slow. */
int fsync(int fd)
{
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

static struct post_word {
    size_t to;
    char *what, *agent;
    struct queue_word word;
} words[WORDS_MAX];
static size_t word_count;
static struct world *nodes[2];
static unsigned seed;
static bool calm; /* no word is lost any more */
static int done[ITEMS], dead[ITEMS];

static int chance(int most)
{
    return rand_r(&seed) % most;
}

static void copy_item(struct envelope *to, const struct envelope *from)
{
    OWNED_BUFFER struct buffer text = {0};
    if (from->body) {
        envelope_print(from, &text);
        assert_true(envelope_parse(to, text.data, text.length, "word", NULL));
        return;
    }
    *to = (struct envelope){.id = memory_text(from->id),
                            .from = memory_text(from->from),
                            .created = from->created,
                            .ttl_seconds = from->ttl_seconds,
                            .attempts = from->attempts};
}

static bool post_word(struct world *world, const char *node, const struct queue_word *word)
{
    size_t self = world == nodes[1];
    if (!node && agent_of(word->agent) == self)
        return false;
    for (int copies = calm ? 1 : chance(4) == 0 ? chance(3) : 1; copies > 0; copies--) {
        assert_true(word_count < WORDS_MAX);
        struct post_word *posted = &words[word_count++];
        *posted = (struct post_word){.to = 1 - self,
                                     .what = memory_text(word->what),
                                     .agent = memory_text(word->agent),
                                     .word = *word};
        posted->word.what = posted->what;
        posted->word.agent = posted->agent;
        posted->word.queue = "reviews";
        posted->word.status = !word->status                         ? NULL
                              : strcmp(word->status, "failed") == 0 ? "failed"
                                                                    : "finished";
        copy_item(&posted->word.item, &word->item);
    }
    return true;
}

static void forget_word(struct post_word *posted)
{
    if (posted->what)
        envelope_free(&posted->word.item);
    free(posted->what);
    free(posted->agent);
    *posted = (struct post_word){.what = NULL};
}

static void bring(const struct post_word *posted)
{
    queues_hear(nodes[posted->to]->queues, posted->to ? "a" : "b", &posted->word);
    turn(nodes[posted->to]);
}

/* Any word that is on its way; some come again at once, some much later. */
static void deliver(void)
{
    static struct post_word late[LATE];
    struct post_word *old = &late[chance(LATE)];
    if (old->what && chance(8) == 0)
        bring(old);
    if (calm)
        for (size_t i = 0; i < LATE; i++)
            forget_word(&late[i]);
    if (!word_count)
        return;
    size_t i = (size_t)chance(calm ? 1 : (int)word_count);
    struct post_word posted = words[i];
    memmove(&words[i], &words[i + 1], (word_count - i - 1) * sizeof *words);
    word_count--;
    bring(&posted);
    if (!calm && chance(3) == 0)
        bring(&posted);
    if (calm || chance(3)) {
        forget_word(&posted);
    } else {
        forget_word(old);
        *old = posted;
    }
}

static void count_ends(void)
{
    for (int i = 0; i < ITEMS; i++) {
        char id[16];
        int found = 0, buried = 0;
        snprintf(id, sizeof id, "i%03d", i);
        for (size_t at = 0; at < 2; at++) {
            found += lies_in(nodes[at], names[at], POST_ARCHIVE, id);
            buried += lies_in(nodes[at], names[at], POST_DEAD_LETTER, id);
        }
        done[i] = found;
        dead[i] = buried;
        assert_true(found + buried <= 1);
    }
}

/* A worker takes the first item of its handoffs, and ends it, or is killed over it. */
static void work(size_t at)
{
    struct world *world = nodes[at];
    if (world->worker[at] != QUEUE_WORKER_READY)
        ready(world, names[at]);
    for (int i = 0; i < ITEMS; i++) {
        char id[16];
        snprintf(id, sizeof id, "i%03d", i);
        if (!lies_in(world, names[at], POST_HANDOFFS, id))
            continue;
        int fate =
            /* 4: the worker ends the item, and is killed before it can tell; from 5 on: over the item */
            calm ? 0 : chance(8);
        if (fate < 5) {
            finish(world, names[at], id);
            if (fate < 4)
                queues_item_ended(world->queues, names[at], id, "finished");
        } else {
            begin(world, names[at], id);
        }
        if (fate >= 4) {
            die(world, names[at]);
            if (chance(2))
                ready(world, names[at]);
        }
        break;
    }
    turn(world);
}

static void step(int *added)
{
    size_t at = (size_t)chance(2);
    switch (chance(calm ? 6 : 30)) {
    case 0:
    case 1:
        if (*added < ITEMS) {
            char id[16];
            snprintf(id, sizeof id, "i%03d", (*added)++);
            add(nodes[at], id);
        }
        break;
    case 2:
        test_clock_move(0, 2500);
        for (at = 0; at < 2; at++) {
            queues_far_turn(nodes[at]->queues, false);
            queues_scan(nodes[at]->queues);
            turn(nodes[at]);
        }
        break;
    case 3:
    case 4:
    case 5:
        work(at);
        break;
    case 6:
        restart(nodes[at]);
        break;
    case 7:
        queues_far_turn(nodes[at]->queues, true);
        turn(nodes[at]);
        break;
    case 8:
        die(nodes[at], names[at]);
        turn(nodes[at]);
        break;
    default:
        deliver();
    }
    count_ends();
}

static void walk(unsigned from)
{
    int added = 0, ended = 0;
    void *states[2];
    seed = from;
    calm = false;
    for (size_t at = 0; at < 2; at++) {
        assert_int_equal(set_up(&states[at]), 0);
        nodes[at] = states[at];
        nodes[at]->say = post_word;
        nodes[at]->window[at] = 2;
        nodes[at]->window[1 - at] = 3;
        nodes[at]->worker[1 - at] = QUEUE_WORKER_AWAY;
    }
    for (int i = 0; i < STEPS; i++)
        step(&added);
    calm = true;
    for (int i = 0; i < 20000 && ended < ITEMS; i++) {
        step(&added);
        ended = 0;
        for (int j = 0; j < ITEMS; j++)
            ended += done[j] + dead[j];
    }
    print_message("seed %u: %d of %d ended\n", from, ended, ITEMS);
    assert_int_equal(ended, ITEMS);
    for (int i = 0; i < 3000; i++)
        step(&added);
    for (size_t at = 0; at < 2; at++) {
        assert_int_equal(count_in(nodes[at], "shared/queues/reviews"), 0);
        assert_int_equal(count_in(nodes[at], "agents/orion/iac/handoffs"), 0);
        assert_int_equal(count_in(nodes[at], "agents/iris/iac/handoffs"), 0);
    }
    while (word_count)
        forget_word(&words[--word_count]);
    for (size_t at = 0; at < 2; at++)
        tear_down(&states[at]);
}

static void test_each_item_is_done_once_whatever_the_bus_and_the_nodes_do(void **state)
{
    walk_each(walk, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_item_is_done_once_whatever_the_bus_and_the_nodes_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
