/* Object ids. */
#include "worker/history/part.h"

bool object_id_zero(const git_oid *id)
{
    static const git_oid zero;
    return git_oid_equal(id, &zero);
}
