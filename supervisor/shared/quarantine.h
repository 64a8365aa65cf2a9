/* Files that were set aside in shared/ and lie there still, problems of the agents that they concern, and work that lies
 * in no queue, a problem of the supervisor's own: for status. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

struct quarantine;

enum { QUARANTINE_SHOWN = 20 /* of one folder */ };

struct quarantine *quarantine_new(void);
void quarantine_free(struct quarantine *quarantine);
/* data: descriptor of DATA_DIR. A removed file is no problem any more. */
void quarantine_look(struct quarantine *quarantine, int data, const struct roster *roster);
/* A line for each file of a queue that the agent consumes, of a segment that it reads or writes, or of a lock. */
void quarantine_print(const struct quarantine *quarantine, const struct roster *roster, const char *agent,
                      struct buffer *out);
/* A line for each thing beside the queues' folders that nobody takes: the supervisor's own problems. */
void quarantine_print_own(const struct quarantine *quarantine, struct buffer *out);
