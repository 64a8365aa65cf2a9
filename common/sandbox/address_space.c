/* Page tables count in no limit. A process that maps single pages far from each other pays 4 KiB of them for each, and
 * more for each gigabyte; so many hundreds of megabytes fit below any limit of address space. So a worker's addresses
 * are bounded themselves: all free ones, but for one window, are reserved here by mappings without access, which cost
 * nothing, and the second filter refuses to unmap them and to choose addresses (seccomp.c). In a window of w bytes lie
 * page tables of w/512 at most. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

enum { RANGES_MOST = 300 };

/* Gaps smaller than LEAST stay: there are few, and page tables of 256 KiB fill one. The first pages can't be mapped. */
#define LEAST       ((uintptr_t)128 << 20)
#define LOWEST      ((uintptr_t)2 << 20)
#define HIGHEST     ((uintptr_t)1 << 62)
#define STACK_SPACE ((uintptr_t)64 << 20)

/* The size of the window, and of the heap's room, in a process that makes others: each of these only narrows both, and
 * needs no list of its mappings. */
#define AT_FIRST ((uintptr_t)1 << 40)

struct range {
    uintptr_t from, to;
    bool heap, stack;
};

static struct address_room ours = {0, UINT64_MAX, UINT64_MAX};
static uintptr_t heap_most; /* the end of the heap's room; 0: no address is reserved yet */

const struct address_room *address_space_room(void)
{
    return &ours;
}

/* The mappings of this process, in order. Returns their number; 0: /proc doesn't say, or there are more than fit. */
static size_t read_ranges(struct range *ranges)
{
    OWNED char *line = NULL;
    size_t count = 0, room = 0;
    OWNED_FILE FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && count < RANGES_MOST && getline(&line, &room, maps) > 0) {
        int name = 0;
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &from, &to, &name) >= 2 && from < HIGHEST)
            ranges[count++] = (struct range){.from = from,
                                             .to = to,
                                             .heap = strncmp(line + name, "[heap]", 6) == 0,
                                             .stack = strncmp(line + name, "[stack]", 7) == 0};
    }
    return count < RANGES_MOST ? count : 0;
}

static bool reserve(uintptr_t from, uintptr_t to)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    return to <= from || to - from < LEAST ||
           mmap((void *)from, to - from, PROT_NONE, flags, -1, 0) == (void *)from;
}

/* How far addresses go differs between machines. */
static bool reserve_above(uintptr_t from)
{
    for (uintptr_t end = HIGHEST; end > from; end >>= 1)
        if (reserve(from, end - (uintptr_t)sysconf(_SC_PAGESIZE)))
            return true;
    return false;
}

/* The window lies where the kernel puts the next mapping: below the mapped addresses, from there to the first large
 * gap. */
static bool reserve_all(const struct range *ranges, size_t count, uintptr_t window)
{
    uintptr_t from = LOWEST;
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        uintptr_t to = ranges[i].stack ? ranges[i].from - STACK_SPACE : ranges[i].from;
        bool around = from <= window && window < ranges[i].from;
        good = reserve(from, around ? window : to) && (!around || reserve(window + AT_FIRST, to));
        if (ours.to == UINT64_MAX && from >= window + AT_FIRST && to > from && to - from >= LEAST)
            ours.to = from;
        from = ranges[i].to + (ranges[i].heap ? AT_FIRST : 0);
        heap_most = ranges[i].heap ? from : heap_most;
    }
    return good && reserve_above(from);
}

/* The place of the next mapping of that size; 0: there is none. */
static uintptr_t next_place(uintptr_t size)
{
    void *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return place != MAP_FAILED && munmap(place, size) == 0 ? (uintptr_t)place : 0;
}

bool address_space_reserve(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY)
        return false;
    OWNED struct range *ranges = memory_new(RANGES_MOST, sizeof *ranges);
    ours.from = next_place(AT_FIRST);
    size_t count = ours.from ? read_ranges(ranges) : 0;
    return count > 0 && reserve_all(ranges, count, ours.from) && heap_most > 0;
}

bool address_space_bound(uint64_t heap, uint64_t size)
{
    if (heap_most == 0 && !address_space_reserve())
        return false;
    uintptr_t window = next_place(size), heap_end = (uintptr_t)sbrk(0) + heap;
    if (window < ours.from || !reserve(ours.from, window) || !reserve(heap_end, heap_most))
        return false;
    ours.from = window;
    ours.most = size;
    return true;
}
