/* The environment (contract section 2) as one table: name, default, kind, range, help.
 *
 * A setting for one agent is the variable, two underscores, and the agent's name in capitals with '-' as '_'; a
 * fallback provider's settings are named in the same way. Values are read from the environment when asked for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum setting_kind { SETTING_TEXT, SETTING_INTEGER, SETTING_NUMBER, SETTING_WORD, SETTING_SECRET };

/* X(ENUM, variable, kind, default, least, most, per_agent, words or NULL, help) */
#define SETTINGS_TABLE(X)                                                                                    \
    X(DATA_DIR, "DATA_DIR", TEXT, "/data", 0, 0, false, NULL, "the data directory")                          \
    X(POLL_INTERVAL, "POLL_INTERVAL", INTEGER, "5", 1, 3600, false, NULL,                                    \
      "seconds between the safety scans")                                                                    \
    X(LLM_BASE_URL, "LLM_BASE_URL", TEXT, "https://api.openai.com/v1", 0, 0, true, NULL,                     \
      "server with POST {base}/chat/completions, or 'offline'")                                              \
    X(LLM_MODEL, "LLM_MODEL", TEXT, "gpt-4o", 0, 0, true, NULL, "the model's name there")                    \
    X(LLM_API_KEY, "LLM_API_KEY", SECRET, NULL, 0, 0, true, NULL,                                            \
      "the key; sent only to the base URL that it was given for")                                            \
    X(LLM_API_KEY_FILE, "LLM_API_KEY_FILE", TEXT, NULL, 0, 0, true, NULL, "a file that holds the key")       \
    X(LLM_MAX_TOKENS, "LLM_MAX_TOKENS", INTEGER, "2048", 1, 10000000, true, NULL,                            \
      "limit of a reply; sent as max_completion_tokens to a model that refuses max_tokens")                  \
    X(LLM_CONTEXT_TOKENS, "LLM_CONTEXT_TOKENS", INTEGER, NULL, 256, 100000000, true, NULL,                   \
      "tokens that the model holds, reply included; unset: learned from the provider")                       \
    X(LLM_TIMEOUT, "LLM_TIMEOUT", INTEGER, "60", 1, 86400, true, NULL, "seconds for one request")            \
    X(LLM_MAX_RETRIES, "LLM_MAX_RETRIES", INTEGER, "4", 0, 100, true, NULL,                                  \
      "per request, on passing faults")                                                                      \
    X(LLM_MAX_CONCURRENCY, "LLM_MAX_CONCURRENCY", INTEGER, "0", 0, 100000, false, NULL,                      \
      "requests under way at once over all agents; 0 = no limit")                                            \
    X(LLM_TEMPERATURE, "LLM_TEMPERATURE", NUMBER, NULL, 0, 2, true, NULL, "sent only when set")              \
    X(LLM_RESPONSE_FORMAT, "LLM_RESPONSE_FORMAT", WORD, NULL, 0, 0, true, "json_schema json_object text",    \
      "json_schema asks the server to force the reply's structure")                                          \
    X(LLM_FALLBACKS, "LLM_FALLBACKS", TEXT, NULL, 0, 0, true, NULL, "comma-separated names of providers")    \
    X(AGENTOS_LISTEN, "AGENTOS_LISTEN", TEXT, "127.0.0.1:8080", 0, 0, false, NULL, "the HTTP interface")     \
    X(AGENTOS_TOKEN, "AGENTOS_TOKEN", SECRET, NULL, 0, 0, false, NULL, "bearer token of the HTTP interface") \
    X(AGENTOS_TOKEN_FILE, "AGENTOS_TOKEN_FILE", TEXT, NULL, 0, 0, false, NULL,                               \
      "a file that holds the token")                                                                         \
    X(AGENTOS_RUN_DIR, "AGENTOS_RUN_DIR", TEXT, NULL, 0, 0, false, NULL, "sockets and lock; $DATA_DIR/.run") \
    X(AGENTOS_BUS, "AGENTOS_BUS", TEXT, NULL, 0, 0, false, NULL,                                             \
      "nats://host:port or tls://…, several with commas: agents in other supervisors")                       \
    X(AGENTOS_BUS_CREDS_FILE, "AGENTOS_BUS_CREDS_FILE", TEXT, NULL, 0, 0, false, NULL,                       \
      "a file with user:password, a token or a NATS .creds, for AGENTOS_BUS")                                \
    X(AGENTOS_BUS_CA_FILE, "AGENTOS_BUS_CA_FILE", TEXT, NULL, 0, 0, false, NULL,                             \
      "a file with the authorities that sign the bus's certificate; unset: the system's")                    \
    X(AGENTOS_BUS_CERT_FILE, "AGENTOS_BUS_CERT_FILE", TEXT, NULL, 0, 0, false, NULL,                         \
      "a file with this node's own certificate, for a bus that asks for one")                                \
    X(AGENTOS_BUS_KEY_FILE, "AGENTOS_BUS_KEY_FILE", TEXT, NULL, 0, 0, false, NULL, "a file with its key")    \
    X(AGENTOS_NODE, "AGENTOS_NODE", TEXT, NULL, 0, 0, false, NULL,                                           \
      "this supervisor's name on the bus; unset: the host's")                                                \
    X(AGENTOS_GIT_REMOTE, "AGENTOS_GIT_REMOTE", TEXT, NULL, 0, 0, false, NULL,                               \
      "a git URL with {agent} in it: every agent's branch is pushed there, never forced")                    \
    X(AGENTOS_GIT_CREDENTIALS_FILE, "AGENTOS_GIT_CREDENTIALS_FILE", TEXT, NULL, 0, 0, false, NULL,           \
      "a file that holds user:token or a private ssh key, for AGENTOS_GIT_REMOTE")                           \
    X(AGENTOS_GIT_KNOWN_HOSTS_FILE, "AGENTOS_GIT_KNOWN_HOSTS_FILE", TEXT, NULL, 0, 0, false, NULL,           \
      "a file with the keys of ssh hosts that are trusted, as ~/.ssh/known_hosts")                           \
    X(AGENTOS_SANDBOX, "AGENTOS_SANDBOX", WORD, "require", 0, 0, false, "require best-effort off",           \
      "the way to go on where the kernel lacks a part of the sandbox")                                       \
    X(STOP_GRACE, "STOP_GRACE", INTEGER, "8", 0, 3600, false, NULL, "seconds that a stop lets work finish")  \
    X(LOG_LEVEL, "LOG_LEVEL", WORD, "info", 0, 0, false, "debug info warn warning error",                    \
      "the lowest level that is logged")                                                                     \
    X(LOG_FORMAT, "LOG_FORMAT", WORD, "text", 0, 0, false, "text json", "json: one object a line")

enum setting {
#define X(name, ...) SET_##name,
    SETTINGS_TABLE(X)
#undef X
        SETTING_COUNT
};

const char *setting_name(enum setting setting);
/* owner: an agent's or a fallback's name, or NULL. The owner's own value, else the general one, else the default; an
 * empty variable counts as unset, except AGENTOS_LISTEN. NULL: unset without default. Borrowed. */
const char *setting_text(enum setting setting, const char *owner);
/* Only the owner's own variable; NULL: not set for this owner. The variable LLM_API_KEY_FILE is also found as
 * LLM_API_KEY__NAME_FILE (so an owner whose name ends in "file" takes the other spelling). */
const char *setting_own(enum setting setting, const char *owner);
int64_t setting_integer(enum setting setting, const char *owner); /* after settings_check; else the default */

/* Whom an agent's questions go to: i 0 is its own provider, the next ones are its LLM_FALLBACKS in order. */
struct setting_provider {
    char *fallback;    /* its name; NULL: the agent's own provider. Owned */
    const char *model; /* "offline" for the built-in one */
    uint64_t max_tokens;
};
bool setting_provider(const char *agent, size_t i,
                      struct setting_provider *provider); /* false: there are no more */

/* The next name of LLM_FALLBACKS; commas and blanks stand between names. rest: a copy of the list at first, NULL or empty
 * when there are no more. Borrowed from the copy. */
char *setting_next_fallback(char **rest);

/* "LLM_MODEL__ORION". Caller frees. */
char *setting_variable(enum setting setting, const char *owner);

/* Every value of every variable in the environment that is of the table, general or with an owner: wrong kinds,
 * ranges and words, one sentence a line, are added to faults. False: there is a fault. */
bool settings_check(struct buffer *faults);
void settings_help(struct buffer *out); /* the table for --help */

/* This supervisor's name among the others on the bus (contract section 12): AGENTOS_NODE, else the host's name up to its first
 * dot, with '-' for every character that no node's name has (names_node). The same pointer for as long as the process lives. */
const char *node_name(void);
