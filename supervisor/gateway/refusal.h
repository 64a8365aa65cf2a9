/* A refusal read for the form of the request: a parameter that this model doesn't take as it was sent. Pure. */
#pragma once

/* How a request may differ from the plain one; each is a bit, learned for a base URL and a model. */
enum form {
    FORM_COMPLETION_TOKENS = 1, /* max_completion_tokens instead of max_tokens */
    FORM_NO_TEMPERATURE = 2,
    FORM_NO_FORMAT = 4, /* no response_format */
    FORM_STREAM = 16,   /* the answer comes as a stream, its usage at the end */
    FORM_NO_SYSTEM = 8, /* the rules stand before the task in the user's message */
};

/* Bits of enum form. */
struct refused {
    unsigned plain;   /* the parameter as the plain form sends it is refused */
    unsigned learned; /* the other form is refused */
};

/* words: of words_gather. Only "unsupported, use … instead" and its like count: a value that is too large or out of range
 * says nothing about the form. */
struct refused refusal_read(long status, const char *words);

const char *form_name(enum form form); /* the form's effect on requests; a sentence's end */
