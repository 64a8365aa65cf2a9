/* Questions that nodes read for each other (contract section 12): a person who asks here for the items of work queues,
 * for handoffs, or for one envelope sees those of the other nodes too.
 *
 *   A → B  read_question   a request to agentos-reader: its name and its arguments (supervisor/reader/reader.h)
 *   B → A  read_answer     the answer of B's agentos-reader, or why there is none
 *
 * B's supervisor opens no file for the question: a reader of its own does, few of which run at once, each under a
 * deadline. Any word may be lost, come twice, or late; A waits FAR_READS_MS, and a sentence tells of each missing answer.
 * Bounds: FAR_READS_NODES nodes are asked, FAR_READS_AT_ONCE questions are out, an answer has FAR_READS_BYTES. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct far_reads;
struct local_node;

enum {
    FAR_READS_MS = 10 * 1000,
    FAR_READS_NODES = 32,
    FAR_READS_AT_ONCE = 4,
    FAR_READS_BYTES = 768 * 1024,
};

/* The ticket's answer has come; told takes it over. */
typedef void far_reads_told(void *context, uint64_t ticket, json_t *answer);

struct far_reads *far_reads_new(const struct local_node *local, far_reads_told *told, void *context);
void far_reads_free(struct far_reads *reads); /* NULL is fine */
/* Asks the nodes that are there. Returns the answer, a new reference, where no node needs to be asked; NULL: told
 * brings it under the ticket. {"here": this node, or null without a bus, "nodes": [{"node", "answer"}], "problems":
 * [sentence]} */
json_t *far_reads_ask(struct far_reads *reads, const json_t *request, uint64_t ticket);
/* A word of another node. False: the word is neither a question nor an answer. */
bool far_reads_hear(struct far_reads *reads, const char *node, const json_t *word);
/* True: the pid was a reader's; the reader has ended with this wait status. NULL is fine. */
bool far_reads_reap(struct far_reads *reads, pid_t pid, int status);
