/* Shared segments (contract section 9): shared/segments/NAME.md, one text each with a version that only grows.
 *
 * The files are the truth, and people may edit them while all this runs: whenever a segment is looked at, a text that
 * differs from the one its version stands for counts, as a version more, by the operator. What can't be read is set
 * aside, and the text that was known last takes its place. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"

struct segments;

enum {
    SEGMENT_FILE_MAX =
        1024 * 1024, /* bytes that are read: what an envelope holds, and what people may write */
    SEGMENT_WRITES_KEPT = 32,
};

/* data: descriptor of DATA_DIR, borrowed. Reads nothing yet. written: NULL, or told of each new text of a file that is the
 * truth. */
struct segments *segments_open(int data, void (*written)(void *context, const char *name), void *context);
void segments_close(struct segments *segments); /* NULL is fine */
/* The segments that there are now, and who may do what; copied. A file of one that is none any more stays. */
void segments_roster(struct segments *segments, const struct roster *roster);

/* Where the segment's truth is: node stands in the file, NULL: nothing does. away: that is another node, and the file here a
 * copy, which follows segments_copy; another text that lies there is set aside. */
void segments_home(struct segments *segments, const char *name, const char *node, bool away);
/* The home's file, whole. False: it is none, or can't be written now; what was known stays. */
bool segments_copy(struct segments *segments, const char *name, const char *text, size_t length);

enum segment_verdict {
    SEGMENT_WRITTEN, /* durable; also when this very write (its id) was accepted before */
    SEGMENT_REFUSED, /* why: a sentence for the writer */
    SEGMENT_LATER,   /* storage fails: nothing has changed, why says it; ask again */
};
/* A write: kind segment, to segment:NAME, from the agent that the connection belongs to. */
enum segment_verdict segments_write(struct segments *segments, const struct envelope *write,
                                    struct fault *why);

/* For each segment that the agent may read or write, in the order of agents.yaml, as it is now. The texts are borrowed
 * until the visit ends. version 0: not written yet, text "". */
struct segment_view {
    const char *name, *text, *by; /* by: an agent or "operator"; "" with version 0 */
    int64_t version, updated;
    bool writable, readable;
};
void segments_each(struct segments *segments, const char *agent,
                   void (*visit)(void *context, const struct segment_view *view), void *context);

/* Look at every file: what people wrote gets its version. */
void segments_scan(struct segments *segments);
