/* The keys that a report may have, in every spelling that counts. */
#pragma once

enum report_key {
    KEY_REWARD,
    KEY_REASON,
    KEY_SKILL,
    KEY_REFLECTION,
    KEY_GOALS,
    KEY_HANDOFFS,
    KEY_MESSAGES,
    KEY_ENQUEUE,
    KEY_SEGMENTS,
    KEY_ANSWER,
    KEY_AGENTOS /* the report within */
};

extern const char *const report_keys[]; /* NULL-terminated, for fields_read */
