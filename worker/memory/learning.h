/* The learning of an agent: skills, rewards, goals, reflections (contract section 8), as the files have them, and the
 * changes of one finished task in them. No git here: the caller commits the changes that come out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/files.h"
#include "worker/memory/changes.h"
#include "worker/reply/reply.h"

struct learning;

/* Reads the four files and the skills of the tree. A file that can't be read as text is set aside (statefile.h), and
 * the agent goes on with its readable part; problems has all present faults, a line each. A file that can neither be
 * read nor set aside isn't written to. */
struct learning *learning_open(int tree, struct buffer *problems);
void learning_close(struct learning *learning);
/* Read files again that have changed on disk (stamps), and report all faults again. */
void learning_refresh(struct learning *learning, struct buffer *problems);
/* learning_refresh for a prompt, which may be a moment behind (statefile_glance): no write follows. */
void learning_glance(struct learning *learning, struct buffer *problems);

/* statefile_text of one of the four files; NULL for another path, too. Borrowed until the next call. */
const char *learning_text(const struct learning *learning, const char *path, const struct file_stamp *stamp,
                          size_t *length, bool *sure);

/* A finished task. now: epoch seconds. audit_score: AUDIT_NONE when there is none. */
enum {
    AUDIT_NONE = 2,    /* there is none */
    AUDIT_PENDING = 3, /* the score is to come: learning_audited */
};
struct outcome {
    const char *task_id;
    const struct reply *reply;
    int64_t now;
    uint64_t tokens;
    double decay_halflife_days;
    int audit_score;
};

/* Apply it in memory and list the files that change (paths and texts owned by the list, freed by change_list_free).
 * note gets the lines for the commit's body: "skill earned: x", "skill strengthened: x (3)", "skill pruned: y (score
 * 0.42, …)", "goal added: …"; one a line. Call learning_kept after the commit succeeded, or learning_refresh(…) +
 * learning_forget to go back. */
void learning_apply(struct learning *learning, const struct outcome *outcome, struct change_list *changes,
                    struct buffer *note);
/* --- audits, which come when their task has long been committed --- */

/* The oldest entry of rewards.md that waits for its audit. */
struct audit_wanted {
    char *task_id, *skill; /* owned; skill NULL: the task claimed none */
    int reward;
};
bool learning_audit_wanted(const struct learning *learning, struct audit_wanted *wanted);
void audit_wanted_free(struct audit_wanted *wanted);

struct audit_result {
    const char *task_id;
    int score;           /* -1, 0, 1 or AUDIT_NONE */
    const char *reasons; /* one line, or the reason why there is no score; NULL: none */
    int64_t now;
    double decay_halflife_days;
    const struct displaced
        *displaced; /* the skill of learning_displaced, from the history; NULL: the history doesn't have it */
};
/* The skill that made room for the one that this task earned, as long as the task waits for its audit. NULL: none did.
 * Caller frees. */
char *learning_displaced(const struct learning *learning, const char *task_id);
/* Takes the result of an audit into memory; the next learning_apply or learning_propose lists the files that change, as
 * above. Evidence for a skill that the audit disputes (a lower score than the agent's +1) is taken back, and when no
 * evidence is left, the skill that had made room comes back; a run of divergence adds a goal. reward: the agent's own
 * score. False: no entry waits for the result. */
bool learning_audited(struct learning *learning, const struct audit_result *result, int *reward,
                      struct buffer *note);
void learning_propose(struct learning *learning, struct change_list *changes);
/* The number of times that a file was read anew: changes that were only in memory are lost by such a read. */
uint64_t learning_readings(const struct learning *learning);

/* Only a reflection (an expired task, a poison task). */
void learning_reflect(struct learning *learning, const char *task_id, const char *text, int64_t now,
                      struct change_list *changes);
/* The learned files get these texts again (NULL: there was no such file); lists the files that change thereby, as
 * learning_apply does. Returns the path of a file that can now be neither read nor set aside, and so not be written
 * either; NULL: all is well. Call learning_forget after it in any case. */
const char *learning_restore(struct learning *learning, const char *skills, const char *goals,
                             const char *reflections, struct change_list *changes);
void learning_kept(struct learning *learning); /* the changes are committed and in the work tree */
/* the changes are not committed: read the files again at the next refresh */
void learning_forget(struct learning *learning);

int learning_negative_streak(const struct learning *learning);
size_t learning_skill_count(const struct learning *learning);
/* A skill's name by index, in the file's order; borrowed. */
const char *learning_skill_name(const struct learning *learning, size_t index);

/* Bytes for the skills, and how many of the prompt stand ahead of them and behind them. */
struct skills_place {
    size_t room, ahead, behind;
};
/* The texts for the prompt, appended. Skills: every summary, and the bodies nearest to the task while they fit in the room
 * (word overlap weighted by rarity), behind all that the last prompts said, then how much evidence each has. */
void learning_prompt_skills(const struct learning *learning, const char *task,
                            const struct skills_place *place, struct buffer *out);
void learning_prompt_rewards(const struct learning *learning, size_t budget, struct buffer *out);
void learning_prompt_goals(const struct learning *learning, struct buffer *out);
void learning_prompt_reflections(const struct learning *learning, size_t budget, struct buffer *out);
