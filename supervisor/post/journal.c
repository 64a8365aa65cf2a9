/* A turn's accepted envelopes become durable in one place and with one flush: a record of the journal
 * .run/.agentos/journal. Then the envelopes are given to their folders without a flush of their own, and only then is
 * anybody told. A second later, or when the journal is full, a checkpoint (syncfs) makes the files durable and empties
 * the journal. One or two envelopes are flushed in their folders, which is as fast.
 *
 * The state after a crash, and the work of the next start:
 *   no whole record                      nobody was told; envelopes that wait in memory or in an outbox are as they were
 *   a record, its files not all there    (killed within the turn) nobody was told; missing files are written, as the
 *                                        record says: accepted, like files that were flushed for a client that had gone
 *   a record that is marked as done      (killed later; the machine went on) the files are there, whatever became of
 *                                        them: none is written again. So a file that people removed since stays removed
 *   a record, and power was cut          the files may be missing, empty or cut, at the place where they were put or
 *                                        where they were moved since. A file that is missing everywhere is written again,
 *                                        unless its sender was told that it was removed. A torn file is written anew in
 *                                        its place. Any other text was made by worker, supervisor or people, flushed by
 *                                        them, and stays
 *   checkpoint made, journal not emptied as after a cut of power, and every file is there: nobody was given any of them
 *                                        meanwhile
 * So no ended envelope comes back: one that a worker has ended is in the worker's own journal, or in its archive, and
 * when it lies in inbox/ or handoffs/ once more the worker takes it out at its start (which also mends the archive: this
 * file touches none there); an expired one is a dead letter; and no item is given out before a checkpoint has taken it
 * out of this journal (post_journal_settle), since another consumer wouldn't know it.
 *
 * A file that can't be written at the start, or a checkpoint that fails, is tried again each second; the journal is not
 * written to before it is whole, and the turns flush their files in their folders (batch_flush). After a failed
 * checkpoint the kernel takes pages for clean that never came to disk, so files that stand as the journal says get their
 * bytes once more. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/journal.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/threads.h"
#include "supervisor/post/part.h"

#define PLACE         ".run"
#define FILE_IN_PLACE ".agentos/journal"

enum {
    RECORD_LARGE = 256 * 1024, /* bytes of envelopes from which on they are not written twice */
    /* Bytes from which on a thread does the work that a checkpoint would wait for. */
    JOURNAL_HALF = 256 * 1024,
    JOURNAL_FULL = 768 * 1024, /* bytes that call for a checkpoint */
    CHECKPOINT_MS = 1000,
    OPEN_AGAIN_MS = 60 * 1000, /* journal_open may wait for a former holder */
};

struct ahead {
    pthread_t thread;
    int folder;
    _Atomic bool over;
};

struct redoing {
    struct post *post;
    struct batch missing, torn;
};

/* --- the journal --- */

static bool on_one_file_system(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev;
}

static void complain(struct post *post, const char *what, const struct fault *fault)
{
    if (!post->journal.complained)
        log_warn("post", NULL, "%s; until then accepted envelopes are flushed where they lie: %s", what,
                 fault->text);
    post->journal.complained = true;
}

static int open_place(const struct post *post, bool create)
{
    OWNED_FD int inner = create ? files_open_folder(post->data, PLACE "/.agentos", true, NULL) : -1;
    if (create && (inner < 0 || fsync(post->data) != 0))
        return -1;
    return files_open(post->data, PLACE, O_RDONLY | O_DIRECTORY, 0);
}

static bool open_journal(struct post *post, bool create)
{
    struct fault fault = {""};
    OWNED char *damage = NULL;
    OWNED_FD int place = open_place(post, create);
    if (place < 0 || !on_one_file_system(place, post->data) ||
        (!create && faccessat(place, FILE_IN_PLACE, F_OK, AT_SYMLINK_NOFOLLOW) != 0))
        return false;
    post->journal.records = journal_open(place, &damage, &fault);
    if (!post->journal.records) {
        post->journal.again_ms = clock_monotonic_ms() + OPEN_AGAIN_MS;
        complain(post, "The post office's journal cannot be opened; it is tried again", &fault);
        return false;
    }
    post->journal.place = place;
    place = -1;
    if (damage)
        log_warn("post", NULL, "In " PLACE ": %s", damage);
    return true;
}

/* --- redoing the records --- */

static bool is_torn(const char *found, size_t found_length, const char *text, size_t length)
{
    return memchr(found, '\0', found_length) ||
           (found_length < length && memcmp(found, text, found_length) == 0);
}

/* True: there is a file at the place, of whatever text. A torn file is written anew. */
static bool lies_at(struct redoing *redoing, const char *folder, const char *name, const char *text,
                    size_t length)
{
    OWNED char *path = memory_print("%s/%s.md", folder, name), *found = NULL;
    size_t found_length;
    int there = files_read(redoing->post->data, path, ENVELOPE_FILE_MAX, &found, &found_length, NULL, NULL);
    if (there == 1 && is_torn(found, found_length, text, length)) {
        OWNED_BUFFER struct buffer again = {0};
        buffer_add(&again, text, length);
        batch_add(&redoing->torn, folder, name, &again, true);
    }
    return there != 0;
}

static bool lies_with(struct redoing *redoing, const char *agent, const char *name, const char *text,
                      size_t length)
{
    static const enum folder folders[] = {FOLDER_INBOX, FOLDER_HANDOFFS, FOLDER_DEAD_LETTERS};
    bool lies = mailbox_lies_in(redoing->post->data, agent, name, 1u << FOLDER_ARCHIVE) != 0;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        OWNED char *path = memory_print("agents/%s/%s", agent, mailbox_folder_name(folders[i]));
        lies = lies_at(redoing, path, name, text, length) || lies;
    }
    return lies;
}

/* An item may have been given to any agent. */
static bool lies_with_anybody(struct redoing *redoing, const char *name, const char *text, size_t length)
{
    const struct post *post = redoing->post;
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (const struct box *box = post->boxes.table[i]; box; box = box->chain)
            if (has_tree(box) && lies_with(redoing, box->name, name, text, length))
                return true;
    return false;
}

static bool has_gone_its_way(struct redoing *redoing, const char *folder, const struct envelope *envelope,
                             const char *name, const char *text, size_t length)
{
    struct post *post = redoing->post;
    if (lies_at(redoing, folder, name, text, length) || post_removal_told(post, envelope) == 1)
        return true;
    if (strncmp(folder, MAILBOX_SENT, strlen(MAILBOX_SENT)) == 0)
        return false;
    if (envelope->kind == KIND_ITEM)
        return lies_with_anybody(redoing, name, text, length);
    return !post_box(post, envelope->to) || lies_with(redoing, envelope->to, name, text, length);
}

static void redo_one(void *context, const char *folder, const char *name, const char *text, size_t length)
{
    struct redoing *redoing = context;
    OWNED_ENVELOPE struct envelope envelope = {0};
    OWNED_BUFFER struct buffer again = {0};
    if (!envelope_parse(&envelope, text, length, name, NULL))
        return;
    buffer_add(&again, text, length);
    if (!has_gone_its_way(redoing, folder, &envelope, name, text, length))
        batch_add(&redoing->missing, folder, name, &again, false);
}

static bool redo(void *context, const void *record, size_t length)
{
    batch_each(record, length, redo_one, context);
    return true;
}

static bool write_batch(struct post *post, struct batch *batch, struct fault *fault)
{
    bool done = true;
    if (batch->count)
        batch_flush(post->data, batch);
    for (size_t i = 0; i < batch->count; i++)
        done = batch_result(batch, i, fault) != WRITE_FAILED && done;
    batch_free(batch);
    return done;
}

static bool redo_all(struct post *post)
{
    struct redoing redoing = {.post = post};
    struct fault fault = {""};
    bool read = journal_replay(post->journal.records, redo, &redoing, &fault);
    size_t count = redoing.missing.count + redoing.torn.count;
    bool missing = write_batch(post, &redoing.missing, &fault),
         torn = write_batch(post, &redoing.torn, &fault);
    if (count)
        log_warn("post", NULL,
                 "%zu envelopes that were accepted had not come to disk and are written from the journal",
                 count);
    if (read && missing && torn)
        return true;
    complain(post,
             "Envelopes that were accepted cannot be written from the journal; the write is tried again",
             &fault);
    return false;
}

/* --- writing ahead of a checkpoint --- */

/* The checkpoint finds out whether this works: the kernel tells a fault to each descriptor once, and this descriptor
 * is the thread's own. */
static void *write_ahead(void *context)
{
    struct ahead *ahead = context;
    (void)!syncfs(ahead->folder);
    ahead->over = true;
    return NULL;
}

static void begin_ahead(struct post *post)
{
    struct ahead *ahead = memory_new(1, sizeof *ahead);
    pthread_attr_t attributes;
    ahead->folder = files_open(post->data, ".", O_RDONLY | O_DIRECTORY, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREADS_STACK);
    if (ahead->folder >= 0 && pthread_create(&ahead->thread, &attributes, write_ahead, ahead) == 0) {
        post->journal.ahead = ahead;
    } else {
        memory_close_at(&ahead->folder);
        free(ahead);
    }
    pthread_attr_destroy(&attributes);
}

static void end_ahead(struct post *post)
{
    if (!post->journal.ahead)
        return;
    pthread_join(post->journal.ahead->thread, NULL);
    close(post->journal.ahead->folder);
    free(post->journal.ahead);
    post->journal.ahead = NULL;
}

/* --- checkpoints --- */

static void write_once_more(void *context, const char *folder, const char *name, const char *text,
                            size_t length)
{
    const struct post *post = context;
    OWNED char *path = memory_print("%s/%s.md", folder, name), *found = memory_new(length + 1, 1);
    OWNED_FD int fd = files_open(post->data, path, O_RDWR, 0);
    if (fd < 0 || pread(fd, found, length + 1, 0) != (ssize_t)length || memcmp(found, text, length) != 0)
        return;
    if (pwrite(fd, text, length, 0) != (ssize_t)length)
        log_warn("post", NULL, "%s cannot be written once more: %s", path, strerror(errno));
}

static bool refresh(void *context, const void *record, size_t length)
{
    batch_each(record, length, write_once_more, context);
    return true;
}

static void try_again(struct post *post)
{
    timer_set(post->loop, &post->journal.checkpoint, CHECKPOINT_MS);
}

/* The emptying is flushed too: an envelope that was given out or ended since must not come back from an old record. */
static bool empty_journal(struct post *post, struct fault *fault)
{
    if (!journal_checkpoint(post->journal.records, fault))
        return false;
    OWNED_FD int fd = files_open(post->journal.place, FILE_IN_PLACE, O_RDONLY, 0);
    return (fd >= 0 && fdatasync(fd) == 0) || fault_errno(fault, "the journal cannot be emptied");
}

static void checkpoint(struct post *post)
{
    struct fault fault = {""};
    bool read = !post->journal.doubtful || journal_each(post->journal.records, refresh, post, &fault);
    timer_clear(post->loop, &post->journal.checkpoint);
    end_ahead(post);
    post->journal.doubtful = !read || !empty_journal(post, &fault);
    if (post->journal.doubtful) {
        complain(post, "The disk does not take the accepted envelopes; the write is tried again", &fault);
        try_again(post);
    } else {
        post->journal.complained = false;
    }
}

static void checkpoint_is_due(void *context)
{
    struct post *post = context;
    if (!post->journal.redone)
        post->journal.redone = redo_all(post);
    if (post->journal.redone)
        checkpoint(post);
    else
        try_again(post);
}

/* --- for post.c --- */

void post_journal_start(struct post *post)
{
    post->journal.checkpoint = (struct timer){.ring = checkpoint_is_due, .context = post};
    if (open_journal(post, false))
        checkpoint_is_due(post);
}

void post_journal_close(struct post *post)
{
    if (!post->journal.records)
        return;
    if (post->journal.redone)
        checkpoint(post);
    timer_clear(post->loop, &post->journal.checkpoint);
    end_ahead(post);
    journal_close(post->journal.records);
    close(post->journal.place);
    post->journal.records = NULL;
}

bool post_journal_settle(struct post *post, struct fault *fault)
{
    if (post->journal.records && post->journal.redone &&
        (journal_size(post->journal.records) || post->journal.doubtful))
        checkpoint(post);
    return !post->journal.records || (post->journal.redone && !post->journal.doubtful) ||
           fault_set(fault, "the envelopes accepted last are not on disk yet");
}

static bool is_ready(struct post *post)
{
    if (!post->journal.records && post->journal.again_ms <= clock_monotonic_ms() && open_journal(post, true))
        checkpoint_is_due(post);
    return post->journal.records && post->journal.redone && !post->journal.doubtful;
}

static void keep_small(struct post *post)
{
    size_t size = journal_size(post->journal.records);
    if (size > JOURNAL_FULL || (post->journal.ahead && post->journal.ahead->over))
        checkpoint(post);
    else if (size > JOURNAL_HALF && !post->journal.ahead)
        begin_ahead(post);
    if (journal_size(post->journal.records) && !post->journal.checkpoint.place)
        try_again(post);
}

/* An envelope whose file could not be placed is told as failed, so no start may find it in the journal. */
static void place(struct post *post, struct batch *batch)
{
    bool failed = false;
    batch_place(post->data, post->journal.place, batch);
    journal_done(post->journal.records);
    for (size_t i = 0; i < batch->count; i++)
        failed = failed || batch_result(batch, i, NULL) == WRITE_FAILED;
    if (failed)
        checkpoint(post);
    else
        keep_small(post);
}

void post_journal_flush(struct post *post, struct batch *batch)
{
    OWNED_BUFFER struct buffer record = {0};
    if (post->deliveries.bytes <= RECORD_LARGE && batch_print(batch, &record) && is_ready(post) &&
        journal_append(post->journal.records, record.data, record.length, NULL))
        place(post, batch);
    else
        batch_flush(post->data, batch);
}
