/* The bearer token that a client has to show. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"
#include "common/secrets.h"

struct token; /* NULL: no token is wanted */

/* Takes the token from the supervisor's secrets (taken over), else from AGENTOS_TOKEN_FILE. False and fault: a token
 * was given and can't be used. */
bool token_load(struct secrets *secrets, struct token **token, struct fault *fault);
void token_free(struct token *token); /* the token is overwritten first */

/* Whether the header's value is "Bearer TOKEN"; NULL: there was no such header. The time that the comparison takes
 * tells nothing of how much of the token is right. */
bool token_matches(const struct token *token, const char *authorization);
