#include "common/repository/strict.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/memory.h"

/* --- commits and tags --- */

/* "NAME <ADDRESS> SECONDS +ZONE", up to the end of the line. */
static bool is_person(const char *text)
{
    static const char digits[] = "0123456789", no_name[] = "<>\n";
    const char *address = text + strcspn(text, no_name);
    if (*address != '<' || address == text || address[-1] != ' ')
        return false;
    const char *end = address + 1 + strcspn(address + 1, no_name);
    if (*end != '>' || end[1] != ' ')
        return false;
    const char *seconds = end + 2;
    size_t length = strspn(seconds, digits);
    const char *zone = seconds + length + 1;
    return length > 0 && (length == 1 || *seconds != '0') && zone[-1] == ' ' &&
           (*zone == '+' || *zone == '-') && strspn(zone + 1, digits) == 4 && zone[5] == '\n';
}

/* libgit2 has seen to the order of the lines, and that a commit has an author and a committer. */
bool strict_head(const char *text, size_t length)
{
    static const char author[] = "author ", committer[] = "committer ", tagger[] = "tagger ";
    const char *blank = memmem(text, length, "\n\n", 2);
    OWNED char *head = memory_slice(text, blank ? (size_t)(blank - text) + 1 : length);
    size_t authors = 0;
    if (memchr(text, '\0', length))
        return false;
    for (const char *line = head, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        bool writes = strncmp(line, author, sizeof author - 1) == 0;
        bool person = writes || strncmp(line, committer, sizeof committer - 1) == 0 ||
                      strncmp(line, tagger, sizeof tagger - 1) == 0;
        authors += writes;
        if (authors > 1 || (person && !is_person(strchr(line, ' ') + 1)))
            return false;
    }
    return true;
}

/* --- trees --- */

/* A folder stands behind the file of its name, with those between that continue it. */
static bool is_repeated(const git_tree *tree, size_t at)
{
    const char *name = git_tree_entry_name(git_tree_entry_byindex(tree, at));
    size_t length = strlen(name);
    while (at-- > 0) {
        const char *other = git_tree_entry_name(git_tree_entry_byindex(tree, at));
        if (strncmp(other, name, length) != 0)
            return false;
        if (other[length] == '\0')
            return true;
    }
    return false;
}

bool strict_tree(const git_tree *tree, size_t length)
{
    size_t bytes = 0;
    for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        bool folder = git_tree_entry_filemode_raw(entry) == GIT_FILEMODE_TREE;
        bytes += (folder ? sizeof "40000 " : sizeof "100644 ") + strlen(git_tree_entry_name(entry)) +
                 GIT_OID_RAWSZ;
        if (i > 0 &&
            (git_tree_entry_cmp(git_tree_entry_byindex(tree, i - 1), entry) >= 0 || is_repeated(tree, i)))
            return false;
    }
    return bytes == length;
}

/* --- names --- */

/* Bytes of the character in front, when it has no width: U+200C to F, U+202A to E, U+206A to F, U+FEFF; else 0. */
static size_t without_width(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    bool general = c[0] == 0xe2 &&
                   ((c[1] == 0x80 && ((c[2] >= 0x8c && c[2] <= 0x8f) || (c[2] >= 0xaa && c[2] <= 0xae))) ||
                    (c[1] == 0x81 && c[2] >= 0xaa && c[2] <= 0xaf));
    return general || (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) ? 3 : 0;
}

/* A part of a name between backslashes, up to a colon. */
static bool is_git_part(const char *part, size_t length)
{
    static const char *const names[] = {".git", "git~1"};
    while (length > 0 && (part[length - 1] == ' ' || part[length - 1] == '.'))
        length--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (length == strlen(names[i]) && strncasecmp(part, names[i], length) == 0)
            return true;
    return false;
}

bool strict_is_git(const char *name)
{
    OWNED_BUFFER struct buffer seen = {0};
    for (size_t hidden; *name; name += hidden ? hidden : 1)
        if ((hidden = without_width(name)) == 0)
            buffer_add(&seen, name, 1);
    buffer_add(&seen, "", 0);
    for (const char *part = seen.data; *part; part += strcspn(part, "\\"), part += *part != '\0')
        if (is_git_part(part, strcspn(part, "\\:")))
            return true;
    return false;
}
