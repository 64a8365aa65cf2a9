/* The finished tasks: .agentos/ledger, a cache of the commits' trailers. One record a commit, in order: commit, a mark
 * of the task (hash of id and content), whether the commit finishes a task, and a sum. Not flushed: the file is
 * believed only up to its last whole record, and only when the commit of that record is HEAD or an ancestor of HEAD.
 * Missing records are read from git, and all of them when HEAD was moved elsewhere (a person's reset), so that a task
 * that is no longer in the history counts as not done. In memory there is one table of record numbers. */
#include "worker/history/part.h"

#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"

#define LEDGER_NAME "ledger"

struct ledger_record {
    uint64_t mark; /* 0: a commit that finishes no task */
    unsigned char commit[GIT_OID_RAWSZ];
    uint32_t unanswered; /* 1: the task ended without an answer (expired, poison): over, but not done */
    uint64_t sum;
};
_Static_assert(sizeof(struct ledger_record) == LEDGER_RECORD, "a record has the size that the file's has");

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t mark_of(const char *task, uint64_t task_hash)
{
    uint64_t mark = mix(0xcbf29ce484222325u, task, strlen(task) + 1);
    mark = mix(mark, &task_hash, sizeof task_hash);
    return mark ? mark : 1;
}

static uint64_t sum_of(const struct ledger_record *record)
{
    return mix(0xcbf29ce484222325u, record, offsetof(struct ledger_record, sum));
}

static bool read_record(const struct ledger *ledger, size_t number, struct ledger_record *record)
{
    return pread(ledger->fd, record, sizeof *record, (off_t)(number * sizeof *record)) == sizeof *record;
}

static void insert(struct ledger *ledger, uint64_t mark, size_t number)
{
    size_t slot = (size_t)(mark * 0x9e3779b97f4a7c15u >> 20) & (ledger->slot_count - 1);
    while (ledger->slots[slot] != 0)
        slot = (slot + 1) & (ledger->slot_count - 1);
    ledger->slots[slot] = (uint32_t)number + 1;
    ledger->used++;
}

static void make_room(struct ledger *ledger, size_t wanted)
{
    size_t count = ledger->slot_count ? ledger->slot_count : 64;
    while (count * 3 / 4 < wanted)
        count *= 2;
    if (count == ledger->slot_count)
        return;
    uint32_t *old = ledger->slots;
    size_t old_count = ledger->slot_count;
    ledger->slots = memory_new(count, sizeof *ledger->slots);
    ledger->slot_count = count;
    ledger->used = 0;
    for (size_t i = 0; i < old_count; i++) {
        struct ledger_record record;
        if (old[i] != 0 && read_record(ledger, old[i] - 1, &record))
            insert(ledger, record.mark, old[i] - 1);
    }
    free(old);
}

static void count(struct ledger *ledger, const struct ledger_record *record)
{
    if (record->mark != 0) {
        make_room(ledger, ledger->used + 1);
        insert(ledger, record->mark, ledger->records);
        ledger->tasks += record->unanswered == 0;
    }
    ledger->records++;
    git_oid_fromraw(&ledger->newest, record->commit);
}

static void clear(struct ledger *ledger)
{
    free(ledger->slots);
    *ledger = (struct ledger){.fd = ledger->fd};
}

/* All whole records, up to the first torn one. */
static void read_cache(struct ledger *ledger)
{
    struct stat status;
    clear(ledger);
    if (fstat(ledger->fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    size_t total = (size_t)status.st_size / sizeof(struct ledger_record);
    OWNED struct ledger_record *records = memory_new(512, sizeof *records);
    make_room(ledger, total < UINT32_MAX / 2 ? total : 0);
    while (ledger->records < total) {
        ssize_t n =
            pread(ledger->fd, records, 512 * sizeof *records, (off_t)(ledger->records * sizeof *records));
        size_t got = n > 0 ? (size_t)n / sizeof *records : 0;
        for (size_t i = 0; i < got; i++) {
            if (records[i].sum != sum_of(&records[i]))
                return;
            count(ledger, &records[i]);
        }
        if (got == 0)
            return;
    }
}

/* A record that can't be written now (disk full) only lacks in the cache: git has the record, and our memory has a gap,
 * so the newest record is forgotten, and the next look reads it from git again. */
void ledger_add(struct history *history, const git_oid *commit, const char *task, uint64_t task_hash,
                bool answered)
{
    struct ledger *ledger = &history->ledger;
    struct ledger_record record = {.mark = task ? mark_of(task, task_hash) : 0, .unanswered = !answered};
    memcpy(record.commit, commit->id, GIT_OID_RAWSZ);
    record.sum = sum_of(&record);
    if (pwrite(ledger->fd, &record, sizeof record, (off_t)(ledger->records * sizeof record)) !=
        sizeof record) {
        log_warn("agent", history->agent,
                 "The ledger's cache can't be written; it is read from git when needed");
        return;
    }
    count(ledger, &record);
}

static bool add_from_git(struct history *history, const git_oid *id, struct fault *fault)
{
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    if (!object_read(history, id, GIT_OBJECT_COMMIT, &object, fault))
        return false;
    OWNED char *task = NULL;
    uint64_t task_hash = 0;
    size_t before = history->ledger.records;
    bool answered = true;
    bool over =
        message_task(git_odb_object_data(object), git_odb_object_size(object), &task, &task_hash, &answered);
    ledger_add(history, id, over ? task : NULL, task_hash, answered);
    return history->ledger.records > before || fault_set(fault, "the ledger can't be written");
}

/* --- from git: oldest first, so that the last record is HEAD's --- */

/* A history with gaps: a shallow clone, or a damaged repository that lacks commits. The commits that can be reached are
 * read; an agent whose old commits are missing works on all the same. */
struct gaps {
    struct history *history;
    git_oid *found; /* the commits that are there, HEAD first */
    size_t count, missing;
    void *seen; /* a tree of tsearch(3) */
};

static int by_id(const void *a, const void *b)
{
    return git_oid_cmp(a, b);
}

static bool is_missing(struct history *history, const git_oid *id)
{
    return object_look_counts(history) && !object_present(history, id);
}

/* False: it was seen before. */
static bool see(struct gaps *gaps, const git_oid *id)
{
    OWNED git_oid *copy = memory_new(1, sizeof *copy);
    *copy = *id;
    git_oid *const *first = tsearch(copy, &gaps->seen, by_id);
    if (first && *first != copy)
        return false;
    copy = NULL; /* the tree's from now on */
    return true;
}

/* False: whether the commit is there can't be told now. */
static bool meet(struct gaps *gaps, const git_oid *id, struct fault *fault)
{
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    if (!see(gaps, id))
        return true;
    if (object_read(gaps->history, id, GIT_OBJECT_COMMIT, &object, fault))
        *MEMORY_ADD(gaps->found, gaps->count) = *id;
    else if (is_missing(gaps->history, id))
        gaps->missing++;
    else
        return false;
    return true;
}

static bool meet_parents(struct gaps *gaps, git_oid id, struct fault *fault)
{
    static const char field[] = "\nparent ";
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    git_oid parent;
    if (!object_read(gaps->history, &id, GIT_OBJECT_COMMIT, &object, fault))
        return false;
    OWNED char *text = memory_slice(git_odb_object_data(object), git_odb_object_size(object));
    const char *line = strchr(text, '\n'); /* behind the tree's */
    for (; line && strncmp(line, field, strlen(field)) == 0; line = strchr(line + 1, '\n'))
        if (git_oid_fromstrn(&parent, line + strlen(field), GIT_OID_HEXSZ) != 0 ||
            !meet(gaps, &parent, fault))
            return false;
    return true;
}

/* known: where the ledger's records end; NULL: it has none. */
static bool read_around_gaps(struct history *history, const git_oid *known, struct fault *fault)
{
    struct gaps gaps = {.history = history};
    if (known)
        see(&gaps, known);
    bool good = meet(&gaps, &history->head.commit, fault);
    for (size_t i = 0; good && i < gaps.count; i++)
        good = meet_parents(&gaps, gaps.found[i], fault);
    good = good && gaps.count > 0 && (known || gaps.missing > 0);
    for (size_t i = gaps.count; good && i-- > 0;)
        good = add_from_git(history, &gaps.found[i], fault);
    if (good && gaps.missing > 0)
        log_warn("agent", history->agent,
                 "The history lacks %zu commit(s) (a shallow clone, or damage); tasks that were done before "
                 "are not known",
                 gaps.missing);
    free(gaps.found);
    tdestroy(gaps.seen, free);
    return good;
}

static bool read_git(struct history *history, const git_oid *known, struct fault *fault)
{
    git_repository *repository = history_repository(history, fault);
    git_revwalk *walk = NULL;
    git_oid id;
    if (!repository)
        return false;
    bool good = git_revwalk_new(&walk, repository) == 0 &&
                git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE) == 0 &&
                git_revwalk_push(walk, &history->head.commit) == 0 &&
                (!known || git_revwalk_hide(walk, known) == 0);
    if (!good)
        commits_fault(fault, "the history can't be read");
    while (good && git_revwalk_next(&id, walk) == 0)
        good = add_from_git(history, &id, fault);
    git_revwalk_free(walk);
    if (!good || git_oid_equal(&history->ledger.newest, &history->head.commit))
        return good;
    fault_set(fault, "the history can't be read to its end");
    return read_around_gaps(history, known, fault);
}

bool ledger_refresh(struct history *history, struct fault *fault)
{
    struct ledger *ledger = &history->ledger;
    if (!object_id_zero(&history->head.commit) && !object_id_zero(&ledger->newest) &&
        object_present(history, &ledger->newest)) {
        git_repository *repository = history_repository(history, fault);
        git_oid known = ledger->newest;
        if (repository && git_graph_descendant_of(repository, &history->head.commit, &known) == 1)
            return read_git(history, &known, fault);
    }
    if (ledger->records > 0)
        log_info("agent", history->agent,
                 "HEAD was moved; the finished tasks are read from the history again");
    clear(ledger);
    if (ftruncate(ledger->fd, 0) != 0)
        return fault_errno(fault, "cannot begin the ledger anew");
    return object_id_zero(&history->head.commit) || read_git(history, NULL, fault);
}

bool ledger_open(struct history *history, struct fault *fault)
{
    history->ledger.fd = files_open(history->folders.notes, LEDGER_NAME, O_RDWR | O_CREAT, 0644);
    if (history->ledger.fd < 0)
        return fault_errno(fault, "cannot open .agentos/" LEDGER_NAME);
    read_cache(&history->ledger);
    /* Bytes behind the last whole record could pass for records once new records come before them. */
    if (ftruncate(history->ledger.fd, (off_t)(history->ledger.records * sizeof(struct ledger_record))) != 0)
        return fault_errno(fault, "cannot write .agentos/" LEDGER_NAME);
    return true;
}

void ledger_close(struct history *history)
{
    memory_close_at(&history->ledger.fd);
    free(history->ledger.slots);
}

bool ledger_find(struct history *history, const char *task, uint64_t task_hash, git_oid *commit)
{
    struct ledger *ledger = &history->ledger;
    uint64_t mark = mark_of(task, task_hash);
    if (ledger->slot_count == 0)
        return false;
    size_t slot = (size_t)(mark * 0x9e3779b97f4a7c15u >> 20) & (ledger->slot_count - 1);
    for (; ledger->slots[slot] != 0; slot = (slot + 1) & (ledger->slot_count - 1)) {
        struct ledger_record record;
        if (read_record(ledger, ledger->slots[slot] - 1, &record) && record.mark == mark) {
            git_oid_fromraw(commit, record.commit);
            return true;
        }
    }
    return false;
}
