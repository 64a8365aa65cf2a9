/* A push of an agent's branch to its remote, a fetch from there, or a look whether the branch is there: each in a process
 * of its own that ends with it. */
#pragma once

#include "common/sandbox/sandbox.h"

enum push_end {
    PUSH_DONE,      /* the remote has the branch's commits; the text is the last of them */
    PUSH_FAILED,    /* a later push may succeed; the text says why this one didn't */
    PUSH_DIVERGED,  /* the remote's branch has commits that the agent's hasn't: the remote is left as it is */
    PUSH_NO_BRANCH, /* a fetch or a look: the remote answers, and has no branch of the agent */
    PUSH_ENDS
};

struct push {
    const char *data_dir; /* absolute */
    const char *agent;
    const char *url;   /* the agent's own: git_remote_of */
    const char *known; /* the remote's commit as it is known; "": none */
    char *credentials; /* "user:token" or a private ssh key; NULL: none */
    char *known_hosts; /* in OpenSSH's format; NULL: none */
    enum sandbox_mode mode;
    bool looks; /* a look: only the remote is asked for its branches */
    int bundle; /* a fetch: the file, open, that becomes a git bundle of the remote's branch and HEAD; -1: a push or a look */
    char *empty; /* a fetch: the path of a folder that is made an empty repository, for libgit2 wants one */
};

/* In a child that has one thread and ends with its parent: enters the sandbox (the repository to read; the network,
 * or a file: remote's folder to write), looks in the tree for files that git would obey, pushes without force, writes
 * "END TEXT\n" (END a digit of enum push_end, TEXT in UTF-8) to out and ends the process. A fetch writes nothing but
 * the bundle, whose pack it doesn't read: an import's checks do. A look writes nothing. */
_Noreturn void push_run(const struct push *push, int out);
