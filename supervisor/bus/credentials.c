#include "supervisor/bus/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"

/* The credentials of AGENTOS_BUS_CREDS_FILE are of one kind alone. All fields are owned, and kept until the process
 * ends. */
struct credentials {
    char *user, *password;
    char *token;
    char *jwt, *seed; /* of a .creds file: shown, and used for signing */
    char *certificate, *key;
};

static bool read_setting(enum setting setting, const char *what, char **text, struct fault *fault)
{
    const char *path = setting_text(setting, NULL);
    return !path || (*text = secrets_read_file(path, what, fault)) != NULL;
}

/* The line behind "-----BEGIN NAME-----", for what as NAME. */
static char *block(const char *text, const char *what)
{
    OWNED char *mark = memory_print("-----BEGIN %s-----", what);
    const char *at = strstr(text, mark);
    if (!at)
        return NULL;
    at += strlen(mark);
    at += strspn(at, "\r\n \t");
    return memory_slice(at, strcspn(at, "\r\n \t"));
}

/* A .creds file, user:password, or else a token. */
static bool take_apart(struct credentials *credentials, char *text, struct fault *fault)
{
    char *colon = strchr(text, ':');
    if (strstr(text, "-----BEGIN")) {
        credentials->jwt = block(text, "NATS USER JWT");
        credentials->seed = block(text, "USER NKEY SEED");
        return (credentials->jwt && credentials->seed) ||
               fault_set(fault,
                         "AGENTOS_BUS_CREDS_FILE has no user JWT and seed in it, as a NATS .creds file has");
    }
    if (text[strcspn(text, "\r\n")])
        return fault_set(
            fault,
            "AGENTOS_BUS_CREDS_FILE has several lines: it holds user:password, a token or a NATS .creds");
    if (colon) {
        credentials->user = memory_slice(text, (size_t)(colon - text));
        credentials->password = memory_text(colon + 1);
    } else {
        credentials->token = memory_text(text);
    }
    return true;
}

struct credentials *credentials_read(struct fault *fault)
{
    struct credentials *credentials = memory_new(1, sizeof *credentials);
    char *text = NULL;
    bool good = read_setting(SET_AGENTOS_BUS_CREDS_FILE, "credentials", &text, fault) &&
                read_setting(SET_AGENTOS_BUS_CERT_FILE, "certificate", &credentials->certificate, fault) &&
                read_setting(SET_AGENTOS_BUS_KEY_FILE, "key", &credentials->key, fault) &&
                (!text || take_apart(credentials, text, fault));
    memory_wipe(text);
    if (good)
        return credentials;
    free(credentials); /* without its fields: the process ends */
    return NULL;
}

bool credentials_are_there(const struct credentials *credentials)
{
    return credentials->user || credentials->token || credentials->jwt;
}

/* --- libnats's callbacks --- */

static natsStatus show_jwt(char **jwt, char **error, void *context)
{
    const struct credentials *credentials = context;
    (void)error;
    *jwt = strdup(credentials->jwt);
    return *jwt ? NATS_OK : NATS_NO_MEMORY;
}

static natsStatus sign(char **error, unsigned char **signature, int *length, const char *nonce, void *context)
{
    const struct credentials *credentials = context;
    (void)error;
    return nats_Sign(credentials->seed, nonce, signature, length);
}

static const char *show_token(void *context)
{
    const struct credentials *credentials = context;
    return credentials->token;
}

static natsStatus give_login(const struct credentials *credentials, natsOptions *options)
{
    void *context = (void *)credentials;
    if (credentials->jwt)
        return natsOptions_SetUserCredentialsCallbacks(options, show_jwt, context, sign, context);
    if (credentials->token)
        return natsOptions_SetTokenHandler(options, show_token, context);
    return credentials->user ? natsOptions_SetUserInfo(options, credentials->user, credentials->password)
                             : NATS_OK;
}

bool credentials_give(const struct credentials *credentials, bool tls, natsOptions *options,
                      struct fault *fault)
{
    const char *authorities = setting_text(SET_AGENTOS_BUS_CA_FILE, NULL);
    if (give_login(credentials, options) != NATS_OK)
        return fault_set(fault, "AGENTOS_BUS_CREDS_FILE holds no credentials that libnats takes: %s",
                         nats_GetLastError(NULL));
    if (tls && natsOptions_SetSecure(options, true) != NATS_OK)
        return fault_set(fault, "libnats has no TLS: %s", nats_GetLastError(NULL));
    if (authorities && natsOptions_LoadCATrustedCertificates(options, authorities) != NATS_OK)
        return fault_set(fault, "AGENTOS_BUS_CA_FILE holds no certificates: %s", nats_GetLastError(NULL));
    if (credentials->certificate &&
        natsOptions_SetCertificatesChain(options, credentials->certificate, credentials->key) != NATS_OK)
        return fault_set(
            fault, "AGENTOS_BUS_CERT_FILE and AGENTOS_BUS_KEY_FILE hold no certificate with its key: %s",
            nats_GetLastError(NULL));
    return true;
}
