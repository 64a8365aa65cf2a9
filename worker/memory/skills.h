/* skills.md and skills/NAME/SKILL.md (contract section 8): the agent's skills, with their evidence. skills.md is the
 * list; a skill's text lies in the agentskills.io format in its own folder. People may edit both. A missing field
 * counts so: no reward_evidence as 1 (a person put the skill there), no last_success as `created`, and without either
 * the skill gets `created` with the next change. A date in the future counts as now. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/format/entries.h"
#include "worker/memory/relevance.h"

extern const char skills_preamble[]; /* the file as it begins */

enum {
    SKILL_BODY_MAX = 64 * 1024,   /* bytes of a body that we write; half as much again is read */
    SKILL_DESCRIPTION_MAX = 1024, /* agentskills.io */
    SKILL_BODIES_MAX = 3,         /* bodies in one prompt: more is noise that every task pays for */
};

struct skill {
    char *path; /* of the text; NULL: neither the heading nor the file field gives a path below skills/ */
    struct file_stamp stamp;
    bool fresh;                  /* read so soon after a change that the stamp may hide a later one */
    char *body;                  /* without front matter; NULL: there is none */
    uint64_t says;               /* the body's hash; 0: there is none */
    bool coming;                 /* the text lies in a commit that is still to be made */
    const char *trouble;         /* NULL: none; static */
    struct word_set head, words; /* of name and description; of the body */
};

/* A line or a text about a skill, which stays where it stands from prompt to prompt (skills_prompt.c). */
struct shown {
    char *name; /* owned */
    bool text;
    bool over;          /* a line whose skill was forgotten, which a later line says */
    uint64_t says;      /* a hash of the description or of the text; 0: that the skill was forgotten */
    size_t end, wanted; /* the offset behind it; which prompt needed the text last */
};

struct skills {
    struct entries entries;
    struct skill *beside; /* one for each entry, same order */
    struct file_stamp folder;
    bool folder_fresh;
    size_t turn;        /* which text is looked at next */
    bool unsettled;     /* read anew: a line may lack its date */
    struct buffer news; /* lines for the next commit about skills that people added */
    /* the text about skills that every prompt begins with, until it is made anew */
    struct buffer stays;
    struct shown *shown;         /* the pieces of that text, in this order; owned */
    size_t shown_count, prompts; /* prompts since it was made anew */
    bool lacks;                  /* the text nearest to the last task had no room */
};

void skills_parse(struct skills *skills, const char *text, size_t length);
void skills_free(struct skills *skills);

/* Read the texts that are new, look at a few of the others in turn (a stat for each of 20 in every cycle would cost
 * more than all the rest; skills_prompt looks at the texts that it shows, so only the words by which a text is found
 * may be a few cycles old), and take up skills that people put into skills/ without a line in skills.md: skills whose
 * SKILL.md is younger than skills.md (a person took an older one out of the list), and all of them while the list is
 * empty. list: the stamp of skills.md. */
void skills_look(struct skills *skills, int tree, const struct file_stamp *list);
void skills_report(const struct skills *skills, int64_t now, struct buffer *problems);

/* With d days since the last success and h the half-life: evidence × 2^(−d/h) while d ≤ h, and 2^(−d/h) once d > h. */
struct skill_standing {
    double evidence, days, score;
};
struct skill_standing skills_standing(const struct entry *entry, int64_t now, double halflife_days);

struct skill_success {
    const char *name, *description, *body; /* description and body may be NULL */
    int64_t now;
    double halflife_days;
    bool disputed; /* by the audit: the success is no evidence */
};
struct change_list;
/* A success that names a skill: a known skill gets stronger, a new one is added, and the lowest score makes room where
 * there are 20. The text of a known skill stays; faults gets a sentence when another text was not used. The new skill
 * never makes room for itself, unless the audit disputes it: then it isn't worth another's place. Returns the skill
 * that made room for a new one (caller frees); NULL: none had to. */
char *skills_succeed(struct skills *skills, int tree, const struct skill_success *success,
                     struct change_list *changes, struct buffer *note, struct buffer *faults);
/* The skill's last_success as it stands; "none": the skill has had none, or isn't known. Caller frees. */
char *skills_last_success(struct skills *skills, const char *name);
/* The audit disputes the success of `at`: one evidence less, and the last success is `before` again, unless another
 * success has come since. No change, if the skill doesn't know of that success any more (a rollback). */
enum skill_left {
    SKILL_GONE,      /* there is no such skill any more */
    SKILL_UNTOUCHED, /* the skill doesn't know of that success */
    SKILL_WEAKENED,
    SKILL_UNPROVEN /* weakened, and no evidence is left */
};
enum skill_left skills_take_back(struct skills *skills, const char *name, const char *at, const char *before,
                                 struct buffer *note);
/* A skill that made room for `instead`, whose success is disputed, has its line again (past), and the lowest score
 * makes room where there are 20. The skill's texts are the caller's to write. False: the skill is there already, or has
 * the lowest score itself. */
bool skills_bring_back(struct skills *skills, int tree, const struct entry *past, const char *instead,
                       int64_t now, double halflife_days, struct change_list *changes, struct buffer *note);
void skills_arrived(struct skills *skills); /* the commit with their texts is made */
/* People may have added more than 20: the lowest scores go. Also gives `created` to those without any date. */
void skills_settle(struct skills *skills, int tree, int64_t now, double halflife_days,
                   struct change_list *changes, struct buffer *note);

void skill_look_again(struct skill *skill, int tree);          /* its text, where the file has changed */
uint64_t skills_hash(const char *text, size_t length);         /* of a description or a text */
void skills_shown_forget(struct skills *skills, size_t first); /* that piece and all behind it */

struct skills_place;
/* skills_prompt.c. All summaries, and the texts of the skills nearest to the task, behind the last prompt's text. */
void skills_prompt(struct skills *skills, int tree, const char *task, const struct skills_place *place,
                   struct buffer *out);
/* skills_kept.c: the text that stays, from a worker to the next; into skills that have none yet. */
void skills_shown_load(struct skills *skills, int tree);
void skills_shown_save(const struct skills *skills, int tree);
