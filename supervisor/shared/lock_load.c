/* The reading of shared/locks/NAME.md at the start. */
#include <string.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/lock_part.h"

/* A holder on another node goes on. By the monotonic clock a whole lease from now on is never less than its node's
 * count. */
static void restore_holder(struct locks *locks, struct lock *lock, const struct yaml_node *head)
{
    static const char *const texts[] = {"node", "agent", "task"}, *const numbers[] = {"claim", "turn",
                                                                                      "lease_seconds"};
    const char *text[3];
    int64_t number[3];
    for (size_t i = 0; i < 3; i++) {
        const struct yaml_node *said = yaml_get(head, texts[i]), *counted = yaml_get(head, numbers[i]);
        if (!said || said->kind != YAML_SCALAR || !counted || !yaml_integer(counted, &number[i]) ||
            number[i] < 1)
            return;
        text[i] = said->text;
    }
    if (!locks->node || strcmp(text[0], locks->node) == 0 || number[2] > CLAIM_LEASE_SECONDS_MAX)
        return;
    lock->holder = memory_new(1, sizeof *lock->holder);
    *lock->holder = (struct claim){
        .agent = memory_text(text[1]),
        .task = memory_text(text[2]),
        .lease_seconds = number[2],
        .far = {.node = memory_text(text[0]), .number = (uint64_t)number[0], .turn = (uint64_t)number[1]}};
    lock->since = clock_now();
    lock_begin_lease(locks, lock);
}

static bool load_head(struct locks *locks, const char *file, const struct yaml_node *head,
                      struct fault *fault)
{
    const struct yaml_node *name = yaml_get(head, "name"), *token = yaml_get(head, "token"),
                           *home = yaml_get(head, "home");
    int64_t number;
    if (!name || name->kind != YAML_SCALAR || !lock_is_name(name->text))
        return fault_set(fault, "%s.md does not say the lock's name", file);
    OWNED char *expected = names_file(name->text);
    if (strcmp(expected, file) != 0)
        return fault_set(fault, "%s.md is not the file of the lock '%s'", file, name->text);
    if (!token || !yaml_integer(token, &number) || number < 0)
        return fault_set(fault, "%s.md does not say the lock's token", file);
    locks_load_token(locks, (uint64_t)number);
    if (locks->node && home && home->kind == YAML_SCALAR && strcmp(home->text, locks->node) != 0)
        return true; /* a copy: another node gives this lock out */
    if (lock_find(locks, name->text))
        return true; /* a worker asked for the lock before its file could be read */
    struct lock *lock = lock_add(locks, name->text);
    lock->token = (uint64_t)number;
    lock->behind = true; /* the file may name a holder */
    restore_holder(locks, lock, head);
    return true;
}

bool locks_load(struct locks *locks, const char *file, const char *text, size_t length, struct fault *fault)
{
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (!frontmatter_parse(&matter, text, length, file, fault))
        return false;
    bool good = load_head(locks, file, matter.head, fault);
    if (good)
        locks->operations->timer(locks->context, 0);
    return good;
}
