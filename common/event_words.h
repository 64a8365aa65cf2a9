/* The events of an envelope's life, in words, for the log and for `agentos events`. X(event, level, words behind
 * "handoff ID from A to B") */
#pragma once

#define ENVELOPE_EVENTS(X)                                                                                   \
    X("envelope_accepted", DEBUG, "is accepted")                                                             \
    X("envelope_delivered", INFO, "is delivered")                                                            \
    X("envelope_deferred", INFO, "is deferred: its receiver has no room now")                                \
    X("envelope_refused", WARN, "is refused")                                                                \
    X("envelope_expired", WARN, "has expired")                                                               \
    X("envelope_bounced", INFO, "came to nothing, its sender is told")                                       \
    X("envelope_finished", INFO, "is finished")                                                              \
    X("envelope_read", INFO, "was read")                                                                     \
    X("envelope_failed", WARN, "has failed")                                                                 \
    X("envelope_given_back", WARN, "waits in its queue again")                                               \
    X("envelope_set_aside", WARN, "is no envelope and is set aside")                                         \
    X("envelope_removed", WARN, "was removed by hand")                                                       \
    X("envelope_requeued", INFO, "lives again")                                                              \
    X("envelope_purged", INFO, "is purged")
