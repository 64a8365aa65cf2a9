#include "supervisor/cli/transfer/gitbundle.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static const char signature[] = "# v2 git bundle\n";

/* One part of a name between slashes. */
static bool is_part(const char *part, size_t length)
{
    static const char lock[] = ".lock";
    size_t end = sizeof lock - 1;
    if (length == 0 || part[0] == '.' || part[length - 1] == '.' ||
        (length >= end && memcmp(part + length - end, lock, end) == 0))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)part[i];
        if (c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c) ||
            (i > 0 && ((c == '.' && part[i - 1] == '.') || (c == '{' && part[i - 1] == '@'))))
            return false;
    }
    return true;
}

bool gitbundle_ref_name(const char *name)
{
    if (strcmp(name, "HEAD") == 0)
        return true;
    if (strncmp(name, "refs/", 5) != 0 || strlen(name) > GITBUNDLE_NAME_MAX)
        return false;
    for (const char *part = name;; part++) {
        size_t length = strcspn(part, "/");
        if (!is_part(part, length))
            return false;
        part += length;
        if (*part == '\0')
            return true;
    }
}

const struct gitbundle_ref *gitbundle_find(const struct gitbundle *bundle, const char *name)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (strcmp(bundle->refs[i].name, name) == 0)
            return &bundle->refs[i];
    return NULL;
}

void gitbundle_add(struct gitbundle *bundle, const char id[41], const char *name)
{
    struct gitbundle_ref *ref = MEMORY_ADD(bundle->refs, bundle->count);
    memcpy(ref->id, id, 40);
    ref->id[40] = '\0';
    ref->name = memory_text(name);
}

void gitbundle_free(struct gitbundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++)
        free(bundle->refs[i].name);
    free(bundle->refs);
    *bundle = (struct gitbundle){0};
}

void gitbundle_print(const struct gitbundle *bundle, struct buffer *out)
{
    buffer_text(out, signature);
    for (size_t i = 0; i < bundle->count; i++)
        buffer_print(out, "%s %s\n", bundle->refs[i].id, bundle->refs[i].name);
    buffer_text(out, "\n");
}

/* "ID NAME" without its end of line. */
static bool take_line(struct gitbundle *bundle, const char *line, size_t length, struct fault *fault)
{
    if (line[0] == '-')
        return fault_set(fault, "it builds on commits that are not in it, so it cannot stand alone");
    if (length < 42 || strspn(line, "0123456789abcdef") != 40 || line[40] != ' ' ||
        memchr(line, '\0', length))
        return fault_set(fault, "line %zu of its header is no ref", bundle->count + 2);
    if (bundle->count >= GITBUNDLE_REFS_MAX)
        return fault_set(fault, "it has more than %d refs", GITBUNDLE_REFS_MAX);
    OWNED char *name = memory_slice(line + 41, length - 41);
    if (!gitbundle_ref_name(name))
        return fault_set(fault, "line %zu of its header names a ref that git does not allow",
                         bundle->count + 2);
    if (gitbundle_find(bundle, name))
        return fault_set(fault, "line %zu of its header repeats a ref", bundle->count + 2);
    gitbundle_add(bundle, line, name);
    return true;
}

static bool parse(struct gitbundle *bundle, const char *bytes, size_t length, struct fault *fault)
{
    size_t at = sizeof signature - 1;
    if (length < at || memcmp(bytes, signature, at) != 0)
        return fault_set(fault, "it does not begin as a git bundle of version 2 does");
    for (;;) {
        const char *line = bytes + at;
        const char *end = memchr(line, '\n', length - at);
        if (!end)
            return fault_set(fault, "its header has no end");
        at += (size_t)(end - line) + 1;
        if (end == line)
            break;
        if (!take_line(bundle, line, (size_t)(end - line), fault))
            return false;
    }
    bundle->pack = at;
    return bundle->count > 0 || fault_set(fault, "it brings no ref");
}

bool gitbundle_parse(struct gitbundle *bundle, const char *bytes, size_t length, struct fault *fault)
{
    *bundle = (struct gitbundle){0};
    if (parse(bundle, bytes, length < GITBUNDLE_HEADER_MAX ? length : GITBUNDLE_HEADER_MAX, fault))
        return true;
    gitbundle_free(bundle);
    return false;
}
