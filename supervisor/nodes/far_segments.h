/* Writes to segments that have their homes on other nodes (contract section 12). The writer's outbox keeps a write until
 * its verdict is known; the write is offered again and again meanwhile, and each time the home is asked, unless it has
 * answered.
 *
 *   B → A  write    the whole envelope, under its id
 *   A → B  verdict  durable in A's file, or refused (stale, no writer), or not now
 *
 * Any word may be lost, come twice, or late. The state after a crash:
 *   B, whenever                        B's outbox has the write, which is asked for again
 *   A, before its file is durable      nothing was written; B asks again
 *   A, after that                      the file has the write's id: A answers a repeated question as before. A write whose
 *                                      answer was lost while so many others followed that its id is not among the last
 *                                      SEGMENT_WRITES_KEPT is told to be stale
 *   the bus, or A, away                the writer is told once; the write waits under its ttl, as it does while the bus's
 *                                      server takes no message of that length
 * The copies (homes.h) follow whenever they can: a writer that saw an old copy is told the present version. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/envelope.h"
#include "supervisor/post/post.h"

struct far_segments;
struct segments;
struct local_node;

struct far_segments *far_segments_new(const struct local_node *local);
void far_segments_free(struct far_segments *far); /* NULL is fine */
/* A write for a segment whose home is node, "": nobody knows yet. POST_WAITS: the home is asked. */
enum post_verdict far_segments_write(struct far_segments *far, const char *node,
                                     const struct envelope *envelope, struct fault *why);
/* The end of a word that was published (bus_link.h); why NULL: the stream has it. */
void far_segments_published(struct far_segments *far, uint64_t ticket, const char *why);
/* A word of another node. False: it is no word about a segment. decide: as post_hooks' segment; POST_WAITS: not here. */
bool far_segments_hear(struct far_segments *far, const char *node, const json_t *object,
                       enum post_verdict (*decide)(void *context, const struct envelope *envelope,
                                                   struct fault *why),
                       void *context);
