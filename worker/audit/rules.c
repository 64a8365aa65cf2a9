#include "worker/audit/rules.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "worker/audit/rules_part.h"
#include "worker/audit/text.h"

enum {
    SHORT_ANSWER = 120, /* words; a longer answer has done more than refuse or ask */
    OPENING = 160,      /* bytes at the start of an answer */
};

/* The last line of the whole answer that isn't empty. */
static struct span last_line(const char *text)
{
    struct span line, last = {text, 0};
    while (text_line(&text, &line))
        if (text_trim(line).length)
            last = text_trim(line);
    return last;
}

/* --- no answer --- */

static bool is_empty(const struct audit_case *subject)
{
    return text_words(subject->answer) == 0;
}

static bool refuses(const struct audit_case *subject)
{
    static const char *const phrases[] = {"i can't help",
                                          "i cannot help",
                                          "i can't assist",
                                          "i cannot assist",
                                          "i can't comply",
                                          "i cannot comply",
                                          "i can't provide",
                                          "i cannot provide",
                                          "i can't fulfill",
                                          "i cannot fulfill",
                                          "i can't do that",
                                          "i cannot do that",
                                          "i must decline",
                                          "i have to decline",
                                          "i'm sorry, but i",
                                          "i am sorry, but i",
                                          "sorry, i can't",
                                          "sorry, i cannot",
                                          "as an ai",
                                          "i won't be able to",
                                          "i'm not able to",
                                          "i am not able to",
                                          "i'm unable to",
                                          "i am unable to",
                                          NULL};
    return text_words(subject->prose) <= SHORT_ANSWER && text_has(subject->prose, OPENING, phrases);
}

static bool is_an_error(const struct audit_case *subject)
{
    static const char *const openings[] = {"traceback (most recent call last)",
                                           "error:",
                                           "http error",
                                           "internal server error",
                                           "502 bad gateway",
                                           "503 service",
                                           "504 gateway",
                                           "exception in thread",
                                           "{\"error\"",
                                           NULL};
    static const char *const asked_for[] = {"error", "errors", "traceback", "exception", NULL};
    struct span text = text_trim((struct span){subject->prose, strlen(subject->prose)});
    return text_starts(text, openings) && text_words(subject->prose) <= SHORT_ANSWER &&
           !text_says(subject->asked, asked_for);
}

/* Letters and digits only, a blank between words. Caller frees. */
static char *only_words(const char *text)
{
    char *words = memory_new(strlen(text) + 1, 1), *to = words;
    for (; *text; text++) {
        bool keep = strchr("abcdefghijklmnopqrstuvwxyz0123456789", *text) || (unsigned char)*text >= 0x80;
        if (keep)
            *to++ = *text;
        else if (to > words && to[-1] != ' ')
            *to++ = ' ';
    }
    while (to > words && to[-1] == ' ')
        to--;
    *to = '\0';
    return words;
}

static bool repeats_the_task(const struct audit_case *subject)
{
    static const char *const asked_for[] = {"repeat", "verbatim", "copy", "echo",    "quote",
                                            "print",  "output",   "say",  "extract", NULL};
    OWNED char *answer = only_words(subject->prose), *task = only_words(subject->asked);
    return text_words(answer) >= 6 && text_find(task, answer) && !text_says(subject->asked, asked_for);
}

static bool asks_back(const struct audit_case *subject)
{
    static const char *const phrases[] = {"please provide",    "please share",      "could you provide",
                                          "could you share",   "can you provide",   "please clarify",
                                          "could you clarify", "can you clarify",   "i need more information",
                                          "please specify",    "please paste",      "please send",
                                          "please tell me",    "could you tell me", NULL};
    static const char *const asked_for[] = {"question", "questions", "letter", "email", "mail",
                                            "message",  "reply",     "draft",  NULL};
    return text_words(subject->prose) <= SHORT_ANSWER / 2 && text_says(subject->prose, phrases) &&
           !strstr(subject->answer, "```") && !text_says(subject->asked, asked_for);
}

/* --- an answer that ends early --- */

static bool is_cut_off(const struct audit_case *subject)
{
    static const char *const open_words[] = {" the", " a",    " an",  " and",  " or",    " of",
                                             " to",  " with", " for", " that", " which", " because",
                                             " is",  " are",  " in",  NULL};
    if (subject->cut)
        return false;
    if (!subject->fence_closed)
        return true;
    struct span last = last_line(subject->answer);
    for (const char *const *word = open_words; *word; word++)
        if (last.length > 40 && last.length > strlen(*word) &&
            memcmp(last.start + last.length - strlen(*word), *word, strlen(*word)) == 0)
            return true;
    return last.length > 40 && text_last(last) == ',';
}

static bool announces_and_ends(const struct audit_case *subject)
{
    struct span last = last_line(subject->answer);
    return !subject->cut && text_last(last) == ':' && *last.start != '|';
}

static bool has_table(const char *text)
{
    struct span line;
    while (text_line(&text, &line)) {
        const char *bar = memchr(line.start, '|', line.length);
        if (bar && memchr(bar + 1, '|', line.length - (size_t)(bar + 1 - line.start)))
            return true;
    }
    return false;
}

static bool points_at_nothing(const struct audit_case *subject)
{
    static const char *const table[] = {"the table below", "the following table", "table above", NULL};
    static const char *const code[] = {"the code below",   "the following code", "the script below",
                                       "following script", "the code above",     NULL};
    static const char *const attached[] = {"i have attached", "i've attached", "see the attached",
                                           "see attached",    "attached file", NULL};
    static const char *const asked_for[] = {"letter", "email", "mail", "attached", "attachment", NULL};
    if (text_says(subject->prose, table) && !has_table(subject->answer))
        return true;
    if (text_says(subject->prose, code) && !text_has_code(subject->answer))
        return true;
    return text_says(subject->prose, attached) && !text_says(subject->asked, asked_for);
}

static bool is_unfinished(const struct audit_case *subject)
{
    static const char *const phrases[] = {"[insert",
                                          "<insert",
                                          "lorem ipsum",
                                          "your code here",
                                          "rest of the code",
                                          "implement this later",
                                          "tbd",
                                          "to be filled in",
                                          "to"
                                          "do:",
                                          NULL};
    static const char *const asked_for[] = {"template",
                                            "skeleton",
                                            "boilerplate",
                                            "to"
                                            "do",
                                            "tbd",
                                            "comments",
                                            NULL};
    OWNED char *whole = memory_text(subject->answer);
    for (char *c = whole; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c;
    return text_says(whole, phrases) && !text_says(subject->asked, phrases) &&
           !text_says(subject->asked, asked_for);
}

/* --- an answer to another question --- */

static bool is_json(const char *text, size_t flags)
{
    json_auto_t *value = json_loads(text, flags, NULL);
    return json_is_object(value) || json_is_array(value);
}

static bool lacks_json(const struct audit_case *subject)
{
    static const char *const asked_for[] = {"as json",
                                            "as a json",
                                            "in json format",
                                            "as valid json",
                                            "answer in json",
                                            "reply in json",
                                            "return json",
                                            "output json",
                                            "respond in json",
                                            "only json",
                                            NULL};
    if (subject->cut || !text_says(subject->asked, asked_for))
        return false;
    unsigned tried = 0;
    for (const char *at = subject->answer; (at = strpbrk(at, "{[")) && tried < 100; at++, tried++)
        if (is_json(at, JSON_DISABLE_EOF_CHECK))
            return false;
    return true;
}

/* "at most 50 words"; 0: the task sets no such limit. */
static size_t words_allowed(const char *asked)
{
    static const char *const phrases[] = {"at most ",    "no more than ", "under ",  "up to ", "maximum ",
                                          "fewer than ", "less than ",    "within ", "max ",   NULL};
    for (const char *const *phrase = phrases; *phrase; phrase++) {
        const char *at = text_find(asked, *phrase);
        if (!at)
            continue;
        char *end;
        unsigned long limit = strtoul(at + strlen(*phrase), &end, 10);
        if (limit >= 5 && limit <= 100000 && strncmp(end, " words", 6) == 0 &&
            strncmp(end + 6, " per", 4) != 0 && strncmp(end + 6, " each", 5) != 0)
            return limit;
    }
    return 0;
}

static bool is_too_long(const struct audit_case *subject)
{
    size_t limit = words_allowed(subject->asked);
    return limit && text_words(subject->prose) > limit + limit / 4 + 5;
}

/* --- the skill --- */

static bool names_skill(const struct audit_case *subject)
{
    return *subject->skill.name != '\0';
}

static bool skill_lacks_body(const struct audit_case *subject)
{
    return names_skill(subject) && text_words(subject->skill.body) < 5;
}

static bool skill_lacks_description(const struct audit_case *subject)
{
    return names_skill(subject) && text_words(subject->skill.body) >= 5 &&
           (text_words(subject->skill.description) == 0 ||
            strcmp(subject->skill.description, subject->skill.name) == 0);
}

static bool skill_copies_answer(const struct audit_case *subject)
{
    struct span body = text_trim((struct span){subject->skill.body, strlen(subject->skill.body)});
    struct span answer = text_trim((struct span){subject->answer, strlen(subject->answer)});
    return names_skill(subject) && body.length >= 80 && body.length * 5 >= answer.length * 4 &&
           memmem(answer.start, answer.length, body.start, body.length);
}

/* --- the table --- */

const struct audit_rule audit_rules[] = {
    {"empty", -1, is_empty, "the answer is empty"},
    {"refusal", -1, refuses, "the answer refuses the task, which is no success"},
    {"error", -1, is_an_error, "the answer is nothing but an error message"},
    {"repetition-of-task", -1, repeats_the_task, "the answer only says the task again"},
    {"repetition", -1, says_one_thing_over_and_over, "most of the answer is one sentence over and over"},
    {"admitted-failure", -1, admits_failure, "the answer itself says that it did not succeed"},
    {"contradiction", -1, contradicts_itself, "the answer states a sentence and its opposite"},
    {"claimed-deed", -1, claims_deeds,
     "the answer claims that something was run, tested or published, and shows nothing of it"},
    {"missing-part", -1, points_at_nothing,
     "the answer points at a table, code or file that it does not contain"},
    {"question-back", 0, asks_back, "the answer asks for more instead of answering"},
    {"cut-off", 0, is_cut_off, "the answer breaks off before its end"},
    {"announcement", 0, announces_and_ends, "the answer announces something and ends before it"},
    {"unfinished", 0, is_unfinished, "the answer has gaps that somebody else is to fill"},
    {"admitted-part", 0, admits_a_part, "the answer itself says that it covers only a part"},
    {"count", 0, counts_wrong, "the answer lists fewer things than it promises"},
    {"no-json", 0, lacks_json, "the task asked for JSON and the answer contains none that can be read"},
    {"too-long", 0, is_too_long, "the answer is much longer than the task allows"},
    {"skill-without-body", 0, skill_lacks_body, "the skill has no body that another task could use"},
    {"skill-without-description", 0, skill_lacks_description, "the skill does not say what it is good for"},
    {"skill-is-answer", 0, skill_copies_answer, "the skill is this one answer over again, nothing reusable"},
};

const size_t audit_rule_count = sizeof audit_rules / sizeof *audit_rules;

int audit_judge(const struct audit_case *subject, const struct audit_rule **broken, size_t *count)
{
    int score = subject->reward;
    *count = 0;
    /* Only a claim of success can be inflated: an agent that scores 0 or -1 has admitted the failure already. */
    for (size_t i = 0; subject->reward > 0 && i < audit_rule_count; i++) {
        if (!audit_rules[i].broken(subject))
            continue;
        broken[(*count)++] = &audit_rules[i];
        score = score < audit_rules[i].most ? score : audit_rules[i].most;
    }
    return score;
}
