/* A model's reply (contract section 7), read tolerantly: free text, then a last fenced block `agentos` in YAML; or
 * one JSON object with `answer`. Whatever is malformed harms only its own part and is named in `faults`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"

struct reply_send {
    enum envelope_kind kind; /* KIND_HANDOFF, KIND_MESSAGE, KIND_ITEM */
    char *to;                /* an agent, or a queue's name for an item */
    char *text;
    int64_t ttl_seconds; /* -1: not given */
    enum priority priority;
};

struct reply_segment {
    char *name, *body;
    int64_t base_version; /* -1: not given */
};

struct reply {
    char *answer;    /* the text for the person, without the block; never NULL */
    bool structured; /* there was a block or an object */
    int reward;      /* -1, 0, 1; 0 when it gave none */
    bool reward_given;
    char *reason; /* NULL: none */
    struct {
        char *name, *description, *body; /* name NULL: no skill */
    } skill;
    char *reflection; /* NULL: none */
    struct text_list goals_add, goals_done;
    struct reply_send *sends;
    size_t send_count;
    struct reply_segment *segments;
    size_t segment_count;
    char *faults; /* NULL: none; else "; "-joined sentences for the reflection */
};

enum { REPLY_MAX = 2 * 1024 * 1024, REPLY_SENDS_MAX = 64 };

/* finish_reason: "length", "content_filter", "stop", "" … An empty, refused (refusal: the text is a refusal that
 * the server named), cut off or unstructured reply gets reward 0 and its fault. */
void reply_parse(struct reply *reply, const char *text, size_t length, const char *finish_reason);
void reply_free(struct reply *reply);
