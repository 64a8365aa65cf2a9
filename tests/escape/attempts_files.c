/* Out of one's tree: reading, writing, and changing what belongs to others. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "tests/escape/attempts.h"

enum { OLD_TIME = 1000000000, OTHER_USER = 12345, PATH_ROOM = 512 };

static bool reads(int folder, const char *path)
{
    char byte;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool got = read(fd, &byte, 1) == 1;
    close(fd);
    return got;
}

static bool there(const char *folder, const char *name)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static int at(const char *folder)
{
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool read_persona(const struct stage *stage)
{
    return reads(AT_FDCWD, stage->persona);
}

static bool read_passwd(const struct stage *stage)
{
    return reads(AT_FDCWD, "/etc/passwd");
}

static bool read_through_root_link(const struct stage *stage)
{
    return reads(AT_FDCWD, "/proc/self/root/etc/passwd");
}

static bool read_through_planted_link(const struct stage *stage)
{
    return reads(at(stage->own), "way");
}

static bool read_upwards(const struct stage *stage)
{
    return reads(at(stage->own), "../iris/persona.md");
}

static bool read_from_working_directory(const struct stage *stage)
{
    return reads(AT_FDCWD, "../iris/persona.md");
}

static bool read_library(const struct stage *stage)
{
    return reads(AT_FDCWD, "/etc/ld.so.cache");
}

static bool read_environment(const struct stage *stage)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)stage->victim);
    return reads(AT_FDCWD, path);
}

static bool read_command_line(const struct stage *stage)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)stage->supervisor);
    return reads(AT_FDCWD, path);
}

static bool open_memory(const struct stage *stage)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)stage->victim);
    return open(path, O_RDWR | O_CLOEXEC) >= 0;
}

static bool spare_oneself(const struct stage *stage)
{
    return open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) >= 0;
}

static bool list_others(const struct stage *stage)
{
    return open(stage->other, O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0;
}

static bool list_processes(const struct stage *stage)
{
    return open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0;
}

static bool write_roster(const struct stage *stage)
{
    int fd = open(stage->roster, O_WRONLY | O_APPEND | O_CLOEXEC);
    return fd >= 0 && write(fd, "#", 1) == 1;
}

static bool create_outside(const struct stage *stage)
{
    return openat(at(stage->other), "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
}

static bool create_unnamed_outside(const struct stage *stage)
{
    return open(stage->other, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600) >= 0;
}

static bool make_folder_outside(const struct stage *stage)
{
    return mkdirat(at(stage->other), "folder", 0700) == 0;
}

static bool truncate_path(const struct stage *stage)
{
    return truncate(stage->persona, 0) == 0;
}

static bool truncate_by_open(const struct stage *stage)
{
    return open(stage->persona, O_RDONLY | O_TRUNC | O_CLOEXEC) >= 0;
}

static bool delete (const struct stage *stage)
{
    return unlink(stage->persona) == 0;
}

static bool remove_folder(const struct stage *stage)
{
    return unlinkat(at(stage->other), "empty", AT_REMOVEDIR) == 0;
}

static bool rename_others(const struct stage *stage)
{
    return renameat(at(stage->other), "persona.md", at(stage->other), "gone.md") == 0;
}

static bool rename_in(const struct stage *stage)
{
    return renameat(at(stage->other), "persona.md", at(stage->own), "stolen.md") == 0;
}

static bool rename_out(const struct stage *stage)
{
    return renameat(at(stage->own), "text", at(stage->other), "persona.md") == 0;
}

static bool rename_root(const struct stage *stage)
{
    return rename(stage->own, "../elsewhere") == 0;
}

static bool replace_folder(const struct stage *stage)
{
    return mkdirat(at(stage->own), "planted", 0700) == 0 &&
           renameat(at(stage->own), "planted", at(stage->other), "empty") == 0;
}

static bool exchange(const struct stage *stage)
{
    return renameat2(at(stage->own), "text", at(stage->other), "persona.md", RENAME_EXCHANGE) == 0;
}

static bool link_in(const struct stage *stage)
{
    return linkat(at(stage->other), "persona.md", at(stage->own), "linked.md", 0) == 0;
}

static bool link_out(const struct stage *stage)
{
    return linkat(at(stage->own), "text", at(stage->other), "planted.md", 0) == 0;
}

static bool plant_link(const struct stage *stage)
{
    return symlinkat("/etc/passwd", at(stage->own), "planted") == 0;
}

static bool make_fifo(const struct stage *stage)
{
    return mkfifoat(at(stage->own), "fifo", 0600) == 0;
}

static bool make_device(const struct stage *stage)
{
    return mknodat(at(stage->own), "null", S_IFCHR | 0600, (1 << 8) | 3) == 0;
}

static bool make_socket_file(const struct stage *stage)
{
    return mknodat(at(stage->own), "socket", S_IFSOCK | 0600, 0) == 0;
}

/* --- modes, owners, time stamps, attributes, which Landlock leaves open --- */

static bool mode_changed(const struct stage *stage)
{
    struct stat status;
    return stat(stage->persona, &status) == 0 && (status.st_mode & 07777) == 0777;
}

static bool change_mode(const struct stage *stage)
{
    return chmod(stage->persona, 0777) == 0;
}

static bool change_mode_at(const struct stage *stage)
{
    return fchmodat(at(stage->other), "persona.md", 0777, 0) == 0;
}

static bool owner_changed(const struct stage *stage)
{
    struct stat status;
    return stat(stage->persona, &status) == 0 && status.st_uid == OTHER_USER;
}

static bool change_owner(const struct stage *stage)
{
    return chown(stage->persona, OTHER_USER, OTHER_USER) == 0;
}

static bool change_owner_at(const struct stage *stage)
{
    return fchownat(at(stage->other), "persona.md", OTHER_USER, OTHER_USER, 0) == 0;
}

static bool time_changed(const struct stage *stage)
{
    struct stat status;
    return stat(stage->persona, &status) == 0 && status.st_mtime == OLD_TIME;
}

static bool change_time(const struct stage *stage)
{
    return utime(stage->persona, &(struct utimbuf){OLD_TIME, OLD_TIME}) == 0;
}

static bool change_time_at(const struct stage *stage)
{
    const struct timespec times[2] = {{.tv_sec = OLD_TIME}, {.tv_sec = OLD_TIME}};
    return utimensat(at(stage->other), "persona.md", times, 0) == 0;
}

static bool change_times(const struct stage *stage)
{
    const struct timeval times[2] = {{.tv_sec = OLD_TIME}, {.tv_sec = OLD_TIME}};
    return utimes(stage->persona, times) == 0;
}

static bool attribute_changed(const struct stage *stage)
{
    char value[8];
    return getxattr(stage->persona, "user.escape", value, sizeof value) > 0;
}

static bool change_attribute(const struct stage *stage)
{
    return setxattr(stage->persona, "user.escape", "x", 1, 0) == 0;
}

static bool read_attribute(const struct stage *stage)
{
    char value[8];
    return getxattr(stage->persona, "user.theirs", value, sizeof value) > 0;
}

static bool remove_attribute(const struct stage *stage)
{
    return removexattr(stage->persona, "user.theirs") == 0;
}

/* --- other ways to a file --- */

static bool open_by_handle(const struct stage *stage)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } named = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount, fd = open(stage->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return name_to_handle_at(AT_FDCWD, stage->persona, &named.handle, &mount, 0) == 0 &&
           open_by_handle_at(fd, &named.handle, O_RDONLY) >= 0;
}

static bool change_root(const struct stage *stage)
{
    return chroot(stage->other) == 0;
}

static bool change_directory(const struct stage *stage)
{
    return chdir(stage->other) == 0;
}

static bool watch_folder(const struct stage *stage)
{
    return inotify_add_watch(inotify_init1(IN_CLOEXEC), stage->other, IN_ALL_EVENTS) >= 0;
}

static bool watch_everything(const struct stage *stage)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);
    return fd >= 0 && fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, stage->other) == 0;
}

static bool cut_log(const struct stage *stage)
{
    return ftruncate(STDERR_FILENO, 0) == 0;
}

static bool cut_log_by_another_number(const struct stage *stage)
{
    int fd = dup(STDERR_FILENO);
    return fd >= 0 && ftruncate(fd, 0) == 0;
}

static bool cut_log_by_fcntl(const struct stage *stage)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    return fd >= 0 && ftruncate(fd, 0) == 0;
}

/* The kernel takes the lower half of the register for the descriptor. */
static bool cut_log_by_a_wide_number(const struct stage *stage)
{
    return syscall(SYS_ftruncate, 0x100000000L | STDERR_FILENO, 0L) == 0;
}

static bool overwrite_log(const struct stage *stage)
{
    return pwrite(STDERR_FILENO, "?", 1, 0) == 1;
}

static bool leave_folder_open(const struct stage *stage)
{
    return there(stage->other, "empty") && openat(at("/"), "etc/hostname", O_RDONLY | O_CLOEXEC) >= 0;
}

static const struct attempt items[] = {
    {"read another agent's persona.md", 0, read_persona, NULL},
    {"read /etc/passwd", 0, read_passwd, NULL},
    {"read by /proc/self/root", 0, read_through_root_link, NULL},
    {"read through a link in one's tree", 0, read_through_planted_link, NULL},
    {"read upwards from one's tree", 0, read_upwards, NULL},
    {"read upwards from the working directory", 0, read_from_working_directory, NULL},
    {"read by way of a descriptor of /", 0, leave_folder_open, NULL},
    {"read the loader's cache", RARE, read_library, NULL},
    {"read another process's environment", 0, read_environment, NULL},
    {"read another process's command line", 0, read_command_line, NULL},
    {"open another process's memory", 0, open_memory, NULL},
    {"be spared when memory is short", 0, spare_oneself, NULL},
    {"list another agent's tree", 0, list_others, NULL},
    {"list the processes", 0, list_processes, NULL},
    {"write agents.yaml", 0, write_roster, NULL},
    {"create a file outside", 0, create_outside, NULL},
    {"create a file without a name outside", RARE, create_unnamed_outside, NULL},
    {"make a folder outside", 0, make_folder_outside, NULL},
    {"truncate by path", 0, truncate_path, NULL},
    {"truncate by open", 0, truncate_by_open, NULL},
    {"delete another's file", 0, delete, NULL},
    {"remove another's folder", 0, remove_folder, NULL},
    {"rename another's file", 0, rename_others, NULL},
    {"rename another's file into one's tree", 0, rename_in, NULL},
    {"rename one's file over another's", 0, rename_out, NULL},
    {"rename one's own tree", 0, rename_root, NULL},
    {"put one's folder in another's place", 0, replace_folder, NULL},
    {"exchange one's file with another's", 0, exchange, NULL},
    {"hard-link another's file into one's tree", 0, link_in, NULL},
    {"hard-link one's file to outside", 0, link_out, NULL},
    {"plant a symbolic link", 0, plant_link, NULL},
    {"plant a FIFO", 0, make_fifo, NULL},
    {"plant a socket", 0, make_socket_file, NULL},
    {"plant a device", PRIVILEGED, make_device, NULL},
    {"chmod", 0, change_mode, mode_changed},
    {"fchmodat", 0, change_mode_at, mode_changed},
    {"chown", PRIVILEGED, change_owner, owner_changed},
    {"fchownat", PRIVILEGED, change_owner_at, owner_changed},
    {"utime", 0, change_time, time_changed},
    {"utimes", 0, change_times, time_changed},
    {"utimensat", 0, change_time_at, time_changed},
    {"setxattr", RARE, change_attribute, attribute_changed},
    {"getxattr", RARE, read_attribute, NULL},
    {"removexattr", RARE, remove_attribute, NULL},
    {"open by handle", PRIVILEGED, open_by_handle, NULL},
    {"chroot", PRIVILEGED, change_root, NULL},
    {"chdir", 0, change_directory, NULL},
    {"inotify elsewhere", 0, watch_folder, NULL},
    {"fanotify", PRIVILEGED | RARE, watch_everything, NULL},
    {"truncate the log", 0, cut_log, NULL},
    {"truncate the log by dup", 0, cut_log_by_another_number, NULL},
    {"truncate the log by F_DUPFD", 0, cut_log_by_fcntl, NULL},
    {"truncate the log by a wide descriptor", 0, cut_log_by_a_wide_number, NULL},
    {"overwrite the log", 0, overwrite_log, NULL},
};

const struct attempts file_attempts = {items, sizeof items / sizeof *items};
