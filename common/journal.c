#include "common/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"

enum {
    HEADER_SIZE = 4096, /* a page of its own, so that overwriting records never touches it */
    BOOT_ID = 40,
    GROWTH = 256 * 1024,  /* bytes that are zeroed ahead when the file must grow */
    KEPT = 1024 * 1024,   /* bytes of the region that a checkpoint leaves allocated */
    RECORD_MAX = 1 << 30, /* no commit comes near it; a larger length is damage */
    LOCK_WAIT_MS = 2000,
};

#define JOURNAL_NAME ".agentos/journal"
#define MAGIC        0x314c4e4a534f4741u /* "AGOSJNL1" */

struct journal_header {
    uint64_t magic, generation;
    char boot[BOOT_ID];
    uint64_t sum;
};

struct record_header {
    uint64_t generation, length, sum;
    uint64_t done; /* 1: brought to its end; not under the sum, and never flushed by itself */
};

struct journal {
    int tree; /* borrowed */
    int fd;
    struct journal_header header;
    off_t end, last, allocated; /* end of the records, start of the last one, size of the file */
    off_t written;              /* the end of the records when the written bytes are flushed */
    bool power_was_cut;
    bool named;  /* the folder's entry is durable */
    bool broken; /* a flush failed: begin a new file before the next record */
};

static char this_boot[BOOT_ID];

void journal_boot_is(const char *id)
{
    memset(this_boot, 0, sizeof this_boot);
    memcpy(this_boot, id, strnlen(id, BOOT_ID - 1));
}

void journal_learn_boot(void)
{
    char id[64] = "";
    OWNED_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof id - 1) : 0;
    id[n > 0 ? n : 0] = '\0';
    journal_boot_is(id);
}

/* Tells a torn record from a whole one; no defence against intent. Eight bytes a step. */
static uint64_t sum_of(uint64_t sum, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        uint64_t word = 0;
        size_t n = length < sizeof word ? length : sizeof word;
        memcpy(&word, at, n);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
        at += n;
        length -= n;
    }
    return sum;
}

static uint64_t header_sum(const struct journal_header *header)
{
    return sum_of(MAGIC, header, offsetof(struct journal_header, sum));
}

static uint64_t record_sum(const struct record_header *header, const void *record)
{
    return sum_of(sum_of(MAGIC, header, offsetof(struct record_header, sum)), record, (size_t)header->length);
}

/* Not flushed: the header goes to disk with the first record of its generation. If power is cut before that, the
 * old generation is found with its records overwritten or not; a checkpoint had made them durable. */
static bool write_header(struct journal *journal, struct fault *fault)
{
    char page[HEADER_SIZE] = {0};
    journal->header.magic = MAGIC;
    memcpy(journal->header.boot, this_boot, BOOT_ID);
    journal->header.sum = header_sum(&journal->header);
    memcpy(page, &journal->header, sizeof journal->header);
    if (pwrite(journal->fd, page, sizeof page, 0) != sizeof page)
        return fault_errno(fault, "cannot write " JOURNAL_NAME ", so nothing can be committed");
    if (journal->allocated < HEADER_SIZE)
        journal->allocated = HEADER_SIZE;
    journal->end = HEADER_SIZE;
    journal->last = 0;
    return true;
}

/* 1 a whole record of this generation, 0 the end, -1 cannot read. *record is owned by the caller. */
static int read_record(const struct journal *journal, off_t at, struct record_header *header, char **record,
                       struct fault *fault)
{
    *record = NULL;
    ssize_t n = pread(journal->fd, header, sizeof *header, at);
    if (n < 0)
        return fault_errno(fault, "cannot read " JOURNAL_NAME), -1;
    if ((size_t)n < sizeof *header || header->generation != journal->header.generation ||
        header->length > RECORD_MAX ||
        at + (off_t)sizeof *header + (off_t)header->length > journal->allocated)
        return 0;
    char *bytes = memory_new((size_t)header->length + 1, 1);
    n = pread(journal->fd, bytes, (size_t)header->length, at + (off_t)sizeof *header);
    if (n == (ssize_t)header->length && record_sum(header, bytes) == header->sum) {
        *record = bytes;
        return 1;
    }
    free(bytes);
    if (n < 0)
        return fault_errno(fault, "cannot read " JOURNAL_NAME), -1;
    return 0;
}

static off_t after_record(off_t at, const struct record_header *header)
{
    return at + (off_t)sizeof *header + (off_t)((header->length + 7) & ~(uint64_t)7);
}

static bool walk(struct journal *journal, bool undone_only,
                 bool (*visit)(void *context, const void *record, size_t length), void *context,
                 struct fault *fault)
{
    for (off_t at = HEADER_SIZE;;) {
        struct record_header header;
        OWNED char *record = NULL;
        int found = read_record(journal, at, &header, &record, fault);
        if (found <= 0)
            return found == 0;
        if (visit && !(undone_only && header.done == 1 && !journal->power_was_cut) &&
            !visit(context, record, (size_t)header.length))
            return false;
        journal->last = at;
        at = after_record(at, &header);
        journal->end = at;
    }
}

bool journal_replay(struct journal *journal, bool (*redo)(void *context, const void *record, size_t length),
                    void *context, struct fault *fault)
{
    return walk(journal, true, redo, context, fault);
}

bool journal_each(struct journal *journal, bool (*visit)(void *context, const void *record, size_t length),
                  void *context, struct fault *fault)
{
    return walk(journal, false, visit, context, fault);
}

static void set_aside(struct journal *journal, char **damage)
{
    char *aside = memory_print(JOURNAL_NAME ".damaged-%lld", (long long)clock_now());
    if (renameat(journal->tree, JOURNAL_NAME, journal->tree, aside) == 0 && damage && !*damage)
        *damage = memory_print("the journal was damaged and lies in %s now; earlier commits stay", aside);
    free(aside);
}

/* The file begins empty or as zeros when power was cut right after it was made: that is a new journal. */
static bool blank(const struct journal_header *header)
{
    static const struct journal_header zero;
    return memcmp(header, &zero, sizeof zero) == 0;
}

/* One writer: the lock goes away with its holder, however the holder ends. */
static bool lock(int fd, struct fault *fault)
{
    for (int waited = 0;; waited += 20) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if ((errno != EWOULDBLOCK && errno != EINTR) || waited >= LOCK_WAIT_MS)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    return fault_errno(fault, JOURNAL_NAME " is held by another process, so this process doesn't write here");
}

/* 1 usable, 0 damaged, -1 fault */
static int open_file(struct journal *journal, struct fault *fault)
{
    struct stat status;
    journal->fd = files_open(journal->tree, JOURNAL_NAME, O_RDWR | O_CREAT, 0644);
    if (journal->fd < 0 || fstat(journal->fd, &status) != 0)
        return fault_errno(fault, "cannot open " JOURNAL_NAME ", so nothing can be committed"), -1;
    if (!S_ISREG(status.st_mode))
        return 0;
    if (!lock(journal->fd, fault))
        return -1;
    struct journal_header header = {0};
    journal->allocated = status.st_size;
    ssize_t n = pread(journal->fd, &header, sizeof header, 0);
    if (n < 0)
        return fault_errno(fault, "cannot read " JOURNAL_NAME), -1;
    journal->power_was_cut = this_boot[0] == '\0' || memcmp(header.boot, this_boot, BOOT_ID) != 0;
    if (blank(&header)) {
        /* After a power cut a new file may hold a record behind a header that never came to disk: the first
         * record of a new file is flushed together with its header, so such a record was never acknowledged. */
        journal->header.generation = 1;
        journal->power_was_cut = false;
        return write_header(journal, fault) ? 1 : -1;
    }
    if (n != sizeof header || header.magic != MAGIC || header.sum != header_sum(&header))
        return 0;
    journal->header = header;
    journal->end = HEADER_SIZE;
    journal->named = true;
    return walk(journal, false, NULL, NULL, fault) ? 1 : -1;
}

struct journal *journal_open(int tree, char **damage, struct fault *fault)
{
    struct journal *journal = memory_new(1, sizeof *journal);
    journal->tree = tree;
    int usable = open_file(journal, fault);
    if (usable == 0) {
        set_aside(journal, damage);
        close(journal->fd);
        usable = open_file(journal, fault);
        if (usable == 0)
            fault_set(fault, JOURNAL_NAME " is damaged and can't be set aside, so nothing can be committed");
    }
    if (usable <= 0) {
        journal_close(journal);
        return NULL;
    }
    /* A former boot's journal without records: say that it is ours now, so that a kill is told from a power cut. */
    if (journal->end == HEADER_SIZE && memcmp(journal->header.boot, this_boot, BOOT_ID) != 0 &&
        !write_header(journal, fault)) {
        journal_close(journal);
        return NULL;
    }
    return journal;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    memory_close_at(&journal->fd);
    free(journal);
}

bool journal_power_was_cut(const struct journal *journal)
{
    return journal->power_was_cut;
}

/* A file whose flush failed is not to be trusted: the kernel may have dropped the pages and say nothing at the next
 * flush. The old one is replaced by a new one, after everything that its records say was made durable. */
static bool begin_anew(struct journal *journal, struct fault *fault)
{
    if (syncfs(journal->tree) != 0)
        return fault_errno(fault,
                           "cannot make the agent's files durable, nothing is committed until that works");
    int fd = files_open(journal->tree, JOURNAL_NAME ".new", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fault_errno(fault, "cannot begin a new journal, so nothing can be committed");
    struct journal fresh = *journal;
    fresh.fd = fd;
    fresh.allocated = 0;
    fresh.header.generation++;
    if (!lock(fd, fault) || !write_header(&fresh, fault) ||
        renameat(journal->tree, JOURNAL_NAME ".new", journal->tree, JOURNAL_NAME) != 0) {
        close(fd);
        return fault_set(fault, "cannot begin a new journal, so nothing can be committed");
    }
    close(journal->fd);
    *journal = fresh;
    journal->broken = false;
    journal->named = false;
    return true;
}

/* The entries of a new file and its folder must be durable as well, once. */
static bool name_durable(struct journal *journal)
{
    OWNED_FD int notes = files_open(journal->tree, ".agentos", O_RDONLY | O_DIRECTORY, 0);
    return notes >= 0 && fsync(notes) == 0 && fsync(journal->tree) == 0;
}

static bool write_record(struct journal *journal, const struct record_header *header, const void *record)
{
    static const char zeros[GROWTH];
    off_t end = after_record(journal->end, header);
    size_t padding = (size_t)(end - journal->end) - sizeof *header - (size_t)header->length, ahead = 0;
    /* A young journal doesn't grow ahead: most agents start with one commit, and many start at once. */
    if (end > journal->allocated && journal->end > HEADER_SIZE)
        ahead = GROWTH - padding;
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = sizeof *header},
        {.iov_base = (void *)(uintptr_t)record, .iov_len = (size_t)header->length},
        {.iov_base = (void *)(uintptr_t)zeros, .iov_len = padding + ahead},
    };
    size_t total = sizeof *header + (size_t)header->length + padding + ahead;
    ssize_t n = pwritev(journal->fd, parts, 3, journal->end);
    if (n >= 0 && (size_t)n < total)
        errno = ENOSPC;
    if (n < 0 || (size_t)n < sizeof *header + (size_t)header->length)
        return false;
    if (journal->end + n > journal->allocated)
        journal->allocated = journal->end + n;
    return true;
}

/* No start may redo a record whose caller was told that the write failed. */
static void take_back(struct journal *journal)
{
    int error = errno;
    static const struct record_header nothing;
    if (pwrite(journal->fd, &nothing, sizeof nothing, journal->end) != sizeof nothing)
        journal->broken = true;
    errno = error;
}

bool journal_write(struct journal *journal, const void *record, size_t length, struct fault *fault)
{
    if (length > RECORD_MAX)
        return fault_set(fault, "a commit of %zu bytes is too large for the journal, it was not made",
                         length);
    if (journal->broken && !begin_anew(journal, fault))
        return false;
    struct record_header header = {.generation = journal->header.generation, .length = length};
    header.sum = record_sum(&header, record);
    if (!write_record(journal, &header, record)) {
        take_back(journal);
        return fault_errno(fault, "cannot write " JOURNAL_NAME ", the commit was not made");
    }
    journal->written = after_record(journal->end, &header);
    /* Only to save time: the flush waits for whatever is not written by then, and tells what went wrong. */
    (void)sync_file_range(journal->fd, journal->end, journal->written - journal->end, SYNC_FILE_RANGE_WRITE);
    return true;
}

bool journal_flush(struct journal *journal, struct fault *fault)
{
    if (fdatasync(journal->fd) != 0 || (!journal->named && !name_durable(journal))) {
        take_back(journal);
        journal->broken = true;
        return fault_errno(fault, "cannot flush " JOURNAL_NAME ", the commit was not made");
    }
    journal->named = true;
    journal->last = journal->end;
    journal->end = journal->written;
    return true;
}

void journal_drop(struct journal *journal)
{
    take_back(journal);
}

bool journal_append(struct journal *journal, const void *record, size_t length, struct fault *fault)
{
    return journal_write(journal, record, length, fault) && journal_flush(journal, fault);
}

void journal_done(struct journal *journal)
{
    /* Lost with the power, which is fine: then everything is redone. Failing is fine too: redoing changes nothing. */
    uint64_t done = 1;
    if (journal->last > 0 && pwrite(journal->fd, &done, sizeof done,
                                    journal->last + (off_t)offsetof(struct record_header, done)) < 0)
        return;
}

bool journal_checkpoint(struct journal *journal, struct fault *fault)
{
    if (journal->end == HEADER_SIZE && !journal->power_was_cut)
        return true;
    if (syncfs(journal->tree) != 0)
        return fault_errno(fault, "cannot make the agent's files durable, the journal is kept");
    journal->header.generation++;
    if (!write_header(journal, fault))
        return false;
    journal->power_was_cut = false;
    if (journal->allocated > KEPT && ftruncate(journal->fd, KEPT) == 0)
        journal->allocated = KEPT;
    return true;
}

size_t journal_size(const struct journal *journal)
{
    return (size_t)(journal->end - HEADER_SIZE);
}

static bool count_one(void *context, const void *record, size_t length)
{
    (void)record;
    (void)length;
    ++*(int *)context;
    return true;
}

int journal_unfinished(int tree, struct fault *fault)
{
    struct journal journal = {.tree = tree, .fd = files_open(tree, JOURNAL_NAME, O_RDONLY, 0)};
    OWNED_FD int fd = journal.fd;
    struct stat status;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0 || pread(fd, &journal.header, sizeof journal.header, 0) < 0)
        return fault_errno(fault, "cannot read " JOURNAL_NAME), -1;
    if (blank(&journal.header))
        return 0;
    if (journal.header.magic != MAGIC || journal.header.sum != header_sum(&journal.header)) {
        fault_set(fault, JOURNAL_NAME " is damaged; the next start sets it aside");
        return -1;
    }
    int count = 0;
    journal.allocated = status.st_size;
    journal.power_was_cut = this_boot[0] == '\0' || memcmp(journal.header.boot, this_boot, BOOT_ID) != 0;
    return walk(&journal, true, count_one, &count, fault) ? count : -1;
}
