/* The control server from within: what its files share. Nobody else includes this. */
#ifndef AGENTOS_SUPERVISOR_CONTROL_PART_H
#define AGENTOS_SUPERVISOR_CONTROL_PART_H

#include "common/buffer.h"
#include "supervisor/control.h"
#include "supervisor/feed.h"
#include "supervisor/supervisor.h"

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_watch *watch;
    struct timer deadline;
    struct buffer in, out;
    size_t out_done;
    bool asked; /* the request is whole */
    struct waiter waiter;
    struct feed feed; /* of one who follows the events, after out */
};

struct control {
    struct supervisor *supervisor;
    int fd;
    struct loop_watch *watch;
    struct client *clients;
    size_t count, followers;
    struct timer rest; /* until it accepts again */
    bool starved;      /* the last client was turned away for lack of descriptors */
};

void client_stop_waiting(struct client *client); /* all is said; it may be freed within */

#endif
