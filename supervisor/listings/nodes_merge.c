#include "supervisor/listings/nodes_merge.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"

enum {
    LEAST_KNOWN = 100,
    ROWS_MAX = 1000,     /* queues, and hands: each is looked for among the others */
    PROBLEMS_MAX = 20,   /* of one node */
    STEPS = 1000 * 1000, /* of one node's route: the order of steps within a second is kept */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* --- the other nodes' answers --- */

static bool has_texts(const json_t *object, const char *const keys[])
{
    while (*keys && json_is_string(json_object_get(object, *keys)))
        keys++;
    return !*keys;
}

static bool is_item(const json_t *item)
{
    static const char *const KEYS[] = {"id", "kind", "from", "to", "created", "status", "path", NULL};
    return has_texts(item, KEYS);
}

static json_int_t ignorance(const json_t *item)
{
    const json_t *said = json_object_get(item, NODES_IGNORANCE);
    return said ? json_integer_value(said) : LEAST_KNOWN;
}

static void say_node(json_t *object, const char *node)
{
    if (node)
        json_object_set_new(object, "node", json_string(node));
}

static void complain(json_t *object, const char *node, const char *sentence)
{
    OWNED char *whole = node ? memory_print("node '%s': %s", node, sentence) : memory_text(sentence);
    if (!json_object_get(object, "problems"))
        json_object_set_new(object, "problems", json_array());
    json_array_append_new(json_object_get(object, "problems"), json_string(whole));
}

/* The nodes that could not be asked, and the files that other nodes could not read. */
static void add_problems(json_t *object, const json_t *told)
{
    size_t i, k;
    const json_t *node, *problem;
    json_array_foreach(json_object_get(told, "problems"), i, problem)
    {
        if (json_is_string(problem))
            complain(object, NULL, json_string_value(problem));
    }
    json_array_foreach(json_object_get(told, "nodes"), i, node)
    {
        const json_t *problems = json_object_get(json_object_get(node, "answer"), "problems");
        json_array_foreach(problems, k, problem)
        {
            if (k < PROBLEMS_MAX && json_is_string(problem))
                complain(object, text_of(node, "node"), json_string_value(problem));
        }
    }
}

/* --- pages --- */

struct pool {
    const struct nodes_page *how;
    json_t *items;       /* owned: an object, by what makes an item unique */
    const json_t *floor; /* the end of the first page that is cut, borrowed; NULL: no page is */
};

/* The newest first, as in the pages. */
static int compare(const json_t *a, const json_t *b)
{
    static const char *const KEYS[] = {"created", "id"};
    for (size_t i = 0; i < 2; i++) {
        int order = strcmp(text_of(b, KEYS[i]), text_of(a, KEYS[i]));
        if (order)
            return order;
    }
    return strcmp(text_of(a, "owner"), text_of(b, "owner"));
}

static int by_age(const void *left, const void *right)
{
    return compare(*(json_t *const *)left, *(json_t *const *)right);
}

static void add_item(struct pool *pool, json_t *item, const char *node)
{
    bool is_task = strcmp(text_of(item, "kind"), "task") == 0;
    OWNED char *key = !pool->how->once
                          ? memory_print("%zu", json_object_size(pool->items))
                          : memory_print("%s/%s", is_task ? text_of(item, "owner") : "", text_of(item, "id"));
    const json_t *other = json_object_get(pool->items, key);
    if (!is_item(item) || (other && ignorance(other) <= ignorance(item)))
        return;
    say_node(item, node);
    json_object_set(pool->items, key, item);
}

static void add_page(struct pool *pool, const json_t *page, const char *node)
{
    const json_t *items = json_object_get(page, "items");
    json_t *item, *last = json_array_get(items, json_array_size(items) - 1);
    size_t i;
    json_array_foreach(items, i, item)
    {
        add_item(pool, item, node);
    }
    if (pool->how->paged && json_is_string(json_object_get(page, "next")) && is_item(last) &&
        (!pool->floor || compare(last, pool->floor) < 0))
        pool->floor = last;
}

/* The cursor behind the item. Where copies are shown once, the copies of other owners must not come on the next page:
 * '~' sorts behind every owner's name. */
static json_t *mark_of(const json_t *item, const struct nodes_page *how)
{
    bool all_owners = how->once && strcmp(text_of(item, "kind"), "task") != 0;
    int64_t created = 0;
    (void)clock_parse(text_of(item, "created"), &created);
    OWNED char *mark = memory_print("%" PRId64 "/%s/%s", created, all_owners ? "~" : text_of(item, "owner"),
                                    text_of(item, "id"));
    return json_string(mark);
}

static bool is_before_floor(const struct pool *pool, const json_t *item)
{
    return !pool->floor || compare(item, pool->floor) <= 0 ||
           (pool->how->once && strcmp(text_of(item, "id"), text_of(pool->floor, "id")) == 0);
}

static void put_items(const struct pool *pool, json_t *page)
{
    size_t count = 0, shown = 0;
    const char *key;
    json_t *item, *list = json_array();
    OWNED json_t **all = memory_new(json_object_size(pool->items) + 1, sizeof *all);
    json_object_foreach(pool->items, key, item)
    {
        all[count++] = item;
    }
    qsort(all, count, sizeof *all, by_age);
    while (shown < count && shown < pool->how->most && is_before_floor(pool, all[shown]))
        json_array_append(list, all[shown++]);
    const json_t *last = shown == pool->how->most ? all[shown - 1] : pool->floor;
    if (pool->how->paged)
        json_object_set_new(page, "next",
                            last && (shown < count || pool->floor) ? mark_of(last, pool->how) : json_null());
    json_array_foreach(list, shown, item)
    {
        json_object_del(item, NODES_IGNORANCE);
    }
    json_object_set_new(page, "items", list);
}

static void say_rest(json_t *page, const json_t *far, const char *node)
{
    if (json_is_string(json_object_get(far, "next")))
        complain(page, node, "it has older ones, which are not shown");
}

static void add_queues(json_t *page, const json_t *far)
{
    size_t i, k;
    const json_t *queue;
    json_t *have, *queues = json_object_get(page, "queues");
    json_array_foreach(json_object_get(far, "queues"), i, queue)
    {
        if (i == ROWS_MAX)
            break;
        json_int_t items = json_integer_value(json_object_get(queue, "items"));
        json_t *known = NULL;
        json_array_foreach(queues, k, have)
        {
            if (strcmp(text_of(have, "queue"), text_of(queue, "queue")) == 0)
                known = have;
        }
        if (known)
            json_object_set_new(
                known, "items",
                json_integer((json_int_t)((uint64_t)json_integer_value(json_object_get(known, "items")) +
                                          (uint64_t)items)));
        else if (json_array_size(queues) < ROWS_MAX)
            json_array_append_new(queues,
                                  json_pack("{s:s, s:I}", "queue", text_of(queue, "queue"), "items", items));
    }
}

void nodes_merge_page(json_t *page, const json_t *told, const struct nodes_page *how)
{
    json_auto_t *items = json_object();
    struct pool pool = {.how = how, .items = items};
    size_t i;
    const json_t *node;
    add_page(&pool, page, json_string_value(json_object_get(told, "here")));
    json_array_foreach(json_object_get(told, "nodes"), i, node)
    {
        const json_t *far = json_object_get(node, "answer");
        add_page(&pool, far, text_of(node, "node"));
        add_queues(page, far);
        if (!how->paged && json_array_size(json_object_get(far, "items")) < how->most)
            say_rest(page, far, text_of(node, "node"));
    }
    put_items(&pool, page);
    add_problems(page, told);
}

/* --- one envelope --- */

struct parts {
    json_t *views[1 + 64]; /* borrowed */
    const char *nodes[1 + 64];
    size_t count, best;
};

static void add_part(struct parts *parts, json_t *view, const char *node)
{
    if (!is_item(view) || parts->count == sizeof parts->views / sizeof *parts->views)
        return;
    if (parts->count && ignorance(view) < ignorance(parts->views[parts->best]))
        parts->best = parts->count;
    parts->views[parts->count] = view;
    parts->nodes[parts->count++] = node;
}

static json_t *copies_of(const struct parts *parts)
{
    static const char *const KEYS[] = {"path", "status", NULL};
    json_t *copy, *list = json_array();
    size_t k;
    for (size_t i = 0; i < parts->count; i++)
        json_array_foreach(json_object_get(parts->views[i], "copies"), k, copy)
        {
            if (!has_texts(copy, KEYS))
                continue;
            say_node(copy, parts->nodes[i]);
            json_array_append(list, copy);
        }
    return list;
}

static int by_time(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    json_int_t x = json_integer_value(json_object_get(a, NODES_RANK)),
               y = json_integer_value(json_object_get(b, NODES_RANK));
    int order = strcmp(text_of(a, "time"), text_of(b, "time"));
    order = order ? order : (x / STEPS > y / STEPS) - (x / STEPS < y / STEPS);
    order = order ? order : strcmp(text_of(a, "node"), text_of(b, "node"));
    return order ? order : (x > y) - (x < y);
}

/* The list in another order; the argument is taken. */
static json_t *sorted(json_t *list, int (*order)(const void *, const void *))
{
    size_t i, count = json_array_size(list);
    json_t *item, *result = json_array();
    OWNED json_t **all = memory_new(count + 1, sizeof *all);
    json_array_foreach(list, i, item)
    {
        all[i] = item;
    }
    qsort(all, count, sizeof *all, order);
    for (i = 0; i < count; i++)
        json_array_append(result, all[i]);
    json_decref(list);
    return result;
}

/* Each node tells its commits; steps that the files alone know come from the copy that knows most. */
static json_t *route_of(const struct parts *parts)
{
    static const char *const KEYS[] = {"time", "agent", "what", NULL};
    json_t *step, *list = json_array();
    size_t k;
    for (size_t i = 0; i < parts->count; i++)
        json_array_foreach(json_object_get(parts->views[i], "route"), k, step)
        {
            if (!has_texts(step, KEYS) ||
                (i != parts->best && !json_is_string(json_object_get(step, "commit"))))
                continue;
            json_int_t rank = json_integer_value(json_object_get(step, NODES_RANK));
            json_object_set_new(step, NODES_RANK, json_integer(rank % STEPS * STEPS + (json_int_t)k));
            say_node(step, parts->nodes[i]);
            json_array_append(list, step);
        }
    list = sorted(list, by_time);
    json_array_foreach(list, k, step)
    {
        json_object_del(step, NODES_RANK);
    }
    return list;
}

static int oldest_first(const void *left, const void *right)
{
    return by_age(right, left);
}

static json_t *relatives_of(const struct parts *parts, const char *key)
{
    json_auto_t *items = json_object();
    const struct nodes_page how = {.once = true};
    struct pool pool = {.how = &how, .items = items};
    json_t *item, *list = json_array();
    const char *id;
    size_t k;
    for (size_t i = 0; i < parts->count; i++)
        json_array_foreach(json_object_get(parts->views[i], key), k, item)
            add_item(&pool, item, parts->nodes[i]);
    json_object_foreach(items, id, item)
    {
        json_object_del(item, NODES_IGNORANCE);
        json_array_append(list, item);
    }
    return sorted(list, oldest_first);
}

/* --- the cost --- */

/* How much a node knows of a hand: the costs of its own agents, and of other agents' work only that there is some. */
static int knowledge(const json_t *hand)
{
    static const char *const STATES[] = {"not yet", "unknown", "known"};
    for (int i = 2; i > 0; i--)
        if (strcmp(text_of(hand, "state"), STATES[i]) == 0)
            return i;
    return 0;
}

static void add_hand(json_t *hands, json_t *hand)
{
    static const char *const KEYS[] = {"agent", "id", "state", NULL};
    size_t i;
    const json_t *other;
    if (!has_texts(hand, KEYS))
        return;
    json_array_foreach(hands, i, other)
    {
        if (strcmp(text_of(other, "agent"), text_of(hand, "agent")) != 0 ||
            strcmp(text_of(other, "id"), text_of(hand, "id")) != 0)
            continue;
        if (knowledge(hand) > knowledge(other))
            json_array_set(hands, i, hand);
        return;
    }
    if (i < ROWS_MAX)
        json_array_append(hands, hand);
}

static json_t *hands_of(const struct parts *parts)
{
    json_t *hand, *hands = json_array();
    size_t k;
    for (size_t i = 0; i < parts->count; i++)
        json_array_foreach(json_object_get(json_object_get(parts->views[i], "cost"), "hands"), k, hand)
        {
            if (k == ROWS_MAX)
                break;
            add_hand(hands, hand);
        }
    return hands;
}

static json_t *sum_of(const json_t *hands, const char *key)
{
    double price = 0;
    uint64_t sum = 0;
    bool is_price = strcmp(key, "cost") == 0, known = !is_price;
    size_t i;
    const json_t *hand;
    json_array_foreach(hands, i, hand)
    {
        const json_t *value = json_object_get(hand, key);
        sum += (uint64_t)json_integer_value(value);
        price += json_number_value(value);
        known = known || json_is_number(value);
    }
    return !known ? json_null() : is_price ? json_real(price) : json_integer((json_int_t)sum);
}

static json_t *cost_of(const struct parts *parts, const json_t *best)
{
    static const char *const NUMBERS[] = {"tokens",       "tokens_in", "tokens_out", "cached_tokens",
                                          "audit_tokens", "requests",  "cost"};
    json_t *hands = hands_of(parts);
    bool complete = true;
    size_t i;
    const json_t *hand;
    json_array_foreach(hands, i, hand)
    {
        complete = complete && knowledge(hand) != 1;
    }
    json_t *cost = json_pack("{s:O?, s:b, s:o}", "trace", json_object_get(best, "trace"), "complete",
                             complete, "hands", hands);
    for (i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        json_object_set_new(cost, NUMBERS[i], sum_of(hands, NUMBERS[i]));
    return cost;
}

json_t *nodes_merge_envelope(json_t *view, const json_t *told)
{
    struct parts parts = {.count = 0};
    size_t i;
    const json_t *node;
    add_part(&parts, view, json_string_value(json_object_get(told, "here")));
    json_array_foreach(json_object_get(told, "nodes"), i, node)
        add_part(&parts, json_object_get(node, "answer"), text_of(node, "node"));
    if (!parts.count)
        return view;
    json_t *best = parts.views[parts.best],
           *whole = json_copy(best); /* the copy's lists are exchanged, not changed */
    say_node(whole, parts.nodes[parts.best]);
    json_object_del(whole, NODES_IGNORANCE);
    json_object_set_new(whole, "copies", copies_of(&parts));
    json_object_set_new(whole, "route", route_of(&parts));
    json_object_set_new(whole, "answers", relatives_of(&parts, "answers"));
    json_object_set_new(whole, "of_trace", relatives_of(&parts, "of_trace"));
    if (parts.count > 1)
        json_object_set_new(whole, "cost", cost_of(&parts, best));
    if (best != view)
        json_object_del(whole, "problems");
    if (best != view && json_object_get(view, "problems"))
        json_object_set_new(whole, "problems", json_copy(json_object_get(view, "problems")));
    add_problems(whole, told);
    json_decref(view);
    return whole;
}
