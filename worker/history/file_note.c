/* Which file it is and when it was last written: how a file that this program made is known again. */
#include "worker/history/part.h"

struct file_note record_note(const struct stat *status)
{
    struct file_stamp stamp = files_stamp(status);
    return (struct file_note){.inode = stamp.inode, .modified_ns = stamp.modified_ns};
}

bool record_wrote(const struct file_note *note, const struct stat *status)
{
    struct file_note now = record_note(status);
    return note->inode == now.inode && note->modified_ns == now.modified_ns;
}

bool record_prepared(const struct history *history, const struct stat *status)
{
    for (size_t i = 0; i < history->redo.count; i++)
        if (record_wrote(&history->redo.ours[i], status))
            return true;
    return false;
}
