#include "common/node.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/names.h"
#include "common/settings.h"
#include "common/tree.h"

static void take_host(char name[NAME_LENGTH_MAX + 1])
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || *host == '\0')
        strcpy(host, "localhost");
    host[strcspn(host, ".")] = '\0';
    snprintf(name, NAME_LENGTH_MAX + 1, "%.*s", NAME_LENGTH_MAX, *host ? host : "localhost");
    for (char *c = name; *c; c++)
        if (!names_node((char[]){*c, '\0'}))
            *c = '-';
}

const char *node_name(void)
{
    static char name[NAME_LENGTH_MAX + 1];
    const char *given = setting_text(SET_AGENTOS_NODE, NULL);
    if (*name == '\0' && given)
        snprintf(name, sizeof name, "%s", given);
    else if (*name == '\0')
        take_host(name);
    return name;
}
