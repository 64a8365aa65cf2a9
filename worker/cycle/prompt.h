/* The prompt of one cycle (contract section 6): system_prompt.md with its {{placeholders}} filled, within a budget. */
#pragma once

#include <stdint.h>

#include "common/buffer.h"
#include "worker/memory/kept_file.h"
#include "worker/memory/learning.h"

enum {
    PROMPT_BUDGET =
        80 * 1024 /* bytes of the filled template with peers and segments; the task comes on top */
};

/* The room that the provider's context leaves for a prompt. */
struct prompt_room {
    uint64_t bytes; /* the task included; 0: not known yet */
    uint64_t
        learned;     /* tokens of the context as the provider taught them; 0: a setting or nobody says them */
    uint64_t pieces; /* bytes of peers, segments and budget as the supervisor put them in last */
};

enum prompt_file { PROMPT_TEMPLATE, PROMPT_PERSONA, PROMPT_CONSTRAINTS, PROMPT_FILES };

struct prompt_input {
    int tree;
    struct kept_file *files; /* PROMPT_FILES, kept from prompt to prompt */
    const struct learning *learning;
    const char *task;               /* the text that relevance is measured against */
    const char *messages;           /* ready-made text, NULL or "" for none */
    const struct prompt_room *room; /* NULL: no limit but PROMPT_BUDGET */
    /* the user's message, where that is more than the task; NULL: the task is the message */
    const char *asked;
};

/* Where in the filled text {{peers}}, {{segments}} and {{budget}} belong, as byte offsets; MESSAGE_NOWHERE: the template
 * doesn't ask for it. The supervisor puts the texts in; PROMPT_PEERS, PROMPT_SEGMENTS and PROMPT_LEFT bytes are kept free
 * for them. */
struct prompt_places {
    uint64_t peers, segments, budget;
    bool messages; /* the template asks for them */
    uint64_t
        pieces; /* bytes that the supervisor's texts may have in all; MESSAGE_NOWHERE: no limit but their shares */
    bool least; /* the prompt is longer than the room, though every piece that can go has gone */
};

enum { PROMPT_PEERS = 8 * 1024, PROMPT_SEGMENTS = 16 * 1024, PROMPT_MESSAGES = 8 * 1024, PROMPT_LEFT = 1024 };

/* Bytes for messages in a prompt about this task. */
size_t prompt_messages_room(const struct prompt_room *room, const char *task);

/* Fills `out`. Where the room is small, the parts that grow give way: the skills' bodies first, then their summaries,
 * the older rewards and reflections, goals and messages. The template, persona, constraints and the task stay whole. A
 * template that is missing, empty or unreadable is replaced by the built-in one, with a line in problems. An unknown
 * {{name}} stays as it stands. Text that is filled in is never searched for placeholders again. persona.md's and
 * constraints.md's front matter is left out. Of several {{peers}}, {{segments}} or {{budget}} the first counts. */
void prompt_build(const struct prompt_input *input, struct buffer *out, struct prompt_places *places,
                  struct buffer *problems);

/* Text from somebody else, fenced with a fence longer than any in it, and labelled as data. */
void prompt_quote(struct buffer *out, const char *label, const char *text);
/* The same under a heading of the caller's own, which names the text. */
void prompt_fence(struct buffer *out, const char *heading, const char *text);

extern const char prompt_default_template[]; /* bootstrap writes it */
