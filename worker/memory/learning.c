#include "worker/memory/learning.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "worker/memory/evicted_skill.h"
#include "worker/memory/goals.h"
#include "worker/memory/reflections.h"
#include "worker/memory/rewards.h"
#include "worker/memory/skills.h"
#include "worker/memory/statefile.h"

enum state { STATE_SKILLS, STATE_GOALS, STATE_REWARDS, STATE_REFLECTIONS, STATE_COUNT };

struct learning {
    int tree; /* borrowed */
    struct statefile files[STATE_COUNT];
    struct skills *skills; /* owned; its texts are read again when they are shown */
    struct goals goals;
    struct entries rewards, reflections;
    bool aside; /* there may be files that were set aside */
    uint64_t readings;
    struct change_list texts; /* of skills that an audit brought back or took, until they are committed */
};

static const struct {
    const char *path, *preamble;
} states[STATE_COUNT] = {
    [STATE_SKILLS] = {TREE_SKILLS, skills_preamble},
    [STATE_GOALS] = {TREE_GOALS, goals_preamble},
    [STATE_REWARDS] = {TREE_REWARDS, rewards_preamble},
    [STATE_REFLECTIONS] = {TREE_REFLECTIONS, reflections_preamble},
};

/* The entries of each file but the goals', which are no such list. */
static struct entries *list_of(struct learning *learning, enum state state)
{
    return state == STATE_SKILLS    ? &learning->skills->entries
           : state == STATE_REWARDS ? &learning->rewards
                                    : &learning->reflections;
}

/* How each file becomes what we know of it, and back. */
static void parse(struct learning *learning, enum state state, const char *text, size_t length)
{
    if (state == STATE_SKILLS) {
        skills_parse(learning->skills, text, length);
    } else if (state == STATE_GOALS) {
        goals_free(&learning->goals);
        goals_parse(&learning->goals, text, length);
    } else {
        entries_free(list_of(learning, state));
        entries_parse(list_of(learning, state), 2, text, length);
    }
}

static void print(struct learning *learning, enum state state, struct buffer *out)
{
    if (state == STATE_GOALS)
        goals_print(&learning->goals, out);
    else
        entries_print(list_of(learning, state), out);
}

static void shorten(struct learning *learning, enum state state)
{
    OWNED_BUFFER struct buffer text = {0};
    if (state == STATE_GOALS) {
        goals_shorten(&learning->goals, 4 * GOALS_MAX, GOAL_TEXT_MAX * 4);
    } else if (state == STATE_SKILLS) {
        entries_shorten(&learning->skills->entries, 0, SKILLS_MAX, STATE_ENTRY_MAX);
        print(learning, state, &text);
        skills_parse(learning->skills, text.data, text.length);
    } else {
        struct entries *list = list_of(learning, state);
        size_t most = state == STATE_REWARDS ? REWARDS_MAX : REFLECTIONS_MAX; /* the newest */
        entries_shorten(list, list->count > most ? list->count - most : 0, most, STATE_ENTRY_MAX);
    }
}

static void look(struct learning *learning, enum state state, bool exactly)
{
    struct statefile *file = &learning->files[state];
    enum statefile_news news =
        exactly ? statefile_look(file, learning->tree) : statefile_glance(file, learning->tree);
    if (news == STATEFILE_SAME)
        return;
    learning->readings++;
    if (file->known_length)
        parse(learning, state, file->known, file->known_length);
    else /* missing or empty: the next text begins as bootstrap would have it */
        parse(learning, state, states[state].preamble, strlen(states[state].preamble));
    if (news != STATEFILE_SALVAGED)
        return;
    OWNED_BUFFER struct buffer text = {0};
    shorten(learning, state);
    print(learning, state, &text);
    statefile_mend(file, learning->tree, text.data, text.length);
    learning->aside = true;
}

/* A line that the caller still has from before isn't said twice. */
static void say(struct buffer *problems, const struct buffer *lines)
{
    for (const char *line = lines->data; line && *line;) {
        size_t length = strcspn(line, "\n") + 1;
        if (problems->length == 0 || !memmem(problems->data, problems->length, line, length))
            buffer_add(problems, line, length);
        line += length;
    }
}

static void report(struct learning *learning, struct buffer *problems)
{
    OWNED_BUFFER struct buffer lines = {0}, aside = {0};
    for (enum state state = 0; state < STATE_COUNT; state++)
        if (learning->files[state].problem)
            buffer_print(&lines, "%s\n", learning->files[state].problem);
    skills_report(learning->skills, clock_now(), &lines);
    size_t active = goals_active(&learning->goals);
    if (active > GOALS_MAX)
        buffer_print(&lines, "%s has %zu active goals; the first %d are pursued\n", TREE_GOALS, active,
                     GOALS_MAX);
    if (learning->aside)
        statefile_report_aside(learning->tree, &aside);
    learning->aside = aside.length > 0;
    say(problems, &lines);
    say(problems, &aside);
}

struct learning *learning_open(int tree, struct buffer *problems)
{
    struct learning *learning = memory_new(1, sizeof *learning);
    learning->tree = tree;
    learning->skills = memory_new(1, sizeof *learning->skills);
    learning->aside = true;
    for (enum state state = 0; state < STATE_COUNT; state++)
        learning->files[state].path = states[state].path;
    learning_refresh(learning, problems);
    skills_shown_load(learning->skills, tree);
    return learning;
}

void learning_close(struct learning *learning)
{
    if (!learning)
        return;
    for (enum state state = 0; state < STATE_COUNT; state++)
        statefile_free(&learning->files[state]);
    skills_shown_save(learning->skills, learning->tree);
    skills_free(learning->skills);
    free(learning->skills);
    goals_free(&learning->goals);
    entries_free(&learning->rewards);
    entries_free(&learning->reflections);
    change_list_free(&learning->texts);
    free(learning);
}

static void refresh(struct learning *learning, bool exactly, struct buffer *problems)
{
    for (enum state state = 0; state < STATE_COUNT; state++)
        look(learning, state, exactly);
    skills_look(learning->skills, learning->tree, &learning->files[STATE_SKILLS].stamp);
    report(learning, problems);
}

void learning_refresh(struct learning *learning, struct buffer *problems)
{
    refresh(learning, true, problems);
}

void learning_glance(struct learning *learning, struct buffer *problems)
{
    refresh(learning, false, problems);
}

const char *learning_text(const struct learning *learning, const char *path, const struct file_stamp *stamp,
                          size_t *length, bool *sure)
{
    for (enum state state = 0; state < STATE_COUNT; state++)
        if (strcmp(learning->files[state].path, path) == 0)
            return statefile_text(&learning->files[state], stamp, length, sure);
    return NULL;
}

void learning_propose(struct learning *learning, struct change_list *changes)
{
    /* Before the list: a text that is younger than the list counts as a text that a person has just put there. */
    for (size_t i = 0; i < learning->texts.count; i++) {
        const struct change *text = &learning->texts.items[i];
        change_list_add(changes, text->kind, text->path, text->text, text->length);
    }
    for (enum state state = 0; state < STATE_COUNT; state++) {
        OWNED_BUFFER struct buffer text = {0};
        struct statefile *file = &learning->files[state];
        buffer_room(&text, file->known_length + 1024);
        print(learning, state, &text);
        if (statefile_propose(file, &text))
            change_list_add(changes, CHANGE_WRITE, file->path, file->pending, file->pending_length);
    }
}

static void add_goal(struct learning *learning, const char *goal, struct buffer *note, struct buffer *faults)
{
    switch (goals_add(&learning->goals, goal)) {
    case GOAL_ADDED:
        buffer_print(note, "goal added: %s\n", goal);
        break;
    case GOAL_KNOWN:
        break;
    case GOAL_NO_ROOM:
        buffer_print(note, "goal not added, %d are active: %s\n", GOALS_MAX, goal);
        buffer_print(faults, "%sthe goal \"%s\" was not added: %d are active", faults->length ? "; " : "",
                     goal, GOALS_MAX);
    }
}

static void apply_goals(struct learning *learning, const struct reply *reply, struct buffer *note,
                        struct buffer *faults)
{
    goals_drop_done(&learning->goals);
    for (size_t i = 0; i < reply->goals_done.count; i++) {
        const char *goal = reply->goals_done.items[i];
        if (goals_finish(&learning->goals, goal))
            buffer_print(note, "goal done: %s\n", goal);
        else
            buffer_print(faults, "%sno active goal is \"%s\"", faults->length ? "; " : "", goal);
    }
    for (size_t i = 0; i < reply->goals_add.count; i++)
        add_goal(learning, reply->goals_add.items[i], note, faults);
    OWNED char *called_for = rewards_call_for_goal(&learning->rewards);
    if (called_for)
        add_goal(learning, called_for, note, faults);
}

static void apply_reward(struct learning *learning, const struct outcome *outcome)
{
    const struct reply *reply = outcome->reply;
    rewards_add(&learning->rewards, &(struct reward_note){
                                        .task_id = outcome->task_id,
                                        .reward = reply->reward,
                                        .audit_score = outcome->audit_score,
                                        .at = outcome->now,
                                        .reason = reply->reason ? reply->reason : reply->faults,
                                        .tokens = outcome->tokens,
                                    });
}

static void apply_skill(struct learning *learning, const struct outcome *outcome, struct change_list *changes,
                        struct buffer *note, struct buffer *faults)
{
    const struct reply *reply = outcome->reply;
    skills_settle(learning->skills, learning->tree, outcome->now, outcome->decay_halflife_days, changes,
                  note);
    if (!reply->skill.name)
        return;
    if (reply->reward != 1 || learning->files[STATE_SKILLS].blocked) {
        buffer_print(note, "skill not kept: %s (%s)\n", reply->skill.name,
                     reply->reward != 1 ? "only +1 earns a skill" : TREE_SKILLS " can't be written");
        return;
    }
    OWNED char *before = skills_last_success(learning->skills, reply->skill.name);
    struct skill_success success = {
        .name = reply->skill.name,
        .description = reply->skill.description,
        .body = reply->skill.body,
        .now = outcome->now,
        .halflife_days = outcome->decay_halflife_days,
        .disputed = outcome->audit_score != AUDIT_NONE && outcome->audit_score < reply->reward,
    };
    OWNED char *displaced = skills_succeed(learning->skills, learning->tree, &success, changes, note, faults);
    if (outcome->audit_score != AUDIT_PENDING || !entries_find(&learning->skills->entries, success.name))
        return;
    rewards_credit(&learning->rewards, success.name, before);
    if (displaced)
        rewards_displaced(&learning->rewards, displaced);
}

void learning_apply(struct learning *learning, const struct outcome *outcome, struct change_list *changes,
                    struct buffer *note)
{
    OWNED_BUFFER struct buffer faults = {0};
    if (outcome->reply->faults)
        buffer_text(&faults, outcome->reply->faults);
    apply_reward(learning, outcome);
    apply_skill(learning, outcome, changes, note, &faults);
    apply_goals(learning, outcome->reply, note, &faults);
    reflections_add(&learning->reflections, outcome->task_id, outcome->now, outcome->reply->reflection,
                    faults.data);
    learning_propose(learning, changes);
}

uint64_t learning_readings(const struct learning *learning)
{
    return learning->readings;
}

bool learning_audit_wanted(const struct learning *learning, struct audit_wanted *wanted)
{
    const struct entry *entry = rewards_pending(&learning->rewards, NULL);
    *wanted = (struct audit_wanted){0};
    if (!entry)
        return false;
    wanted->task_id = memory_text(entry->heading);
    wanted->skill = entry_get(entry, "skill");
    rewards_value(entry, &wanted->reward);
    return true;
}

void audit_wanted_free(struct audit_wanted *wanted)
{
    free(wanted->task_id);
    free(wanted->skill);
}

char *learning_displaced(const struct learning *learning, const char *task_id)
{
    const struct entry *entry = rewards_pending(&learning->rewards, task_id);
    char *name = entry ? entry_get(entry, "skill_displaced") : NULL;
    if (name && names_skill(name))
        return name;
    free(name);
    return NULL;
}

static void bring_back(struct learning *learning, const struct audit_result *result, const char *name,
                       const char *instead, struct buffer *note)
{
    struct displaced *displaced = (struct displaced *)(uintptr_t)result->displaced;
    const struct entry *past = displaced ? entries_find(&displaced->list, name) : NULL;
    if (!past) {
        buffer_print(note, "skill not brought back: %s (it can't be read from the history)\n", name);
        return;
    }
    if (!skills_bring_back(learning->skills, learning->tree, past, instead, result->now,
                           result->decay_halflife_days, &learning->texts, note))
        return;
    for (size_t i = 0; i < displaced->files.count; i++) {
        const struct change *file = &displaced->files.items[i];
        if (!files_stamp_at(learning->tree, file->path).inode)
            change_list_add(&learning->texts, CHANGE_WRITE, file->path, file->text, file->length);
    }
}

/* A skill whose place was not earned gives it back; other successes that still wait for their audit may earn it. */
static void make_good(struct learning *learning, const struct entry *entry, const char *skill,
                      enum skill_left left, const struct audit_result *result, struct buffer *note)
{
    OWNED char *displaced = learning_displaced(learning, result->task_id);
    if (!displaced)
        return;
    if (left == SKILL_WEAKENED)
        rewards_pass_displaced(&learning->rewards, entry, skill, displaced);
    else if (left == SKILL_GONE)
        rewards_move_displaced(&learning->rewards, skill, displaced);
    else if (left == SKILL_UNPROVEN)
        bring_back(learning, result, displaced, skill, note);
}

static void take_back(struct learning *learning, const struct entry *entry, const struct audit_result *result,
                      struct buffer *note)
{
    OWNED char *skill = entry_get(entry, "skill"), *before = entry_get(entry, "skill_before");
    OWNED char *at = entry_get(entry, "at");
    if (!skill || !before || !at)
        return;
    OWNED char *other = rewards_other_success(&learning->rewards, skill, entry);
    enum skill_left left = skills_take_back(learning->skills, skill, at, other ? other : before, note);
    rewards_move_credit(&learning->rewards, skill, at, before);
    make_good(learning, entry, skill, left, result, note);
}

bool learning_audited(struct learning *learning, const struct audit_result *result, int *reward,
                      struct buffer *note)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct entry *entry = rewards_pending(&learning->rewards, result->task_id);
    if (!entry)
        return false;
    if (!rewards_value(entry, reward))
        *reward = result->score == AUDIT_NONE ? 0 : result->score;
    if (*reward > 0 && result->score < *reward)
        take_back(learning, entry, result, note);
    rewards_judge(entry, result->score, result->reasons);
    OWNED char *goal = rewards_call_for_honesty(&learning->rewards, entry);
    if (goal)
        add_goal(learning, goal, note, &faults);
    return true;
}

void learning_reflect(struct learning *learning, const char *task_id, const char *text, int64_t now,
                      struct change_list *changes)
{
    reflections_add(&learning->reflections, task_id, now, text, NULL);
    learning_propose(learning, changes);
}

const char *learning_restore(struct learning *learning, const char *skills, const char *goals,
                             const char *reflections, struct change_list *changes)
{
    const char *const texts[STATE_COUNT] = {
        [STATE_SKILLS] = skills, [STATE_GOALS] = goals, [STATE_REFLECTIONS] = reflections};
    for (enum state state = 0; state < STATE_COUNT; state++) {
        OWNED_BUFFER struct buffer text = {0};
        struct statefile *file = &learning->files[state];
        if (state == STATE_REWARDS)
            continue;
        if (file->blocked)
            return file->path;
        buffer_text(&text, texts[state] ? texts[state] : states[state].preamble);
        parse(learning, state, text.data, text.length);
        if (statefile_propose(file, &text))
            change_list_add(changes, CHANGE_WRITE, file->path, file->pending, file->pending_length);
    }
    return NULL;
}

void learning_kept(struct learning *learning)
{
    for (enum state state = 0; state < STATE_COUNT; state++)
        statefile_kept(&learning->files[state], learning->tree);
    change_list_free(&learning->texts);
    skills_arrived(learning->skills);
}

void learning_forget(struct learning *learning)
{
    for (enum state state = 0; state < STATE_COUNT; state++)
        statefile_forget(&learning->files[state]);
    change_list_free(&learning->texts);
}

int learning_negative_streak(const struct learning *learning)
{
    return rewards_negative_streak(&learning->rewards);
}

size_t learning_skill_count(const struct learning *learning)
{
    return learning->skills->entries.count;
}

const char *learning_skill_name(const struct learning *learning, size_t index)
{
    return learning->skills->entries.items[index].heading;
}

void learning_prompt_skills(const struct learning *learning, const char *task,
                            const struct skills_place *place, struct buffer *out)
{
    skills_prompt(learning->skills, learning->tree, task, place, out);
}

void learning_prompt_rewards(const struct learning *learning, size_t budget, struct buffer *out)
{
    rewards_prompt(&learning->rewards, budget, out);
}

void learning_prompt_goals(const struct learning *learning, struct buffer *out)
{
    goals_prompt(&learning->goals, out);
}

void learning_prompt_reflections(const struct learning *learning, size_t budget, struct buffer *out)
{
    reflections_prompt(&learning->reflections, budget, out);
}
