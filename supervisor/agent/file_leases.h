/* Leases that agents keep on their own files, which people and programs wait for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { FILE_LEASES_MET = 64 };

/* The leases that somebody waited for at the last scan. */
struct file_leases {
    struct file_lease {
        int pid;
        uint64_t inode;
    } all[FILE_LEASES_MET];
    size_t count;
    int64_t rest_until_us; /* clock_kernel_monotonic_us */
};

struct agents;

/* Each scan: a worker that has kept somebody waiting for one of its files since the last scan is ended. */
void file_leases_scan(struct agents *agents, struct file_leases *met);
