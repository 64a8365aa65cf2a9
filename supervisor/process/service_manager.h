/* Messages to a service manager: sd_notify(3) and its watchdog, where NOTIFY_SOCKET is set. Without it every call
 * does nothing. The event loop feeds the watchdog, so a loop that hangs is noticed. */
#pragma once

#include "supervisor/process/loop.h"

struct notify;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks for the
 * supervisor. NULL: there is nobody to tell. */
struct notify *notify_open(struct loop *loop);
void notify_close(struct notify *notify); /* before the loop is freed */

/* "READY=1\nSTATUS=…". A message that can't be sent is lost: the manager decides about the meaning. */
void notify_say(struct notify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));
void notify_reloading(struct notify *notify); /* READY=1 follows when the reload is done */
