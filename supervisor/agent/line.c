/* The line to an agent's worker: its messages, and its end when the worker is not to be trusted. */
#include <stdarg.h>

#include "common/log.h"
#include "common/message.h"
#include "supervisor/agent/agent.h"

bool agent_send(struct agent *agent, enum message_type type, ...)
{
    OWNED_BUFFER struct buffer message = {0};
    va_list fields;
    if (!agent->line)
        return false;
    agent->beat.given = type != MESSAGE_HEARTBEAT;
    va_start(fields, type);
    message_make_list(&message, type, fields);
    va_end(fields);
    if (line_send(agent->line, &message))
        return true;
    agent_distrust(agent, "it does not read its messages");
    return false;
}

void agent_distrust(struct agent *agent, const char *why)
{
    log_error("agentos", NULL, "Worker of agent '%s' (pid %d) is killed: %s", agent->name,
              (int)agent->worker.pid, why);
    life_event(&agent->life, EVENT_HUNG);
}
