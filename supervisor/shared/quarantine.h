/* What was set aside in shared/ and lies there still: problems of the agents that it concerns, for status. */
#ifndef AGENTOS_SUPERVISOR_SHARED_QUARANTINE_H
#define AGENTOS_SUPERVISOR_SHARED_QUARANTINE_H

#include "common/buffer.h"
#include "common/format/roster.h"

struct asides;

enum { ASIDES_SHOWN = 20 /* of one folder */ };

struct asides *asides_new(void);
void asides_free(struct asides *asides);
/* data: descriptor of DATA_DIR. What is gone is no problem any more. */
void asides_look(struct asides *asides, int data, const struct roster *roster);
/* A line for each file of a queue that the agent consumes, of a segment that it reads or writes, or of a lock. */
void asides_print(const struct asides *asides, const struct roster *roster, const char *agent,
                  struct buffer *out);

#endif
