/* Any bytes as agents.yaml, and as a definition from the wire: a roster that keeps its promises, or faults. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/roster.h"
#include "common/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_agent(const struct roster *roster, const struct roster_agent *agent)
{
    OWNED_BUFFER struct buffer sent = {0}, back = {0};
    if (!names_agent(agent->name) || !agent->persona || roster_find(roster, agent->name) != agent)
        abort();
    for (size_t i = 0; i < agent->may_send_to.count; i++)
        if (!roster_find(roster, agent->may_send_to.items[i]))
            abort();
    roster_encode(agent, &sent);
    struct roster_agent *copy = roster_decode(sent.data, sent.length);
    if (!copy)
        abort();
    roster_encode(copy, &back);
    if (strcmp(sent.data, back.data) != 0)
        abort();
    roster_agent_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_parse((const char *)data, size, "agents.yaml", &faults);
    if ((roster == NULL) != (faults.length > 0))
        abort();
    for (size_t i = 0; roster && i < roster->agent_count; i++)
        check_agent(roster, &roster->agents[i]);
    roster_free(roster);
    roster_agent_free(roster_decode((const char *)data, size));
    return 0;
}
