#include "supervisor/http/snapshot.h"

#include "common/clock.h"
#include "common/log.h"

void snapshot_begin(struct snapshot *snapshot, struct calls *calls, const char *verb,
                    void (*settled)(void *context), void *context)
{
    *snapshot = (struct snapshot){.calls = calls,
                                  .verb = verb,
                                  .settled = settled,
                                  .context = context,
                                  .settled_at = -SNAPSHOT_FRESH_MS};
}

void snapshot_end(struct snapshot *snapshot)
{
    call_drop(snapshot->call);
    json_decref(snapshot->answer);
}

static void is_told(void *context, const json_t *answer)
{
    struct snapshot *snapshot = context;
    const json_t *object = json_object_get(answer, snapshot->verb);
    json_decref(snapshot->answer);
    snapshot->answer = json_is_object(object) ? json_incref((json_t *)object) : NULL;
    if (!snapshot->answer)
        log_warn("http", NULL, "The supervisor says no %s within %d s; clients who ask are told so",
                 snapshot->verb, SNAPSHOT_WAIT_MS / 1000);
    snapshot->call = NULL;
    snapshot->serial++;
    snapshot->settled_at = clock_monotonic_ms();
    snapshot->settled(snapshot->context);
}

enum snapshot_state snapshot_look(struct snapshot *snapshot, int64_t now)
{
    if (snapshot->call)
        return SNAPSHOT_UNDER_WAY;
    if (now - snapshot->settled_at < SNAPSHOT_FRESH_MS)
        return snapshot->answer ? SNAPSHOT_KNOWN : SNAPSHOT_FAILED;
    log_debug("http", NULL, "The supervisor is asked");
    snapshot->call = call_begin(snapshot->calls, CALL_CONTROL, json_pack("{s:s}", "verb", snapshot->verb),
                                SNAPSHOT_WAIT_MS, is_told, snapshot);
    return snapshot->call ? SNAPSHOT_UNDER_WAY : SNAPSHOT_FAILED;
}

void snapshot_outdate(struct snapshot *snapshot)
{
    snapshot->settled_at = -SNAPSHOT_FRESH_MS;
}

const json_t *snapshot_object(const struct snapshot *snapshot)
{
    return snapshot->answer;
}
