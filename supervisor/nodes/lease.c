#include "supervisor/nodes/lease.h"

#include <stdio.h>
#include <string.h>

enum { AGAIN_MS = 1000 /* from a renewal that failed to the next one */ };

static bool is_there(const struct lease *lease)
{
    return lease->known && lease->revision != 0;
}

static bool is_of_this_node(const struct lease *lease)
{
    return is_there(lease) && strcmp(lease->seen.node, lease->node) == 0;
}

/* A supervisor that was begun without the bus takes the lease of the supervisor before it, which is gone: a data
 * directory has one supervisor, and two nodes of one name are the operator's fault, which pins can't bear. */
static bool is_ours(const struct lease *lease)
{
    return is_of_this_node(lease) && (lease->seen.run == lease->run || lease->local);
}

bool lease_is_stale(const struct lease *lease)
{
    return is_there(lease) && !is_of_this_node(lease) && lease->tree_epoch < lease->seen.epoch;
}

bool lease_is_held(const struct lease *lease, int64_t now)
{
    return lease->stage >= LEASE_HELD && is_ours(lease) && !lease->hard &&
           now - lease->held_at < LEASE_GUARD_MS;
}

bool lease_lasts(const struct lease *lease, int64_t now)
{
    bool renewed = lease->claim == LEASE_PINNED || now - lease->held_at < LEASE_GUARD_MS;
    return lease->stage >= LEASE_HELD && !lease->hard && renewed;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void put(struct lease *lease, bool released, int64_t now)
{
    lease->put_value = (struct lease_value){
        .run = lease->run, .epoch = lease->epoch, .turn = lease->put_value.turn + 1, .released = released};
    snprintf(lease->put_value.node, sizeof lease->put_value.node, "%s", lease->node);
    lease->put_revision = is_there(lease) ? lease->revision : 0;
    lease->put_at = now;
    lease->renew_at = now + LEASE_RENEW_MS;
    lease->asked = lease->operations->put(lease->context, &lease->put_value, lease->put_revision);
}

static void start(struct lease *lease)
{
    lease->stage = LEASE_HELD;
    lease->runs = true;
    lease->hard = false;
    lease->tree_epoch = lease->epoch;
    lease->operations->start(lease->context, lease->epoch);
}

static void end(struct lease *lease, bool hard, const char *why)
{
    if (lease->stage == LEASE_ENDING && (lease->hard || !hard))
        return;
    lease->stage = LEASE_ENDING;
    lease->hard = hard;
    lease->operations->stop(lease->context, hard, why);
}

/* --- free --- */

/* This node had the lease, and ended before the agent had a directory: nothing of the agent is anywhere. */
static bool is_begun_in_part(const struct lease *lease)
{
    return is_of_this_node(lease) && lease->begins && lease->tree_epoch == lease->seen.epoch;
}

static bool may_take(const struct lease *lease, int64_t now)
{
    int64_t quiet = now - lease->quiet_since;
    if (lease->claim <= LEASE_KEEPS || !lease->connected || !lease->known || lease->asked)
        return false;
    if (lease->claim == LEASE_FOUNDS && !is_begun_in_part(lease))
        return !is_there(lease) && quiet >= LEASE_FOUND_MS;
    if (lease_is_stale(lease))
        return false;
    return is_ours(lease) || (is_there(lease) && lease->seen.released) || quiet >= LEASE_MS;
}

static void take(struct lease *lease, int64_t now)
{
    uint64_t seen = is_there(lease) ? lease->seen.epoch : 0;
    lease->epoch = larger(larger(seen, lease->tree_epoch), lease->epoch) + 1;
    lease->stage = LEASE_TAKING;
    put(lease, false, now);
    if (!lease->asked)
        lease->stage = LEASE_FREE;
}

static void free_step(struct lease *lease, int64_t now)
{
    bool alone = lease->claim == LEASE_PINNED && !lease->connected && now - lease->away_since >= LEASE_MS;
    if (may_take(lease, now)) {
        take(lease, now);
    } else if (alone) {
        lease->epoch = larger(lease->epoch, lease->tree_epoch);
        lease->local = true;
        start(lease);
    }
}

/* --- held --- */

/* A lease whose worker ends is renewed, too: until the worker has ended, no other node may take it. */
static void renew(struct lease *lease, int64_t now)
{
    if (!lease->connected || !lease->known || lease->asked || now < lease->renew_at)
        return;
    if (is_there(lease))
        lease->epoch = larger(lease->epoch, lease->seen.epoch);
    put(lease, false, now);
}

static void held_step(struct lease *lease, int64_t now)
{
    if (is_there(lease) && !is_ours(lease))
        end(lease, true,
            is_of_this_node(lease) ? "another supervisor calls itself as this one does"
                                   : "it lives on another node");
    else if (lease->claim != LEASE_PINNED && now - lease->held_at >= LEASE_GUARD_MS)
        end(lease, true, "its lease could not be renewed");
    else if (lease->claim == LEASE_NEVER || lease->claim == LEASE_KEEPS)
        end(lease, false,
            lease->claim == LEASE_KEEPS ? "it is being moved to another node" : "it lives on another node");
    if (!lease->hard)
        renew(lease, now);
}

static void ending_step(struct lease *lease, int64_t now)
{
    if (lease->runs || (lease->claim == LEASE_KEEPS && !lease->hard)) {
        held_step(lease, now);
        return;
    }
    lease->stage = LEASE_FREE;
    if (lease->connected && is_ours(lease) && !lease->asked)
        put(lease, true, now);
    lease->local = false;
}

/* --- events --- */

static void step(struct lease *lease, int64_t now)
{
    if (lease->asked && now - lease->put_at >= LEASE_MS) { /* the answer was lost; the key tells */
        lease->asked = false;
        lease->stage = lease->stage == LEASE_TAKING ? LEASE_FREE : lease->stage;
    }
    if (lease->stage == LEASE_FREE)
        free_step(lease, now);
    else if (lease->stage == LEASE_HELD)
        held_step(lease, now);
    else if (lease->stage == LEASE_ENDING)
        ending_step(lease, now);
}

void lease_begin(struct lease *lease, const struct lease_operations *operations, void *context,
                 const char *node, uint64_t run, int64_t now)
{
    *lease = (struct lease){.operations = operations,
                            .context = context,
                            .node = node,
                            .run = run,
                            .away_since = now,
                            .turned_at = now};
}

void lease_claim(struct lease *lease, enum lease_claim claim, uint64_t tree_epoch, int64_t now)
{
    lease->claim = claim;
    lease->tree_epoch = tree_epoch;
    step(lease, now);
}

/* A put on the connection before may have been done: the key tells. */
void lease_connected(struct lease *lease, bool connected, int64_t now)
{
    if (lease->connected && !connected)
        lease->away_since = now;
    if (connected)
        lease->renew_at = now; /* a put that was under way may be lost */
    lease->connected = connected;
    lease->known = lease->asked = false;
    lease->revision = 0;
    if (lease->stage == LEASE_TAKING)
        lease->stage = LEASE_FREE;
    step(lease, now);
}

static bool is_same(const struct lease *lease, const struct lease_value *value, uint64_t revision)
{
    if (!lease->known || !value || lease->revision == 0)
        return lease->known && !value && lease->revision == 0;
    return revision == lease->revision && value->run == lease->seen.run && value->epoch == lease->seen.epoch;
}

static void learn(struct lease *lease, const struct lease_value *value, uint64_t revision)
{
    lease->known = true;
    lease->revision = value ? revision : 0;
    if (value)
        lease->seen = *value;
}

/* The last put was done. */
static void was_kept(struct lease *lease, int64_t now)
{
    bool taking = lease->stage == LEASE_TAKING;
    if (taking)
        lease->stage = LEASE_FREE;
    lease->held_at = lease->put_at;
    lease->local = lease->asked = false;
    if (taking && is_ours(lease) && now - lease->put_at < LEASE_GUARD_MS)
        start(lease);
}

/* The key's state from before the last put may come after the put's answer; then the next put is refused, and newer
 * news follows. */
void lease_key(struct lease *lease, const struct lease_value *value, uint64_t revision, int64_t now)
{
    if (!is_same(lease, value, revision)) {
        lease->quiet_since = now;
        learn(lease, value, revision);
        if (value && value->run == lease->run && value->turn == lease->put_value.turn)
            was_kept(lease, now);
        else if (lease->stage != LEASE_TAKING && lease->revision != lease->put_revision)
            lease->asked = false;
    }
    step(lease, now);
}

void lease_kept(struct lease *lease, uint64_t revision, bool refused, int64_t now)
{
    if (revision != 0) {
        if (revision > lease->revision || !lease->known)
            learn(lease, &lease->put_value, revision);
        was_kept(lease, now);
    } else {
        lease->asked = refused && lease->revision == lease->put_revision; /* until the key's news comes */
        if (lease->stage == LEASE_TAKING) {
            lease->stage = LEASE_FREE;
            lease->quiet_since = now;
        } else {
            lease->renew_at = now + AGAIN_MS;
        }
    }
    step(lease, now);
}

void lease_down(struct lease *lease, int64_t now)
{
    lease->runs = false;
    step(lease, now);
}

void lease_epoch(struct lease *lease, uint64_t epoch, int64_t now)
{
    lease->epoch = larger(lease->epoch, epoch);
    if (lease->stage == LEASE_HELD)
        end(lease, true, "its lease is taken anew, since its commits are of a later epoch");
    step(lease, now);
}

/* A node that slept has not seen the key's changes meanwhile. */
void lease_turn(struct lease *lease, int64_t now)
{
    if (now - lease->turned_at >= LEASE_RENEW_MS)
        lease->quiet_since = lease->away_since = now;
    lease->turned_at = now;
    step(lease, now);
}
