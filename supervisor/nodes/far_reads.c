#include "supervisor/nodes/far_reads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/word.h"
#include "supervisor/process/file_readers.h"
#include "supervisor/process/loop.h"

enum {
    TEXT_MAX = 1024,                  /* bytes of one text of a request */
    PAGE_BYTES = FAR_READS_BYTES / 3, /* of an answer's texts; the rest is for its other keys */
    TOTAL_BYTES = 8 * 1024 * 1024,    /* of all answers to one question */
    READ_SIZE = 64 * 1024,
    PROBLEMS_MAX = 20,
    DEPTH_MAX = 32, /* of an answer; an honest answer is six deep */
    SENTENCE_MAX = 300,
};

static const char *const readable[] = {"envelope", "envelopes", "queues"};

/* A question of this node. */
struct question {
    LIST_ENTRY(question) link;
    struct far_reads *reads;
    uint64_t number, ticket;
    struct {
        char name[NAME_LENGTH_MAX + 1]; /* "": the node has answered */
    } asked[FAR_READS_NODES];
    size_t count, open, bytes;
    json_t *answer; /* owned; as far_reads_ask gives it */
    struct timer deadline;
};

/* A question of another node. */
struct reading {
    LIST_ENTRY(reading) link;
    struct far_reads *reads;
    char node[NAME_LENGTH_MAX + 1];
    uint64_t number;
    int fd;
    struct loop_watch *watch;
    struct buffer in;
};

struct far_reads {
    const struct local_node *local;
    far_reads_told *told;
    void *context;
    struct file_readers *readers;
    LIST_HEAD(, question) questions;
    LIST_HEAD(, reading) readings;
    uint64_t number; /* of the last question; begins at random, unlike the numbers before a restart */
    size_t count;    /* questions */
};

struct far_reads *far_reads_new(const struct local_node *local, far_reads_told *told, void *context)
{
    struct far_reads *reads = memory_new(1, sizeof *reads);
    reads->local = local;
    reads->told = told;
    reads->context = context;
    reads->readers = file_readers_new(local->loop, local->programs, local->data);
    reads->number = (uint64_t)arc4random() << 16;
    return reads;
}

/* --- questions of this node --- */

static void forget_question(struct question *question)
{
    timer_clear(question->reads->local->loop, &question->deadline);
    LIST_REMOVE(question, link);
    question->reads->count--;
    json_decref(question->answer);
    free(question);
}

static void complain(json_t *answer, char *sentence)
{
    json_t *problems = json_object_get(answer, "problems");
    OWNED char *owned = sentence;
    if (json_array_size(problems) < PROBLEMS_MAX)
        json_array_append_new(problems, json_string(owned));
}

static void finish(struct question *question)
{
    const struct far_reads *reads = question->reads;
    reads->told(reads->context, question->ticket, json_incref(question->answer));
    forget_question(question);
}

static void is_late(void *context)
{
    struct question *question = context;
    for (size_t i = 0; i < question->count; i++)
        if (*question->asked[i].name)
            complain(question->answer,
                     memory_print("node '%s' did not answer within %d s: its items are not shown",
                                  question->asked[i].name, FAR_READS_MS / 1000));
    finish(question);
}

static void ask_node(void *context, const char *node, bool there)
{
    struct question *question = context;
    if (!there)
        complain(question->answer, memory_print("node '%s' is away: its items are not shown", node));
    else if (question->count == FAR_READS_NODES)
        complain(question->answer, memory_print("node '%s' was not asked, as no more than %d are at once",
                                                node, FAR_READS_NODES));
    else
        snprintf(question->asked[question->count++].name, sizeof question->asked->name, "%s", node);
}

static void say_question(struct question *question, const json_t *request)
{
    for (size_t i = 0; i < question->count; i++) {
        char *name = question->asked[i].name;
        if (node_word_say(
                question->reads->local, name,
                json_pack("{s:I, s:O}", "read_question", (json_int_t)question->number, "request", request))) {
            question->open++;
        } else {
            complain(question->answer,
                     memory_print("node '%s' can't be asked now: its items are not shown", name));
            *name = '\0';
        }
    }
}

static json_t *nothing(const struct far_reads *reads)
{
    bool bus = reads->local->bus != NULL;
    return json_pack("{s:s?, s:[], s:[]}", "here", bus ? node_name() : NULL, "nodes", "problems");
}

json_t *far_reads_ask(struct far_reads *reads, const json_t *request, uint64_t ticket)
{
    const struct local_node *local = reads->local;
    OWNED_BUFFER struct buffer away = {0};
    json_t *answer = nothing(reads);
    if (!local->bus)
        return answer;
    if (!bus_link_connected(local->bus)) {
        bus_link_problem(local->bus, &away);
        complain(answer, memory_print("%.*s: the items of other nodes are not shown",
                                      (int)strcspn(away.data, "\n"), away.data));
        return answer;
    }
    if (reads->count == FAR_READS_AT_ONCE) {
        complain(
            answer,
            memory_text("other nodes are asked so much already that they were not asked this; try again"));
        return answer;
    }
    struct question *question = memory_new(1, sizeof *question);
    *question =
        (struct question){.reads = reads, .number = ++reads->number, .ticket = ticket, .answer = answer};
    question->deadline = (struct timer){.ring = is_late, .context = question};
    LIST_INSERT_HEAD(&reads->questions, question, link);
    reads->count++;
    nodes_each(local->nodes, ask_node, question);
    say_question(question, request);
    if (question->open) {
        timer_set(local->loop, &question->deadline, FAR_READS_MS);
        return NULL;
    }
    answer = json_incref(question->answer);
    forget_question(question);
    return answer;
}

/* Clients refuse a line that is nested deeper than their parser goes, with the answers of all honest nodes in it. */
static bool is_deep(const json_t *value, unsigned most)
{
    size_t i;
    const char *key;
    json_t *inner;
    bool deep = most == 0;
    json_array_foreach(value, i, inner) deep = deep || is_deep(inner, most - 1);
    json_object_foreach((json_t *)value, key, inner) deep = deep || is_deep(inner, most - 1);
    return deep;
}

/* A node that doesn't have the envelope is no problem. */
static void take(struct question *question, const char *node, const json_t *word)
{
    json_t *told = json_object_get(word, "answer");
    const char *complaint = node_word_text(word, "complaint");
    question->bytes += json_dumpb(told, NULL, 0, JSON_COMPACT);
    if (question->bytes > TOTAL_BYTES)
        complain(question->answer, memory_print("node '%s' told so much that it is not shown", node));
    else if (is_deep(told, DEPTH_MAX))
        complain(question->answer, memory_print("node '%s' sent no valid answer", node));
    else if (json_is_object(told))
        json_array_append_new(json_object_get(question->answer, "nodes"),
                              json_pack("{s:s, s:O}", "node", node, "answer", told));
    else if (node_word_number(word, "exit") != EX_NOINPUT) {
        OWNED char *clean = utf8_clean(complaint, strnlen(complaint, SENTENCE_MAX));
        complain(question->answer, memory_print("node '%s': %s", node, clean));
    }
}

static void hear_answer(struct far_reads *reads, const char *node, const json_t *word)
{
    struct question *question;
    LIST_FOREACH(question, &reads->questions, link)
    if (question->number == (uint64_t)node_word_number(word, "read_answer"))
        break;
    for (size_t i = 0; question && i < question->count; i++) {
        if (strcmp(question->asked[i].name, node) != 0)
            continue;
        *question->asked[i].name = '\0';
        take(question, node, word);
        if (--question->open == 0)
            finish(question);
        return;
    }
}

/* --- questions of other nodes --- */

static void forget_reading(struct reading *reading)
{
    loop_forget(reading->reads->local->loop, reading->watch);
    LIST_REMOVE(reading, link);
    close(reading->fd);
    buffer_free(&reading->in);
    free(reading);
}

static void answer(struct far_reads *reads, const char *node, uint64_t number, json_t *told)
{
    json_object_set_new(told, "read_answer", json_integer((json_int_t)number));
    (void)node_word_say(reads->local, node, told); /* the other node waits in vain, and says so */
}

static void refuse(struct far_reads *reads, const char *node, uint64_t number, const char *why)
{
    answer(reads, node, number, json_pack("{s:i, s:s}", "exit", EX_TEMPFAIL, "complaint", why));
}

/* Only an answer of the allowed form goes out: the reader has read files that may have been made to harm. */
static void tell(struct reading *reading, size_t length)
{
    json_auto_t *told = json_loadb(reading->in.data, length, JSON_REJECT_DUPLICATES, NULL);
    const json_t *found = json_object_get(told, "answer");
    if (found)
        answer(reading->reads, reading->node, reading->number, json_pack("{s:O}", "answer", found));
    else
        answer(reading->reads, reading->node, reading->number,
               json_pack("{s:I, s:s}", "exit", (json_int_t)node_word_number(told, "exit"), "complaint",
                         node_word_text(told, "complaint")));
}

static void is_readable(void *context, uint32_t events)
{
    struct reading *reading = context;
    ssize_t count = recv(reading->fd, buffer_room(&reading->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
    const char *end = count > 0 ? memchr(reading->in.data + reading->in.length, '\n', (size_t)count) : NULL;
    reading->in.length += count > 0 ? (size_t)count : 0;
    if (count < 0 && !(events & (EPOLLHUP | EPOLLERR)))
        return;
    if (reading->in.length > FAR_READS_BYTES)
        refuse(reading->reads, reading->node, reading->number, "its items are too many for one answer");
    else if (end)
        tell(reading, (size_t)(end - reading->in.data));
    else if (count <= 0)
        refuse(reading->reads, reading->node, reading->number, "its files can't be read now, or not in time");
    else
        return;
    forget_reading(reading);
}

/* The request, cut down to the known keys, as a line; NULL: the request is not for other nodes. Caller frees. */
static char *line_of(const json_t *request)
{
    static const char *const texts[] = {"id", "agent", "owner", "queue", "kind", "status", "place", "cursor"};
    const char *name = node_word_text(request, "read");
    bool known = false;
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        known = known || strcmp(readable[i], name) == 0;
    json_auto_t *line = json_pack("{s:s, s:b, s:I, s:i}", "read", name, "for_nodes", 1, "limit",
                                  (json_int_t)node_word_number(request, "limit"), "bytes", PAGE_BYTES);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *text = json_object_get(request, texts[i]);
        known = known && json_string_length(text) <= TEXT_MAX;
        if (json_is_string(text))
            json_object_set(line, texts[i], text);
    }
    OWNED char *text = known ? json_dumps(line, JSON_COMPACT) : NULL;
    return text ? memory_print("%s\n", text) : NULL;
}

static void hear_question(struct far_reads *reads, const char *node, const json_t *word)
{
    uint64_t number = (uint64_t)node_word_number(word, "read_question");
    OWNED char *line = line_of(json_object_get(word, "request"));
    int fd = line ? file_readers_begin(reads->readers) : -1;
    if (!line || fd < 0) {
        refuse(reads, node, number,
               line ? "it reads so much for others already that it can't now; try again"
                    : "it reads nothing of that kind for others (is it another version?)");
        return;
    }
    struct reading *reading = memory_new(1, sizeof *reading);
    *reading = (struct reading){.reads = reads, .number = number, .fd = fd};
    snprintf(reading->node, sizeof reading->node, "%s", node);
    LIST_INSERT_HEAD(&reads->readings, reading, link);
    reading->watch = loop_watch(reads->local->loop, fd, EPOLLIN, is_readable, reading);
    ssize_t length = (ssize_t)strlen(line);
    if (reading->watch && send(fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length)
        return;
    refuse(reads, node, number, "its files can't be read now");
    forget_reading(reading);
}

/* --- --- */

bool far_reads_hear(struct far_reads *reads, const char *node, const json_t *word)
{
    bool asks = json_object_get(word, "read_question"), answers = json_object_get(word, "read_answer");
    if (asks && names_node(node))
        hear_question(reads, node, word);
    else if (answers)
        hear_answer(reads, node, word);
    return asks || answers;
}

bool far_reads_reap(struct far_reads *reads, pid_t pid, int status)
{
    return reads && file_readers_reap(reads->readers, pid, status);
}

void far_reads_free(struct far_reads *reads)
{
    if (!reads)
        return;
    while (!LIST_EMPTY(&reads->questions))
        forget_question(LIST_FIRST(&reads->questions));
    while (!LIST_EMPTY(&reads->readings))
        forget_reading(LIST_FIRST(&reads->readings));
    file_readers_free(reads->readers);
    free(reads);
}
