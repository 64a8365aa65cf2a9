/* agentos-reader processes: each answers one request, of the HTTP process or of another node, about the data
 * directory's files and repositories, over a connection of its own, and ends. Few run at once, and each is killed
 * when its time is over, so a repository that was made to harm costs one answer. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum { FILE_READERS_MAX = 4, FILE_READER_MS = 30 * 1000 };

struct file_readers;
struct loop;

/* programs: the folder of our programs; data: descriptor of DATA_DIR. All arguments are borrowed. */
struct file_readers *file_readers_new(struct loop *loop, const char *programs, int data);
void file_readers_free(struct file_readers *readers); /* running readers are killed; NULL is fine */
/* Starts a reader. Returns the other end of its connection, the caller's to close; -1: too many are at work, or the
 * reader can't be started, which the log says. */
int file_readers_begin(struct file_readers *readers);
/* True: the pid was a reader's; the reader has ended with this wait status; an end that nobody expects is logged. */
bool file_readers_reap(struct file_readers *readers, pid_t pid, int status);
