/* The HTTP process's calls to a supervisor that a test plays. */
#ifndef AGENTOS_TESTS_UNIT_CALLS_SCENE_H
#define AGENTOS_TESTS_UNIT_CALLS_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/memory.h"
#include "supervisor/http/calls.h"

struct calls_scene {
    struct calls *calls;
    int channel, supervisor, epoll; /* supervisor: the test's end; -1: closed */
    unsigned settled;               /* how often on_settled was called */
};

static inline void on_settled(void *scene)
{
    ((struct calls_scene *)scene)->settled++;
}

static inline struct calls_scene calls_scene_begin(void)
{
    int pair[2];
    log_start("error", "text");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    struct calls_scene scene = {
        .channel = pair[0], .supervisor = pair[1], .epoll = epoll_create1(EPOLL_CLOEXEC)};
    scene.calls = calls_new(scene.channel, scene.epoll);
    return scene;
}

/* After the end of all that uses the calls. */
static inline void calls_scene_end(struct calls_scene *scene)
{
    memory_close_at(&scene->supervisor);
    close(scene->channel);
    close(scene->epoll);
    calls_free(scene->calls);
}

#endif
