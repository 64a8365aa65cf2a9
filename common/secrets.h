/* Keys and tokens (contract sections 2 and 11): read once, wiped from the environment, held by the process that needs
 * them alone.
 *
 * The supervisor moves every secret variable into an anonymous memory file and overwrites its value in the process's
 * initial environment, so that /proc/PID/environ doesn't show it. The supervisor keeps only the descriptor, to hand it
 * to each gateway that it starts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

/* Call first of all in main. Returns a sealed memfd (close-on-exec) with "NAME=VALUE\0" for every variable that
 * SETTINGS_TABLE calls a secret, with or without owner, and of every proxy (common/proxy.h); -1 and fault. Their values are overwritten in place and
 * unset. */
int secrets_collect(struct fault *fault);
/* The same without keeping them: for programs that need none. */
void secrets_wipe(void);
/* Whether collect or wipe took a value from this variable: the names, not the values, are remembered for the
 * process, so that settings_check can say that a key is given twice. */
bool secrets_taken(const char *variable);
/* Each of the collected names in turn; *at starts at 0; NULL: no more. Borrowed. */
const char *secrets_next_taken(size_t *at);

/* In the gateway and the HTTP process: read the descriptor into memory. */
struct secrets;
struct secrets *secrets_read(int fd, struct fault *fault);
/* The variable's value, or NULL. Borrowed. */
const char *secrets_find(const struct secrets *secrets, const char *variable);
/* A new memory file of the sort that secrets_collect returns, with this variable alone; empty when the variable is not
 * there. -1 and fault. */
int secrets_pick(int fd, const char *variable, struct fault *fault);
/* The text of a file that holds one secret, without the blanks and line breaks around it; only a regular file of at
 * most 64 KiB is read. what: "key", "token", for the fault. NULL and fault. The caller overwrites and frees it. */
char *secrets_read_file(const char *path, const char *what, struct fault *fault);
/* Blanks and line breaks around a secret are taken off, in place; whether there were any. */
bool secrets_trim(char *secret);
/* Whether a client could send it as a bearer token: no blank and no control character is in it. */
bool secrets_fit_for_a_header(const char *secret);
/* Each "NAME=VALUE" in turn; *at starts at 0; NULL: no more. Borrowed. */
const char *secrets_each(const struct secrets *secrets, size_t *at);
void secrets_free(struct secrets *secrets); /* overwritten first */
