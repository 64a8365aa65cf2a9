/* Object ids, and what libgit2 says of its last error. */
#include "worker/history/part.h"

bool object_id_zero(const git_oid *id)
{
    static const git_oid zero;
    return git_oid_equal(id, &zero);
}

bool git_fault(struct fault *fault, const char *what)
{
    const git_error *error = git_error_last();
    return fault_set(fault, "%s: %s", what,
                     error && error->message ? error->message : "libgit2 doesn't say why");
}
