#include "supervisor/http/connections.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "common/memory.h"

void guests_begin(struct guests *guests)
{
    *guests = (struct guests){.count = 0};
    TAILQ_INIT(&guests->all);
}

struct guest *guests_come(struct guests *guests, int fd, int64_t now)
{
    struct guest *guest = memory_new(1, sizeof *guest);
    *guest = (struct guest){.fd = fd, .since = now};
    TAILQ_INSERT_TAIL(&guests->all, guest, link);
    guests->count++;
    return guest;
}

void guests_ask(struct guest *guest, int64_t now)
{
    guest->busy = true;
    guest->since = now;
}

void guests_rest(struct guest *guest, int64_t now)
{
    guest->busy = false;
    guest->since = now;
}

void guests_leave(struct guests *guests, struct guest *guest)
{
    TAILQ_REMOVE(&guests->all, guest, link);
    guests->count--;
    free(guest);
}

static int64_t deadline_of(const struct guests *guests, const struct guest *guest)
{
    static const int patience[2][2] = {{GUESTS_REQUEST_MS, GUESTS_CROWD_REQUEST_MS},
                                       {GUESTS_ANSWER_MS, GUESTS_CROWD_ANSWER_MS}};
    return guest->since + patience[guest->busy][guests->count >= GUESTS_CROWD];
}

int64_t guests_deadline(const struct guests *guests)
{
    const struct guest *guest;
    int64_t first = -1;
    TAILQ_FOREACH(guest, &guests->all, link)
    {
        int64_t deadline = guest->shown_out ? -1 : deadline_of(guests, guest);
        if (deadline >= 0 && (first < 0 || deadline < first))
            first = deadline;
    }
    return first;
}

void guests_expire(struct guests *guests, int64_t now)
{
    struct guest *guest;
    TAILQ_FOREACH(guest, &guests->all, link)
    if (!guest->shown_out && deadline_of(guests, guest) <= now) {
        shutdown(guest->fd, SHUT_RDWR);
        guest->shown_out = true;
    }
}
