/* Files in trees that other processes and people write too.
 *
 * Every path is relative to a folder's descriptor and is resolved beneath it without following any link
 * (openat2, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS; step by step where a sandbox refuses it), and
 * only regular files are read:
 * a link, FIFO or device that somebody planted is a fault, never a hang. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/fault.h"

/* In the names of files that are not whole yet: files_write's are .NAME.md.new-N, the post office's .NAME.md.post-N. */
#define FILES_MARK ".md.new-"
#define BATCH_MARK ".md.post-"

/* A stamp tells one state of a file from another without reading the file. All zero: there is no file. */
struct file_stamp {
    uint64_t device, inode, size;
    int64_t modified_ns, changed_ns;
};

struct file_stamp files_stamp(const struct stat *status);
bool files_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
/* But for the time of change, which an exchange of names changes, too. */
bool files_stamp_same_content(const struct file_stamp *a, const struct file_stamp *b);
/* Whether a change after now_ns (clock_kernel_ns) shows in the time of change: the kernel's times are as coarse as its ticks,
 * and those of a file system that keeps no fractions as its second or two. */
bool files_stamp_settled(const struct file_stamp *stamp, int64_t now_ns);
struct file_stamp files_stamp_at(int folder, const char *path); /* zero when missing or no regular file */
/* The same where it matters: 1 there, 0 missing or no regular file, -1 and errno: that can't be told now. */
int files_look(int folder, const char *path, struct file_stamp *stamp);

/* openat2 as said above; flags as for open(2), O_CLOEXEC | O_NOCTTY | O_NONBLOCK added. -1 and errno. */
int files_open(int folder, const char *path, int flags, unsigned mode);
/* A folder below `folder`, made with its parents when missing (mode 0755). -1 and fault. */
int files_open_folder(int folder, const char *path, bool create, struct fault *fault);
/* The same for one that was seen to be missing. */
int files_make_folder(int folder, const char *path, struct fault *fault);
/* The folder at an absolute or relative path of the user's (links are the user's own affair here). */
int files_open_path(const char *path, struct fault *fault);

/* For a process that takes leases (F_SETLEASE) for microseconds: SIGIO, by which the kernel tells that another process
 * waits for the file, would end the process, and is ignored from here on. */
void files_leases_silent(void);

/* Whether fd, a folder's descriptor, still names the folder at path (absolute). The folder may have been removed, or
 * moved. */
bool files_is_at(int fd, const char *path);
/* Where it doesn't, and another folder lies there, fd names that from now on. */
void files_follow(int fd, const char *path);

/* The whole file as text with a NUL behind it. Returns 1 read, 0 no such file (no fault), -1 errno and fault (also
 * when larger than limit: EFBIG, or no regular file: EINVAL). stamp may be NULL. Caller frees *text. */
int files_read(int folder, const char *path, size_t limit, char **text, size_t *length,
               struct file_stamp *stamp, struct fault *fault);

/* Write a new file whole: temporary name beside it, rename over path. With durable, the file is fsynced before
 * the rename and the folder after it. */
bool files_write(int folder, const char *path, const void *bytes, size_t length, bool durable,
                 struct fault *fault);
/* The same with a flush of the text alone: after a power cut the file has the former text or the new text, each whole. */
bool files_rewrite(int folder, const char *path, const void *bytes, size_t length, struct fault *fault);

/* The file that the temporary of this name was to become, to be freed by the caller; NULL: the name is none of
 * files_write's. A temporary that lies there without its writer was cut short by a kill, and the folder's only writer
 * removes it. */
char *files_unfinished(const char *name);

/* Append in one write(2), fsynced; the file is created when missing. An append that doesn't fit on the disk leaves no
 * piece. */
bool files_append(int folder, const char *path, const void *bytes, size_t length, struct fault *fault);

/* An errno of files_open or files_read that waiting doesn't mend: the file is a link, no regular file, or too large. */
bool files_lasting(int error);

/* All of bytes, over short writes and EINTR. False and errno. */
bool files_write_all(int fd, const void *bytes, size_t length);
