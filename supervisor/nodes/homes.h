/* The homes of locks and segments (contract section 12): a name's home is the node whose file is the truth.
 *
 * A key of the bus's bucket says which, home.KIND.HASH, as JSON: {"name", "node", "text"}. The first node that uses a
 * name puts the key there, by compare and set, and the name stays that node's, however long the node is away. text is
 * the file as it is at home, for the other nodes' copies. Where the bucket doesn't know, memory does, and the file's
 * own line `home:`; the former home puts the key again after the bucket was lost. A person who deletes the key gives
 * the name to its next user.
 *
 * Without a bus every name has its home here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum home_kind { HOME_LOCK, HOME_SEGMENT, HOME_KINDS };

struct homes;
struct local_node;

struct homes_owner {
    /* The name has another home, or its first one: node as homes_of gives it. */
    void (*moved)(void *context, enum home_kind kind, const char *file, const char *node);
    /* The text of the home's file; not for a name that has its home here. */
    void (*copy)(void *context, enum home_kind kind, const char *file, const char *text, size_t length);
    void (*back)(void *context); /* the bus is there, and all homes are known */
    void *context;
};

struct homes *homes_open(const struct local_node *local, const struct homes_owner *owner); /* owner: copied */
void homes_close(struct homes *homes);                                                     /* NULL is fine */
void homes_begin(struct homes *homes); /* the bus is open; before the loop runs */
/* file: a name in shared/locks or shared/segments without its ending. NULL: the home is here, "": nobody knows it;
 * else the node, borrowed until the next call. use: this node claims a name without a home; "" until that is
 * settled. */
const char *homes_of(struct homes *homes, enum home_kind kind, const char *file, bool use);
/* The name's file, which has its home here, is another; or the lock is forgotten, and its next user is its home. */
void homes_changed(struct homes *homes, enum home_kind kind, const char *file);
void homes_forget(struct homes *homes, enum home_kind kind, const char *file);
