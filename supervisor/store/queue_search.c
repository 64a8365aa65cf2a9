/* A block starts at a line `## ID`, or at `## ID` behind a line without its newline (common/format/block.h). Whether such
 * a place is the start of a block is said by block_parse alone, from the lines around it: block_parse is given a little
 * of the file first, and more where the block, or the blank lines below its heading, go on. */
#include "supervisor/store/queue_search.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/tree.h"

enum {
    PIECE = 256 * 1024, /* of the file, in memory at a time */
    BEHIND = 5,         /* bytes before a `##` that are looked at, */
    AHEAD = 512,        /* and from there on: an id has at most ID_MAX */
    PARSED_LEAST = 1024,
    PARSED_MORE = 32, /* times as much at the next try */
    MARK_COST = 8,    /* bytes that take as long to look at as a `#` itself, */
    HIT_COST = 32,    /* and as a `##` */
    OPEN_TRIES = 50,
    OPEN_PAUSE_NS = 200 * 1000,
};

struct search {
    const struct queue_search *wanted;
    struct fault *fault;
    const char *path;
    int fd;
    size_t length;            /* of the file, as it was opened */
    size_t parsed, looked_at; /* bytes, of the latter in all at most QUEUE_FILE_MAX */
};

/* A `##` and its id. */
struct hit {
    size_t at;  /* in the file */
    bool glued; /* text stands before it in its line */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

static int takes_long(struct search *search)
{
    fault_set(search->fault, "%s is made so that a search for a task in it takes long", search->path);
    return -1;
}

/* Bytes [at, at + length) of the file, fewer at its end. False and fault. */
static bool read_part(struct search *search, char *into, size_t at, size_t length, size_t *got)
{
    for (*got = 0; *got < length;) {
        ssize_t n = TEMP_FAILURE_RETRY(pread(search->fd, into + *got, length - *got, (off_t)(at + *got)));
        if (n < 0)
            return fault_errno(search->fault, "cannot read %s", search->path);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return true;
}

/* --- what may be a block --- */

enum verdict { VERDICT_FAILED = -1, VERDICT_NEXT, VERDICT_ENDED, VERDICT_MORE /* bytes may say more */ };

static const struct block *block_at(const struct block_list *list, size_t start, bool *followed)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].start == start && !list->items[i].stray) {
            *followed = i + 1 < list->count;
            return &list->items[i];
        }
    return NULL;
}

/* Up to the end of the last line that is there whole. */
static size_t whole_lines(const char *text, size_t length)
{
    while (length && !ends_line(text[length - 1]))
        length--;
    return length;
}

static size_t first_line(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && !ends_line(text[i]))
        i++;
    return i;
}

/* The end of the first line with text below the text's first line, 0: there is none. */
static size_t second_line(const char *text, size_t length)
{
    size_t i = first_line(text, length);
    while (i < length && (is_blank(text[i]) || ends_line(text[i])))
        i++;
    return i < length ? i + first_line(text + i, length - i) : 0;
}

/* What `most` bytes from the hit on say, with as many before a hit that is glued: the block above it is needed. */
static enum verdict judge(struct search *search, const struct hit *hit, size_t most)
{
    size_t before = !hit->glued ? 0 : hit->at < most ? hit->at : most, length;
    OWNED char *text = memory_new(before + most + 1, 1);
    if (!read_part(search, text, hit->at - before, before + most, &length))
        return VERDICT_FAILED;
    search->parsed += length;
    bool at_end = length < before + most, at_start = !hit->glued || before == hit->at;
    if (!at_end)
        length = whole_lines(text, length);
    /* A heading without a field below it is no block, which two lines show. */
    size_t two_lines = hit->glued ? 0 : second_line(text, length);
    if (most == PARSED_LEAST && two_lines) {
        length = two_lines;
        at_end = false;
    }
    struct block_list list;
    bool followed = false, enough = (at_start && at_end) || most >= QUEUE_SEARCH_BLOCK_MAX;
    size_t from = at_start ? 0 : first_line(text, before);
    block_parse(&list, text + from, length > from ? length - from : 0);
    const struct block *block = at_start || from < before ? block_at(&list, before - from, &followed) : NULL;
    enum verdict verdict = enough ? VERDICT_NEXT : VERDICT_MORE;
    if (block && !search->wanted->is_meant(search->wanted->context, block->id))
        verdict = VERDICT_NEXT;
    else if (block && (followed || enough))
        verdict = search->wanted->visit(search->wanted->context, block) ? VERDICT_ENDED : VERDICT_NEXT;
    else if (!block && two_lines)
        verdict = VERDICT_NEXT;
    block_list_free(&list);
    return verdict;
}

static enum verdict look_at(struct search *search, const struct hit *hit)
{
    enum verdict verdict = VERDICT_MORE;
    for (size_t most = PARSED_LEAST; verdict == VERDICT_MORE; most *= PARSED_MORE) {
        if (search->parsed > QUEUE_SEARCH_PARSED_MAX)
            return takes_long(search);
        verdict = judge(search, hit, most);
    }
    return verdict;
}

/* --- places with `##` --- */

/* Behind a byte-order mark, or a NUL of UTF-16, too. */
static bool begins_line(const char *text, size_t at)
{
    if (at >= 3 && memcmp(text + at - 3, "\xef\xbb\xbf", 3) == 0)
        at -= 3;
    if (at > 0 && text[at - 1] == '\0')
        at--;
    return at == 0 || ends_line(text[at - 1]);
}

/* True: an id that is meant stands behind the `##` at text + hit->at. *past: where the search goes on. */
static bool is_hit(struct search *search, const char *text, size_t length, struct hit *hit, size_t *past)
{
    char id[AHEAD];
    size_t from = hit->at, start, end = from;
    *past = from + 1;
    search->looked_at += MARK_COST;
    if (from + 1 >= length || text[from + 1] != '#')
        return false;
    while (end < length && text[end] == '#')
        end++;
    *past = end;
    search->looked_at += HIT_COST + (end - from);
    char above = from > 0 ? text[from - 1] : '\n';
    if (end - from != 2 || end == length || !is_blank(text[end]) || is_blank(above) || above == '#')
        return false;
    for (start = end; start < length && start - from < AHEAD && is_blank(text[start]);)
        start++;
    for (end = start; end < length && end - from < AHEAD && !ends_line(text[end]);)
        end++;
    search->looked_at += end - from;
    while (end > start && is_blank(text[end - 1]))
        end--;
    memcpy(id, text + start, end - start);
    id[end - start] = '\0';
    /* block_parse says which id stands behind so many blanks */
    bool far = start - from + ID_MAX >= AHEAD;
    hit->glued = !begins_line(text, from);
    return far || search->wanted->is_meant(search->wanted->context, id);
}

/* Searches [from, until) of the piece, which begins at `at` in the file. */
static enum verdict search_piece(struct search *search, const char *text, size_t at, size_t from,
                                 size_t until, size_t length)
{
    enum verdict verdict = VERDICT_NEXT;
    while (verdict == VERDICT_NEXT && from < until) {
        struct hit hit;
        const char *found = memchr(text + from, '#', length - from);
        if (!found || (hit.at = (size_t)(found - text)) >= until)
            break;
        if (search->looked_at > QUEUE_FILE_MAX)
            return takes_long(search);
        bool meant = is_hit(search, text, length, &hit, &from);
        hit.at += at;
        if (meant)
            verdict = look_at(search, &hit);
    }
    return verdict;
}

static enum verdict search_all(struct search *search)
{
    OWNED char *text = memory_new(BEHIND + PIECE + AHEAD, 1);
    enum verdict verdict = VERDICT_NEXT;
    for (size_t at = 0; verdict == VERDICT_NEXT && at < search->length; at += PIECE) {
        size_t behind = at ? BEHIND : 0, length;
        if (!read_part(search, text, at - behind, behind + PIECE + AHEAD, &length))
            return VERDICT_FAILED;
        size_t until = length < behind + PIECE ? length : behind + PIECE;
        verdict = search_piece(search, text, at - behind, behind, until, length);
    }
    return verdict;
}

/* A worker holds a lease on a file that came out of queue.md for microseconds at a time. */
static int open_file(int folder, const char *path)
{
    for (int tries = 0;; tries++) {
        int fd = files_open(folder, path, O_RDONLY, 0);
        if (fd >= 0 || errno != EAGAIN || tries == OPEN_TRIES)
            return fd;
        nanosleep(&(struct timespec){.tv_nsec = OPEN_PAUSE_NS}, NULL);
    }
}

int queue_search(int folder, const char *path, const struct queue_search *wanted, struct fault *fault)
{
    OWNED_FD int fd = open_file(folder, path);
    struct search search = {.wanted = wanted, .fault = fault, .path = path, .fd = fd};
    struct stat status;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0) {
        fault_errno(fault, errno == ELOOP ? "%s is a link, which is not followed" : "cannot read %s", path);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(fault, "%s is no regular file", path);
        return -1;
    }
    if (status.st_size > QUEUE_FILE_MAX) {
        fault_set(fault, "%s has %lld bytes; at most %d are read", path, (long long)status.st_size,
                  QUEUE_FILE_MAX);
        return -1;
    }
    search.length = (size_t)status.st_size;
    return (int)search_all(&search);
}
