#include "supervisor/http/token.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "common/settings.h"

struct token {
    struct secrets *secrets;
    char *read;       /* from a file; owned */
    const char *text; /* points into secrets or read */
};

bool token_load(struct secrets *secrets, struct token **loaded, struct fault *fault)
{
    const char *path = setting_text(SET_AGENTOS_TOKEN_FILE, NULL);
    struct token *token = memory_new(1, sizeof *token);
    token->secrets = secrets;
    token->text = secrets_find(secrets, setting_name(SET_AGENTOS_TOKEN));
    if (!token->text && path)
        token->text = token->read = secrets_read_file(path, "token", fault);
    bool good = token->text || !path;
    if (token->text && !secrets_fit_for_a_header(token->text))
        good = fault_set(fault, "the token holds a blank or a control character, which no client could send");
    *loaded = good && token->text ? token : NULL;
    if (!*loaded)
        token_free(token);
    return good;
}

void token_free(struct token *token)
{
    if (!token)
        return;
    memory_wipe(token->read);
    secrets_free(token->secrets);
    free(token);
}

bool token_matches(const struct token *token, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!token)
        return true;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *shown = authorization + sizeof scheme - 1;
    shown += strspn(shown, " ");
    /* The comparison takes as many steps as the shown token has characters, which its sender knows. */
    size_t length = strlen(token->text), count = strlen(shown);
    volatile unsigned char differs = length != count;
    for (size_t i = 0; i < count; i++)
        differs = (unsigned char)(differs | (shown[i] ^ token->text[length ? i % length : 0]));
    return differs == 0;
}
