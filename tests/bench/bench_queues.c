/* The cost of a work queue's item for the supervisor, with ten consumers and with a thousand: taken in, given out, found
 * again at a start. The queue's folder is a real one; the post office is not there.
 * bench_queues FOLDER [ITEMS]: works in FOLDER, which is made. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "common/memory.h"
#include "tests/unit/queue_stubs.h"

enum { FEW = 10, MANY = 1000, NAME = 16 };

struct world {
    int64_t room[MANY];
    size_t given;
    bool due;
};

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t number_of(const char *agent)
{
    return strtoul(agent + 1, NULL, 10);
}

static int64_t room(void *context, const char *agent)
{
    return ((struct world *)context)->room[number_of(agent)];
}

static bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct world *world = context;
    (void)envelope, (void)fault;
    world->room[number_of(agent)]--;
    world->given++;
    return true;
}

static enum queue_worker worker(void *context, const char *agent)
{
    (void)context, (void)agent;
    return QUEUE_WORKER_COMING;
}

static void timer(void *context, int64_t in_ms)
{
    ((struct world *)context)->due |= in_ms == 0;
}

static const struct queues_operations operations = {.room = room,
                                                    .may_send_to = to_everybody,
                                                    .lies = lies_nowhere,
                                                    .each_id = no_ids,
                                                    .put = put,
                                                    .worker = worker,
                                                    .timer = timer};

static void turn(struct queues *queues, struct world *world)
{
    while (world->due) {
        world->due = false;
        queues_turn(queues);
    }
}

static struct roster *roster_of(size_t consumers)
{
    OWNED_BUFFER struct buffer text = {0}, faults = {0};
    buffer_text(&text, "agents:\n");
    for (size_t i = 0; i < consumers; i++)
        buffer_print(&text, "  - {name: c%zu, persona: p}\n", i);
    buffer_print(&text, "queues:\n  - {name: q%zu, consumers: [c0", consumers);
    for (size_t i = 1; i < consumers; i++)
        buffer_print(&text, ", c%zu", i);
    buffer_text(&text, "]}\n");
    return roster_parse(text.data, text.length, "agents.yaml", &faults);
}

static void add(struct queues *queues, size_t consumers, size_t number)
{
    struct fault why;
    OWNED char *to = memory_print("queue:q%zu", consumers), *id = memory_print("item-%zu", number);
    struct envelope item = {.id = id,
                            .kind = KIND_ITEM,
                            .from = (char[]){"operator"},
                            .to = to,
                            .created = 1000,
                            .priority = PRIORITY_NORMAL,
                            .status = (char[]){"pending"},
                            .hops = 1,
                            .trace = id,
                            .body = (char[]){"the work\n"}};
    queues_add(queues, &item, false, &why);
}

struct figures {
    double added, started, given;
};

/* Microseconds of the processor an item. */
static struct figures measure(int data, size_t consumers, size_t items)
{
    struct world world = {0};
    struct figures figures;
    struct expiry *expiry = expiry_new(nothing, NULL);
    struct roster *roster = roster_of(consumers);
    struct queues *queues = queues_open(data, expiry, &operations, &world);
    queues_roster(queues, roster);
    queues_start(queues);
    turn(queues, &world);
    double begun = cpu_us();
    for (size_t i = 0; i < items; i++)
        add(queues, consumers, i);
    turn(queues, &world);
    figures.added = (cpu_us() - begun) / (double)items;
    queues_close(queues);
    begun = cpu_us();
    queues = queues_open(data, expiry, &operations, &world);
    queues_roster(queues, roster);
    queues_start(queues);
    turn(queues, &world);
    figures.started = (cpu_us() - begun) / (double)items;
    begun = cpu_us();
    for (size_t i = 0; world.given < items;
         i = (i + 1) % consumers) { /* one place after the other becomes free */
        OWNED char *agent = memory_print("c%zu", i);
        world.room[i] = 1;
        queues_room(queues, agent);
        turn(queues, &world);
    }
    figures.given = (cpu_us() - begun) / (double)items;
    queues_close(queues);
    roster_free(roster);
    expiry_free(expiry);
    return figures;
}

static void say(const char *what, double few, double many)
{
    printf("%-14s %8.1f us an item with %d consumers, %8.1f with %d: %.2f times\n", what, few, FEW, many,
           MANY, many / few);
}

int main(int count, char **arguments)
{
    if (count < 2)
        return 64;
    mkdir(arguments[1], 0755);
    size_t items = count > 2 ? strtoul(arguments[2], NULL, 10) : 1000;
    int data = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct figures few = measure(data, FEW, items), many = measure(data, MANY, items);
    say("taken in", few.added, many.added);
    say("at a start", few.started, many.started);
    say("given out", few.given, many.given);
    return 0;
}
