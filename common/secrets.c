#include "common/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/settings.h"

enum { SECRETS_MAX = 1024 * 1024, FILE_MOST = 64 * 1024 };

struct secrets {
    char *bytes; /* its own pages, kept out of core files and, where allowed, out of swap */
    size_t length, mapped;
};

/* The names of the variables that were taken, NUL-terminated each, for settings_check (the header says so). */
static struct buffer taken;

#define X(symbol, name, kind, ...) {name, SETTING_##kind},
static const struct {
    const char *name;
    enum setting_kind kind;
} variables[] = {SETTINGS_TABLE(X)};
#undef X

/* entry: "NAME=VALUE" or "NAME__OWNER=VALUE" of a setting that is a secret; "NAME__OWNER_FILE" is a path, no secret. A
 * proxy's address may hold a password. */
static bool is_secret(const char *entry)
{
    static const char *const proxies[] = {"http_proxy=", "https_proxy=", "all_proxy="};
    const char *equals = strchr(entry, '=');
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        if (strncasecmp(entry, proxies[i], strlen(proxies[i])) == 0)
            return true;
    if (!equals || (equals - entry > 5 && memcmp(equals - 5, "_FILE", 5) == 0))
        return false;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        if (variables[i].kind != SETTING_SECRET)
            continue;
        size_t length = strlen(variables[i].name);
        if (strncmp(entry, variables[i].name, length) == 0 &&
            (entry[length] == '=' || strncmp(entry + length, "__", 2) == 0))
            return true;
    }
    return false;
}

static void forget(struct buffer *buffer)
{
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->capacity);
    buffer_free(buffer);
}

/* Takes every secret out of the environment; the text goes to kept (which has room already, so that no copy stays
 * behind in memory that a growing buffer gave back) unless that is NULL. The kernel shows the initial environment's
 * memory in /proc/PID/environ for as long as the process lives: so it's overwritten where it stands. */
static void take(struct buffer *kept)
{
    char **to = environ;
    for (char **from = environ; from && *from; from++) {
        if (!is_secret(*from)) {
            *to++ = *from;
            continue;
        }
        char *value = strchr(*from, '=') + 1;
        size_t length = strlen(value);
        if (length) {
            buffer_add(&taken, *from, (size_t)(value - 1 - *from));
            buffer_add(&taken, "", 1);
            if (kept)
                buffer_add(kept, *from, strlen(*from) + 1);
        }
        explicit_bzero(value, length);
    }
    if (to)
        *to = NULL;
}

static size_t size_of_all(void)
{
    size_t size = 0;
    for (char **entry = environ; entry && *entry; entry++)
        if (is_secret(*entry))
            size += strlen(*entry) + 1;
    return size;
}

/* A sealed file of memory that holds them; -1 and fault. */
static int put(const struct buffer *kept, struct fault *fault)
{
    OWNED_FD int fd = memfd_create("agentos-secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || !files_write_all(fd, kept->data, kept->length) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return fault_errno(fault, "the keys can't be kept in memory (memfd_create)"), -1;
    int result = fd;
    fd = -1;
    return result;
}

int secrets_collect(struct fault *fault)
{
    struct buffer kept = {0};
    int fd;
    buffer_room(&kept, size_of_all());
    take(&kept);
    fd = put(&kept, fault);
    forget(&kept);
    return fd;
}

void secrets_wipe(void)
{
    take(NULL);
}

const char *secrets_next_taken(size_t *at)
{
    const char *name = *at < taken.length ? taken.data + *at : NULL;
    *at += name ? strlen(name) + 1 : 0;
    return name;
}

bool secrets_taken(const char *variable)
{
    size_t at = 0;
    for (const char *name; (name = secrets_next_taken(&at));)
        if (strcmp(name, variable) == 0)
            return true;
    return false;
}

static bool read_into(struct secrets *secrets, int fd, struct fault *fault)
{
    for (size_t done = 0; done < secrets->length;) {
        ssize_t n = TEMP_FAILURE_RETRY(pread(fd, secrets->bytes + done, secrets->length - done, (off_t)done));
        if (n < 0)
            return fault_errno(fault, "the keys handed over by the supervisor can't be read");
        if (n == 0)
            return fault_set(fault, "the keys handed over by the supervisor are cut short");
        done += (size_t)n;
    }
    return true;
}

struct secrets *secrets_read(int fd, struct fault *fault)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fault_errno(fault, "the keys handed over by the supervisor can't be read"), NULL;
    if (!S_ISREG(status.st_mode) || status.st_size > SECRETS_MAX) {
        fault_set(fault, "the keys that the supervisor handed over are no memory file of at most 1 MiB");
        return NULL;
    }
    struct secrets *secrets = memory_new(1, sizeof *secrets);
    secrets->length = (size_t)status.st_size;
    secrets->mapped = secrets->length + 1; /* a NUL behind it: the pages are zero */
    secrets->bytes = mmap(NULL, secrets->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secrets->bytes == MAP_FAILED) {
        fault_errno(fault, "no memory for the keys");
        free(secrets);
        return NULL;
    }
    madvise(secrets->bytes, secrets->mapped, MADV_DONTDUMP);
    mlock(secrets->bytes,
          secrets->mapped); /* refused where the limit is 0; then swap is the operator's affair */
    if (read_into(secrets, fd, fault))
        return secrets;
    secrets_free(secrets);
    return NULL;
}

const char *secrets_find(const struct secrets *secrets, const char *variable)
{
    size_t length = strlen(variable);
    for (size_t at = 0; secrets && at < secrets->length; at += strlen(secrets->bytes + at) + 1) {
        const char *entry = secrets->bytes + at;
        if (strncmp(entry, variable, length) == 0 && entry[length] == '=')
            return entry + length + 1;
    }
    return NULL;
}

int secrets_pick(int fd, const char *variable, struct fault *fault)
{
    struct secrets *all = secrets_read(fd, fault);
    const char *value = all ? secrets_find(all, variable) : NULL;
    struct buffer picked = {0};
    if (value && *value) {
        size_t name = strlen(variable), length = strlen(value);
        buffer_room(&picked, name + length + 2); /* no copy stays behind, as above */
        buffer_add(&picked, variable, name);
        buffer_add(&picked, "=", 1);
        buffer_add(&picked, value, length + 1);
    }
    int result = all ? put(&picked, fault) : -1;
    forget(&picked);
    secrets_free(all);
    return result;
}

bool secrets_trim(char *secret)
{
    static const char blanks[] = " \t\r\n";
    size_t begin = strspn(secret, blanks), length = strlen(secret), end = length;
    while (end > begin && strchr(blanks, secret[end - 1]))
        end--;
    memmove(secret, secret + begin, end - begin);
    explicit_bzero(secret + (end - begin), length - (end - begin));
    return end - begin < length;
}

bool secrets_fit_for_a_header(const char *secret)
{
    for (const char *c = secret; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return true;
}

/* A FIFO would hold up everybody. */
char *secrets_read_file(const char *path, const char *what, struct fault *fault)
{
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return fault_errno(fault, "the %s file %s can't be read", what, path), NULL;
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, "the %s file %s is no regular file", what, path), NULL;
    char *text = memory_new(FILE_MOST + 1, 1);
    ssize_t length = 0, n;
    while ((n = read(fd, text + length, (size_t)(FILE_MOST + 1 - length))) > 0)
        if ((length += n) > FILE_MOST)
            break;
    bool good = true;
    if (n < 0)
        good = fault_errno(fault, "the %s file %s can't be read", what, path);
    else if (length > FILE_MOST || memchr(text, '\0', (size_t)length))
        good = fault_set(fault, "the %s file %s holds none: it is binary or larger than 64 KiB", what, path);
    if (good) /* else no NUL stands at its end, perhaps */
        secrets_trim(text);
    if (good && !*text)
        good = fault_set(fault, "the %s file %s is empty", what, path);
    char *key = good ? memory_text(text) : NULL;
    explicit_bzero(text, FILE_MOST);
    free(text);
    return key;
}

const char *secrets_each(const struct secrets *secrets, size_t *at)
{
    if (!secrets || *at >= secrets->length)
        return NULL;
    const char *entry = secrets->bytes + *at;
    *at += strlen(entry) + 1;
    return entry;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    explicit_bzero(secrets->bytes, secrets->mapped);
    munmap(secrets->bytes, secrets->mapped);
    free(secrets);
}
