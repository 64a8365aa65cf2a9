/* The parts of the sandbox that this kernel has. */
#include <errno.h>
#include <string.h>

#include "common/sandbox/part.h"

void sandbox_look(struct sandbox_facts *facts)
{
    *facts = (struct sandbox_facts){0};
    facts->landlock = landlock_abi();
    facts->landlock_error = facts->landlock ? 0 : errno;
    if (facts->landlock > SANDBOX_LANDLOCK_KNOWN)
        facts->landlock =
            SANDBOX_LANDLOCK_KNOWN; /* this program can't ask for the additions of a newer ABI */
    facts->seccomp = seccomp_there();
    facts->seccomp_error = facts->seccomp ? 0 : errno;
    facts->mdwe = mdwe_there();
}

static const char *why_no_landlock(int error)
{
    return error == ENOSYS       ? "the kernel has none; it came with Linux 5.13"
           : error == EOPNOTSUPP ? "it is switched off; add landlock to the kernel's lsm= parameter"
           : error == EPERM
               ? "the container's own system call filter refuses it; Docker allows it from 20.10.18 on"
               : strerror(error);
}

bool sandbox_floor(const struct sandbox_facts *facts, struct fault *fault)
{
    if (facts->landlock == 0)
        return fault_set(fault, "the sandbox needs Landlock, and there is none here: %s",
                         why_no_landlock(facts->landlock_error));
    if (facts->landlock < SANDBOX_LANDLOCK_FLOOR)
        return fault_set(fault, "the sandbox needs Landlock ABI %d (Linux 5.19), and the kernel has ABI %d",
                         SANDBOX_LANDLOCK_FLOOR, facts->landlock);
    if (!facts->seccomp)
        return fault_set(fault, "the sandbox needs seccomp filters, and there are none here: %s",
                         strerror(facts->seccomp_error));
    return true;
}
