/* Housekeeping: one short step at a time, for when the agent has nothing else to do. */
#include "worker/history_part.h"

#include "common/log.h"

enum { JOURNAL_URGENT = 8 * 1024 * 1024 };

static bool checkpoint(struct history *history)
{
    struct fault why = {0};
    if (!journal_checkpoint(history->journal, &why))
        log_warn("agent", history->agent, "%s", why.text);
    return true;
}

bool history_tidy(struct history *history, bool urgent)
{
    size_t journal = journal_size(history->journal);
    if (history->pending || (urgent && journal < JOURNAL_URGENT))
        return false;
    return journal > 0 && checkpoint(history);
}
