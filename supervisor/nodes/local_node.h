/* This node: the parts of its supervisor that rooms about other nodes use. The supervisor owns it, fills it in while it
 * starts, and takes out of it each part that has ended. */
#pragma once

struct agents;
struct bus_link;
struct loop;
struct mirror_link;
struct nodes;
struct post;
struct roster;

struct local_node {
    struct loop *loop;
    int data;                     /* descriptor of DATA_DIR */
    const char *data_dir;         /* path of DATA_DIR */
    const char *programs;         /* the folder of the programs */
    struct roster *const *roster; /* agents.yaml as it was applied last, another one after a reload */
    struct agents *agents;
    struct post *post;
    struct nodes *nodes;        /* leases of the agents; never NULL once the control server is open */
    struct bus_link *bus;       /* to agentos-bus; NULL: there are no other nodes */
    struct mirror_link *mirror; /* to agentos-mirror; NULL: nothing is pushed anywhere */
};
