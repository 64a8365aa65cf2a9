#include "worker/memory/rewards.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/memory/learning.h"
#include "worker/memory/relevance.h"

const char rewards_preamble[] = "# Rewards\n\nHow the last 30 tasks went, the newest at the end: +1 reusable "
                                "success, 0 partial, -1 failure.\n";

enum {
    WINDOW = 10,
    FAILURES = 3,
    DIVERGENCES = 3,
    GOAL_REASON_MAX = 200,
    SHOWN_REASONS = 200 /* bytes, in a prompt */
};

static const char pending[] = "pending";

const char *rewards_sign(int value)
{
    return value > 0 ? "+1" : value < 0 ? "-1" : "0";
}

static const char *audit_text(int score)
{
    return score == AUDIT_NONE ? "none" : score == AUDIT_PENDING ? pending : rewards_sign(score);
}

void rewards_add(struct entries *rewards, const struct reward_note *note)
{
    char number[32], at[CLOCK_TEXT];
    struct entry *entry = entries_append(rewards, note->task_id);
    entry_set(entry, "reward", rewards_sign(note->reward));
    entry_set(entry, "audit_score", audit_text(note->audit_score));
    entry_set(entry, "at", clock_format(note->at, at));
    entry_set(entry, "reason", note->reason && *note->reason ? note->reason : "none given");
    snprintf(number, sizeof number, "%" PRIu64, note->tokens);
    entry_set(entry, "tokens", number);
    while (rewards->count > REWARDS_MAX)
        entries_remove(rewards, 0);
}

static bool score(const struct entry *entry, const char *key, int *value)
{
    int64_t number;
    if (!entry_integer(entry, key, &number) || number < -1 || number > 1)
        return false;
    *value = (int)number;
    return true;
}

bool rewards_value(const struct entry *entry, int *reward)
{
    return score(entry, "reward", reward);
}

/* False also when there was no audit. */
static bool rewards_audit(const struct entry *entry, int *audit)
{
    return score(entry, "audit_score", audit);
}

static bool is_pending(const struct entry *entry)
{
    size_t length;
    const char *value = entry_value(entry, "audit_score", &length);
    return value && length == strlen(pending) && memcmp(value, pending, length) == 0;
}

struct entry *rewards_pending(const struct entries *rewards, const char *task_id)
{
    for (size_t i = 0; i < rewards->count; i++)
        if (is_pending(&rewards->items[i]) && (!task_id || strcmp(rewards->items[i].heading, task_id) == 0))
            return &rewards->items[i];
    return NULL;
}

void rewards_credit(struct entries *rewards, const char *skill, const char *before)
{
    struct entry *entry = &rewards->items[rewards->count - 1];
    entry_set(entry, "skill", skill);
    entry_set(entry, "skill_before", before);
}

void rewards_move_credit(struct entries *rewards, const char *skill, const char *at, const char *before)
{
    for (size_t i = 0; i < rewards->count; i++) {
        struct entry *entry = &rewards->items[i];
        OWNED char *its_skill = entry_get(entry, "skill"), *its_before = entry_get(entry, "skill_before");
        if (its_skill && its_before && strcmp(its_skill, skill) == 0 && strcmp(its_before, at) == 0)
            entry_set(entry, "skill_before", before);
    }
}

char *rewards_other_success(const struct entries *rewards, const char *skill, const struct entry *without)
{
    char *latest = NULL;
    for (size_t i = 0; i < rewards->count; i++) {
        const struct entry *entry = &rewards->items[i];
        OWNED char *its_skill = entry_get(entry, "skill");
        int reward, audit;
        bool disputed = rewards_audit(entry, &audit) && audit < 1;
        if (entry == without || !its_skill || strcmp(its_skill, skill) != 0 ||
            !rewards_value(entry, &reward) || reward < 1 || disputed)
            continue;
        char *at = entry_get(entry, "at");
        bool later = at && (!latest || strcmp(at, latest) > 0);
        free(later ? latest : at);
        latest = later ? at : latest;
    }
    return latest;
}

void rewards_displaced(struct entries *rewards, const char *skill)
{
    entry_set(&rewards->items[rewards->count - 1], "skill_displaced", skill);
}

static bool has_text(const struct entry *entry, const char *key, const char *wanted)
{
    OWNED char *text = entry_get(entry, key);
    return text && strcmp(text, wanted) == 0;
}

void rewards_pass_displaced(struct entries *rewards, const struct entry *from, const char *skill,
                            const char *displaced)
{
    for (size_t i = 0; i < rewards->count; i++) {
        struct entry *entry = &rewards->items[i];
        if (entry != from && is_pending(entry) && has_text(entry, "skill", skill)) {
            entry_set(entry, "skill_displaced", displaced);
            return;
        }
    }
}

void rewards_move_displaced(struct entries *rewards, const char *gone, const char *displaced)
{
    for (size_t i = 0; i < rewards->count; i++)
        if (is_pending(&rewards->items[i]) && has_text(&rewards->items[i], "skill_displaced", gone))
            entry_set(&rewards->items[i], "skill_displaced", displaced);
}

void rewards_judge(struct entry *entry, int audit_score, const char *reasons)
{
    entry_set(entry, "audit_score", audit_text(audit_score));
    if (reasons && *reasons)
        entry_set(entry, "audit_reasons", reasons);
    entry_drop(entry, "skill_before");
    entry_drop(entry, "skill_displaced");
}

static bool failed(const struct entry *entry)
{
    int reward;
    return rewards_value(entry, &reward) && reward < 0;
}

int rewards_negative_streak(const struct entries *rewards)
{
    int streak = 0;
    for (size_t i = rewards->count; i > 0 && failed(&rewards->items[i - 1]); i--)
        streak++;
    return streak;
}

static struct word_set words_of_reason(const struct entry *entry)
{
    struct word_set words = {0};
    size_t length;
    const char *reason = entry_value(entry, "reason", &length);
    if (reason)
        word_set_add(&words, reason, length);
    return words;
}

static char *repeated_failure(const struct entries *rewards)
{
    const struct entry *newest = &rewards->items[rewards->count - 1];
    if (!failed(newest))
        return NULL;
    struct word_set kind = words_of_reason(newest);
    int failures = 0;
    size_t first = rewards->count > WINDOW ? rewards->count - WINDOW : 0;
    for (size_t i = first; i < rewards->count; i++) {
        if (!failed(&rewards->items[i]))
            continue;
        struct word_set words = words_of_reason(&rewards->items[i]);
        failures += relevance_same_kind(&kind, &words);
        word_set_free(&words);
    }
    word_set_free(&kind);
    if (failures < FAILURES)
        return NULL;
    size_t length = 0;
    const char *reason = entry_value(newest, "reason", &length);
    return memory_print("Stop failing at: %.*s", (int)utf8_cut(reason ? reason : "", length, GOAL_REASON_MAX),
                        reason ? reason : "");
}

static bool diverged(const struct entry *entry)
{
    int reward, audit;
    return rewards_value(entry, &reward) && rewards_audit(entry, &audit) && reward != audit;
}

char *rewards_call_for_honesty(const struct entries *rewards, const struct entry *entry)
{
    int run = 0, value;
    for (size_t i = rewards->count; i > 0 && run < DIVERGENCES; i--) {
        const struct entry *other = &rewards->items[i - 1];
        if (!rewards_audit(other, &value))
            continue;
        if (!diverged(other) || (run == 0 && other != entry))
            return NULL;
        run++;
    }
    return run == DIVERGENCES ? memory_text("Score my own work as the audit would") : NULL;
}

char *rewards_call_for_goal(const struct entries *rewards)
{
    if (rewards->count == 0)
        return NULL;
    char *goal = repeated_failure(rewards);
    return goal ? goal : rewards_call_for_honesty(rewards, &rewards->items[rewards->count - 1]);
}

static void print_line(const struct entry *entry, struct buffer *out)
{
    size_t at_length = 0, reason_length = 0;
    const char *at = entry_value(entry, "at", &at_length);
    const char *reason = entry_value(entry, "reason", &reason_length);
    int reward, audit;
    buffer_text(out, "- ");
    buffer_add(out, at ? at : "", at_length < 10 ? at_length : 10);
    buffer_text(out, at ? " " : "");
    buffer_text(out, entry->heading);
    buffer_text(out, ": ");
    buffer_text(out, rewards_value(entry, &reward) ? rewards_sign(reward) : "?");
    if (rewards_audit(entry, &audit)) {
        size_t length;
        const char *why = entry_value(entry, "audit_reasons", &length);
        buffer_text(out, " (audit ");
        buffer_text(out, rewards_sign(audit));
        buffer_text(out, why ? ": " : "");
        buffer_add(out, why ? why : "", why ? utf8_cut(why, length, SHOWN_REASONS) : 0);
        buffer_text(out, ")");
    }
    buffer_text(out, reason ? ", " : "");
    buffer_add(out, reason ? reason : "", reason_length);
    buffer_add(out, "\n", 1);
}

void rewards_prompt(const struct entries *rewards, size_t budget, struct buffer *out)
{
    OWNED_BUFFER struct buffer lines = {0};
    size_t *starts = memory_new(rewards->count + 1, sizeof *starts), i = rewards->count;
    for (size_t j = 0; j < rewards->count; j++) {
        starts[j] = lines.length;
        print_line(&rewards->items[j], &lines);
    }
    while (i > 0 && (i == rewards->count || lines.length - starts[i - 1] <= budget))
        i--;
    if (i < rewards->count)
        buffer_add(out, lines.data + starts[i], lines.length - starts[i]);
    free(starts);
    if (rewards->count == 0)
        buffer_text(out, "None yet.\n");
}
