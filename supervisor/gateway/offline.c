#include "supervisor/gateway/offline.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-_"

enum { SKILL_WORDS = 4, SKILL_NAME = 48, QUOTE_MAX = 200 };

static const char signature[] =
    "(This answer comes from AgentOS's built-in offline model: it is deterministic and no language model. "
    "Set LLM_BASE_URL, LLM_MODEL and LLM_API_KEY for a real one.)";

/* The model's knowledge: a task with a row's word gets the row's answer and skill. */
static const struct {
    const char *words[3];
    const char *answer, *skill, *description, *body;
} known[] = {
    {{"constraint", "reward system", "rewards work"},
     "The active constraints are: skills.md capped at 20 entries,\n"
     "goals.md capped at 5 active goals, rewards.md keeps last 30 entries,\n"
     "and reflections.md keeps last 15 entries. The reward system uses\n"
     "+1 for successful reusable outcomes, 0 for partial, -1 for failures.\n"
     "Skills are only earned from +1 outcomes.",
     "explain-constraints",
     "List the active constraints and explain the reward system when somebody asks how this agent works.",
     "1. Read constraints.md and name each cap: skills, goals, rewards, reflections.\n"
     "2. Say what +1, 0 and -1 stand for, and that a skill is only earned from +1."},
};

static bool is_filler(const char *word, size_t length)
{
    static const char *const fillers[] = {
        "a",    "an",   "and", "are",  "as",   "at",   "by",  "can", "for",  "from", "how",   "in",
        "into", "is",   "it",  "its",  "me",   "my",   "of",  "on",  "or",   "our",  "that",  "the",
        "to",   "this", "use", "what", "with", "your", "you", "all", "each", "be",   "please"};
    for (size_t i = 0; i < sizeof fillers / sizeof *fillers; i++)
        if (strlen(fillers[i]) == length && strncasecmp(fillers[i], word, length) == 0)
            return true;
    return false;
}

/* "Write a Python function that fetches all pages" becomes "write-python-function-fetches". */
static char *skill_name(const char *task)
{
    struct buffer name = {0};
    unsigned words = 0;
    for (const char *at = task; *at && words < SKILL_WORDS;) {
        size_t length = 0;
        while (isalnum((unsigned char)at[length]))
            length++;
        if (length > 0 && !is_filler(at, length) && name.length + 1 + length <= SKILL_NAME) {
            if (name.length)
                buffer_text(&name, "-");
            for (size_t i = 0; i < length; i++) {
                char small = (char)tolower((unsigned char)at[i]);
                buffer_add(&name, &small, 1);
            }
            words++;
        }
        at += length ? length : 1;
    }
    if (!name.length)
        buffer_text(&name, "offline-answer");
    return buffer_take(&name);
}

/* The task's first line with text, shortened, as one line that is safe inside quotes. */
static char *quote(const char *task)
{
    task += strspn(task, " \t\r\n#>-*");
    size_t length = strcspn(task, "\r\n");
    size_t cut = utf8_cut(task, length, QUOTE_MAX);
    OWNED char *line = memory_slice(task, cut);
    for (char *c = line; *c; c++)
        if (*c == '"' || *c == '\\' || *c == '`' || (unsigned char)*c < ' ')
            *c = *c == '"' || *c == '`' ? '\'' : ' ';
    return memory_print("%s%s", line, cut < length ? "…" : "");
}

/* A word, not a piece of one; the words of the table are lower case and may hold a blank. */
static bool mentions(const char *task, const char *word)
{
    for (const char *at = task; word && (at = strcasestr(at, word)); at++)
        if (at == task || !isalnum((unsigned char)at[-1]))
            return true;
    return false;
}

/* Block scalars, so that nothing in a text needs quoting. */
static void add_block(struct buffer *out, const char *skill, const char *description, const char *body,
                      const char *reflection)
{
    buffer_print(out, "\n```agentos\nreward: 1\nreason: answered by the built-in offline model\nskill:\n");
    buffer_print(out, "  name: %s\n  description: \"%s\"\n  body: |\n", skill, description);
    OWNED char *copy = memory_text(body);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));)
        buffer_print(out, "    %s\n", line);
    buffer_print(out, "reflection: \"%s\"\n```\n", reflection);
}

/* Another agent's work stands in a fence behind a label (prompt_fence): the work alone, or the task as it is. */
static char *work_of(const char *task)
{
    const char *fence = strstr(task, "\n```");
    const char *text = fence ? strstr(fence, "`text\n") : NULL;
    if (!text || strspn(fence + 1, "`") != (size_t)(text - fence))
        return memory_text(task);
    OWNED char *end = memory_print("\n%.*s\n", (int)(text - fence), fence + 1);
    text += strlen("`text\n");
    const char *close = strstr(text, end);
    return memory_slice(text, close ? (size_t)(close - text) : strlen(text));
}

/* "Ask iris to count the pages" or "Ask iris: …" is work for another agent, so that two agents can be seen at work
   without a provider. NULL: the task asks for nothing of the kind. */
static char *handed_over(const char *task)
{
    task += strspn(task, " \t\r\n");
    if (strncasecmp(task, "ask ", 4) != 0)
        return NULL;
    const char *name = task + 4, *end = name + strspn(name, NAME_LETTERS);
    const char *work = *end == ':' ? end + 1 : strncmp(end, " to ", 4) == 0 ? end + 4 : NULL;
    if (end == name || !work)
        return NULL;
    OWNED char *to = memory_slice(name, (size_t)(end - name));
    OWNED char *line = quote(work);
    return memory_print("%s gets this as a handoff, and its answer comes back as a result: \"%s\".\n\n%s\n"
                        "\n```agentos\nreward: 1\nreason: handed over by the built-in offline model\n"
                        "handoffs:\n  - to: %s\n    task: \"%s\"\n```\n",
                        to, line, signature, to, line);
}

static char *reply(const char *task)
{
    char *handoff = handed_over(task);
    if (handoff)
        return handoff;
    struct buffer out = {0};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t w = 0; w < 3; w++) {
            if (!mentions(task, known[i].words[w]))
                continue;
            buffer_print(&out, "%s\n\n%s\n", known[i].answer, signature);
            add_block(&out, known[i].skill, known[i].description, known[i].body,
                      "Questions about my own rules are answered from constraints.md.");
            return buffer_take(&out);
        }
    OWNED char *line = quote(task);
    OWNED char *skill = skill_name(task);
    OWNED char *description = memory_print("How to take up a task like: %s", line);
    buffer_print(&out,
                 "The task was read: \"%s\". A plan that holds for any model: say what a good result is, "
                 "do the smallest part that can be checked, check it, then go on.\n\n%s\n",
                 line, signature);
    add_block(&out, skill, description,
              "1. Say in one sentence what a good result is.\n"
              "2. Do the smallest part of it that can be checked.\n"
              "3. Check it, then go on to the next part.",
              "The offline model answered; a real one would have done the task itself.");
    return buffer_take(&out);
}

static int count_words(const char *text)
{
    int count = 0;
    for (bool inside = false; *text; text++) {
        bool blank = isspace((unsigned char)*text);
        count += !blank && !inside;
        inside = !blank;
    }
    return count;
}

char *offline_completion(const char *system, const char *task)
{
    OWNED char *clean = utf8_clean(task, strlen(task));
    OWNED char *work = work_of(clean);
    OWNED char *text = reply(work);
    int tokens_in = count_words(system) + count_words(task), tokens_out = count_words(text);
    json_auto_t *body =
        json_pack("{s:s, s:s, s:[{s:i, s:{s:s, s:s}, s:s}], s:{s:i, s:i, s:i}}", "object", "chat.completion",
                  "model", "offline", "choices", "index", 0, "message", "role", "assistant", "content", text,
                  "finish_reason", "stop", "usage", "prompt_tokens", tokens_in, "completion_tokens",
                  tokens_out, "total_tokens", tokens_in + tokens_out);
    char *dumped = json_dumps(body, JSON_COMPACT);
    return dumped ? dumped : memory_text("{}");
}
