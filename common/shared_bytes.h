/* Bytes that several owners keep and none copies: the last owner frees them (channel.c). For one thread. */
#pragma once

#include <stddef.h>

struct shared_bytes;

/* Of the caller, who keeps it. owner holds the bytes, and is given to release when nobody keeps them any more; length: how many
 * they are. */
struct shared_bytes *shared_bytes_new(size_t length, void *owner, void (*release)(void *owner));
struct shared_bytes *shared_bytes_keep(struct shared_bytes *bytes); /* one more owner; NULL stays NULL */
void shared_bytes_drop(struct shared_bytes *bytes);                 /* NULL is fine */
void *shared_bytes_owner(struct shared_bytes *bytes);
size_t shared_bytes_length(const struct shared_bytes *bytes);
