/* Answers about every agent, made in slices: with thousands of agents nobody else waits for an answer.
 *
 * The made part is sent while the rest is made, and the making rests while much of that part isn't read yet. Each
 * agent's object shows the agent as it is at its turn. */
#include <stdlib.h>

#include "common/clock.h"
#include "supervisor/control/part.h"

enum {
    SLICE_MS = 4,
    SLICE_AGENTS = 64,
    UNREAD_MAX = 1024 * 1024, /* bytes */
    UNREAD_MS = 20            /* between two looks at how much the client has read */
};

static void add_json(struct buffer *out, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    buffer_text(out, text ? text : "null");
    free(text);
    json_decref(json);
}

static void add_agent(struct client *client, const struct agent *agent)
{
    if (client->listing.told)
        buffer_text(&client->out, ",");
    add_json(&client->out, client->listing.describe(&client->control->owner, agent));
    client->listing.told = true;
}

/* The head's last brace is written behind the agents. */
static void begin(struct client *client, const char *key, json_t *head, listing_describe *describe)
{
    client->listing.describe = describe;
    client->listing.told = false;
    client->listing.next = 0;
    buffer_print(&client->out, "{\"exit\":0,\"%s\":", key);
    add_json(&client->out, head);
    client->out.length--;
    buffer_text(&client->out, ",\"agents\":[");
}

static void end(struct client *client)
{
    buffer_text(&client->out, "]}}\n");
}

void listing_of_one(struct client *client, const char *key, json_t *head, listing_describe *describe,
                    const struct agent *agent)
{
    begin(client, key, head, describe);
    add_agent(client, agent);
    end(client);
}

/* Drops sent bytes. True: the client reads as fast as the listing is made. */
static bool is_read(struct client *client)
{
    buffer_drop(&client->out, client->out_done);
    client->out_done = 0;
    return client->out.length < UNREAD_MAX;
}

static void slice(void *context)
{
    struct client *client = context;
    const struct agents *agents = client->control->owner.agents;
    int64_t until_ms = clock_monotonic_ms() + SLICE_MS;
    bool read = is_read(client);
    for (size_t i = 0;
         i < SLICE_AGENTS && read && client->listing.next < agents->count && clock_monotonic_ms() < until_ms;
         i++)
        add_agent(client, agents->list[client->listing.next++]);
    if (client->listing.next < agents->count) {
        timer_set(client->control->owner.loop, &client->listing.timer, read ? 0 : UNREAD_MS);
        client_watch_as_due(client);
        return;
    }
    end(client);
    client_stop_waiting(client);
}

void listing_of_all(struct client *client, const char *key, json_t *head, listing_describe *describe)
{
    begin(client, key, head, describe);
    *client_waiter(client) = (struct waiter){.what = WAIT_LISTING};
    client->listing.timer = (struct timer){.ring = slice, .context = client};
    timer_set(client->control->owner.loop, &client->listing.timer, 0);
}

void listing_agent_gone(struct control *control, const struct agent *agent)
{
    const struct agents *agents = control->owner.agents;
    size_t place = 0;
    while (place < agents->count && agents->list[place] != agent)
        place++;
    for (struct client *client = control->clients; client; client = client->next)
        if (client->waiter.what == WAIT_LISTING && client->listing.next > place)
            client->listing.next--;
}
