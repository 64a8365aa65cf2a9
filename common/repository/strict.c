#include "common/repository/strict.h"

#include <git2/sys/path.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"

enum { ATTRIBUTES_LINE = 2048 }; /* git reads shorter ones */

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
    if (memchr(text, '\0', length) || (!blank && (length == 0 || text[length - 1] != '\n')))
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

/* The character in front, of three bytes, has no width: U+200C to F, U+202A to E, U+206A to F, U+FEFF. */
static bool has_no_width(const unsigned char *c)
{
    bool general = c[0] == 0xe2 &&
                   ((c[1] == 0x80 && ((c[2] >= 0x8c && c[2] <= 0x8f) || (c[2] >= 0xaa && c[2] <= 0xae))) ||
                    (c[1] == 0x81 && c[2] >= 0xaa && c[2] <= 0xaf));
    return general || (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf);
}

/* U+FFFE and U+FFFF, which git counts as no characters. */
static bool is_none(const unsigned char *c)
{
    return c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe;
}

/* The name as far as git reads it, which is up to the first bytes that are no UTF-8. Caller frees. */
static char *seen_of(const char *name)
{
    struct buffer seen = {0};
    for (size_t length; *name && (length = utf8_character(name, strlen(name))) > 0; name += length) {
        const unsigned char *character = (const unsigned char *)name;
        if (length == 3 && is_none(character))
            break;
        if (length != 3 || !has_no_width(character))
            buffer_add(&seen, name, length);
    }
    return buffer_take(&seen);
}

/* A part of a name between backslashes. */
static bool is_git_part(const char *part, size_t length)
{
    static const char *const names[] = {".git", "git~1"};
    if (git_path_is_gitfile(part, length, GIT_PATH_GITFILE_GITMODULES, GIT_PATH_FS_GENERIC) > 0)
        return true;
    const char *stream = memchr(part, ':', length);
    length = stream ? (size_t)(stream - part) : length;
    while (length > 0 && (part[length - 1] == ' ' || part[length - 1] == '.'))
        length--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (length == strlen(names[i]) && strncasecmp(part, names[i], length) == 0)
            return true;
    return false;
}

bool strict_is_git(const char *name)
{
    OWNED char *seen = seen_of(name);
    for (const char *part = seen; *part; part += strcspn(part, "\\"), part += *part != '\0')
        if (is_git_part(part, strcspn(part, "\\")))
            return true;
    return false;
}

/* --- attributes --- */

bool strict_is_attributes(const char *name)
{
    OWNED char *seen = seen_of(name);
    return git_path_is_gitfile(seen, strlen(seen), GIT_PATH_GITFILE_GITATTRIBUTES, GIT_PATH_FS_GENERIC) > 0;
}

bool strict_attributes(const char *text, size_t length)
{
    for (const char *end = text + strnlen(text, length); text < end; text++) {
        const char *line = text;
        text = memchr(line, '\n', (size_t)(end - line));
        text = text ? text : end;
        if (text - line >= ATTRIBUTES_LINE)
            return false;
    }
    return true;
}

bool strict_file(const char *path, const char *text, size_t length)
{
    for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        OWNED char *folder = memory_slice(path, (size_t)(slash - path));
        if (strict_is_git(folder) || strict_is_attributes(folder))
            return false;
    }
    return !strict_is_git(path) && (!strict_is_attributes(path) || strict_attributes(text, length));
}
