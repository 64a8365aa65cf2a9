/* Lessons of a base URL and model's answers about how to ask it: kept in its service, told in the log. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/gateway/provider.h"
#include "supervisor/gateway/response.h"

/* The model doesn't take a parameter as it was sent, or not any more. sent: bits of enum form; changed: the bits that
 * this question has changed already: each changes once, so that a server which refuses both forms ends the question.
 * False: there is nothing to change. */
bool learned_form(const struct provider *provider, const struct refused *refused, unsigned sent,
                  unsigned *changed);

/* A prompt of so many bytes was refused for its length, or answered. */
void learned_length(const struct provider *provider, const struct length_refusal *said, size_t bytes);
void learned_report(const struct provider *provider, const struct usage *usage, size_t bytes);

/* The state of a service, for the next gateway. Caller frees; NULL: no news since the last call. */
char *learned_news(struct service *service);
/* Takes an earlier gateway's lessons about the service; a text of another version counts as nothing. */
void learned_recall(struct service *service, const char *text);

/* The body of a request as this model takes it. Caller frees. */
char *learned_request(const struct provider *provider, const char *system, const char *task);

/* Bytes that a prompt may have; tokens: of the context where answers taught them, 0 where a setting says them or
 * nobody does. */
size_t learned_room(const struct provider *provider, uint64_t *tokens);
/* Whether a prompt of so many bytes may go out. least: the prompt can't be made smaller, so it is tried unless it is
 * certainly too long. */
bool learned_fits(const struct provider *provider, size_t bytes, bool least);
/* Why a prompt of so many bytes doesn't fit, for behind the provider's name. Caller frees. */
char *learned_too_long(const struct provider *provider, size_t bytes);
