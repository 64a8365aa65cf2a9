#include "common/sandbox/sandbox.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"
#include "common/settings.h"

enum sandbox_mode sandbox_mode(void)
{
    const char *word = setting_text(SET_AGENTOS_SANDBOX, NULL);
    /* Another word ends `agentos run` (settings_check); until then it means the strictest. */
    return word && strcmp(word, "off") == 0           ? SANDBOX_OFF
           : word && strcmp(word, "best-effort") == 0 ? SANDBOX_BEST_EFFORT
                                                      : SANDBOX_REQUIRE;
}

struct sandbox *sandbox_prepare(enum sandbox_role role, enum sandbox_mode mode, struct fault *fault)
{
    struct sandbox *sandbox = memory_new(1, sizeof *sandbox);
    *sandbox = (struct sandbox){.role = role, .mode = mode};
    if (mode == SANDBOX_OFF)
        return sandbox;
    sandbox_look(&sandbox->facts);
    if (mode == SANDBOX_REQUIRE && !sandbox_floor(&sandbox->facts, fault)) {
        sandbox_free(sandbox);
        return NULL;
    }
    bool compiled = !sandbox->facts.seccomp || (seccomp_compile(role, false, &sandbox->filter, fault) &&
                                                seccomp_compile(role, true, &sandbox->tightening, fault));
    if (compiled || mode == SANDBOX_BEST_EFFORT)
        return sandbox;
    sandbox_free(sandbox);
    return NULL;
}

void sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return;
    free(sandbox->filter.code);
    free(sandbox->tightening.code);
    free(sandbox);
}

bool sandbox_shed(const struct sandbox *sandbox, struct fault *fault)
{
    if (sandbox->role == SANDBOX_WORKER)
        limits_foresee();
    return sandbox->mode == SANDBOX_OFF || privileges_drop(fault) || sandbox->mode == SANDBOX_BEST_EFFORT;
}

/* The order matters. The limits and the capabilities are given up by calls that the filter will refuse. Landlock and
 * seccomp need "no new privileges" first, as the process has no capability by then. Landlock opens the folders that it
 * allows, so the filter comes last. A process that isn't dumpable can't look into its own /proc as an ordinary user; no
 * code does from here on. */
static bool enter(const struct sandbox *sandbox, const struct sandbox_room *room, int *listener,
                  struct fault *fault)
{
    if (!limits_set(sandbox->role, room, fault))
        return false;
    if (sandbox->mode == SANDBOX_OFF)
        return true;
    bool strict = sandbox->mode == SANDBOX_REQUIRE;
    const struct sandbox_facts *facts = &sandbox->facts;
    if (!privileges_drop(fault) && strict)
        return false;
    if (facts->mdwe && !mdwe_set(fault) && strict)
        return false;
    if (!dumpable_clear(fault) && strict)
        return false;
    /* A command's filter lets signals pass where Landlock bounds whom they reach: without Landlock it is not entered. */
    bool needed = strict || (sandbox->role == SANDBOX_EXEC && facts->landlock >= LANDLOCK_SIGNALS);
    if (facts->landlock >= SANDBOX_LANDLOCK_FLOOR && !landlock_confine(sandbox, room, fault) && needed)
        return false;
    return sandbox->filter.length == 0 || seccomp_install(&sandbox->filter, false, listener, fault) ||
           !strict;
}

bool sandbox_enter(const struct sandbox *sandbox, const struct sandbox_room *room, struct fault *fault)
{
    return enter(sandbox, room, NULL, fault);
}

bool sandbox_asks(const struct sandbox *sandbox)
{
    return sandbox->filter.asks;
}

bool sandbox_enter_watched(const struct sandbox *sandbox, const struct sandbox_room *room,
                           struct fault *fault)
{
    int listener = -1;
    if (!enter(sandbox, room, sandbox_asks(sandbox) ? &listener : NULL, fault))
        return false;
    if (listener < 0 || listener == SANDBOX_LISTENER)
        return true;
    return (dup3(listener, SANDBOX_LISTENER, O_CLOEXEC) >= 0 && close(listener) == 0) ||
           fault_errno(fault, "cannot put the listener at its place");
}

bool sandbox_tighten(const struct sandbox *sandbox, struct fault *fault)
{
    return sandbox->tightening.length == 0 || seccomp_install(&sandbox->tightening, true, NULL, fault) ||
           sandbox->mode != SANDBOX_REQUIRE;
}

void sandbox_harden(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}
