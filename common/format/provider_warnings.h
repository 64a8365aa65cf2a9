/* The usual mistakes in what describes a provider: its base URL, its model and its key, of every provider that somebody
 * may ask; and in the token that clients of the HTTP interface show. Said by `agentos check`, and at the start. No key is
 * shown, at most how it begins. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"
#include "common/secrets.h"

/* Why no provider would take this key, a sentence whose subject is the key; NULL: the key may be good. */
const char *provider_key_fault(const char *key);

/* A sentence a line is added to out. After secrets_collect, which gives secrets; settings have passed settings_check.
 * roster may be NULL. A key that can't work stops no start: agents with another provider are answered all the same. */
void provider_warnings_list(const struct roster *roster, const struct secrets *secrets, struct buffer *out);
