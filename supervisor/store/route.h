/* Where an envelope may go: the table of checks that every one from an outbox passes (contract section 9). Pure. */
#pragma once

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"

enum route { ROUTE_REFUSED, ROUTE_INBOX, ROUTE_HANDOFFS, ROUTE_QUEUE, ROUTE_SEGMENT };

/* sender: whose connection it came over; NULL: the operator, who may send to everybody. `from` and the name of the file
 * are the caller's to check. answers: it is a result, and the receiver did send what it answers; only then is it free
 * of permission and hops. why: with ROUTE_REFUSED the reason, a phrase for the sender. */
enum route route_of(const struct envelope *envelope, const struct roster_agent *sender,
                    const struct roster *roster, bool answers, struct fault *why);
