#include "supervisor/process/service_manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

struct notify {
    struct loop *loop;
    int fd;
    struct sockaddr_un address;
    socklen_t address_length;
    struct timer watchdog;
    int64_t watchdog_ms; /* 0: none */
};

/* "/run/systemd/notify", or "@name" for an abstract one. */
static bool read_address(struct notify *notify, const char *name)
{
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, length);
    if (name[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

/* Half the time that the manager gives, as sd_watchdog_enabled(3) advises; 0: the watchdog is off or another
 * process's. */
static int64_t read_watchdog(const char *microseconds, const char *pid)
{
    char *end;
    errno = 0;
    if (!microseconds || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    unsigned long long value = strtoull(microseconds, &end, 10);
    if (errno || *end || end == microseconds || value < 2000)
        return 0;
    value /= 2000;
    return value > INT32_MAX ? INT32_MAX : (int64_t)value;
}

static void feed_watchdog(void *context)
{
    struct notify *notify = context;
    notify_say(notify, "WATCHDOG=1");
    timer_set(notify->loop, &notify->watchdog, notify->watchdog_ms);
}

static struct notify *begin(struct loop *loop, const char *name, int64_t watchdog_ms)
{
    struct notify *notify = memory_new(1, sizeof *notify);
    *notify = (struct notify){.loop = loop, .fd = -1, .watchdog_ms = watchdog_ms};
    if (read_address(notify, name))
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0) {
        log_warn("agentos", NULL, "NOTIFY_SOCKET '%s' can't be used; the service manager is told nothing",
                 name);
        free(notify);
        return NULL;
    }
    notify->watchdog = (struct timer){.ring = feed_watchdog, .context = notify};
    if (watchdog_ms)
        feed_watchdog(notify);
    return notify;
}

struct notify *notify_open(struct loop *loop)
{
    static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    const char *name = getenv(variables[0]);
    struct notify *notify = NULL;
    if (name && *name)
        notify = begin(loop, name, read_watchdog(getenv(variables[1]), getenv(variables[2])));
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    return notify;
}

void notify_close(struct notify *notify)
{
    if (!notify)
        return;
    timer_clear(notify->loop, &notify->watchdog);
    close(notify->fd);
    free(notify);
}

void notify_say(struct notify *notify, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    if (!notify)
        return;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    sendto(notify->fd, text, (size_t)length, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
           notify->address_length);
    free(text);
}

void notify_reloading(struct notify *notify)
{
    notify_say(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_kernel_monotonic_us());
}
