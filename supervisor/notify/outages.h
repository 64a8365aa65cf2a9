/* Providers that are down: from the first failed request on nobody's request to that URL and model was answered for
 * OUTAGE_MS, and one more has failed by then. An alert says so once, and another one when the provider answers again:
 * told outages stand in shared/outages.md, for the next supervisor. */
#pragma once

#include "supervisor/notify/alerts.h"

enum { OUTAGE_MS = 60 * 1000 };

struct outages;
struct outages *outages_new(struct alerts *alerts,
                            int data);      /* both are borrowed; data: descriptor of DATA_DIR */
void outages_free(struct outages *outages); /* NULL is fine */
bool outages_heard(struct outages *outages, struct reader *message); /* PROVIDER. False: malformed */
