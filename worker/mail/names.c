/* An envelope's folder and its hash: every file of the mail needs them. */
#include "worker/mail/part.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

const char *const mail_folders[MAIL_PLACES] = {[MAIL_INBOX] = TREE_INBOX, [MAIL_HANDOFFS] = TREE_HANDOFFS};

uint64_t mail_hash(const struct envelope *envelope)
{
    OWNED char *all = memory_print("%s\n%" PRId64 "\n%s", envelope->id, envelope->created,
                                   envelope->body ? envelope->body : "");
    return names_hash(all, strlen(all));
}

int mail_own(const struct mail *mail, const char *folder, const char *id, struct envelope *envelope)
{
    OWNED char *path = memory_print("%s/%s.md", folder, id);
    OWNED char *text = NULL;
    size_t length;
    int found =
        names_id(id) ? files_read(mail->tree, path, ENVELOPE_FILE_MAX, &text, &length, NULL, NULL) : 0;
    if (found < 0)
        return files_lasting(errno) ? 0 : -1;
    if (found != 1 || !envelope_parse(envelope, text, length, path, NULL))
        return 0;
    if (strcmp(envelope->id, id) == 0)
        return 1;
    envelope_free(envelope); /* an envelope of another id, under this name: it is none here */
    return 0;
}
