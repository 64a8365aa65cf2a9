/* A push of an agent's branch to its remote, or a fetch from there, in a process of its own that ends with it. */
#pragma once

#include "common/sandbox/sandbox.h"

enum push_end {
    PUSH_DONE,     /* the remote has what the branch has; the text is the commit */
    PUSH_FAILED,   /* it may go later; the text says why it didn't */
    PUSH_DIVERGED, /* the remote's branch has commits that the agent's hasn't: it is left as it is */
    PUSH_ENDS
};

struct push {
    const char *data_dir; /* absolute */
    const char *agent;
    const char *url;   /* the agent's own: git_remote_of */
    const char *known; /* the commit that the remote is known to have; "": none */
    char *credentials; /* "user:token" or a private ssh key; NULL: none */
    char *known_hosts; /* in OpenSSH's format; NULL: none */
    enum sandbox_mode mode;
    int bundle; /* a fetch: the file, open, that becomes a git bundle of the remote's branch and HEAD; -1: a push */
    char *empty; /* a fetch: the path of a folder that is made an empty repository, for libgit2 wants one */
};

/* In a child that has one thread and ends with its parent: enters the sandbox (the repository to read; the network, or a
 * file: remote's folder to write), looks for what git would obey in the tree, pushes without force, writes "END TEXT\n" (END
 * a digit of enum push_end, TEXT in UTF-8) to out and ends the process. A fetch writes nothing but the bundle, of whose
 * pack it reads nothing: that is for an import's checks. */
_Noreturn void push_run(const struct push *push, int out);
