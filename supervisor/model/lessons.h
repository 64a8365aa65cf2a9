/* The gateway's lessons about each base URL and model: they live here, since the supervisor outlives the gateway,
 * which is started anew for each new resolv.conf. Otherwise each start would cost refused requests, and paid ones
 * that a server cuts. The words are the gateway's; nobody here reads them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/message.h"

enum { LESSONS_MAX = 4096 /* pairs of a URL and a model */, LESSON_TEXT_MAX = 8192 /* bytes of a text */ };

struct lesson;

struct lessons {
    struct lesson *items;
    size_t count;
};

void lessons_free(struct lessons *lessons);
/* LEARNED of the gateway. False: the message is malformed. A pair or a text beyond the bounds is not kept: a long
 * name is no reason to end a gateway at each of its answers. */
bool lessons_keep(struct lessons *lessons, struct reader *reader);
/* A RECALL for each pair, until send gives false. message: scratch. */
void lessons_tell(const struct lessons *lessons, struct buffer *message,
                  bool (*send)(void *context, const struct buffer *message), void *context);
