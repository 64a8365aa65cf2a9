/* The grammar is a small part of git's, a line at a time: a line continued with a backslash, or with a quote left open,
 * is refused, so the line behind it is read for itself, by git too once the refused line is gone. */
#include "common/guard/git_config.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"

enum { VALUE_MAX = 1024, NAME_MAX_BYTES = 128 };

struct reading {
    char section[NAME_MAX_BYTES]; /* "": no valid section so far */
    char subsection[VALUE_MAX];
    bool has_subsection;
    const char *agents;
};

/* --- values --- */

static bool is_word(const char *text, const char *more)
{
    for (const char *at = text; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr(more, *at))
            return false;
    return *text && *text != '-';
}

static bool any(const struct reading *reading, const char *value)
{
    (void)reading;
    (void)value;
    return true;
}

/* A boolean, a number, or a word such as "input". */
static bool word(const struct reading *reading, const char *value)
{
    (void)reading;
    return is_word(value, "-.");
}

/* An extension or a later format could name other places for objects and refs. */
static bool format(const struct reading *reading, const char *value)
{
    (void)reading;
    return strcmp(value, "0") == 0;
}

static bool remote_name(const struct reading *reading, const char *value)
{
    (void)reading;
    return is_word(value, "-._") && strcmp(value, "..") != 0;
}

static bool ref_name(const struct reading *reading, const char *value)
{
    (void)reading;
    return strncmp(value, "refs/", 5) == 0 && is_word(value, "-._/+@") && !strstr(value, "..");
}

static bool refspec(const struct reading *reading, const char *value)
{
    (void)reading;
    return is_word(value + (*value == '+' || *value == '^'), "-._/+@*:") && !strstr(value, "..");
}

/* A path that says where it leads without the file system's help, and not into an agent's tree, where a repository with
 * hooks could wait for a push. */
static bool file_path(const struct reading *reading, const char *path)
{
    size_t n = strlen(reading->agents);
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        size_t part = strcspn(slash + 1, "/");
        if ((part == 0 && slash[1]) || (part <= 2 && strspn(slash + 1, ".") >= part && part > 0))
            return false;
    }
    return path[0] == '/' && !strchr(path, '%') && strncmp(path, "/proc/", 6) != 0 &&
           strncmp(path, "/dev/", 5) != 0 &&
           !(strncmp(path, reading->agents, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* Is the text between the scheme and the path a host that can't be taken for an option? */
static bool host(const char *text, size_t length)
{
    OWNED char *name = memory_slice(text, length);
    const char *at = strrchr(name, '@');
    const char *start = at ? at + 1 : name;
    return *name != '-' && is_word(start, "-.:[]") && (!at || !strpbrk(name, "%'\"`$\\"));
}

static bool url(const struct reading *reading, const char *value)
{
    static const char *const schemes[] = {"https://", "ssh://"};
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == '\x7f')
            return false;
    if (strncmp(value, "file://", 7) == 0)
        return file_path(reading, value + 7);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(value, schemes[i], strlen(schemes[i])) == 0) {
            const char *name = value + strlen(schemes[i]);
            return host(name, strcspn(name, "/"));
        }
    size_t colon = strcspn(value, ":/"); /* host:path, as ssh takes it */
    if (value[colon] == ':' && value[colon + 1] != ':' && strncmp(value + colon + 1, "//", 2) != 0)
        return host(value, colon) && is_word(value + colon + 1, "-._/~+@");
    return file_path(reading, value);
}

/* --- the allow list --- */

static const struct {
    const char *section, *key; /* key NULL: any */
    bool subsection;
    bool (*good)(const struct reading *reading, const char *value);
} allowed[] = {
    {"core", "repositoryformatversion", false, format},
    {"core", "filemode", false, word},
    {"core", "bare", false, word},
    {"core", "logallrefupdates", false, word},
    {"core", "ignorecase", false, word},
    {"core", "precomposeunicode", false, word},
    {"core", "symlinks", false, word},
    {"core", "autocrlf", false, word},
    {"core", "eol", false, word},
    {"core", "safecrlf", false, word},
    {"core", "trustctime", false, word},
    {"core", "checkstat", false, word},
    {"core", "quotepath", false, word},
    {"core", "untrackedcache", false, word},
    {"user", NULL, false, any},
    {"branch", "remote", true, remote_name},
    {"branch", "pushremote", true, remote_name},
    {"branch", "merge", true, ref_name},
    {"branch", "rebase", true, word},
    {"branch", "description", true, any},
    {"branch", "autosetuprebase", false, word},
    {"branch", "autosetupmerge", false, word},
    {"branch", "sort", false, word},
    {"remote", "url", true, url},
    {"remote", "pushurl", true, url},
    {"remote", "fetch", true, refspec},
    {"remote", "push", true, refspec},
    {"remote", "tagopt", true, any},
    {"remote", "prune", true, word},
    {"remote", "prunetags", true, word},
    {"remote", "mirror", true, word},
    {"remote", "skipfetchall", true, word},
    {"remote", "skipdefaultupdate", true, word},
    {"remote", "pushdefault", false, remote_name},
    {"init", "defaultbranch", false, word},
    {"pull", "rebase", false, word},
    {"pull", "ff", false, word},
    {"push", "default", false, word},
    {"push", "followtags", false, word},
    {"push", "autosetupremote", false, word},
    {"fetch", "prune", false, word},
    {"merge", "ff", false, word},
    {"merge", "conflictstyle", false, word},
    {"rebase", "autostash", false, word},
    {"rebase", "autosquash", false, word},
    {"diff", "renames", false, word},
    {"diff", "algorithm", false, word},
    {"log", "date", false, word},
    {"log", "decorate", false, word},
    {"status", "short", false, word},
    {"status", "branch", false, word},
    {"status", "showuntrackedfiles", false, word},
    {"color", "ui", false, word},
    {"gc", "auto", false, word},
    {"gc", "autodetach", false, word},
    {"receive", "denycurrentbranch", false, word},
    {"receive", "denynonfastforwards", false, word},
    {"advice", NULL, false, word},
};

static bool is_allowed(const struct reading *reading, const char *key, const char *value)
{
    if (reading->has_subsection && strcasecmp(reading->section, "remote") == 0 &&
        !remote_name(reading, reading->subsection))
        return false;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strcasecmp(allowed[i].section, reading->section) == 0 &&
            allowed[i].subsection == reading->has_subsection &&
            (!allowed[i].key || strcasecmp(allowed[i].key, key) == 0))
            return allowed[i].good(reading, value);
    return false;
}

static bool is_known(const struct reading *reading)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strcasecmp(allowed[i].section, reading->section) == 0)
            return true;
    return false;
}

/* --- lines --- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

static bool is_over(const char *at)
{
    at = skip_blanks(at);
    return *at == '\0' || *at == '#' || *at == ';';
}

/* `[name]` or `[name "sub"]`, put into reading. Returns the text behind the header; NULL: the line has neither form. */
static const char *read_header(struct reading *reading, const char *at)
{
    size_t n = strspn(++at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    reading->section[0] = '\0';
    reading->has_subsection = false;
    if (n == 0 || n >= sizeof reading->section)
        return NULL;
    const char *name = at;
    at = skip_blanks(at + n);
    if (*at == '"') {
        size_t sub = strcspn(++at, "\"\\");
        if (at[sub] != '"' || sub >= sizeof reading->subsection)
            return NULL;
        memcpy(reading->subsection, at, sub);
        reading->subsection[sub] = '\0';
        reading->has_subsection = true;
        at += sub + 1;
    }
    if (*at != ']')
        return NULL;
    memcpy(reading->section, name, n);
    reading->section[n] = '\0';
    return at + 1;
}

/* The value as git reads it. False: the value has an escape that git refuses, goes on in the next line, or is too
 * long. */
static bool read_value(const char *at, char value[VALUE_MAX])
{
    static const char escapes[] = "nt\"\\b", meant[] = "\n\t\"\\\b";
    size_t length = 0, end = 0; /* end: behind the last byte that is no blank outside quotes */
    bool quoted = false;
    for (at = skip_blanks(at); *at && length < VALUE_MAX - 1; at++) {
        if (*at == '"') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && (*at == '#' || *at == ';'))
            break;
        char byte = *at;
        if (byte == '\\') {
            const char *escape = at[1] ? strchr(escapes, at[1]) : NULL;
            if (!escape)
                return false;
            byte = meant[escape - escapes];
            at++;
        }
        value[length++] = byte;
        if (quoted || (byte != ' ' && byte != '\t'))
            end = length;
    }
    value[end] = '\0';
    return !quoted && length < VALUE_MAX - 1;
}

/* `key`, which means true, or `key = value`. name: the key's name in a refusal. */
static bool take_setting(const struct reading *reading, const char *at, unsigned number, struct buffer *name)
{
    char key[NAME_MAX_BYTES], value[VALUE_MAX] = "true";
    size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    const char *rest = skip_blanks(at + n);
    bool plain = isalpha((unsigned char)*at) && n < sizeof key && reading->section[0];
    if (plain && reading->has_subsection)
        buffer_print(name, "%s.%.64s.%.*s", reading->section, reading->subsection, (int)n, at);
    else if (plain)
        buffer_print(name, "%s.%.*s", reading->section, (int)n, at);
    else
        buffer_print(name, "line %u", number);
    if (!plain || (*rest == '=' ? !read_value(rest + 1, value) : !is_over(rest)))
        return false;
    memcpy(key, at, n);
    key[n] = '\0';
    return is_allowed(reading, key, value);
}

static bool has_controls(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == '\x7f')
            return true;
    return false;
}

static void keep(struct buffer *kept, const char *text, size_t length)
{
    buffer_add(kept, text, length);
    buffer_text(kept, "\n");
}

/* Is all of the line good? A header is kept with the setting behind it or alone; the header of a section that has no
 * allowed key goes with its keys, and is no reason to write the file anew by itself. */
static bool take_line(struct reading *reading, const char *text, size_t length, unsigned number,
                      struct buffer *kept, struct buffer *name)
{
    const char *at = skip_blanks(text), *header = at;
    bool clear = !has_controls(text, length);
    if (clear && *at == '[') {
        at = read_header(reading, at);
        if (at && is_known(reading))
            keep(kept, header, (size_t)(at - header));
        if (at)
            at = skip_blanks(at);
    }
    if (!clear || !at) {
        buffer_print(name, "line %u", number);
        return false;
    }
    if (!is_over(at) && !take_setting(reading, at, number, name))
        return false;
    if (*header != '[')
        keep(kept, text, length);
    else if (!is_over(at))
        keep(kept, at, strlen(at));
    return true;
}

size_t git_config_filter(const char *text, size_t length, const char *agents, struct buffer *kept,
                         struct buffer *refused)
{
    struct reading reading = {.agents = agents};
    size_t count = 0;
    unsigned number = 0;
    static const char mark[] = "\xef\xbb\xbf";
    const char *at = text, *end = text + length;
    if (length >= 3 && memcmp(at, mark, 3) == 0)
        at += 3;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline ? newline : end) - at);
        size_t shown = n > 0 && at[n - 1] == '\r' ? n - 1 : n;
        OWNED char *line = memory_slice(at, shown);
        OWNED_BUFFER struct buffer name = {0};
        if (!take_line(&reading, line, shown, ++number, kept, &name)) {
            buffer_print(refused, "%s\n", name.data);
            count++;
        }
        at += n + (newline != NULL);
    }
    return count;
}

/* --- other texts --- */

bool git_text_names_program(const char *text)
{
    static const char *const built_in =
        " ada bash bibtex cpp csharp css dts elixir fortran fountain golang html java "
        "kotlin markdown matlab objc pascal perl php python ruby rust scheme tex "
        "text binary union ";
    static const char *const keys[] = {"filter=", "diff=", "merge="};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (const char *at = text; (at = strstr(at, keys[i])); at++) {
            const char *value = at + strlen(keys[i]);
            OWNED char *name = memory_print(" %.*s ", (int)strcspn(value, " \t\r\n"), value);
            if (!strstr(built_in, name))
                return true;
        }
    return false;
}

bool git_text_holds_command(const char *text)
{
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += strspn(at, " \t\r\n");
        size_t n = strcspn(at, " \t\r\n");
        if ((n == 1 && *at == 'x') || (n == 4 && strncmp(at, "exec", n) == 0))
            return true;
    }
    return false;
}

bool git_text_leads_elsewhere(const char *text)
{
    return strcmp(text, "../..\n") != 0 && strcmp(text, "../..") != 0;
}
