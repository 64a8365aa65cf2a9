/* Marks that servers and models leave around a reply: thoughts, the tokens that begin and end a turn, a fence or a
 * quote around the whole. */
#pragma once

#include "worker/reply/span.h"

/* Bytes of a token that ends or begins a turn, such as <|im_end|> or </s>; 0: none. */
size_t marks_token(struct span span);
/* Without such tokens at both ends, and without the role that a beginning one names. */
struct span marks_strip_tokens(struct span text);

/* Behind the thoughts; *front: what stood before the first mark that opened one. *endless: they never end, so the whole
 * text is thoughts and what is returned is empty. */
struct span marks_skip_thoughts(struct span text, struct span *front, bool *endless);

/* A reply that is quoted as a whole, with "> " before every line: without it. NULL: it isn't. Caller frees. */
char *marks_unquote(struct span text);
