/* The keys of every provider: from the secrets that the supervisor handed over and from the key files, read once at
 * start, before this process gives up its files. */
#pragma once

#include "common/secrets.h"

struct keys;

/* Takes secrets over. A key file that can't be read is no fault here: keys_find tells whoever asks for that key. */
struct keys *keys_load(struct secrets *secrets);
void keys_free(struct keys *keys); /* the keys are overwritten first */

/* The key given for exactly this owner (NULL: the general one). NULL: none was given, or, with *fault set, it can't
 * be used, a sentence. Both borrowed. */
const char *keys_find(const struct keys *keys, const char *owner, const char **fault);

/* The secrets that were handed over; borrowed. */
const struct secrets *keys_secrets(const struct keys *keys);

/* text with every key and every proxy's password in it replaced by "[masked]", also as JSON escapes them. Keys under
 * KEY_MASK_LEAST bytes are left: people set "none" or "ollama" where a server wants no key, and hiding such words would
 * spoil a reply. */
enum { KEY_MASK_LEAST = 8 };
char *keys_mask(const struct keys *keys,
                char *text); /* takes text, returns it or a new one; NULL stays NULL */
