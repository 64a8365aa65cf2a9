/* The control server from within: what its files share. Nobody else includes this. */
#ifndef AGENTOS_SUPERVISOR_CONTROL_PART_H
#define AGENTOS_SUPERVISOR_CONTROL_PART_H

#include "common/buffer.h"
#include "supervisor/control/control.h"
#include "supervisor/control/send_queue.h"
#include "supervisor/supervisor.h"

enum { READ_SIZE = 64 * 1024 };

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_watch *watch;
    struct timer deadline;
    uint32_t events;  /* that are watched for */
    struct buffer in; /* of requests that aren't answered yet: one that isn't whole, or several */
    struct buffer out;
    size_t out_done;
    bool busy; /* a request is being answered, or is waited for */
    bool deaf; /* it has sent more meanwhile, which is not read before the answer is */
    bool half; /* it has closed its writing side */
    bool ends; /* nothing more is read of it */
    struct waiter waiter;
    struct feed feed; /* of one who follows the events, after out */
};

struct control {
    struct supervisor *supervisor;
    int fd;
    struct loop_watch *watch;
    struct client *clients;
    size_t count, followers;
    struct timer rest;     /* until it accepts again */
    char bytes[READ_SIZE]; /* as they come in */
    bool starved;          /* the last client was turned away for lack of descriptors */
};

/* That all is well, and the id, which names_new_id has made: it needs no quoting. Said so often that it is said cheaply. */
void client_say_id(struct client *client, const char *id);
void client_stop_waiting(struct client *client); /* all is said; it may be freed within */

#endif
