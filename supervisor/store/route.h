/* An envelope's permission: the table of checks that every envelope from an outbox passes (contract section 9).
 * Pure. */
#pragma once

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"

enum route { ROUTE_REFUSED, ROUTE_INBOX, ROUTE_HANDOFFS, ROUTE_QUEUE, ROUTE_SEGMENT };

/* sender: the agent of the connection; NULL: the operator, who may send to everybody. `from` and the name of the file
 * are the caller's to check. answers: the envelope is a result, and the receiver did send the handoff that it
 * answers; only then is it free of permission and hops. why: with ROUTE_REFUSED the reason, a phrase for the sender. */
enum route route_of(const struct envelope *envelope, const struct roster_agent *sender,
                    const struct roster *roster, bool answers, struct fault *why);
