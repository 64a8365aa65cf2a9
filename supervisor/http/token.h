/* The bearer token that a client has to show. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"
#include "common/secrets.h"

struct token; /* NULL: none is wanted */

/* From what the supervisor handed over (taken over), else from AGENTOS_TOKEN_FILE. False and fault: one was given and
 * can't be used. */
bool token_load(struct secrets *secrets, struct token **token, struct fault *fault);
void token_free(struct token *token); /* overwritten first */

/* Whether the header's value is "Bearer TOKEN"; NULL: there was no such header. How long it takes says nothing of how much
 * of it is right. */
bool token_matches(const struct token *token, const char *authorization);
