/* A model's reply is whatever bytes arrive: the worker must read the reply without harm, within its caps, and to the
 * same end every time. The first byte chooses how the reply ended. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "worker/reply/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ends[] = {"stop", "length", "content_filter", "refusal", ""};
    struct reply reply;
    if (size == 0)
        return 0;
    OWNED char *text = memory_slice((const char *)data + 1, size - 1);
    reply_parse(&reply, text, size - 1, ends[data[0] % 5]);
    require(reply.answer != NULL && utf8_valid(reply.answer, strlen(reply.answer)));
    require(reply.reward >= -1 && reply.reward <= 1);
    require(data[0] % 5 == 0 || data[0] % 5 == 4 || (reply.reward == 0 && !reply.skill.name));
    require(!reply.skill.name || names_skill(reply.skill.name));
    require(!reply.reason || (strlen(reply.reason) <= 500 && !strchr(reply.reason, '\n')));
    require(reply.send_count <= REPLY_SENDS_MAX);
    for (size_t i = 0; i < reply.send_count; i++)
        require(names_agent(reply.sends[i].to) && reply.sends[i].ttl_seconds >= -1);
    require(!reply.faults || (strlen(reply.faults) < 4000 && utf8_valid(reply.faults, strlen(reply.faults))));
    reply_free(&reply);
    return 0;
}
