/* A plain text that a person puts into handoffs/ or inbox/ is work from the operator: the text becomes an envelope
 * here, in its place. First the file gets its name, so that a crash leaves plain text that is found again, then its
 * head. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/mail/part.h"

bool mail_too_large(struct fault *fault, size_t size)
{
    return fault_set(fault, "it has %zu bytes, an envelope at most %d", size, ENVELOPE_MAX);
}

bool mail_is_blank(const char *text, size_t length, struct fault *fault)
{
    return strspn(text, " \t\r\n") == length && !fault_set(fault, "it has no text");
}

/* A file that begins with one of these keys is meant to be an envelope. */
static bool is_plain(const struct frontmatter *matter)
{
    return !yaml_get(matter->head, "id") && !yaml_get(matter->head, "kind") &&
           !yaml_get(matter->head, "from");
}

static bool lies_in(const struct mail *mail, const char *folder, const char *id)
{
    OWNED char *path = memory_print("%s/%s.md", folder, id);
    return faccessat(mail->tree, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A person who puts in a file of a name that was there once means new work. */
static char *id_for(const struct mail *mail, const char *file, enum mail_place place)
{
    OWNED char *base = memory_slice(file, strlen(file) - 3);
    char *id = names_file(base);
    struct pruned pruned;
    bool taken = lies_in(mail, TREE_ARCHIVE, id) || lies_in(mail, TREE_DEAD_LETTERS, id) ||
                 pruned_find(mail->tree, TREE_ARCHIVE, id, &pruned);
    for (enum mail_place other = 0; other < MAIL_PLACES; other++)
        taken =
            taken || (lies_in(mail, mail_folders[other], id) && (other != place || strcmp(id, base) != 0));
    if (names_id(id) && !taken)
        return id;
    free(id);
    return names_new_id();
}

static bool write_envelope(const struct mail *mail, int folder, enum mail_place place, const char *id,
                           const struct frontmatter *matter, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *body = memory_slice(matter->body, matter->body_length), *file = memory_print("%s.md", id);
    const char *priority = frontmatter_text(matter, "priority");
    const struct yaml_node *ttl = yaml_get(matter->head, "ttl_seconds");
    struct envelope envelope = {.id = (char *)(uintptr_t)id,
                                .kind = place == MAIL_HANDOFFS ? KIND_HANDOFF : KIND_MESSAGE,
                                .from = (char[]){"operator"},
                                .to = mail->agent,
                                .created = clock_now(),
                                .priority = PRIORITY_NORMAL,
                                .status = (char[]){"delivered"},
                                .hops = 1,
                                .trace = (char *)(uintptr_t)id,
                                .delivered = clock_now(),
                                .body = body};
    if (priority)
        priority_parse(priority, &envelope.priority);
    if (!ttl || !yaml_integer(ttl, &envelope.ttl_seconds) || envelope.ttl_seconds < 0)
        envelope.ttl_seconds = 0;
    envelope_print(&envelope, &text);
    return files_write(folder, file, text.data, text.length, true, fault);
}

static char *take(const struct mail *mail, int folder, enum mail_place place, const char *file,
                  const struct frontmatter *matter, struct fault *fault)
{
    char *id = id_for(mail, file, place);
    OWNED char *name = memory_print("%s.md", id);
    bool named = strcmp(name, file) == 0 || renameat2(folder, file, folder, name, RENAME_NOREPLACE) == 0;
    if (!named)
        fault_errno(fault, "it can't be renamed to %s", name);
    if (named && write_envelope(mail, folder, place, id, matter, fault)) {
        log_info("agent", mail->agent, "%s/%s was put in by hand: it is work from the operator, %s",
                 mail_folders[place], file, id);
        return id;
    }
    free(id);
    return NULL;
}

char *mail_take_text(const struct mail *mail, int folder, enum mail_place place, const char *file,
                     struct fault *fault)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault other;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (files_read(folder, file, ENVELOPE_FILE_MAX, &text, &length, NULL, &other) != 1)
        return NULL; /* the fault stands that it is no envelope */
    if (memchr(text, '\0', length) || !utf8_valid(text, length))
        return fault_set(fault, "it is no UTF-8 text"), NULL;
    if (!frontmatter_parse(&matter, text, length, file, fault))
        return NULL;
    if (!is_plain(&matter))
        return NULL;
    if (length > ENVELOPE_MAX)
        return mail_too_large(fault, length), NULL;
    if (mail_is_blank(text, length, fault))
        return NULL;
    return take(mail, folder, place, file, &matter, fault);
}
