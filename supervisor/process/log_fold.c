#include "supervisor/process/log_fold.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"

struct log_fold_kind {
    unsigned long long hash;
    int64_t since;
    unsigned told, more;
    enum log_level level;
    const char *component;
    /* agent: NULL, none. last: the text of the latest line that was not told; NULL: none. */
    char *agent, *last;
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Numbers that stand alone are left out; a number in a name or an id makes another kind. */
static unsigned long long hash_of(const char *agent, const char *message)
{
    OWNED_BUFFER struct buffer kind = {0};
    buffer_print(&kind, "%s ", agent ? agent : "");
    for (const char *c = message; *c;) {
        size_t length = 1;
        while (is_word(c[0]) && is_word(c[length]))
            length++;
        if (strspn(c, "0123456789") < length)
            buffer_add(&kind, c, length);
        c += length;
    }
    return names_hash(kind.data, kind.length);
}

static void tell(const struct log_fold_kind *kind)
{
    if (kind->more == 1)
        log_event(kind->level, kind->component, kind->agent, "%s", kind->last);
    else if (kind->more)
        log_event(kind->level, kind->component, kind->agent, "%u more of this kind, the last: %s", kind->more,
                  kind->last);
}

void log_fold_tell(struct log_fold *fold, bool all)
{
    int64_t now = clock_monotonic_ms();
    size_t kept = 0;
    for (size_t i = 0; i < fold->count; i++) {
        struct log_fold_kind *kind = &fold->kinds[i];
        if (!all && now - kind->since < LOG_FOLD_MS) {
            fold->kinds[kept++] = *kind;
            continue;
        }
        tell(kind);
        free(kind->agent);
        free(kind->last);
    }
    fold->count = kept;
    if (all) {
        free(fold->kinds);
        *fold = (struct log_fold){0};
    }
}

static struct log_fold_kind *find(struct log_fold *fold, unsigned long long hash)
{
    for (size_t i = 0; i < fold->count; i++)
        if (fold->kinds[i].hash == hash)
            return &fold->kinds[i];
    return NULL;
}

void log_fold_add(struct log_fold *fold, enum log_level level, const char *component, const char *agent,
                  const char *message)
{
    if (level >= LOG_LEVEL_WARN) {
        unsigned long long hash = hash_of(agent, message);
        struct log_fold_kind *kind = find(fold, hash);
        if (kind && ++kind->told > LOG_FOLD_TOLD) {
            kind->more++;
            memory_set(&kind->last, message);
            return;
        }
        if (!kind && fold->count < LOG_FOLD_KINDS)
            *MEMORY_ADD(fold->kinds, fold->count) =
                (struct log_fold_kind){.hash = hash,
                                       .since = clock_monotonic_ms(),
                                       .told = 1,
                                       .level = level,
                                       .component = component,
                                       .agent = agent ? memory_text(agent) : NULL};
    }
    log_event(level, component, agent, "%s", message);
}
