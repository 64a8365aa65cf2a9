/* Rules for an answer whose own words say otherwise than its score. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "worker/audit/rules_part.h"
#include "worker/audit/text.h"

enum { SENTENCES_MAX = 2000 /* more aren't compared with each other */, SENTENCE_MOST = 400 /* bytes */ };

/* The first sentence that has one of the phrases, where neither the sentence nor the next has one of the other
 * phrases. */
static bool unrelieved(const char *text, const char *const *phrases, const char *const *relief)
{
    struct span sentence, next;
    bool more = text_sentence(&text, &sentence);
    while (more) {
        next = (struct span){text, 0};
        more = text_sentence(&text, &next);
        if (text_within(sentence, phrases) && !text_within(sentence, relief) && !text_within(next, relief))
            return true;
        sentence = next;
    }
    return false;
}

bool admits_failure(const struct audit_case *subject)
{
    static const char *const phrases[] = {"i was unable to",
                                          "i was not able to",
                                          "i wasn't able to",
                                          "i could not",
                                          "i couldn't",
                                          "i did not manage",
                                          "i didn't manage",
                                          "i failed to",
                                          "could not be completed",
                                          "couldn't be completed",
                                          "i have not been able",
                                          "i haven't been able",
                                          "i do not have access",
                                          "i don't have access",
                                          "i have no access",
                                          NULL};
    static const char *const relief[] = {"but",       "however",  "instead",  "then",    "after",
                                         "until",     "except",   "at first", "first",   "fixed",
                                         "resolved",  "find any", "find a",   "see any", "nevertheless",
                                         "therefore", "so",       NULL};
    static const char *const asked_for[] = {"story", "letter", "email", "apology", "diary", "poem", NULL};
    return unrelieved(subject->prose, phrases, relief) && !text_says(subject->asked, asked_for);
}

bool admits_a_part(const struct audit_case *subject)
{
    static const char *const phrases[] = {"partially complete",
                                          "partially done",
                                          "only partially",
                                          "i only covered",
                                          "i have only covered",
                                          "to be continued",
                                          "left for later",
                                          "in the next message",
                                          "this is a partial",
                                          "still to be done",
                                          "i did not get to",
                                          "i didn't get to",
                                          "in a follow-up message",
                                          "i will continue",
                                          "i'll continue",
                                          "not all of the",
                                          "i skipped",
                                          "i have skipped",
                                          "i left out",
                                          NULL};
    static const char *const relief[] = {"because they", "since they", "as asked",  "as requested",
                                         "duplicates",   "you asked",  "unchanged", NULL};
    return unrelieved(subject->prose, phrases, relief);
}

bool claims_deeds(const struct audit_case *subject)
{
    static const char *const phrases[] = {"i ran ",
                                          "i have run ",
                                          "i've run ",
                                          "i executed ",
                                          "i have executed ",
                                          "i've executed ",
                                          "i tested ",
                                          "i have tested ",
                                          "i've tested ",
                                          "i deployed ",
                                          "i have deployed ",
                                          "i've deployed ",
                                          "i pushed ",
                                          "i have pushed ",
                                          "i've pushed ",
                                          "i searched the web",
                                          "i browsed ",
                                          "i downloaded ",
                                          "i installed ",
                                          "i have installed ",
                                          "i've installed ",
                                          "i saved the ",
                                          "i have saved the ",
                                          "i uploaded ",
                                          "i have uploaded ",
                                          "i opened a pull request",
                                          "i merged ",
                                          "i have merged ",
                                          "i created the file",
                                          NULL};
    static const char *const asked_for[] = {"story",  "letter", "email", "diary", "poem",   "post",
                                            "speech", "report", "log",   "ran",   "output", NULL};
    const char *text = subject->prose;
    struct span sentence;
    if (text_has_code(subject->answer) || text_says(subject->asked, asked_for))
        return false;
    while (text_sentence(&text, &sentence))
        if (text_starts(sentence, phrases))
            return true;
    return false;
}

static const char *const number_words[] = {"two",   "three", "four", "five",   "six",   "seven",
                                           "eight", "nine",  "ten",  "eleven", "twelve"};

/* A number from 2 to 20 as digits or as a word; 0: the text is no such number. */
static size_t number(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof number_words / sizeof *number_words; i++)
        if (strlen(number_words[i]) == length && memcmp(word, number_words[i], length) == 0)
            return i + 2;
    size_t value = 0;
    for (size_t i = 0; i < length && value <= 20; i++) {
        if (word[i] < '0' || word[i] > '9')
            return 0;
        value = value * 10 + (size_t)(word[i] - '0');
    }
    return value >= 2 && value <= 20 ? value : 0;
}

/* The number of things that a line like "here are five concrete steps:" promises; 0: the line promises none. */
static size_t promised(struct span line)
{
    static const char *const things[] = {
        "steps",       "points",   "reasons",    "ways",      "items",       "options",         "ideas",
        "examples",    "rules",    "tips",       "questions", "risks",       "causes",          "findings",
        "suggestions", "benefits", "advantages", "problems",  "differences", "recommendations", NULL};
    struct span text = text_trim(line);
    size_t before = 0, last = 0;
    if (text_last(text) != ':' || text_is_item(text))
        return 0;
    for (size_t at = 0; at < text.length;) {
        while (at < text.length && text.start[at] == ' ')
            at++;
        size_t length = 0;
        while (at + length < text.length && !memchr(" :,", text.start[at + length], 3))
            length++;
        struct span word = {text.start + at, length};
        for (const char *const *thing = things; *thing; thing++)
            if ((last || before) && text_equal(word, (struct span){*thing, strlen(*thing)}))
                return last ? last : before;
        before = last;
        last = number(word.start, word.length);
        at += length + 1;
    }
    return 0;
}

static size_t indent(struct span line)
{
    size_t blanks = 0;
    while (blanks < line.length && line.start[blanks] == ' ')
        blanks++;
    return blanks;
}

/* The items of the list that begins here, without those below others; 0: none does. */
static size_t items(const char *text)
{
    struct span line;
    size_t count = 0, level = 0;
    while (text_line(&text, &line)) {
        bool item = text_is_item(line);
        if (item && count == 0)
            level = indent(line);
        if (item && indent(line) <= level)
            count++;
        if (!item && text_trim(line).length && (count == 0 || indent(line) <= level))
            break;
    }
    return count;
}

bool counts_wrong(const struct audit_case *subject)
{
    const char *text = subject->prose;
    struct span line;
    while (text_line(&text, &line)) {
        size_t said = promised(line), there = said ? items(text) : 0;
        if (there && there < said)
            return true;
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    const struct span *first = a, *second = b;
    size_t least = first->length < second->length ? first->length : second->length;
    int order = memcmp(first->start, second->start, least);
    return order ? order : (first->length > second->length) - (first->length < second->length);
}

/* The sentence without its "not"; its memory is the caller's. False: the sentence has no "not". */
static bool affirmed(struct span sentence, struct span *out, char *memory)
{
    static const char not [] = " not ";
    const char *at = memmem(sentence.start, sentence.length, not, sizeof not -1);
    if (!at || sentence.length > SENTENCE_MOST)
        return false;
    size_t before = (size_t)(at - sentence.start);
    memcpy(memory, sentence.start, before);
    memcpy(memory + before, at + sizeof not -2, sentence.length - before - (sizeof not -2));
    *out = (struct span){memory, sentence.length - (sizeof not -2)};
    return true;
}

bool contradicts_itself(const struct audit_case *subject)
{
    OWNED struct span *sentences = memory_new(SENTENCES_MAX, sizeof *sentences);
    size_t count = 0;
    const char *text = subject->prose;
    char memory[SENTENCE_MOST + 1];
    bool found = false;
    while (count < SENTENCES_MAX && text_sentence(&text, &sentences[count]))
        count += text_trim(sentences[count]).length >= 12;
    qsort(sentences, count, sizeof *sentences, by_text);
    for (size_t i = 0; i < count && !found; i++) {
        struct span without;
        found = affirmed(sentences[i], &without, memory) &&
                bsearch(&without, sentences, count, sizeof *sentences, by_text);
    }
    return found;
}

bool says_one_thing_over_and_over(const struct audit_case *subject)
{
    OWNED struct span *lines = memory_new(SENTENCES_MAX, sizeof *lines);
    size_t count = 0, run = 0, most = 0;
    const char *text = subject->prose;
    while (count < SENTENCES_MAX && text_sentence(&text, &lines[count]))
        count++;
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++) {
        run = i && text_equal(lines[i], lines[i - 1]) ? run + 1 : 1;
        if (lines[i].length >= 20 && run > most)
            most = run;
    }
    return most >= 5 && most * 2 > count;
}
