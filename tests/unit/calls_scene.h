/* The HTTP process's calls to a supervisor that a test plays. */
#ifndef AGENTOS_TESTS_UNIT_CALLS_SCENE_H
#define AGENTOS_TESTS_UNIT_CALLS_SCENE_H

#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/test_clock.h"
#include "supervisor/http/calls.h"
#include "tests/unit/cmocka.h"

struct calls_scene {
    struct calls *calls;
    struct loop *loop;
    int channel, supervisor; /* supervisor: the test's end; -1: closed */
    unsigned settled;        /* how often on_settled was called */
    bool ended;              /* the supervisor is gone */
};

static inline void on_settled(void *scene)
{
    ((struct calls_scene *)scene)->settled++;
}

static inline void on_end(void *scene)
{
    ((struct calls_scene *)scene)->ended = true;
}

static inline void calls_scene_begin(struct calls_scene *scene)
{
    int pair[2];
    log_start("error", "text");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    *scene = (struct calls_scene){.channel = pair[0], .supervisor = pair[1], .loop = loop_new()};
    scene->calls = calls_new(scene->channel, scene->loop, on_end, scene);
    assert_non_null(scene->calls);
}

/* What has come is taken, and what was due by then has happened. */
static inline void pass(const struct calls_scene *scene, int64_t milliseconds)
{
    test_clock_move(0, milliseconds);
    loop_turn(scene->loop, 0);
}

/* After the end of all that uses the calls. */
static inline void calls_scene_end(struct calls_scene *scene)
{
    memory_close_at(&scene->supervisor);
    calls_free(scene->calls);
    loop_free(scene->loop);
    close(scene->channel);
}

#endif
