#include "supervisor/mirror/known_hosts.h"

#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum { SSH_PORT = 22 };

static bool names_host(char *names, const char *wanted)
{
    for (char *name; (name = strsep(&names, ",")) != NULL;)
        if (strcasecmp(name, wanted) == 0)
            return true;
    return false;
}

bool known_hosts_has(const char *text, const char *host, int port, const void *key, size_t length,
                     struct fault *fault)
{
    OWNED char *wanted = port == SSH_PORT ? memory_text(host) : memory_print("[%s]:%d", host, port);
    OWNED char *copy = memory_text(text ? text : "");
    size_t room = 4 * ((length + 2) / 3) + 1;
    OWNED char *coded = memory_new(room, 1);
    bool known = false, named = false;
    if (b64_ntop(key, length, coded, room) < 0)
        return fault_set(fault, "%s showed a key that can't be read", wanted);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *save = NULL, *first = strtok_r(line, " \t\r", &save);
        bool revoked = first && strcmp(first, "@revoked") == 0;
        char *names = revoked ? strtok_r(NULL, " \t\r", &save) : first;
        char *kind = strtok_r(NULL, " \t\r", &save), *value = strtok_r(NULL, " \t\r", &save);
        if (!names || *names == '#' || !kind || !value || !names_host(names, wanted))
            continue;
        named = true;
        if (strcmp(value, coded) == 0 && revoked)
            return fault_set(fault, "the key of %s is revoked in AGENTOS_GIT_KNOWN_HOSTS_FILE", wanted);
        known = known || strcmp(value, coded) == 0;
    }
    if (!known && named)
        return fault_set(fault, "%s shows another key than AGENTOS_GIT_KNOWN_HOSTS_FILE has for it", wanted);
    return known ||
           fault_set(fault,
                     "AGENTOS_GIT_KNOWN_HOSTS_FILE has no key of %s (ssh-keyscan prints it; names that "
                     "are hashed are not read)",
                     wanted);
}
