/* Shared segments (contract section 9): shared/segments/NAME.md, one text each with a version that only grows.
 *
 * The files are the truth, and people may edit them while all this runs: at each look at a segment, a text that
 * differs from its version's text counts, as a version more, by the operator. An unreadable file is set aside, and
 * the last known text takes its place. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"

struct segments;

enum {
    SEGMENT_FILE_MAX =
        1024 * 1024, /* bytes that are read: as much as an envelope holds, and people may write */
    SEGMENT_WRITES_KEPT = 32,
};

/* data: descriptor of DATA_DIR, borrowed. Reads nothing yet. written: NULL, or told of each new text of a file that is the
 * truth. */
struct segments *segments_open(int data, void (*written)(void *context, const char *name), void *context);
void segments_close(struct segments *segments); /* NULL is fine */
/* The present segments, and each agent's rights; copied. The file of a former segment stays. */
void segments_roster(struct segments *segments, const struct roster *roster);

/* The segment's home: node stands in the file, NULL: no node does. away: home is another node, and the file here a
 * copy, which follows segments_copy; another text in the file is set aside. */
void segments_home(struct segments *segments, const char *name, const char *node, bool away);
/* The home's file, whole. False: the text is no segment, or can't be written now; the known state stays. */
bool segments_copy(struct segments *segments, const char *name, const char *text, size_t length);

enum segment_verdict {
    SEGMENT_WRITTEN, /* durable; also when this very write (its id) was accepted before */
    SEGMENT_REFUSED, /* why: a sentence for the writer */
    SEGMENT_LATER,   /* storage fails: nothing has changed, and why says so; ask again */
};
/* A write: kind segment, to segment:NAME, from the agent of the connection. */
enum segment_verdict segments_write(struct segments *segments, const struct envelope *write,
                                    struct fault *why);

/* Calls visit for each segment that the agent may read or write, in the order of agents.yaml, as it is now. The texts
 * are borrowed until the visit ends. version 0: not written yet, text "". */
struct segment_view {
    const char *name, *text, *by; /* by: an agent or "operator"; "" with version 0 */
    int64_t version, updated;
    bool writable, readable;
};
void segments_each(struct segments *segments, const char *agent,
                   void (*visit)(void *context, const struct segment_view *view), void *context);

/* Looks at every file: people's texts get their versions. */
void segments_scan(struct segments *segments);
