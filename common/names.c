#include "common/names.h"

#include <search.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool made_of(const char *name, const char *allowed)
{
    size_t length = strspn(name, allowed);
    return length >= 1 && length <= NAME_LENGTH_MAX && name[length] == '\0';
}

bool names_agent(const char *name)
{
    return made_of(name, LOWER DIGITS "-_") && *name >= 'a' && *name <= 'z';
}

bool names_node(const char *name)
{
    return made_of(name, LOWER UPPER DIGITS "-_");
}

bool names_skill(const char *name)
{
    return made_of(name, LOWER DIGITS "-");
}

enum { SUFFIX = 9 }; /* '-' and 8 hex digits */

/* The bytes of a character beyond ASCII that may stand in a file's name, 0: no such character is here. Blanks,
 * punctuation and characters that can't be seen, or turn the direction of writing, may not. */
static size_t letter_at(const char *at, size_t left)
{
    size_t size = utf8_character(at, left);
    const unsigned char *byte = (const unsigned char *)at;
    if (size < 2)
        return 0;
    unsigned point = byte[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (byte[i] & 63u);
    bool refused = point < 0xc0 || point == 0xd7 || point == 0xf7 || point == 0x61c || point == 0x1680 ||
                   point == 0x180e || (point >= 0x2000 && point <= 0x206f) ||
                   (point >= 0x3000 && point <= 0x3020) || (point >= 0xe000 && point <= 0xf8ff) ||
                   (point >= 0xfe00 && point <= 0xfe0f) || point == 0xfeff || point >= 0xe0000 ||
                   (point >= 0xfff0 && point <= 0xffff);
    return refused ? 0 : size;
}

static bool is_plain(char c)
{
    return c && strchr(LOWER UPPER DIGITS "-_.", c);
}

static bool ends_in_hash(const char *id, size_t length)
{
    return length >= SUFFIX && id[length - SUFFIX] == '-' &&
           strspn(id + length - SUFFIX + 1, DIGITS "abcdef") == SUFFIX - 1;
}

bool names_id(const char *id)
{
    size_t length = strlen(id), plain = 0;
    if (length < 1 || length > ID_MAX || *id == '.')
        return false;
    for (size_t i = 0, size; i < length; i += size) {
        size = is_plain(id[i]) ? 1 : letter_at(id + i, length - i);
        if (size == 0)
            return false;
        plain += size == 1;
    }
    return plain == length || ends_in_hash(id, length);
}

static bool ends_in(const char *file, const char *ending)
{
    size_t length = strlen(file), end = strlen(ending);
    return length > end && strcasecmp(file + length - end, ending) == 0;
}

bool names_temporary(const char *file)
{
    static const char *const endings[] = {"~",    "#",        ".tmp",        ".temp",    ".swp",
                                          ".swo", ".swx",     ".bak",        ".orig",    ".part",
                                          ".new", ".partial", ".crdownload", ".filepart"};
    bool ends = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        ends = ends || ends_in(file, endings[i]);
    return ends || strchr(".#~", file[0]) || strstr(file, ".unreadable-");
}

bool names_conflict(const char *file)
{
    return strcasestr(file, ".sync-conflict-") || strcasestr(file, "conflicted copy");
}

bool names_markdown(const char *file)
{
    size_t length = strlen(file);
    return length > 3 && strcmp(file + length - 3, ".md") == 0;
}

bool names_work(const char *file)
{
    return names_markdown(file) && !names_temporary(file) && !names_conflict(file);
}

bool names_stray(const char *file)
{
    char id[ID_MAX + 1] = "";
    size_t length = strlen(file);
    if (names_temporary(file))
        return false;
    if (!names_work(file) || length > 3 + ID_MAX)
        return true;
    memcpy(id, file, length - 3);
    return !names_id(id);
}

unsigned long long names_hash(const void *bytes, size_t length)
{
    unsigned long long hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ULL;
    return hash;
}

static char *with_hash(const char *id, bool letters)
{
    size_t length = strlen(id), most = ID_MAX - SUFFIX, kept = 0;
    char *name = memory_new(ID_MAX + 1, 1);
    for (size_t at = 0, size; at < length && kept < most; at += size, kept += size) {
        size = letters ? letter_at(id + at, length - at) : 0;
        if (kept + size > most)
            break;
        if (size)
            memcpy(name + kept, id + at, size);
        else {
            size = 1;
            name[kept] = is_plain(id[at]) ? id[at] : '-';
        }
    }
    if (kept == 0)
        name[kept++] = '_';
    if (name[0] == '.' || (letters && name[0] == '-'))
        name[0] = '_';
    snprintf(name + kept, SUFFIX + 1, "-%08x", (unsigned)(names_hash(id, length) & 0xffffffffU));
    return name;
}

char *names_file(const char *id)
{
    return names_id(id) && (*id != '-' || ends_in_hash(id, strlen(id))) ? memory_text(id)
                                                                        : with_hash(id, true);
}

char *names_file_before(const char *id)
{
    size_t length = strlen(id), plain = strspn(id, LOWER UPPER DIGITS "-_.");
    bool same = length >= 1 && length <= ID_MAX && plain == length && *id != '.';
    return same ? memory_text(id) : with_hash(id, false);
}

/* Seconds and sequence in one number that only grows: a clock that is set back, or more than 65536 ids in a
 * second, must not give an id that sorts before an earlier one of this process. */
static uint64_t next_instant(void)
{
    static _Atomic uint64_t last;
    uint64_t now = (uint64_t)clock_now() << 16, before = atomic_load(&last), next;
    do {
        next = now > before ? now : before + 1;
    } while (!atomic_compare_exchange_weak(&last, &before, next));
    return next;
}

static uint32_t chance(uint64_t instant)
{
    uint32_t value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) == (ssize_t)sizeof value)
        return value;
    /* No entropy yet or no such call in the sandbox: process and instant still tell two ids apart. */
    uint64_t seed[3] = {instant, (uint64_t)getpid(), (uint64_t)clock_monotonic_ms()};
    return (uint32_t)names_hash(seed, sizeof seed);
}

char *names_new_id(void)
{
    uint64_t instant = next_instant();
    time_t seconds = (time_t)(instant >> 16);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    return memory_print("%04d%02d%02dT%02d%02d%02d-%04x-%08x", utc.tm_year + 1900, utc.tm_mon + 1,
                        utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (unsigned)(instant & 0xffff),
                        (unsigned)chance(instant));
}

int names_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void *names_find(void *const *tree, const char *text)
{
    void **found = tfind(&text, tree, names_order);
    return found ? *found : NULL;
}
